//! A small file beside the rows: which batch was durable last. Rows that are older than it says have
//! lost something, which rows alone cannot tell. Its lock keeps other processes out.
//!
//! It is written after the batch is durable and not synced itself, so that it costs next to nothing:
//! after a power cut it may be behind the rows, but never ahead.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// The number of a batch (8 bytes) and the CRC-32 of these 8 (4 bytes), both big-endian.
const BYTES: usize = 12;

/// The open, locked file.
#[derive(Debug)]
pub(super) struct Written {
    file: File,
}

impl Written {
    /// Opens the file, makes it if it is not there, and locks it: `WouldBlock` if another process has.
    pub fn open(path: &Path) -> io::Result<Written> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let written = Written { file };
        if written.file.metadata()?.len() == 0 {
            written.note(0)?;
            written.file.sync_all()?;
        }
        Ok(written)
    }

    /// Notes that the batch with this number is durable.
    pub fn note(&self, batch: u64) -> io::Result<()> {
        let number = batch.to_be_bytes();
        let checksum = crc32fast::hash(&number).to_be_bytes();
        self.file.write_all_at(&[&number[..], &checksum].concat(), 0)
    }

    /// The last batch noted; `None` if the file does not say, such as after a write cut in two.
    pub fn batch(&self) -> io::Result<Option<u64>> {
        let mut bytes = [0; BYTES];
        match self.file.read_exact_at(&mut bytes, 0) {
            Ok(()) => Ok(decode(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn decode(bytes: &[u8; BYTES]) -> Option<u64> {
    let (number, checksum) = bytes.split_first_chunk::<8>()?;
    let matches = checksum == crc32fast::hash(number).to_be_bytes();
    matches.then(|| u64::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_was_noted_last_and_nothing_when_torn() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("written");
        let written = Written::open(&path).expect("opens");
        assert_eq!(written.batch().expect("reads"), Some(0));
        written.note(258).expect("writes");
        drop(written);
        let written = Written::open(&path).expect("opens");
        assert_eq!(written.batch().expect("reads"), Some(258));
        written.file.write_all_at(&[7], 0).expect("writes");
        assert_eq!(written.batch().expect("reads"), None);
        written.file.set_len(5).expect("cuts");
        assert_eq!(written.batch().expect("reads"), None);
    }

    #[test]
    fn a_second_holder_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("written");
        let _first = Written::open(&path).expect("opens");
        let second = Written::open(&path).expect_err("is locked");
        assert_eq!(second.kind(), io::ErrorKind::WouldBlock);
    }
}
