//! Wire 1: compact binary frames for constrained mobile links, paced by the device. The spec is
//! `protocol-spec/wire1.md`; who may send what and when is the session's business.

mod broadcast;
mod connect;
mod device_frame;
mod enrolment;
mod error;
mod frame;
mod reader;
mod reason;
mod server_frame;
#[cfg(test)]
mod tests;

pub use super::broadcast::Broadcast;
pub use broadcast::encode_broadcast;
pub use connect::{Connack, Connect};
pub use device_frame::{DeviceFrame, Outcome, Receipt};
pub use enrolment::Enrolled;
pub use error::ProtocolError;
pub use frame::{RawFrame, kinds, split_frame};
pub use reason::Reason;
pub use server_frame::{AppNumber, Goaway, Message, ServerFrame};

/// The byte with which a device opens a conversation on this wire.
pub const VERSION: u8 = 1;
/// Longest body of a frame from a device, in bytes: a CONNECT with everything at its maximum, and
/// some room for extensions. What a stranger can make a server keep.
pub const DEVICE_BODY_BYTES_MAX: usize = 2_048;
/// Longest body of a frame from a server, in bytes: a payload at its maximum, or many broadcasts.
pub const SERVER_BODY_BYTES_MAX: usize = 65_535;
/// Longest payload of a message, in bytes: half a frame, as on wire 0, so that both carry the same.
pub const PAYLOAD_BYTES_MAX: usize = 32 * 1024;
/// Longest credential in a CONNECT, in bytes: a key of 256 bits and as much again around it.
pub const CREDENTIAL_BYTES_MAX: usize = 64;
/// Longest base URL of an API in an ENROLLED, in bytes: what one byte of length can say.
pub const API_BYTES_MAX: usize = 255;
/// Longest image in a CONNECT, in bytes: what one byte of length can say.
pub const IMAGE_BYTES_MAX: usize = 255;
/// Most channels in a CONNECT. One is deployed; the rest is room.
pub const LEVELS_MAX: usize = 16;
/// Most message ids in a CONNECT that the device has stored and whose ack may be lost: a window of them.
pub const STORED_MAX: usize = WINDOW_MAX;
/// Most deliveries in flight: a burst that one flush of a phone's disk takes, and some kilobytes to
/// remember on the server.
pub const WINDOW_MAX: usize = 64;
/// Most bytes of deliveries in flight, unless it is a single one: what a weak link takes in seconds.
pub const WINDOW_BYTES_MAX: usize = 64 * 1024;
/// Most apps that a session knows by number: more than one person's busy ones, and four bits.
pub const APPS_MAX: usize = 16;
/// Latest expiry of a message, in seconds after CONNACK: 34 years, which four bytes can say.
pub const EXPIRY_SECONDS_MAX: u64 = (1 << 30) - 1;
