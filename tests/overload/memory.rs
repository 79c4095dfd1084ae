//! What the system says of a process's memory.

use std::fs;

/// Memory of a process, in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Resident now.
    pub resident_kib: u64,
    /// The most that was ever resident.
    pub peak_kib: u64,
}

/// The memory of process `id`.
pub fn of(id: u32) -> Result<Memory, String> {
    let path = format!("/proc/{id}/status");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let value = |name: &str| value(&text, name).ok_or_else(|| format!("{path}: no {name}"));
    Ok(Memory { resident_kib: value("VmRSS:")?, peak_kib: value("VmHWM:")? })
}

fn value(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
