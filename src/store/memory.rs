//! A store in memory, for tests: it forgets, fails and crashes on request, as a disk would.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::queue::{Batch, Key};

use super::{Store, StoreError, TakeRow};

/// How an [`Memory::apply`](Store::apply) goes wrong. After any of them the store refuses all until
/// it is [restarted](Memory::restart).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The disk is full: the batch is not there.
    Full,
    /// The machine goes down before the batch is durable: it is lost.
    CrashBefore,
    /// The machine goes down when the batch is durable, before anyone hears.
    CrashAfter,
}

/// Rows in memory. What a clone holds is what a disk would, had the power gone at that moment.
#[derive(Clone, Debug)]
pub struct Memory {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    batches_written: u64,
    free_disk_bytes: u64,
    fault: Option<Fault>,
    is_down: bool,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::new()
    }
}

impl Memory {
    /// An empty store on an endless disk.
    pub fn new() -> Memory {
        Memory {
            rows: BTreeMap::new(),
            batches_written: 0,
            free_disk_bytes: u64::MAX,
            fault: None,
            is_down: false,
        }
    }

    /// Sets how much is free from now on, in bytes.
    pub fn set_free_disk_bytes(&mut self, bytes: u64) {
        self.free_disk_bytes = bytes;
    }

    /// Lets the next batch meet this fault.
    pub fn fail_next(&mut self, fault: Fault) {
        self.fault = Some(fault);
    }

    /// The machine comes up again, with what was durable.
    pub fn restart(&mut self) {
        self.is_down = false;
    }

    /// The rows as they lie on the disk, for a test to damage.
    pub fn rows_mut(&mut self) -> &mut BTreeMap<Vec<u8>, Vec<u8>> {
        &mut self.rows
    }

    fn check_up(&self, action: &'static str) -> Result<(), StoreError> {
        if self.is_down { Err(self.error(action, io::ErrorKind::StorageFull)) } else { Ok(()) }
    }

    fn error(&self, action: &'static str, kind: io::ErrorKind) -> StoreError {
        StoreError::Io { action, file: self.file().into(), source: kind.into() }
    }

    fn write(&mut self, batch: &Batch) {
        for (key, value) in &batch.puts {
            self.rows.insert(key.encode().into_vec(), value.clone());
        }
        for key in &batch.deletes {
            self.rows.remove(key.encode().as_slice());
        }
        self.batches_written = batch.number;
    }
}

impl Store for Memory {
    fn apply(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.check_up("write")?;
        let fault = self.fault.take();
        if matches!(fault, None | Some(Fault::CrashAfter)) {
            self.write(batch);
        }
        self.is_down = fault.is_some();
        self.check_up("write")
    }

    fn read(&self, key: Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.check_up("read")?;
        Ok(self.rows.get(key.encode().as_slice()).cloned())
    }

    fn scan(&self, take: &mut TakeRow) -> Result<(), StoreError> {
        self.check_up("read")?;
        self.rows.iter().try_for_each(|(key, value)| take(key, value)).map_err(|error| self.damaged(error))
    }

    fn free_disk_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.free_disk_bytes)
    }

    fn batches_written(&self) -> u64 {
        self.batches_written
    }

    fn file(&self) -> &Path {
        Path::new("memory")
    }
}
