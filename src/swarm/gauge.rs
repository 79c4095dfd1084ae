//! What a server process on this machine costs: its processor time and its resident memory, as the kernel counts them.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A process.
#[derive(Clone, Debug)]
pub struct Gauge {
    folder: PathBuf,
}

/// How it stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// User and system time of all its threads, to the nanosecond. A thread that has ended counts no more.
    pub cpu: Duration,
    /// Resident memory, in bytes.
    pub rss_bytes: u64,
}

impl Gauge {
    /// Of the process with this number.
    ///
    /// # Errors
    /// There is none, or this user may not look at it.
    pub fn of(process: u32) -> io::Result<Gauge> {
        let gauge = Gauge { folder: PathBuf::from(format!("/proc/{process}")) };
        gauge.read().map(|_| gauge)
    }

    /// How it stands now.
    ///
    /// # Errors
    /// It has ended.
    pub fn read(&self) -> io::Result<Reading> {
        let status = fs::read_to_string(self.folder.join("status"))?;
        let rss_bytes = rss_bytes(&status).ok_or_else(|| io::Error::other("no VmRSS: it has ended"))?;
        let mut cpu = Duration::ZERO;
        for thread in fs::read_dir(self.folder.join("task"))? {
            // A thread may end while it is looked at.
            let times = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
            cpu += cpu_in(&times).unwrap_or_default();
        }
        Ok(Reading { cpu, rss_bytes })
    }
}

/// In kB there, which are KiB.
fn rss_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The time on a processor comes first, in nanoseconds.
fn cpu_in(schedstat: &str) -> Option<Duration> {
    schedstat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_tells_is_read() {
        assert_eq!(rss_bytes("Name:\tx\nVmRSS:\t    5012 kB\nThreads:\t3\n"), Some(5_132_288));
        assert_eq!(rss_bytes("Name:\tx\n"), None);
        assert_eq!(cpu_in("1500000000 7 9\n"), Some(Duration::from_millis(1_500)));
    }

    #[test]
    fn this_process_can_be_looked_at_and_one_that_is_not_there_cannot() {
        let reading = Gauge::of(std::process::id()).and_then(|gauge| gauge.read()).expect("it runs");
        assert!(reading.rss_bytes > 0 && reading.cpu > Duration::ZERO);
        assert!(Gauge::of(u32::MAX).is_err());
    }
}
