//! By what a sender's request is known again: the key that the sender made up, and all that it said.

use crate::api::failure::Failure;
use crate::base::Digest;
use crate::queue::Repeat;

/// Longest key: room for a UUID, or for a digest in hex.
const KEY_BYTES_MAX: usize = 64;

/// The digest of a key, which is all that is kept of it.
pub(super) fn key(text: &[u8]) -> Result<Digest, Failure> {
    let fits = (1..=KEY_BYTES_MAX).contains(&text.len());
    if fits && text.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        Ok(Digest::of(text))
    } else {
        Err(Failure::BadIdempotencyKey)
    }
}

/// The request under `key`, byte for byte.
pub(super) fn repeat(key: Digest, request: &[u8]) -> Repeat {
    Repeat { key, request: Digest::of(request) }
}
