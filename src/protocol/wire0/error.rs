//! What can be wrong with a frame of wire 0, always by the fault of whoever wrote it. The texts never
//! quote the frame: they go into logs.

use crate::base::IdError;
use crate::protocol::object::WrongType;

/// Why the bytes are not a message, or a message not bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The body is not a JSON object in UTF-8.
    #[error("a frame that is not a JSON object")]
    NotAnObject,
    /// `T` is missing, or names no message that this side may receive.
    #[error("a message of no known kind")]
    UnknownKind,
    /// The value of the named field is of another type than the wire says, or out of its range.
    #[error("field {0} is not of its type")]
    WrongType(&'static str),
    /// The value of the named field is no id.
    #[error("field {0}: {1}")]
    BadId(&'static str, IdError),
    /// The value of the named field is longer than its maximum.
    #[error("field {0} is too long")]
    TooLong(&'static str),
    /// A body beyond [`super::FRAME_BODY_BYTES_MAX`], or beyond [`super::CONNECT_BODY_BYTES_MAX`] or
    /// [`super::ANSWER_BODY_BYTES_MAX`] where a CONNECT or an answer was due.
    #[error("a frame that is too long")]
    FrameTooLong,
}

impl From<WrongType> for ProtocolError {
    fn from(WrongType(field): WrongType) -> ProtocolError {
        ProtocolError::WrongType(field)
    }
}
