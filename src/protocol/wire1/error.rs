//! What can be wrong with a frame of wire 1, always by the fault of whoever wrote it, and the reason
//! that it is told. The texts never quote the frame: they go into logs.

use super::Reason;

/// Why the bytes are not a frame, or not one that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// Bytes are missing or left over, or a number is not in its shortest form.
    #[error("a malformed frame: {0}")]
    Malformed(&'static str),
    /// A frame of a type that is not known and may not be skipped.
    #[error("a frame of unknown type {0:#04x}")]
    UnknownFrame(u8),
    /// The frame announces a longer body than its sender may send.
    #[error("a frame that is too long")]
    FrameTooLong,
    /// The named field is out of its range.
    #[error("field {0} is out of its range")]
    BadValue(&'static str),
    /// An extension that is not known and may not be skipped.
    #[error("unknown extension {0}")]
    UnknownExtension(u64),
    /// A known frame in the wrong state, or from the wrong side.
    #[error("{0} was not due")]
    Unexpected(&'static str),
    /// An ACK of nothing, or of more than is in flight.
    #[error("an ACK of more than is in flight")]
    BadAck,
    /// More deliveries than the window allows, or one under a number that no APP has named.
    #[error("{0}")]
    Violation(&'static str),
}

impl ProtocolError {
    /// What the peer is told.
    pub fn reason(self) -> Reason {
        match self {
            ProtocolError::Malformed(_) => Reason::MalformedFrame,
            ProtocolError::UnknownFrame(_) => Reason::UnknownFrame,
            ProtocolError::FrameTooLong => Reason::FrameTooLong,
            ProtocolError::BadValue(_) => Reason::BadValue,
            ProtocolError::UnknownExtension(_) => Reason::UnknownExtension,
            ProtocolError::Unexpected(_) | ProtocolError::Violation(_) => Reason::UnexpectedFrame,
            ProtocolError::BadAck => Reason::BadAck,
        }
    }
}
