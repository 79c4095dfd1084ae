//! Wire 0: what deployed phones speak. JSON objects in frames with a two-byte length.
//! The spec is `protocol-spec/wire0.md`; who may send what and when is the session's business.

mod broadcast;
mod device_message;
mod error;
mod frame;
mod notifications;
mod server_message;

pub use super::broadcast::SHARED_PAYLOAD_BYTES_MAX;
pub use broadcast::{BroadcastPart, encode_broadcast};
pub use device_message::{Connect, DeviceMessage};
pub use error::ProtocolError;
pub use frame::{announced_body_bytes, split_frame};
pub use notifications::{NotificationsPart, encode_notifications};
pub use server_message::{Broadcast, Notification, PING_FRAME, ServerMessage};

/// The byte with which a device opens a conversation on this wire.
pub const VERSION: u8 = 0;
/// Longest body of a frame, in bytes: what the two bytes of its length can say.
pub const FRAME_BODY_BYTES_MAX: usize = 65_535;
/// Longest payload that may be given to this wire, in bytes: half a frame, so that one message fits
/// whatever surrounds it. Whoever takes payloads in holds them to it.
pub const PAYLOAD_BYTES_MAX: usize = 32 * 1024;
/// Longest CONNECT, in bytes of body: a cookie of [`COOKIE_BYTES_MAX`] with every character escaped once, and
/// as much again for credentials and the levels of a hundred channels. It is read before anything is
/// known of the device, so a crowd of strangers can make a server keep that much for each of them.
pub const CONNECT_BODY_BYTES_MAX: usize = 16 * 1024;
/// Longest answer (PONG or ACK) that is read, in bytes of body. An answer is one word in an object;
/// the rest is room for keys that may be ignored.
pub const ANSWER_BODY_BYTES_MAX: usize = 1024;
/// Longest model or image channel in a CONNECT, in bytes: a session keeps both for as long as it lives.
pub const INFO_TEXT_BYTES_MAX: usize = 255;
/// Longest cookie a device takes, in bytes: it has to fit into the device's next CONNECT.
pub const COOKIE_BYTES_MAX: usize = 4096;

/// The `Reason` of a CONNBROKEN to a device that another server serves.
pub const HOST_MISMATCH: &str = "host-mismatch";
/// The `Reason` of a CONNWARN to a device that did not prove who it is.
pub const UNAUTHORIZED: &str = "unauthorized";
