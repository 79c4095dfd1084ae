//! The rows that the queue keeps in a store: keys, formats, checksums. It knows neither the queue's
//! rules nor the store.
//!
//! ```text
//! kind          key                            body of the value
//! broadcast     b  channel (16)  level (8)     expires (8)  payload
//! head          h                              batch (8)  next seq (8)  wall (8)  top level (8)  rows (8)  digest (8)
//! message       m  seq (8)                     expires (8)  urgency (1)  random (8)  device (1+n)  app (1+n)  tag (2+n)  payload
//! registration  r  token (16)                  device (1+n)  app (1+n)
//!
//! value:  checksum (4)  version (1)  body
//! ```
//!
//! Numbers are big-endian, so that messages lie in order of arrival. `1+n` is a text behind a length
//! of one byte; an empty tag is none; a payload is the rest. The checksum is the CRC-32 of key,
//! version and body, so that no row passes for another. Every batch writes the head: it counts the
//! other rows and sums a digest of their keys, so that a row that is lost is missed.

use bytes::Bytes;

use crate::base::{AppId, ChannelId, DeviceId, Level, MessageId, Payload, Seq, Token, Urgency, Wall};

use super::answer::PendingMessage;

/// The version of the formats above. A later one is refused, never guessed at; in the first one messages
/// have no urgency.
const VERSION: u8 = 2;
const VERSION_WITHOUT_URGENCY: u8 = 1;
/// Bytes before the body: checksum and version.
const SEAL_BYTES: usize = 5;

/// Names one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A broadcast that has not expired.
    Broadcast(ChannelId, Level),
    /// The one row about the others.
    Head,
    /// A pending message.
    Message(Seq),
    /// A token that lives.
    Registration(Token),
}

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
    Broadcast(ChannelId, Level, BroadcastRow<'a>),
    Head(Head),
    Message(MessageRow<'a>),
    Registration(Token, RegistrationRow),
}

#[derive(Debug, PartialEq)]
pub(super) struct BroadcastRow<'a> {
    pub expires: Wall,
    pub payload: &'a [u8],
}

/// The head: what the queue knows beside its other rows, and how to tell that none of them is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The batch that wrote it.
    pub batch: u64,
    /// The next message's number.
    pub next_seq: Seq,
    /// The wall clock when the batch was made.
    pub wall: Wall,
    /// The system channel's level.
    pub top: Level,
    /// How many rows there are beside this one, and which.
    pub census: Census,
}

/// Which rows there are: their number, and the wrapping sum of their keys' hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    pub rows: u64,
    pub digest: u64,
}

#[derive(Debug, PartialEq)]
pub(super) struct MessageRow<'a> {
    pub id: MessageId,
    pub device: DeviceId,
    pub app: AppId,
    pub expires: Wall,
    pub urgency: Urgency,
    pub tag: Option<&'a str>,
    pub payload: &'a [u8],
}

#[derive(Debug, PartialEq)]
pub(super) struct RegistrationRow {
    pub device: DeviceId,
    pub app: AppId,
}

impl Key {
    /// The key's bytes.
    pub fn encode(self) -> Vec<u8> {
        match self {
            Key::Broadcast(channel, level) => [&b"b"[..], &channel.0, &level.0.to_be_bytes()].concat(),
            Key::Head => b"h".to_vec(),
            Key::Message(seq) => [&b"m"[..], &seq.0.to_be_bytes()].concat(),
            Key::Registration(token) => [&b"r"[..], &token.0].concat(),
        }
    }

    /// Reads a key.
    pub fn decode(bytes: &[u8]) -> Result<Key, RowError> {
        let (&kind, rest) = bytes.split_first().ok_or(RowError::Key)?;
        let mut reader = Reader(rest);
        let key = Key::read(kind, &mut reader).ok_or(RowError::Key)?;
        if reader.0.is_empty() { Ok(key) } else { Err(RowError::Key) }
    }

    fn read(kind: u8, reader: &mut Reader) -> Option<Key> {
        match kind {
            b'b' => {
                Some(Key::Broadcast(ChannelId(*reader.take()?), Level(i64::from_be_bytes(*reader.take()?))))
            }
            b'h' => Some(Key::Head),
            b'm' => Some(Key::Message(Seq(reader.take_u64()?))),
            b'r' => Some(Key::Registration(Token(*reader.take()?))),
            _ => None,
        }
    }
}

impl Census {
    pub fn add(&mut self, key: Key) {
        self.rows += 1;
        self.digest = self.digest.wrapping_add(hash(&key.encode()));
    }

    pub fn remove(&mut self, key: Key) {
        self.rows -= 1;
        self.digest = self.digest.wrapping_sub(hash(&key.encode()));
    }
}

/// FNV-1a, then mixed so that the hashes of neighbouring keys don't add up to one another's.
fn hash(bytes: &[u8]) -> u64 {
    const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const FNV_PRIME: u64 = 0x0100_0000_01b3;
    let hash = bytes.iter().fold(FNV_OFFSET, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl BroadcastRow<'_> {
    pub fn encode(&self, key: Key) -> Vec<u8> {
        seal(key, &[&self.expires.0.to_be_bytes(), self.payload])
    }
}

impl Head {
    pub fn encode(&self) -> Vec<u8> {
        let numbers = [
            self.batch,
            self.next_seq.0,
            self.wall.0,
            self.top.0.cast_unsigned(),
            self.census.rows,
            self.census.digest,
        ];
        seal(Key::Head, &[&numbers.map(u64::to_be_bytes).concat()])
    }
}

impl MessageRow<'_> {
    pub fn encode(&self) -> Vec<u8> {
        let tag = self.tag.unwrap_or_default();
        let parts: [&[u8]; 10] = [
            &self.expires.0.to_be_bytes(),
            &[self.urgency.code()],
            &self.id.0[8..],
            &[self.device.as_str().len() as u8],
            self.device.as_str().as_bytes(),
            &[self.app.as_str().len() as u8],
            self.app.as_str().as_bytes(),
            &(tag.len() as u16).to_be_bytes(),
            tag.as_bytes(),
            self.payload,
        ];
        seal(Key::Message(self.id.seq()), &parts)
    }
}

impl RegistrationRow {
    pub fn encode(&self, key: Key) -> Vec<u8> {
        let (device, app) = (self.device.as_str(), self.app.as_str());
        seal(key, &[&[device.len() as u8], device.as_bytes(), &[app.len() as u8], app.as_bytes()])
    }
}

/// A value with these parts as its body.
fn seal(key: Key, body: &[&[u8]]) -> Vec<u8> {
    let body_bytes: usize = body.iter().map(|part| part.len()).sum();
    let mut value = Vec::with_capacity(SEAL_BYTES + body_bytes);
    value.extend([0; 4]);
    value.push(VERSION);
    for part in body {
        value.extend_from_slice(part);
    }
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
        Row::read(Key::decode(key)?, version, Reader(body)).ok_or(RowError::Body)
    }

    fn read(key: Key, version: u8, mut reader: Reader<'a>) -> Option<Row<'a>> {
        let row = match key {
            Key::Broadcast(channel, level) => Row::Broadcast(channel, level, reader.take_broadcast()?),
            Key::Head => Row::Head(reader.take_head()?),
            Key::Message(seq) => Row::Message(reader.take_message(seq, version)?),
            Key::Registration(token) => Row::Registration(token, reader.take_registration()?),
        };
        reader.0.is_empty().then_some(row)
    }
}

/// The message in the row under `seq`.
pub fn read_message(seq: Seq, value: &[u8]) -> Result<PendingMessage, RowError> {
    match Row::decode(&Key::Message(seq).encode(), value)? {
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

/// Takes a row apart from its front; `None` as soon as something is missing or malformed.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(taken)
    }

    fn take_u64(&mut self) -> Option<u64> {
        self.take().map(|bytes| u64::from_be_bytes(*bytes))
    }

    fn take_text(&mut self, bytes: usize) -> Option<&'a str> {
        let (text, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    fn take_short_text(&mut self) -> Option<&'a str> {
        let [length] = *self.take()?;
        self.take_text(length.into())
    }

    fn take_tag(&mut self) -> Option<Option<&'a str>> {
        let length = u16::from_be_bytes(*self.take()?);
        let tag = self.take_text(length.into())?;
        Some((!tag.is_empty()).then_some(tag))
    }

    fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn take_broadcast(&mut self) -> Option<BroadcastRow<'a>> {
        Some(BroadcastRow { expires: Wall(self.take_u64()?), payload: self.take_rest() })
    }

    fn take_head(&mut self) -> Option<Head> {
        Some(Head {
            batch: self.take_u64()?,
            next_seq: Seq(self.take_u64()?),
            wall: Wall(self.take_u64()?),
            top: Level(self.take_u64()?.cast_signed()),
            census: Census { rows: self.take_u64()?, digest: self.take_u64()? },
        })
    }

    fn take_message(&mut self, seq: Seq, version: u8) -> Option<MessageRow<'a>> {
        Some(MessageRow {
            expires: Wall(self.take_u64()?),
            urgency: self.take_urgency(version)?,
            id: MessageId::new(seq, *self.take()?),
            device: self.take_short_text()?.parse().ok()?,
            app: self.take_short_text()?.parse().ok()?,
            tag: self.take_tag()?,
            payload: self.take_rest(),
        })
    }

    fn take_urgency(&mut self, version: u8) -> Option<Urgency> {
        if version == VERSION_WITHOUT_URGENCY {
            return Some(Urgency::default());
        }
        let [code] = *self.take()?;
        Urgency::from_code(code)
    }

    fn take_registration(&mut self) -> Option<RegistrationRow> {
        Some(RegistrationRow {
            device: self.take_short_text()?.parse().ok()?,
            app: self.take_short_text()?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> MessageRow<'static> {
        MessageRow {
            id: MessageId::new(Seq(7), [9; 8]),
            device: "carol".parse().expect("valid"),
            app: "chatter".parse().expect("valid"),
            expires: Wall(1_000),
            urgency: Urgency::High,
            tag: Some("mail"),
            payload: b"{\"n\":1}",
        }
    }

    #[test]
    fn every_kind_of_row_reads_as_it_was_written() {
        let message = message();
        let (key, value) = (Key::Message(Seq(7)).encode(), message.encode());
        assert_eq!(Row::decode(&key, &value), Ok(Row::Message(message)));

        let head = Head {
            batch: 1,
            next_seq: Seq(2),
            wall: Wall(3),
            top: Level(4),
            census: Census { rows: 5, digest: u64::MAX },
        };
        assert_eq!(Row::decode(&Key::Head.encode(), &head.encode()), Ok(Row::Head(head)));

        let token = Token([3; 16]);
        let owner = RegistrationRow { device: "d".parse().expect("valid"), app: "a".parse().expect("valid") };
        let value = owner.encode(Key::Registration(token));
        let key = Key::Registration(token).encode();
        assert_eq!(Row::decode(&key, &value), Ok(Row::Registration(token, owner)));

        let key = Key::Broadcast(ChannelId::SYSTEM, Level(3));
        let broadcast = BroadcastRow { expires: Wall(9), payload: b"[]" };
        let value = broadcast.encode(key);
        let read = Row::decode(&key.encode(), &value);
        assert_eq!(read, Ok(Row::Broadcast(ChannelId::SYSTEM, Level(3), broadcast)));
    }

    #[test]
    fn a_changed_byte_a_cut_and_another_rows_key_are_noticed() {
        let (key, value) = (Key::Message(Seq(7)).encode(), message().encode());
        for at in 0..value.len() {
            let mut changed = value.clone();
            changed[at] ^= 0x10;
            assert_eq!(Row::decode(&key, &changed), Err(RowError::Checksum), "byte {at}");
            assert_eq!(Row::decode(&key, &value[..at]), Err(RowError::Checksum), "cut at {at}");
        }
        assert_eq!(Row::decode(&Key::Message(Seq(8)).encode(), &value), Err(RowError::Checksum));
    }

    #[test]
    fn a_later_version_is_refused_by_its_number() {
        let (key, value) = of_version(3, message().encode());
        assert_eq!(Row::decode(&key, &value), Err(RowError::Version(3)));
    }

    #[test]
    fn a_message_of_the_first_version_is_of_normal_urgency() {
        let mut value = message().encode();
        value.remove(SEAL_BYTES + 8);
        let (key, value) = of_version(1, value);
        let expected = MessageRow { urgency: Urgency::Normal, ..message() };
        assert_eq!(Row::decode(&key, &value), Ok(Row::Message(expected)));
    }

    /// The key and the value of a message's row as if another version had written it.
    fn of_version(version: u8, mut value: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
        let key = Key::Message(Seq(7)).encode();
        value[4] = version;
        let checksum = checksum(&key, &value[4..]).to_be_bytes();
        value[..4].copy_from_slice(&checksum);
        (key, value)
    }

    #[test]
    fn keys_of_messages_sort_by_arrival() {
        assert!(Key::Message(Seq(255)).encode() < Key::Message(Seq(256)).encode());
        assert_eq!(Key::decode(b"m\0\0\0\0\0\0\0\x01x"), Err(RowError::Key));
        assert_eq!(Key::decode(b"x"), Err(RowError::Key));
        assert_eq!(Key::decode(b""), Err(RowError::Key));
    }

    #[test]
    fn the_census_tells_which_rows_there_are() {
        let mut census = Census::default();
        census.add(Key::Message(Seq(1)));
        census.add(Key::Message(Seq(4)));
        let mut other = Census::default();
        other.add(Key::Message(Seq(2)));
        other.add(Key::Message(Seq(3)));
        assert_ne!(census, other);
        for seq in [2, 3] {
            other.remove(Key::Message(Seq(seq)));
        }
        assert_eq!(other, Census::default());
    }
}
