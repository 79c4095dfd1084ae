//! The push service's folder on a real disk: its files are read at the start, and each write is durable when
//! it returns. What is in them, `service` knows.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::files::write_whole;
use crate::service::mailbox::Write;
use crate::service::{MAILBOX_FOLDER, SHADE_FILE};

/// Messages are for their reader alone.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
/// The longest file that is read: a payload is far shorter, and the list of what has gone is some 30 KiB.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The folder, which is this process's alone as long as it has this.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Its lock goes with it, however the process ends.
    _lock: File,
}

/// What a folder holds at the start.
#[derive(Debug)]
pub struct Contents {
    /// The mailbox's files by their names.
    pub mailbox: Vec<(String, Vec<u8>)>,
    /// The shade's file; empty if there is none.
    pub shade: Vec<u8>,
}

impl Folder {
    /// The folder at `path`, made if it is not there. Fails if another push service has it.
    pub fn open(path: &Path) -> io::Result<Folder> {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path.join(MAILBOX_FOLDER))?;
        let lock = File::open(path)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Err(io::Error::other(
                "another push service uses this folder: stop that one first, or give --state another",
            )),
            locked => Ok(locked.map(|()| Folder { path: path.to_owned(), _lock: lock })?),
        }
    }

    /// What is in it, all durable.
    pub fn read(&self) -> io::Result<Contents> {
        sync(&self.mailbox())?;
        sync(&self.path)?;
        let shade = match read_short(&self.path.join(SHADE_FILE)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            shade => shade?,
        };
        Ok(Contents { mailbox: self.read_mailbox()?, shade })
    }

    /// Does all of what the service wants, in its order; durable when it returns.
    pub fn write(&self, writes: impl IntoIterator<Item = Write>) -> io::Result<()> {
        let mut has_removed = false;
        for write in writes {
            match write {
                Write::Put(name, contents) => write_whole(&self.path.join(name), &contents, FILE_MODE)?,
                Write::Remove(name) => {
                    self.remove(&name)?;
                    has_removed = true;
                }
            }
        }
        // That a post or a broadcast was popped, nothing says but that its file is gone. One sync does for all
        // that an app pops at once.
        if has_removed { sync(&self.mailbox()) } else { Ok(()) }
    }

    fn read_mailbox(&self) -> io::Result<Vec<(String, Vec<u8>)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.mailbox())? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if entry.file_type()?.is_file() {
                files.push((name, read_short(&entry.path())?));
            }
        }
        Ok(files)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn mailbox(&self) -> PathBuf {
        self.path.join(MAILBOX_FOLDER)
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// A file's content; nothing of one that no service wrote. It is looked at before it is opened, for a pipe would be
/// waited for.
fn read_short(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    let is_ours = metadata.is_file() && metadata.len() <= FILE_BYTES_MAX;
    if is_ours { fs::read(path) } else { Ok(Vec::new()) }
}

#[cfg(test)]
mod tests {
    use std::iter;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_is_its_owners_alone() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let path = place.path().join("new/push");
        let folder = Folder::open(&path).expect("writable");
        let contents = folder.read().expect("readable");
        assert!(contents.mailbox.is_empty() && contents.shade.is_empty());
        let put = |name: &str| Write::Put(name.into(), name.as_bytes().to_vec());
        let removals = [Write::Remove("mailbox/1.json".into()), Write::Remove("mailbox/1.json".into())];
        let puts = [put("mailbox/1.json"), put("mailbox/2.json"), put("shade.json")];
        folder.write(puts.into_iter().chain(removals)).expect("writable, and it may be gone");
        let taken = Folder::open(&path).expect_err("one has it");
        assert!(taken.to_string().starts_with("another push service"), "{taken}");
        drop(folder);
        let contents = Folder::open(&path).expect("there").read().expect("readable");
        assert_eq!(contents.mailbox, [("2.json".to_owned(), b"mailbox/2.json".to_vec())]);
        assert_eq!(contents.shade, b"shade.json");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&path.join("mailbox")), mode(&path.join("mailbox/2.json"))), (0o700, 0o600));
    }

    #[test]
    fn what_is_no_file_counts_as_an_empty_one_and_is_not_waited_for() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let folder = Folder::open(place.path()).expect("writable");
        let mode = rustix::fs::Mode::RWXU;
        for name in [SHADE_FILE, "mailbox/1.json"] {
            let path = place.path().join(name);
            rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).expect("a fifo");
        }
        let contents = folder.read().expect("readable");
        assert!(contents.mailbox.is_empty() && contents.shade.is_empty());
        folder.write([Write::Put(SHADE_FILE.into(), b"{}".to_vec())]).expect("it takes the fifo's place");
        assert_eq!(folder.read().expect("readable").shade, b"{}");
    }

    #[test]
    fn what_was_removed_is_synced_before_the_last_write_counts() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let folder = Folder::open(place.path()).expect("writable");
        let put = Write::Put("mailbox/1.json".into(), Vec::new());
        let remove = Write::Remove("mailbox/1.json".into());
        folder.write([put]).expect("writable");
        // A folder that has gone when all is written cannot be synced: that shows whether it is tried.
        let last = iter::once_with(|| {
            fs::remove_dir(place.path().join(MAILBOX_FOLDER)).expect("it is empty");
            Write::Put(SHADE_FILE.into(), Vec::new())
        });
        let written = folder.write(iter::once(remove).chain(last));
        assert_eq!(written.map_err(|error| error.kind()), Err(ErrorKind::NotFound));
        folder.write([Write::Put(SHADE_FILE.into(), Vec::new())]).expect("nothing was removed");
    }
}
