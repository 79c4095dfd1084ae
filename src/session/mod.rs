//! One conversation between a device and its server, each side as a state machine: bytes, commands
//! and the time go in; bytes, events and the next deadline come out. No sockets, no clock, no queue.

pub mod device;
pub mod server;

use crate::protocol::wire0::ProtocolError;
use crate::protocol::wire1;

/// Why a session ended. Its text goes into logs, and holds nothing that the peer wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndReason {
    /// The peer closed the connection, orderly or not.
    #[error("EOF")]
    Eof,
    /// An answer, the first message, or the next sign of life did not come in time.
    #[error("timeout")]
    Timeout,
    /// A later session of the same device took over.
    #[error("terminated")]
    Terminated,
    /// This side is shutting down.
    #[error("shutdown")]
    Shutdown,
    /// The server does not serve this device, and said so: the reason it gave.
    #[error("refused: {}", .0.name())]
    Refused(wire1::Reason),
    /// The server broke the connection off, giving a reason.
    #[error("broken off by the server")]
    BrokenOff,
    /// The server sent the device away, for this reason.
    #[error("sent away by the server: {}", .0.name())]
    SentAway(wire1::Reason),
    /// The device took its leave, for this reason.
    #[error("the device left: {}", .0.name())]
    Left(wire1::Reason),
    /// The device opened with this byte, which is no wire we speak.
    #[error("wire version {0} is not spoken here")]
    UnknownVersion(u8),
    /// The peer sent something that is not a message.
    #[error("{0}")]
    Protocol(#[from] ProtocolError),
    /// The peer sent something that is not a frame of wire 1, or not one that was due.
    #[error("{0}")]
    Frame(#[from] wire1::ProtocolError),
    /// The peer sent a message, but another one was due.
    #[error("{due} was due, and something else came")]
    WrongMessage {
        /// The message that was due, as the spec writes it.
        due: &'static str,
    },
    /// The peer sent bytes when it was not its turn.
    #[error("unsolicited data")]
    Unsolicited,
    /// TLS failed, or the connection did in a way that is worth telling. The text is this side's own.
    #[error("{}", .0.escape_debug())]
    Transport(Box<str>),
}
