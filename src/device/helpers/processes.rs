//! Ends all processes that a helper has started, wherever they went: into a session of their own, or to init
//! because their parent ended. What they did, it does not know.
//!
//! Nothing that a process can leave behind, such as its group, its parent or its environment, tells whose it
//! is. A hard limit is inherited and can only be lowered, so each run has a limit of its own: the size of
//! the files that its processes may write, which no other run shares. After a `kill -9` of the service nobody knows
//! any more which limits were its own, so what had left its group by then goes on.

use std::fs;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

/// In what `ulimit -f` counts.
const BLOCK_BYTES: u64 = 512;
/// Least limit: 16 MiB. It keeps a helper from filling the disk, and not from its own app's database.
const BLOCKS_MIN: u64 = 32 * 1024;
/// How many runs of one process have marks of their own; some five run at once.
const RUNS: u64 = 256;
/// How many processes have: another service of the same user, such as one that is being tried out.
const PROCESSES: u64 = 1024;
/// How often is looked for what started others while it was being killed.
const SWEEPS_MAX: usize = 64;
/// How long the system may take to end a process that it has killed.
const DYING_TIME_MAX: Duration = Duration::from_secs(1);

/// The limit by which the processes of one run are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u64);

impl Mark {
    /// Another one than the last.
    pub fn new() -> Mark {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let run = NEXT.fetch_add(1, Ordering::Relaxed) % RUNS;
        Mark(BLOCKS_MIN + u64::from(process::id()) % PROCESSES * RUNS + run)
    }

    /// The limit, for `ulimit -f`.
    pub fn blocks(self) -> u64 {
        self.0
    }

    /// Kills all processes that have the mark, and waits for their end.
    pub fn end_all(self) {
        for _ in 0..SWEEPS_MAX {
            let marked = self.processes();
            if marked.is_empty() {
                return;
            }
            marked.into_iter().for_each(|process| self.end(process));
        }
        log::warn!("processes of a helper have outlived it");
    }

    /// Those that run.
    pub fn processes(self) -> Vec<Pid> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw);
        entries.filter_map(number).filter(|process| self.is_on(*process)).collect()
    }

    fn is_on(self, process: Pid) -> bool {
        file_bytes_max(process) == Some(self.0 * BLOCK_BYTES) && is_running(process)
    }

    /// What is looked at by number may be another process by now, but not what a descriptor holds. Kernels
    /// before 5.3, which many phones have, know no such descriptors.
    fn end(self, process: Pid) {
        match pidfd_open(process, PidfdFlags::empty()) {
            Ok(descriptor) if self.is_on(process) => {
                let _ = pidfd_send_signal(&descriptor, Signal::KILL);
                let limit = DYING_TIME_MAX.try_into().expect("a second");
                let _ = poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&limit));
            }
            Err(Errno::NOSYS) => {
                let _ = kill_process(process, Signal::KILL);
            }
            _ => {}
        }
    }
}

/// The hard limit of a process on the size of its files; `None` if it has none, or is gone.
fn file_bytes_max(process: Pid) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max file size"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Whether it has not ended yet; what has waits for its parent to look.
fn is_running(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !['Z', 'X'].contains(&state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_has_a_mark_of_its_own_that_this_process_lacks() {
        let (one, other) = (Mark::new(), Mark::new());
        assert_ne!(one, other);
        let this = Pid::from_raw(process::id().try_into().expect("a number")).expect("not 0");
        assert!(is_running(this) && !one.is_on(this) && !other.is_on(this));
    }
}
