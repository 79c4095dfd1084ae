//! The lines of a file that another process writes, as it writes them, until it closes it.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

/// Room for a few of the system's events.
const EVENTS_BYTES: usize = 1024;

pub struct Tail {
    watch: OwnedFd,
    file: BufReader<File>,
    /// A line that is not whole yet.
    begun: String,
    /// Whether the writer has closed the file.
    is_closed: bool,
}

impl Tail {
    /// Watches a file that nobody has written to yet, and that one process will write to.
    pub fn new(path: &Path) -> io::Result<Tail> {
        let watch = inotify::init(CreateFlags::CLOEXEC)?;
        inotify::add_watch(&watch, path, WatchFlags::MODIFY | WatchFlags::CLOSE_WRITE)?;
        let file = BufReader::new(File::open(path)?);
        Ok(Tail { watch, file, begun: String::new(), is_closed: false })
    }

    /// Waits for the next whole line. None when the file is closed: what it ends in then, if it is no
    /// whole line, was not written.
    pub fn next_line(&mut self) -> io::Result<Option<String>> {
        loop {
            self.file.read_line(&mut self.begun)?;
            if self.begun.ends_with('\n') {
                return Ok(Some(std::mem::take(&mut self.begun)));
            }
            if self.is_closed {
                return Ok(None);
            }
            self.is_closed = self.await_change()?;
        }
    }

    /// Waits until the file has changed; says whether it was closed.
    fn await_change(&mut self) -> io::Result<bool> {
        let mut room = [MaybeUninit::uninit(); EVENTS_BYTES];
        let mut events = Reader::new(&self.watch, &mut room);
        let mut is_closed = false;
        loop {
            is_closed |= events.next()?.events().contains(ReadFlags::CLOSE_WRITE);
            if events.is_buffer_empty() {
                return Ok(is_closed);
            }
        }
    }
}
