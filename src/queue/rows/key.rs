//! Keys of rows, and the count of which rows there are.

use smallvec::SmallVec;

use crate::base::{AppId, ChannelId, DeviceId, Digest, Level, Seq, Token, UserId};

use super::RowError;
use super::reader::Reader;

/// The longest key: its kind and a digest.
const KEY_BYTES_MAX: usize = 1 + 32;

/// A key's bytes, without an allocation: a turn of the queue has hundreds of keys.
pub type KeyBytes = SmallVec<[u8; KEY_BYTES_MAX]>;

/// Names one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// An app that is bound to a key, by the digest of its id.
    BoundApp(Digest),
    /// A broadcast that has not expired.
    Broadcast(ChannelId, Level),
    /// An enrolment code that can still be used, by the digest of its secret.
    Code(Digest),
    /// A device that is enrolled, or was revoked and has left something, by the digest of its id.
    Device(Digest),
    /// A user who was erased and has left something, by the digest of the id.
    ErasedUser(Digest),
    /// The one row about the others.
    Head,
    /// A row of the journal, by its slot.
    Journal(u16),
    /// A pending message.
    Message(Place),
    /// A token for one app on one device.
    Registration(Token),
    /// What became of a message whose sender may ask for that.
    Tracked(Seq),
    /// A token for one app on all devices of a user.
    UserToken(Token),
}

/// Where a message stands in the queue: which it is, and which of its copies. One that goes to a single
/// device has the copy 0 alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The message's number, which all copies share.
    pub seq: Seq,
    /// The copy's, one for each device.
    pub copy: u16,
}

/// Which rows there are: their number, and the wrapping sum of their keys' hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::queue) struct Census {
    pub rows: u64,
    pub digest: u64,
}

impl Key {
    /// The row of an app's key.
    pub fn bound_app(app: &AppId) -> Key {
        Key::BoundApp(Digest::of(app.as_str().as_bytes()))
    }

    /// The row of a device.
    pub fn device(device: &DeviceId) -> Key {
        Key::Device(Digest::of(device.as_str().as_bytes()))
    }

    /// The row of a user who was erased.
    pub fn erased_user(user: &UserId) -> Key {
        Key::ErasedUser(Digest::of(user.as_str().as_bytes()))
    }

    /// The key's bytes.
    pub fn encode(self) -> KeyBytes {
        match self {
            Key::BoundApp(app) => bytes(b'a', &[&app.0]),
            Key::Broadcast(channel, level) => bytes(b'b', &[&channel.0, &level.0.to_be_bytes()]),
            Key::Code(secret) => bytes(b'c', &[&secret.0]),
            Key::Device(device) => bytes(b'd', &[&device.0]),
            Key::ErasedUser(user) => bytes(b'e', &[&user.0]),
            Key::Head => bytes(b'h', &[]),
            Key::Journal(slot) => bytes(b'j', &[&slot.to_be_bytes()]),
            Key::Message(Place { seq, copy: 0 }) => bytes(b'm', &[&seq.0.to_be_bytes()]),
            Key::Message(Place { seq, copy }) => bytes(b'm', &[&seq.0.to_be_bytes(), &copy.to_be_bytes()]),
            Key::Registration(token) => bytes(b'r', &[&token.0]),
            Key::Tracked(seq) => bytes(b's', &[&seq.0.to_be_bytes()]),
            Key::UserToken(token) => bytes(b'u', &[&token.0]),
        }
    }

    /// Reads a key.
    pub fn decode(bytes: &[u8]) -> Result<Key, RowError> {
        let (&kind, rest) = bytes.split_first().ok_or(RowError::Key)?;
        let mut reader = Reader::new(rest);
        let key = Key::read(kind, &mut reader).ok_or(RowError::Key)?;
        if reader.is_empty() { Ok(key) } else { Err(RowError::Key) }
    }

    fn read(kind: u8, reader: &mut Reader) -> Option<Key> {
        Some(match kind {
            b'a' => Key::BoundApp(Digest(*reader.take()?)),
            b'b' => Key::Broadcast(ChannelId(*reader.take()?), Level(i64::from_be_bytes(*reader.take()?))),
            b'c' => Key::Code(Digest(*reader.take()?)),
            b'd' => Key::Device(Digest(*reader.take()?)),
            b'e' => Key::ErasedUser(Digest(*reader.take()?)),
            b'h' => Key::Head,
            b'j' => Key::Journal(reader.take_u16()?),
            b'm' => Key::Message(Place::read(reader)?),
            b'r' => Key::Registration(Token(*reader.take()?)),
            b's' => Key::Tracked(Seq(reader.take_u64()?)),
            b'u' => Key::UserToken(Token(*reader.take()?)),
            _ => return None,
        })
    }
}

impl Place {
    /// The place of a message that goes to one device.
    pub fn single(seq: Seq) -> Place {
        Place { seq, copy: 0 }
    }

    /// The copy 0 is written by leaving it out, and in no other way.
    fn read(reader: &mut Reader) -> Option<Place> {
        let seq = Seq(reader.take_u64()?);
        if reader.is_empty() {
            return Some(Place::single(seq));
        }
        let copy = reader.take_u16()?;
        (copy > 0).then_some(Place { seq, copy })
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

fn bytes(kind: u8, parts: &[&[u8]]) -> KeyBytes {
    let mut bytes = KeyBytes::new();
    bytes.push(kind);
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    assert!(!bytes.spilled(), "no key is longer than KEY_BYTES_MAX");
    bytes
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

#[cfg(test)]
mod tests {
    use super::*;

    fn message(seq: u64, copy: u16) -> Key {
        Key::Message(Place { seq: Seq(seq), copy })
    }

    #[test]
    fn keys_of_messages_sort_by_arrival() {
        assert!(message(255, 9).encode() < message(256, 0).encode());
        assert!(message(255, 0).encode() < message(255, 1).encode());
    }

    #[test]
    fn a_key_has_one_form() {
        assert_eq!(Key::decode(&message(1, 2).encode()), Ok(message(1, 2)));
        assert_eq!(Key::decode(&message(1, 0).encode()), Ok(message(1, 0)));
        for bad in [&b"m\0\0\0\0\0\0\0\x01x"[..], b"m\0\0\0\0\0\0\0\x01\0\0", b"x", b"", b"h\0"] {
            assert_eq!(Key::decode(bad), Err(RowError::Key), "{bad:?}");
        }
    }

    #[test]
    fn the_census_tells_which_rows_there_are() {
        let mut census = Census::default();
        census.add(message(1, 0));
        census.add(message(4, 0));
        let mut other = Census::default();
        other.add(message(2, 0));
        other.add(message(3, 0));
        assert_ne!(census, other);
        for seq in [2, 3] {
            other.remove(message(seq, 0));
        }
        assert_eq!(other, Census::default());
    }
}
