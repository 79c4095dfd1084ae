//! Ids and numbers as types of their own, each checked where it is made, so that no layer takes one
//! for another. The wire and the API share their forms.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// Longest device id, in bytes: room for a machine id, a UUID or a fingerprint in hex.
pub const DEVICE_ID_BYTES_MAX: usize = 128;
/// Longest app id, in bytes: what one length byte can say.
pub const APP_ID_BYTES_MAX: usize = 255;
/// Longest user id, in bytes: room for a mail address.
pub const USER_ID_BYTES_MAX: usize = 128;

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Device ids are 1 to 128 bytes of printable ASCII without space.
    #[error("a device id is 1 to {DEVICE_ID_BYTES_MAX} bytes of printable ASCII without space")]
    Device,
    /// App ids are 1 to 255 bytes of UTF-8.
    #[error("an app id is 1 to {APP_ID_BYTES_MAX} bytes of UTF-8")]
    App,
    /// User ids are 1 to 128 bytes of UTF-8 without control characters.
    #[error("a user is 1 to {USER_ID_BYTES_MAX} bytes of UTF-8 without control characters")]
    User,
    /// Channel ids are `0` or 32 hexadecimal digits.
    #[error("a channel id is `0` or 32 hexadecimal digits")]
    Channel,
    /// Tokens are 22 characters of URL-safe base64.
    #[error("not a token")]
    Token,
    /// Message ids are the standard base64 of 16 bytes.
    #[error("not a message id")]
    Message,
}

/// A device's name for itself: 1 to 128 bytes of printable ASCII without space. Clones share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(Arc<str>);

/// An app's name, opaque to the server: 1 to 255 bytes of UTF-8. Clones share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppId(Arc<str>);

/// A user's name, as the operator or the provider's account system has it: 1 to 128 bytes of UTF-8 without
/// control characters. Clones share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(Arc<str>);

/// A broadcast channel, 16 bytes on the wire's inside; the system channel is all zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub [u8; 16]);

/// How many broadcasts a channel has ever had, or how many of them a device has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(pub i64);

/// The queue's number for a message: given once, rising, never reused. 0 is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// A message's id on the wire: its [`Seq`] (8 bytes, big-endian) and 8 random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub [u8; 16]);

/// What an app server addresses: 128 random bits that stand for one app, on one device or on all of one
/// user's. A secret: it has no `Display`, and `Debug` hides it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub [u8; 16]);

/// A session's number in the log, counted over the whole process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// One device loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub usize);

impl DeviceId {
    /// The shard, of `shards`, that owns this device: the same in every process and at every start.
    pub fn home(&self, shards: usize) -> ShardId {
        const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const FNV_PRIME: u64 = 0x0100_0000_01b3;
        let hash =
            self.0.bytes().fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
        let spread = hash ^ (hash >> 32);
        ShardId((spread % shards.max(1) as u64) as usize)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DeviceId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<DeviceId, IdError> {
        let fits = (1..=DEVICE_ID_BYTES_MAX).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(DeviceId(text.into()))
        } else {
            Err(IdError::Device)
        }
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for DeviceId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AppId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AppId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<AppId, IdError> {
        if (1..=APP_ID_BYTES_MAX).contains(&text.len()) { Ok(AppId(text.into())) } else { Err(IdError::App) }
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for AppId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl UserId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<UserId, IdError> {
        let fits = (1..=USER_ID_BYTES_MAX).contains(&text.len());
        if fits && !text.chars().any(char::is_control) { Ok(UserId(text.into())) } else { Err(IdError::User) }
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ChannelId {
    /// The channel of system updates, the only one deployed.
    pub const SYSTEM: ChannelId = ChannelId([0; 16]);
}

impl FromStr for ChannelId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<ChannelId, IdError> {
        if text == "0" {
            return Ok(ChannelId::SYSTEM);
        }
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match u128::from_str_radix(text, 16) {
            Ok(number) if is_hex => Ok(ChannelId(number.to_be_bytes())),
            _ => Err(IdError::Channel),
        }
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == ChannelId::SYSTEM {
            return f.write_str("0");
        }
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl MessageId {
    /// The id of the message with this number, made unguessable by `random`.
    pub fn new(seq: Seq, random: [u8; 8]) -> MessageId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&seq.0.to_be_bytes());
        id[8..].copy_from_slice(&random);
        MessageId(id)
    }

    /// The queue's number for this message.
    pub fn seq(&self) -> Seq {
        let (number, _) = self.0.split_first_chunk::<8>().expect("16 bytes hold 8");
        Seq(u64::from_be_bytes(*number))
    }
}

impl FromStr for MessageId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<MessageId, IdError> {
        let bytes = STANDARD.decode(text).map_err(|_| IdError::Message)?;
        bytes.try_into().map(MessageId).map_err(|_| IdError::Message)
    }
}

/// As wire 0 writes it: standard base64, padded.
impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl Token {
    /// The token as the API shows it, once, to the device that registered: 22 characters of URL-safe base64.
    pub fn reveal(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl FromStr for Token {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Token, IdError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| IdError::Token)?;
        bytes.try_into().map(Token).map_err(|_| IdError::Token)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_id_is_printable_ascii_without_space() {
        assert!("c".repeat(128).parse::<DeviceId>().is_ok());
        for bad in ["", "a b", "tab\t", "é", "nul\0", &"c".repeat(129)] {
            assert_eq!(bad.parse::<DeviceId>(), Err(IdError::Device), "{bad:?}");
        }
    }

    #[test]
    fn an_app_id_is_1_to_255_bytes() {
        assert!("é".repeat(127).parse::<AppId>().is_ok());
        assert_eq!("".parse::<AppId>(), Err(IdError::App));
        assert_eq!("é".repeat(128).parse::<AppId>(), Err(IdError::App));
    }

    #[test]
    fn a_user_id_has_no_control_characters() {
        assert!("Carol Ähre <carol@example.org>".parse::<UserId>().is_ok());
        for bad in ["", "a\nb", "\u{85}", &"c".repeat(129)] {
            assert_eq!(bad.parse::<UserId>(), Err(IdError::User), "{bad:?}");
        }
    }

    #[test]
    fn the_system_channel_has_two_spellings_and_prints_as_0() {
        assert_eq!("0".parse(), Ok(ChannelId::SYSTEM));
        assert_eq!("0".repeat(32).parse(), Ok(ChannelId::SYSTEM));
        assert_eq!(ChannelId::SYSTEM.to_string(), "0");
        let other = "00000000000000000000000000000abc";
        assert_eq!(other.parse::<ChannelId>().expect("valid").to_string(), other);
        for bad in ["", "1", "+0000000000000000000000000000abc", "system"] {
            assert_eq!(bad.parse::<ChannelId>(), Err(IdError::Channel), "{bad:?}");
        }
    }

    #[test]
    fn a_message_id_carries_its_seq_through_base64() {
        let id = MessageId::new(Seq(0x0102_0304), [9; 8]);
        assert_eq!(id.seq(), Seq(0x0102_0304));
        assert_eq!(id.to_string().len(), 24);
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn a_token_survives_its_text_and_hides_in_debug() {
        let token = Token([0xfb; 16]);
        assert_eq!(token.reveal().parse(), Ok(token));
        assert_eq!(token.reveal().len(), 22);
        assert!(!format!("{token:?}").contains(&token.reveal()));
    }

    #[test]
    fn devices_spread_over_shards_and_stay_there() {
        let mut devices_on = [0; 4];
        for number in 0..4000 {
            let device: DeviceId = format!("device-{number}").parse().expect("valid");
            devices_on[device.home(4).0] += 1;
        }
        assert!(devices_on.iter().all(|&count| (800..1200).contains(&count)), "{devices_on:?}");
        let carol: DeviceId = "carol".parse().expect("valid");
        assert_eq!(carol.home(4), carol.home(4));
        assert_eq!(carol.home(1), ShardId(0));
    }
}
