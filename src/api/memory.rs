//! What all requests of a server may hold in memory together, so that many large ones do not add up to
//! more than the machine has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// All shares together, in bytes: a dozen full batches at once, or many smaller ones; each is in work for
/// some milliseconds.
pub(super) const SHARED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What a request or an answer may hold without a share, in bytes: more than any that is about one message.
/// So small requests pass while large ones have to wait; a caller has only one of each.
pub(super) const SMALL_BYTES_MAX: usize = 16 * 1024;

/// The memory for large requests and answers. Clones are the same memory.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<AtomicUsize>);

/// A part of it, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    memory: Memory,
    bytes: usize,
}

impl Memory {
    pub(super) fn share(&self) -> Share {
        Share { memory: self.clone(), bytes: 0 }
    }

    fn take(&self, bytes: usize) -> bool {
        let more = |taken: usize| taken.checked_add(bytes).filter(|&all| all <= SHARED_BYTES_MAX);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}

impl Share {
    /// Makes the share large enough for `bytes`, unless others have too much.
    pub fn cover(&mut self, bytes: usize) -> bool {
        let missing = bytes.saturating_sub(self.bytes);
        if bytes <= SMALL_BYTES_MAX || missing == 0 {
            return true;
        }
        let is_taken = self.memory.take(missing);
        self.bytes += if is_taken { missing } else { 0 };
        is_taken
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_bounded_together_and_come_back() {
        let memory = Memory::default();
        let (mut one, mut other) = (memory.share(), memory.share());
        assert!(one.cover(SHARED_BYTES_MAX - SMALL_BYTES_MAX) && one.cover(1));
        assert!(!other.cover(SMALL_BYTES_MAX + 1) && other.cover(SMALL_BYTES_MAX));
        assert!(one.cover(SHARED_BYTES_MAX) && !one.cover(SHARED_BYTES_MAX + 1));
        drop(one);
        assert!(other.cover(SHARED_BYTES_MAX));
    }
}
