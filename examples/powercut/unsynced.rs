//! The store as it would be if sled's `flush` were trusted: to show that the check can fail.

use std::path::{Path, PathBuf};

use lomiri_push::queue::{Batch, Key};
use lomiri_push::store::{Store, StoreError, TakeRow};

/// Rows in sled, never synced by us.
pub struct Unsynced {
    engine: sled::Db,
    file: PathBuf,
}

impl Unsynced {
    pub fn open(dir: &Path) -> Result<Unsynced, StoreError> {
        let file = dir.join("db");
        let engine = sled::open(dir).map_err(failed(&file))?;
        Ok(Unsynced { engine, file })
    }
}

fn failed(file: &Path) -> impl Fn(sled::Error) -> StoreError {
    |error| StoreError::Damaged { file: file.into(), reason: error.to_string() }
}

impl Store for Unsynced {
    fn apply(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let mut rows = sled::Batch::default();
        for (key, value) in &batch.puts {
            rows.insert(key.encode().as_slice(), value.as_slice());
        }
        for key in &batch.deletes {
            rows.remove(key.encode().as_slice());
        }
        self.engine.apply_batch(rows).map_err(failed(&self.file))?;
        self.engine.flush().map_err(failed(&self.file))?;
        Ok(())
    }

    fn read(&self, key: Key) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.engine.get(key.encode()).map_err(failed(&self.file))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, take: &mut TakeRow) -> Result<(), StoreError> {
        for row in self.engine.iter() {
            let (key, value) = row.map_err(failed(&self.file))?;
            take(&key, &value).map_err(|error| self.damaged(error))?;
        }
        Ok(())
    }

    fn free_disk_bytes(&self) -> Result<u64, StoreError> {
        Ok(u64::MAX)
    }

    fn batches_written(&self) -> u64 {
        0
    }

    fn file(&self) -> &Path {
        &self.file
    }
}
