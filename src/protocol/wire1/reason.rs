//! The registry of reasons with which either side ends a session (spec: Reasons).

/// Why a side ends the session, for GOAWAY and BYE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing is wrong.
    Closing,
    /// The server starts again.
    Restart,
    /// Another server serves this device: ask for hosts again.
    Drain,
    /// Another session of this device took over.
    TakenOver,
    /// An answer or a sign of life did not come in time.
    Timeout,
    /// The server has no room.
    Overloaded,
    /// A frame with missing or left over bytes.
    MalformedFrame,
    /// A frame that is not known and may not be skipped.
    UnknownFrame,
    /// A frame longer than its sender may send.
    FrameTooLong,
    /// A known frame that was not due.
    UnexpectedFrame,
    /// An ACK of more than is in flight.
    BadAck,
    /// A value out of its range.
    BadValue,
    /// An extension that is not known and may not be skipped.
    UnknownExtension,
    /// The credential is not this device's.
    Unauthorized,
    /// This server does not serve this device.
    HostMismatch,
    /// What was asked is not spoken here.
    NotSupported,
}

impl Reason {
    /// All reasons, by rising code.
    pub const ALL: [Reason; 16] = [
        Reason::Closing,
        Reason::Restart,
        Reason::Drain,
        Reason::TakenOver,
        Reason::Timeout,
        Reason::Overloaded,
        Reason::MalformedFrame,
        Reason::UnknownFrame,
        Reason::FrameTooLong,
        Reason::UnexpectedFrame,
        Reason::BadAck,
        Reason::BadValue,
        Reason::UnknownExtension,
        Reason::Unauthorized,
        Reason::HostMismatch,
        Reason::NotSupported,
    ];

    /// Its number on the wire, and its name in the registry.
    const fn entry(self) -> (u64, &'static str) {
        match self {
            Reason::Closing => (0x00, "closing"),
            Reason::Restart => (0x01, "restart"),
            Reason::Drain => (0x02, "drain"),
            Reason::TakenOver => (0x03, "taken-over"),
            Reason::Timeout => (0x04, "timeout"),
            Reason::Overloaded => (0x05, "overloaded"),
            Reason::MalformedFrame => (0x10, "malformed-frame"),
            Reason::UnknownFrame => (0x11, "unknown-frame"),
            Reason::FrameTooLong => (0x12, "frame-too-long"),
            Reason::UnexpectedFrame => (0x13, "unexpected-frame"),
            Reason::BadAck => (0x14, "bad-ack"),
            Reason::BadValue => (0x15, "bad-value"),
            Reason::UnknownExtension => (0x16, "unknown-extension"),
            Reason::Unauthorized => (0x20, "unauthorized"),
            Reason::HostMismatch => (0x21, "host-mismatch"),
            Reason::NotSupported => (0x22, "not-supported"),
        }
    }

    /// Its number on the wire.
    pub fn code(self) -> u64 {
        self.entry().0
    }

    /// Its name in the registry.
    pub fn name(self) -> &'static str {
        self.entry().1
    }

    /// The reason with this number. One that is not known counts as [`Reason::Closing`], so that new
    /// ones can be told to old peers.
    pub fn from_code(code: u64) -> Reason {
        Reason::ALL.into_iter().find(|reason| reason.code() == code).unwrap_or(Reason::Closing)
    }
}
