//! What devices send (spec: Frames of the device).

use std::time::Duration;

use super::enrolment::decode_code;
use super::frame::{put_body, put_number};
use super::reader::Reader;
use super::{Connect, ProtocolError, RawFrame, Reason, kinds};
use crate::base::{CodeSecret, MessageId, Urgency};

/// A frame from a device to its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceFrame {
    /// Who the device is and what it has: the first frame, and only that.
    Connect(Box<Connect>),
    /// A one-time code that makes a device of its sender: a first frame, in place of CONNECT.
    Enrol(CodeSecret),
    /// Asks for a PONG.
    Ping,
    /// Asks for all that waits, whatever its urgency.
    Flush,
    /// The so many oldest deliveries in flight are stored; at least 1.
    Ack(u64),
    /// The least urgency wanted from now on.
    Urgency(Urgency),
    /// How long the device may stay silent from now on: whole seconds, at least 1.
    Keepalive(Duration),
    /// The device ends the session.
    Bye(Reason),
    /// What became of a message.
    Receipt(Receipt),
}

/// What became of a message that was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Which.
    pub message: MessageId,
    /// What.
    pub outcome: Outcome,
}

/// What becomes of messages (spec: Outcomes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The user was shown a notification.
    Shown,
    /// The user opened it, or the app fetched the message.
    Opened,
    /// It came too late and was dropped.
    Expired,
    /// The device does not want it: no such app, or the user has muted it.
    Refused,
}

impl Outcome {
    /// All, each at its code.
    pub const ALL: [Outcome; 4] = [Outcome::Shown, Outcome::Opened, Outcome::Expired, Outcome::Refused];

    /// Its number on the wire.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Its name in the registry.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Shown => "shown",
            Outcome::Opened => "opened",
            Outcome::Expired => "expired",
            Outcome::Refused => "refused",
        }
    }

    fn from_code(code: u8) -> Result<Outcome, ProtocolError> {
        Outcome::ALL.get(usize::from(code)).copied().ok_or(ProtocolError::BadValue("outcome"))
    }
}

impl DeviceFrame {
    /// Reads a frame; `None` if it is one to skip.
    pub fn decode(raw: RawFrame<'_>) -> Result<Option<DeviceFrame>, ProtocolError> {
        Ok(Some(match raw {
            RawFrame::Bare(kinds::PING) => DeviceFrame::Ping,
            RawFrame::Bare(kinds::FLUSH) => DeviceFrame::Flush,
            RawFrame::Number(kinds::ACK, 0) => return Err(ProtocolError::BadAck),
            RawFrame::Number(kinds::ACK, count) => DeviceFrame::Ack(count),
            RawFrame::Number(kinds::URGENCY, code) => DeviceFrame::Urgency(urgency(code)?),
            RawFrame::Number(kinds::KEEPALIVE, seconds) => DeviceFrame::Keepalive(keepalive(seconds)?),
            RawFrame::Number(kinds::BYE, code) => DeviceFrame::Bye(Reason::from_code(code)),
            RawFrame::Body(kinds::CONNECT, body) => DeviceFrame::Connect(Box::new(Connect::decode(body)?)),
            RawFrame::Body(kinds::RECEIPT, body) => DeviceFrame::Receipt(Receipt::decode(body)?),
            RawFrame::Body(kinds::ENROL, body) => DeviceFrame::Enrol(decode_code(body)?),
            other => return other.refusal().map_or(Ok(None), Err),
        }))
    }

    /// Writes the frame behind what `out` holds. Fails only for a CONNECT that breaks a limit; `out`
    /// is then as before.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
        match self {
            DeviceFrame::Connect(connect) => put_body(out, kinds::CONNECT, &[&connect.encode()?]),
            DeviceFrame::Enrol(code) => put_body(out, kinds::ENROL, &[&code.0]),
            DeviceFrame::Ping => out.push(kinds::PING),
            DeviceFrame::Flush => out.push(kinds::FLUSH),
            DeviceFrame::Ack(count) => put_number(out, kinds::ACK, *count),
            DeviceFrame::Urgency(least) => put_number(out, kinds::URGENCY, least.code().into()),
            DeviceFrame::Keepalive(silence) => put_number(out, kinds::KEEPALIVE, silence.as_secs()),
            DeviceFrame::Bye(reason) => put_number(out, kinds::BYE, reason.code()),
            DeviceFrame::Receipt(receipt) => {
                put_body(out, kinds::RECEIPT, &[&[receipt.outcome.code()], &receipt.message.0]);
            }
        }
        Ok(())
    }

    /// Its name in the registry.
    pub fn name(&self) -> &'static str {
        match self {
            DeviceFrame::Connect(_) => "CONNECT",
            DeviceFrame::Enrol(_) => "ENROL",
            DeviceFrame::Ping => "PING",
            DeviceFrame::Flush => "FLUSH",
            DeviceFrame::Ack(_) => "ACK",
            DeviceFrame::Urgency(_) => "URGENCY",
            DeviceFrame::Keepalive(_) => "KEEPALIVE",
            DeviceFrame::Bye(_) => "BYE",
            DeviceFrame::Receipt(_) => "RECEIPT",
        }
    }
}

impl Receipt {
    fn decode(body: &[u8]) -> Result<Receipt, ProtocolError> {
        let mut reader = Reader::new(body);
        let outcome = Outcome::from_code(reader.byte("outcome")?)?;
        let message = MessageId(reader.array("message id")?);
        reader.finish()?;
        Ok(Receipt { message, outcome })
    }
}

/// The urgency with this code.
pub(super) fn urgency(code: u64) -> Result<Urgency, ProtocolError> {
    u8::try_from(code).ok().and_then(Urgency::from_code).ok_or(ProtocolError::BadValue("urgency"))
}

/// An announced silence.
pub(super) fn keepalive(seconds: u64) -> Result<Duration, ProtocolError> {
    if seconds == 0 { Err(ProtocolError::BadValue("keepalive")) } else { Ok(Duration::from_secs(seconds)) }
}
