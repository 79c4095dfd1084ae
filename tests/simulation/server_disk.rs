//! The disk of the simulated server: rows in memory, and what of them a power cut would take.

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::path::Path;

use lomiri_push::queue::{Batch, Key};
use lomiri_push::store::{Store, StoreError, TakeRow};

/// Rows, of which the last batches may not be durable until [`ServerDisk::sync`].
#[derive(Default)]
pub struct ServerDisk {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    batches: u64,
    unsynced: Vec<Undo>,
    /// Whether the next write finds no room.
    pub is_full: bool,
    /// Whether what is free is below what the queue wants.
    pub is_nearly_full: bool,
}

/// What a batch has changed, as it was before.
struct Undo(Vec<(Vec<u8>, Option<Vec<u8>>)>);

impl ServerDisk {
    /// All that was written is durable.
    pub fn sync(&mut self) {
        self.unsynced.clear();
    }

    /// How many batches a power cut could take.
    pub fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// The power is gone: of what was not synced so many batches are there. The one that was being
    /// written is torn, which its checksum shows, and counts as none.
    pub fn lose_power(&mut self, kept: usize) {
        for Undo(rows) in self.unsynced.drain(kept..).rev() {
            self.batches -= 1;
            for (key, value) in rows.into_iter().rev() {
                match value {
                    Some(value) => self.rows.insert(key, value),
                    None => self.rows.remove(&key),
                };
            }
        }
        self.unsynced.clear();
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>, undo: &mut Undo) {
        let before = self.rows.insert(key.clone(), value);
        undo.0.push((key, before));
    }
}

impl Store for ServerDisk {
    fn apply(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if mem::take(&mut self.is_full) {
            let source = io::ErrorKind::StorageFull.into();
            return Err(StoreError::Io { action: "write", file: self.file().into(), source });
        }
        let mut undo = Undo(Vec::new());
        for (key, value) in &batch.puts {
            self.put(key.encode().into_vec(), value.clone(), &mut undo);
        }
        for key in &batch.deletes {
            let key = key.encode().into_vec();
            let before = self.rows.remove(&key);
            undo.0.push((key, before));
        }
        self.unsynced.push(undo);
        self.batches = batch.number;
        Ok(())
    }

    fn read(&self, key: Key) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.rows.get(key.encode().as_slice()).cloned())
    }

    fn scan(&self, take: &mut TakeRow) -> Result<(), StoreError> {
        self.rows.iter().try_for_each(|(key, value)| take(key, value)).map_err(|error| self.damaged(error))
    }

    fn free_disk_bytes(&self) -> Result<u64, StoreError> {
        Ok(if self.is_nearly_full { 0 } else { u64::MAX })
    }

    fn batches_written(&self) -> u64 {
        0
    }

    fn file(&self) -> &Path {
        Path::new("simulated")
    }
}
