//! What the kernel says of a process that is left alone.

use std::collections::HashMap;
use std::fs;
use std::thread;
use std::time::Duration;

/// A process's memory.
#[derive(Clone, Copy)]
pub struct Memory {
    /// All that is in memory of what it has mapped.
    pub resident_kib: u64,
    /// What nobody else could use, and no file could give back.
    pub own_kib: u64,
}

impl Memory {
    /// Of the process with this number, as it is now.
    pub fn of(pid: u32) -> Result<Memory, String> {
        let status = read(&format!("/proc/{pid}/status"))?;
        Ok(Memory { resident_kib: number(&status, "VmRSS:")?, own_kib: number(&status, "RssAnon:")? })
    }
}

/// How often any of its threads had waited for something, and went on, in so much time.
pub fn wake_ups(pid: u32, time: Duration) -> Result<u64, String> {
    let before = waits(pid)?;
    thread::sleep(time);
    let after = waits(pid)?;
    Ok(after.iter().map(|(task, waits)| waits - before.get(task).unwrap_or(&0)).sum())
}

/// How often each thread has waited.
fn waits(pid: u32) -> Result<HashMap<String, u64>, String> {
    let folder = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&folder).map_err(|error| format!("{folder}: {error}"))?;
    let names = tasks.filter_map(|task| task.ok()?.file_name().into_string().ok());
    let of = |task: String| {
        let status = read(&format!("{folder}/{task}/status"))?;
        Ok((task, number(&status, "voluntary_ctxt_switches:")?))
    };
    names.map(of).collect()
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

/// The number behind a key.
fn number(status: &str, key: &str) -> Result<u64, String> {
    let value = status.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next());
    value.and_then(|value| value.parse().ok()).ok_or_else(|| format!("the kernel does not tell {key}"))
}
