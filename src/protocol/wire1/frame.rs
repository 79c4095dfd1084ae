//! How frames are delimited: the type byte alone says it, so that a peer can skip what it does not
//! know. What a frame says is not known here.
//!
//! ```text
//!  0x00–0x3f  bare     type
//!  0x40–0x7f  number   type, varint
//!  0x80–0xff  body     type, varint length, body
//! ```

use super::ProtocolError;
use super::reader::{put_varint, read_varint, varint_bytes};

/// The type bytes of the registry (spec: Frames).
pub mod kinds {
    #![allow(missing_docs)]
    pub const PING: u8 = 0x02;
    pub const PONG: u8 = 0x04;
    pub const FLUSH: u8 = 0x06;
    pub const ACK: u8 = 0x40;
    pub const URGENCY: u8 = 0x42;
    pub const KEEPALIVE: u8 = 0x44;
    pub const BYE: u8 = 0x46;
    pub const CONNECT: u8 = 0x80;
    pub const CONNACK: u8 = 0x82;
    pub const APP: u8 = 0x84;
    pub const MESSAGE: u8 = 0x86;
    pub const BROADCAST: u8 = 0x88;
    pub const GOAWAY: u8 = 0x8a;
    pub const RECEIPT: u8 = 0x8b;
    pub const ENROL: u8 = 0x8c;
    pub const ENROLLED: u8 = 0x8e;

    /// Every registered frame with its name and its sender.
    pub const ALL: [(u8, &str, &str); 16] = [
        (PING, "PING", "device"),
        (PONG, "PONG", "server"),
        (FLUSH, "FLUSH", "device"),
        (ACK, "ACK", "device"),
        (URGENCY, "URGENCY", "device"),
        (KEEPALIVE, "KEEPALIVE", "device"),
        (BYE, "BYE", "device"),
        (CONNECT, "CONNECT", "device"),
        (CONNACK, "CONNACK", "server"),
        (APP, "APP", "server"),
        (MESSAGE, "MESSAGE", "server"),
        (BROADCAST, "BROADCAST", "server"),
        (GOAWAY, "GOAWAY", "server"),
        (RECEIPT, "RECEIPT", "device"),
        (ENROL, "ENROL", "device"),
        (ENROLLED, "ENROLLED", "server"),
    ];
}

const NUMBER: u8 = 0x40;
const BODY: u8 = 0x80;

/// A frame as it lies in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawFrame<'a> {
    /// Nothing but its type.
    Bare(u8),
    /// A type and a number.
    Number(u8, u64),
    /// A type and a body.
    Body(u8, &'a [u8]),
}

impl RawFrame<'_> {
    /// Its type byte.
    pub fn kind(&self) -> u8 {
        match *self {
            RawFrame::Bare(kind) | RawFrame::Number(kind, _) | RawFrame::Body(kind, _) => kind,
        }
    }

    /// The error for a frame of a type that its receiver does not take: one of the other side is out
    /// of place, an unknown even one may not be skipped. `None` if it is unknown and odd: skip it.
    pub(super) fn refusal(&self) -> Option<ProtocolError> {
        let kind = self.kind();
        match kinds::ALL.iter().find(|(known, ..)| *known == kind) {
            Some((_, name, _)) => Some(ProtocolError::Unexpected(name)),
            None if kind.is_multiple_of(2) => Some(ProtocolError::UnknownFrame(kind)),
            None => None,
        }
    }
}

/// The first frame in `bytes` and how many bytes it takes; `None` while it is incomplete. A body of
/// more than `body_bytes_max` is refused on its length alone. Never allocates.
pub fn split_frame(
    bytes: &[u8],
    body_bytes_max: usize,
) -> Result<Option<(RawFrame<'_>, usize)>, ProtocolError> {
    let Some((&kind, rest)) = bytes.split_first() else { return Ok(None) };
    if kind < NUMBER {
        return Ok(Some((RawFrame::Bare(kind), 1)));
    }
    let Some((number, used)) = read_varint(rest, "number")? else { return Ok(None) };
    if kind < BODY {
        return Ok(Some((RawFrame::Number(kind, number), 1 + used)));
    }
    let length = usize::try_from(number).ok().filter(|length| *length <= body_bytes_max);
    let end = used + length.ok_or(ProtocolError::FrameTooLong)?;
    Ok(rest.get(used..end).map(|body| (RawFrame::Body(kind, body), 1 + end)))
}

/// Writes a frame with a number.
pub(super) fn put_number(out: &mut Vec<u8>, kind: u8, number: u64) {
    out.push(kind);
    put_varint(out, number);
}

/// Writes a frame with a body. Makes room for all of it first, so that it is not moved as it grows.
pub(super) fn put_body(out: &mut Vec<u8>, kind: u8, body: &[&[u8]]) {
    let length: usize = body.iter().map(|part| part.len()).sum();
    out.reserve(1 + varint_bytes(length as u64) + length);
    put_number(out, kind, length as u64);
    body.iter().for_each(|part| out.extend_from_slice(part));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(bytes: &[u8]) -> Result<Option<(RawFrame<'_>, usize)>, ProtocolError> {
        split_frame(bytes, 100)
    }

    #[test]
    fn the_type_byte_says_how_far_a_frame_reaches() {
        let cases: [(&[u8], RawFrame, usize); 5] = [
            (&[0x02, 9], RawFrame::Bare(2), 1),
            (&[0x3f], RawFrame::Bare(0x3f), 1),
            (&[0x40, 5, 9], RawFrame::Number(0x40, 5), 2),
            (&[0x7f, 0x40, 0x40, 9], RawFrame::Number(0x7f, 64), 3),
            (&[0x80, 2, 7, 8, 9], RawFrame::Body(0x80, &[7, 8]), 4),
        ];
        for (bytes, frame, used) in cases {
            assert_eq!(split(bytes), Ok(Some((frame, used))));
            for cut in 0..used {
                assert_eq!(split(&bytes[..cut]), Ok(None), "{bytes:?} {cut}");
            }
        }
    }

    #[test]
    fn a_body_beyond_the_limit_is_refused_on_its_length() {
        assert_eq!(split(&[0x80, 0x40, 100]), Ok(None));
        assert_eq!(split(&[0x80, 0x40, 101]), Err(ProtocolError::FrameTooLong));
        assert_eq!(split(&[0xff; 9]), Err(ProtocolError::FrameTooLong));
        assert_eq!(split(&[0x80, 0x40, 2]), Err(ProtocolError::Malformed("number")));
    }

    #[test]
    fn unknown_frames_are_skipped_or_refused_by_their_parity() {
        assert_eq!(RawFrame::Bare(0x01).refusal(), None);
        assert_eq!(RawFrame::Body(0xff, &[]).refusal(), None);
        assert_eq!(RawFrame::Bare(0x00).refusal(), Some(ProtocolError::UnknownFrame(0)));
        assert_eq!(RawFrame::Number(0x48, 1).refusal(), Some(ProtocolError::UnknownFrame(0x48)));
        assert_eq!(RawFrame::Bare(kinds::PONG).refusal(), Some(ProtocolError::Unexpected("PONG")));
    }
}
