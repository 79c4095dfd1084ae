//! A file that only takes room, to be given up when the disk is full: the engine cannot even be
//! opened without some.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};

/// What the engine needs to open, with room to spare: a snapshot, which takes 3 MB for a million
/// messages, and a few segments of 512 KiB for what is deleted then.
pub(super) const BALLAST_BYTES: u64 = 32 << 20;
/// The ballast is taken only where this many times its size is free: on a small disk messages have
/// the better claim.
const FREE_TIMES_MIN: u64 = 4;

/// The file, there or not.
#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
}

impl Ballast {
    pub fn new(path: PathBuf) -> Ballast {
        Ballast { path }
    }

    /// Whether there was something to give up.
    pub fn give_up(&self) -> io::Result<bool> {
        match fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes the room unless it is taken already, or scarce.
    pub fn take(&self, free_disk_bytes: u64) -> io::Result<()> {
        if size(&self.path)? == BALLAST_BYTES || free_disk_bytes < FREE_TIMES_MIN * BALLAST_BYTES {
            return Ok(());
        }
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
        reserve(&file)
    }
}

fn size(path: &Path) -> io::Result<u64> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

fn reserve(file: &File) -> io::Result<()> {
    fallocate(file, FallocateFlags::empty(), 0, BALLAST_BYTES)?;
    file.sync_all()
}
