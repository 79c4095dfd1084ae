//! Packing what a device lacks of the system channel into BROADCAST frames.

use bytes::Bytes;

use super::reader::varint_bytes;
use super::{Broadcast, SERVER_BODY_BYTES_MAX, ServerFrame};
use crate::base::{ChannelId, Level, Payload};
use crate::protocol::broadcast::{Framing, Missing, first_part};

/// The system channel and the longest level.
const AROUND_BYTES: usize = 1 + 8;
const FRAMING: Framing = Framing {
    room: SERVER_BODY_BYTES_MAX - AROUND_BYTES,
    beside: |payload_bytes| varint_bytes(payload_bytes as u64),
};

/// The [first part](first_part) of what a device lacks as a frame, and the level that it reaches.
///
/// # Panics
/// If a payload is longer than [`super::PAYLOAD_BYTES_MAX`] and does not fit a frame.
pub fn encode_broadcast<'a>(
    missing: Missing,
    top: Level,
    live: impl IntoIterator<Item = &'a Payload>,
    image: &str,
) -> Option<(Bytes, Level)> {
    let part = first_part(missing, top, live, image, FRAMING)?;
    let level = part.reached;
    let mut frame = Vec::new();
    ServerFrame::Broadcast(Broadcast { channel: ChannelId::SYSTEM, level, payloads: part.payloads })
        .encode(&mut frame);
    Some((frame.into(), level))
}
