//! The store: rows that are on disk when it says so, and the queue over them. [`DurableQueue`] is the
//! one place where "durable before answered" lives.

mod ballast;
mod disk;
mod durable;
mod gathering;
mod guarded;
mod journal;
mod memory;
mod replay;
mod written;

use std::io;
use std::path::{Path, PathBuf};

use crate::queue::{Batch, Key, RestoreError};

pub use disk::Disk;
pub use durable::{DurableQueue, Outcomes};
pub use gathering::gather;
pub use memory::{Fault, Memory};

/// An ordered map of rows that survives the process and the power. Narrow, so that another engine
/// is one file.
///
/// After an error from `apply` nobody knows whether the batch is there: use the store no more, and
/// open it again. It is there then as a whole, or not at all.
pub trait Store {
    /// Writes the batch atomically: its puts, then its deletes. Durable when this returns.
    fn apply(&mut self, batch: &Batch) -> Result<(), StoreError>;

    /// The value under `key`.
    fn read(&self, key: Key) -> Result<Option<Vec<u8>>, StoreError>;

    /// Hands every row, key and value, to `take`, in the order of the keys; stops where it fails.
    fn scan(&self, take: &mut TakeRow) -> Result<(), StoreError>;

    /// How many bytes are free where the store writes.
    fn free_disk_bytes(&self) -> Result<u64, StoreError>;

    /// A number that some batch had of which the store knows, from elsewhere than its rows, that it
    /// was durable; 0 if it knows of none. Rows that are older than that have lost something.
    fn batches_written(&self) -> u64;

    /// The file that holds the rows, for errors.
    fn file(&self) -> &Path;

    /// The error that this store's rows are damaged.
    fn damaged(&self, reason: impl ToString) -> StoreError
    where
        Self: Sized,
    {
        StoreError::Damaged { file: self.file().into(), reason: reason.to_string() }
    }
}

/// What [`Store::scan`] hands its rows to: key, then value.
pub type TakeRow<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), RestoreError> + 'a;

/// Why a store fails: always the machine's fault, or another process's.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("{} is in use by another process", file.display())]
    InUse {
        /// The file that tells.
        file: PathBuf,
    },
    /// Its rows are not those that were written. Nobody but a person should decide to go on without.
    #[error("{} is damaged: {reason}", file.display())]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no room to open it. Nothing is lost.
    #[error("cannot open {}: the disk is full, and {needed_mib} MiB must be free", file.display())]
    Full {
        /// Which file.
        file: PathBuf,
        /// How much room it needs, in MiB.
        needed_mib: u64,
    },
    /// The system refuses: a full disk, a missing permission, a broken device.
    #[error("cannot {action} {}: {source}", file.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}
