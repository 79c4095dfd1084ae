//! The log of the servers in this process: its lines are what operators rely on.

use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, Once, OnceLock, PoisonError};
use std::thread::{self, ThreadId};

use log::{LevelFilter, Log, Metadata, Record};

use super::rig::PATIENCE;

/// Every line of all servers in this process. Two servers may use the same session numbers, but not
/// on the same thread: so a server's lines are found by its thread, if it has one shard.
struct Lines {
    lines: Mutex<Vec<(ThreadId, String)>>,
    more: Condvar,
}

static LINES: OnceLock<Lines> = OnceLock::new();
static INSTALL: Once = Once::new();

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.target().starts_with("lomiri_push")
    }

    fn log(&self, record: &Record) {
        if self.enabled(record.metadata()) {
            let line = (thread::current().id(), record.args().to_string());
            self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            self.more.notify_all();
        }
    }

    fn flush(&self) {}
}

/// Begins to listen to the log: to be called before the server starts.
pub fn listen() {
    INSTALL.call_once(|| {
        let lines = LINES.get_or_init(|| Lines { lines: Mutex::new(Vec::new()), more: Condvar::new() });
        log::set_logger(lines).expect("set once");
        log::set_max_level(LevelFilter::Debug);
    });
}

/// Waits until the log says why the session of this peer ended. The server must have one shard.
pub fn end_of(peer: SocketAddr) -> String {
    let Lines { lines, more } = LINES.get().expect("listen() was called");
    let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(reason) = find(&lines, peer) {
            return reason;
        }
        let (again, waited) = more.wait_timeout(lines, PATIENCE).unwrap_or_else(PoisonError::into_inner);
        lines = again;
        assert!(!waited.timed_out(), "no end of {peer} in {lines:?}");
    }
}

/// How many lines hold `text`.
pub fn count(text: &str) -> usize {
    let Lines { lines, .. } = LINES.get().expect("listen() was called");
    let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().filter(|(_, line)| line.contains(text)).count()
}

fn find(lines: &[(ThreadId, String)], peer: SocketAddr) -> Option<String> {
    let connected = format!(" connected {peer}");
    let place = lines.iter().rposition(|(_, line)| line.ends_with(&connected))?;
    let (thread, line) = &lines[place];
    let ended = line.replace(&connected, " ended with: ");
    let mut ends = lines[place..]
        .iter()
        .filter(|(other, _)| other == thread)
        .filter_map(|(_, line)| line.strip_prefix(&ended));
    let reason = ends.next()?.to_owned();
    assert_eq!(ends.next(), None, "a session ends once");
    Some(reason)
}
