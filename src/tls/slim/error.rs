//! Why the records of a peer cannot be taken, and the alert that tells it (RFC 8446, section 6).

/// What is wrong with a record. Its text holds no bytes of the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It was damaged, or sealed under another key.
    #[error("BadRecordMac: a record cannot be deciphered")]
    BadRecordMac,
    /// It is longer than any may be.
    #[error("a record is too long")]
    RecordOverflow,
    /// It is of a kind that has no place after the handshake.
    #[error("a record or message out of place")]
    UnexpectedMessage,
    /// It cannot be read.
    #[error("a message cannot be read")]
    Decode,
    /// It says what nobody may say.
    #[error("a message with a value that is not allowed")]
    IllegalParameter,
    /// There were too many in a row that bring nothing.
    #[error("too many records that bring nothing")]
    Fruitless,
    /// The peer has ended the connection because of an error of its, or ours.
    #[error("the peer ended the connection by alert {0}")]
    AlertReceived(u8),
}

impl RecordError {
    /// The description of the alert that the peer gets, if it gets any.
    pub(super) fn alert(self) -> Option<u8> {
        match self {
            RecordError::UnexpectedMessage | RecordError::Fruitless => Some(10),
            RecordError::BadRecordMac => Some(20),
            RecordError::RecordOverflow => Some(22),
            RecordError::IllegalParameter => Some(47),
            RecordError::Decode => Some(50),
            RecordError::AlertReceived(_) => None,
        }
    }
}
