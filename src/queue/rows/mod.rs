//! The rows that the queue keeps in a store: keys, formats, checksums. It knows neither the queue's
//! rules nor the store.
//!
//! ```text
//! kind          key                            body of the value
//! bound app     a  SHA-256 of the app (32)     app (1+n)  SHA-256 of its key (32)
//! broadcast     b  channel (16)  level (8)     expires (8)  payload
//! code          c  SHA-256 of its secret (32)  user (1+n)  expires (8)
//! device        d  SHA-256 of its id (32)      device (1+n)  user (1+n)  SHA-256 of its credential (32)  enrolled (8)  revoked (0 or 8)
//! erased user   e  SHA-256 of the user (32)    user (1+n)
//! head          h                              batch (8)  next seq (8)  wall (8)  top level (8)  rows (8)  digest (8)
//! journal       j  slot (2)                    number (8)  and for each message, or that it has gone:
//!                                              seq (8)  copy (2)  bytes (2)  value of its row (bytes, or 0)
//! message       m  seq (8)  copy (0 or 2)      expires (8)  urgency (1)  random (8)  device (1+n)  app (1+n)  tag (2+n)  payload
//! registration  r  token (16)                  device (1+n)  app (1+n)
//! tracked       s  seq (8)                     app (1+n)  user (1+n)  sent (8)  random (8)  token (16)  repeat (1+32+32)
//!                                              and for each device: device (1+n)  status (1)  since (8)  delivered (8)
//! user token    u  token (16)                  user (1+n)  app (1+n)
//!
//! value:  checksum (4)  version (1)  body
//! ```
//!
//! Numbers are big-endian, so that messages lie in order of arrival. `1+n` is a text behind a length
//! of one byte; an empty tag or user is none; a device that is revoked and a user who is erased are on their
//! way out, and their rows mark that more of them may be left; a payload is the rest. The copy 0 of a message has no number. The
//! checksum is the CRC-32 of key, version and body, so that no row passes for another. Every batch
//! writes the head: it counts the other rows and sums a digest of their keys, so that a row that is
//! lost is missed. Rows of the journal are the store's; the head counts the messages in them as the rows that
//! they stand for.

mod journal;
mod key;
mod kinds;
mod reader;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use self::reader::Reader;
use crate::base::{ChannelId, Digest, Level, Payload, Token};

use super::answer::PendingMessage;
use super::fates::TrackedRow;

pub use self::journal::JournalRow;
pub(super) use self::key::Census;
pub use self::key::{Key, KeyBytes, Place};
pub(super) use self::kinds::{
    BoundAppRow, BroadcastRow, CodeRow, DeviceRow, ErasedUserRow, Head, MessageRow, RegistrationRow,
    UserTokenRow,
};

/// The version of the formats above. A later one is refused, never guessed at; in the first one messages
/// have no urgency, and up to the second no tracked message says whose it is.
const VERSION: u8 = 3;
const VERSION_WITHOUT_URGENCY: u8 = 1;
const VERSION_WITHOUT_TRACKED_USER: u8 = 2;
/// Bytes before the body: checksum and version.
const SEAL_BYTES: usize = 5;

/// Rows to write and to delete: all of them or none. A row that is both put and deleted is deleted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Counts the batches since the store was new: 1, 2, 3, …
    pub number: u64,
    /// Rows to write, new ones or in place of those under the same key.
    pub puts: Vec<(Key, Vec<u8>)>,
    /// Rows to delete.
    pub deletes: Vec<Key>,
}

/// Why bytes from a store are not a row of ours: the machine's fault, or another program's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The key is none that this version writes.
    #[error("a key of no known kind")]
    Key,
    /// The bytes are not those that were written.
    #[error("a checksum does not match")]
    Checksum,
    /// Written by another version of the format.
    #[error("format version {0}, where {VERSION} is known")]
    Version(u8),
    /// The checksum matches, but the body has another form.
    #[error("a body of the wrong form")]
    Body,
}

/// A row, read.
#[derive(Debug, PartialEq)]
pub(super) enum Row<'a> {
    BoundApp(BoundAppRow),
    Broadcast(ChannelId, Level, BroadcastRow<'a>),
    Code(Digest, CodeRow),
    Device(DeviceRow),
    ErasedUser(ErasedUserRow),
    Head(Head),
    Journal(JournalRow<'a>),
    Message(MessageRow<'a>),
    Registration(Token, RegistrationRow),
    Tracked(TrackedRow),
    UserToken(Token, UserTokenRow),
}

/// A value with these parts as its body.
fn seal(key: Key, body: &[&[u8]]) -> Vec<u8> {
    let body_bytes = body.iter().map(|part| part.len()).sum();
    seal_with(key, body_bytes, |value| body.iter().for_each(|part| value.extend_from_slice(part)))
}

/// A value whose body, of about so many bytes, is written behind what comes before it.
fn seal_with(key: Key, body_bytes: usize, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut value = Vec::with_capacity(SEAL_BYTES + body_bytes);
    value.extend([0; 4]);
    value.push(VERSION);
    write(&mut value);
    let checksum = checksum(&key.encode(), &value[4..]);
    value[..4].copy_from_slice(&checksum.to_be_bytes());
    value
}

fn checksum(key: &[u8], sealed: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(sealed);
    hasher.finalize()
}

impl<'a> Row<'a> {
    /// Reads and checks a row.
    pub fn decode(key: &[u8], value: &'a [u8]) -> Result<Row<'a>, RowError> {
        let (expected, sealed) = value.split_first_chunk::<4>().ok_or(RowError::Checksum)?;
        if checksum(key, sealed) != u32::from_be_bytes(*expected) {
            return Err(RowError::Checksum);
        }
        let (&version, body) = sealed.split_first().ok_or(RowError::Body)?;
        if !(VERSION_WITHOUT_URGENCY..=VERSION).contains(&version) {
            return Err(RowError::Version(version));
        }
        Row::read(Key::decode(key)?, version, Reader::new(body)).ok_or(RowError::Body)
    }

    fn read(key: Key, version: u8, mut reader: Reader<'a>) -> Option<Row<'a>> {
        let from = &mut reader;
        let row = match key {
            Key::BoundApp(_) => Row::BoundApp(BoundAppRow::read(from)?),
            Key::Broadcast(channel, level) => Row::Broadcast(channel, level, BroadcastRow::read(from)?),
            Key::Code(secret) => Row::Code(secret, CodeRow::read(from)?),
            Key::Device(_) => Row::Device(DeviceRow::read(from)?),
            Key::ErasedUser(_) => Row::ErasedUser(ErasedUserRow::read(from)?),
            Key::Head => Row::Head(Head::read(from)?),
            Key::Journal(_) => Row::Journal(JournalRow::read(from)?),
            Key::Message(place) => Row::Message(MessageRow::read(place, version, from)?),
            Key::Registration(token) => Row::Registration(token, RegistrationRow::read(from)?),
            Key::Tracked(seq) => Row::Tracked(TrackedRow::read(seq, version, from)?),
            Key::UserToken(token) => Row::UserToken(token, UserTokenRow::read(from)?),
        };
        (reader.is_empty() && row.is_under(key)).then_some(row)
    }

    /// Whether a row whose key is made from what stands in it has the right one.
    fn is_under(&self, key: Key) -> bool {
        match self {
            Row::BoundApp(row) => key == Key::bound_app(&row.app),
            Row::Device(row) => key == Key::device(&row.device),
            Row::ErasedUser(row) => key == Key::erased_user(&row.user),
            _ => true,
        }
    }
}

/// The message in the row at `place`.
pub fn read_message(place: Place, value: &[u8]) -> Result<PendingMessage, RowError> {
    match Row::decode(&Key::Message(place).encode(), value)? {
        Row::Message(row) => Ok(PendingMessage {
            id: row.id,
            app: row.app,
            expires: row.expires,
            urgency: row.urgency,
            payload: Payload::from_stored(Bytes::copy_from_slice(row.payload)),
        }),
        _ => Err(RowError::Key),
    }
}
