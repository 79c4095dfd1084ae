//! The words every layer speaks: time, ids, durations, payloads. No layer's rules live here.

mod credential;
mod duration;
mod ids;
mod payload;
mod pin;
mod rare;
mod shown;
mod time;
mod urgency;

pub use credential::{CODE_SECRET_BYTES, CREDENTIAL_BYTES, CodeSecret, Credential, CredentialError, Digest};
pub use duration::{DurationError, format_duration, parse_duration};
pub use ids::{
    AppId, ChannelId, DeviceId, IdError, Level, MessageId, Seq, SessionId, ShardId, Token, UserId,
};
pub use payload::{Payload, PayloadError};
pub use pin::{PIN_BYTES, Pin, PinError};
pub use rare::RareBytes;
pub use shown::shown;
pub use time::{Monotonic, Now, Wall};
pub use urgency::{Urgency, UrgencyError};

/// Where randomness comes from: fills the slice given. The rim passes the system's generator, tests
/// a seeded one.
pub type Random<'a> = dyn FnMut(&mut [u8]) + 'a;
