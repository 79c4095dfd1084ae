//! What servers send (spec: Frames of the server).

use std::time::Duration;

use super::connect::{put_channel, put_level, take_channel, take_level};
use super::device_frame::urgency;
use super::frame::put_body;
use super::reader::{Reader, VARINT_MAX, put_varint};
use super::{
    APPS_MAX, Broadcast, Connack, EXPIRY_SECONDS_MAX, Enrolled, PAYLOAD_BYTES_MAX, ProtocolError, RawFrame,
    Reason, SERVER_BODY_BYTES_MAX, kinds,
};
use crate::base::{AppId, MessageId, Payload, Urgency};

/// A frame from a server to its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerFrame {
    /// The device is let in: the first frame, unless it is GOAWAY.
    Connack(Connack),
    /// The sender of a code is a device now: the answer to ENROL, unless it is GOAWAY.
    Enrolled(Enrolled),
    /// The answer to PING.
    Pong,
    /// From now on this number means this app.
    App(AppNumber, AppId),
    /// A message: to be stored, then acked.
    Message(Message),
    /// News of a channel: to be stored together with the level, then acked.
    Broadcast(Broadcast),
    /// The server ends the session.
    Goaway(Goaway),
}

/// App, urgency and expiry of a message.
const HEAD_BYTES_MAX: usize = 5;

/// What stands for an app in a session: less than [`APPS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppNumber(u8);

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// For which app.
    pub app: AppNumber,
    /// How much it hurries.
    pub urgency: Urgency,
    /// When it is no longer worth showing: whole seconds after CONNACK's time, at most
    /// [`EXPIRY_SECONDS_MAX`].
    pub expires: Duration,
    /// Which message it is.
    pub id: MessageId,
    /// What the app's helper gets.
    pub payload: Payload,
}

/// Why the server ends the session and when to come back: after [`Goaway::after`], and a random part of
/// [`Goaway::spread`]. Both in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goaway {
    /// Why.
    pub reason: Reason,
    /// How long to stay away at least.
    pub after: Duration,
    /// Over how long all those that are sent away should come back.
    pub spread: Duration,
}

impl AppNumber {
    /// The number, if it is one.
    pub fn new(number: usize) -> Option<AppNumber> {
        (number < APPS_MAX).then_some(AppNumber(number as u8))
    }

    /// Where it stands in a table of [`APPS_MAX`].
    pub fn index(self) -> usize {
        self.0.into()
    }
}

impl ServerFrame {
    /// Reads a frame; `None` if it is one to skip.
    pub fn decode(raw: RawFrame<'_>) -> Result<Option<ServerFrame>, ProtocolError> {
        Ok(Some(match raw {
            RawFrame::Bare(kinds::PONG) => ServerFrame::Pong,
            RawFrame::Body(kinds::CONNACK, body) => ServerFrame::Connack(Connack::decode(body)?),
            RawFrame::Body(kinds::APP, body) => decode_app(body)?,
            RawFrame::Body(kinds::MESSAGE, body) => ServerFrame::Message(Message::decode(body)?),
            RawFrame::Body(kinds::BROADCAST, body) => ServerFrame::Broadcast(Broadcast::decode(body)?),
            RawFrame::Body(kinds::GOAWAY, body) => ServerFrame::Goaway(Goaway::decode(body)?),
            RawFrame::Body(kinds::ENROLLED, body) => ServerFrame::Enrolled(Enrolled::decode(body)?),
            other => return other.refusal().map_or(Ok(None), Err),
        }))
    }

    /// Writes the frame behind what `out` holds.
    ///
    /// # Panics
    /// If a payload is longer than [`PAYLOAD_BYTES_MAX`], or broadcasts together do not fit a frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            ServerFrame::Connack(connack) => put_body(out, kinds::CONNACK, &[&connack.encode()]),
            ServerFrame::Enrolled(enrolled) => put_body(out, kinds::ENROLLED, &[&enrolled.encode()]),
            ServerFrame::Pong => out.push(kinds::PONG),
            ServerFrame::App(number, app) => {
                put_body(out, kinds::APP, &[&[number.0], app.as_str().as_bytes()])
            }
            ServerFrame::Message(message) => message.encode(out),
            ServerFrame::Broadcast(broadcast) => broadcast.encode(out),
            ServerFrame::Goaway(goaway) => put_body(out, kinds::GOAWAY, &[&goaway.encode()]),
        }
    }

    /// Its name in the registry.
    pub fn name(&self) -> &'static str {
        match self {
            ServerFrame::Connack(_) => "CONNACK",
            ServerFrame::Enrolled(_) => "ENROLLED",
            ServerFrame::Pong => "PONG",
            ServerFrame::App(..) => "APP",
            ServerFrame::Message(_) => "MESSAGE",
            ServerFrame::Broadcast(_) => "BROADCAST",
            ServerFrame::Goaway(_) => "GOAWAY",
        }
    }
}

fn decode_app(body: &[u8]) -> Result<ServerFrame, ProtocolError> {
    let mut reader = Reader::new(body);
    let number = app_number(reader.byte("app")?)?;
    let app = std::str::from_utf8(reader.rest()).ok().and_then(|text| text.parse().ok());
    Ok(ServerFrame::App(number, app.ok_or(ProtocolError::BadValue("app id"))?))
}

fn app_number(byte: u8) -> Result<AppNumber, ProtocolError> {
    AppNumber::new(byte.into()).ok_or(ProtocolError::BadValue("app"))
}

fn payload(json: &[u8]) -> Result<Payload, ProtocolError> {
    if json.len() > PAYLOAD_BYTES_MAX {
        return Err(ProtocolError::BadValue("payload"));
    }
    Payload::from_json(json).map_err(|_| ProtocolError::BadValue("payload"))
}

impl Message {
    fn decode(body: &[u8]) -> Result<Message, ProtocolError> {
        let mut reader = Reader::new(body);
        let first = reader.byte("app and urgency")?;
        let message = Message {
            app: app_number(first & 0x0f)?,
            urgency: urgency((first >> 4).into())?,
            expires: expiry(reader.varint("expiry")?)?,
            id: MessageId(reader.array("message id")?),
            payload: payload(reader.rest())?,
        };
        Ok(message)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        assert!(self.payload.len() <= PAYLOAD_BYTES_MAX, "whoever takes payloads in holds them to it");
        let mut head = Vec::with_capacity(HEAD_BYTES_MAX);
        head.push(self.app.0 | self.urgency.code() << 4);
        put_varint(&mut head, self.expires.as_secs().min(EXPIRY_SECONDS_MAX));
        put_body(out, kinds::MESSAGE, &[&head, &self.id.0, self.payload.as_bytes()]);
    }
}

fn expiry(seconds: u64) -> Result<Duration, ProtocolError> {
    if seconds > EXPIRY_SECONDS_MAX {
        return Err(ProtocolError::BadValue("expiry"));
    }
    Ok(Duration::from_secs(seconds))
}

impl Broadcast {
    fn decode(body: &[u8]) -> Result<Broadcast, ProtocolError> {
        let mut reader = Reader::new(body);
        let (channel, level) = (take_channel(&mut reader)?, take_level(&mut reader)?);
        let mut payloads = Vec::new();
        while !reader.is_empty() {
            payloads.push(payload(reader.long("payload")?)?);
        }
        Ok(Broadcast { channel, level, payloads })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        put_channel(&mut body, self.channel);
        put_level(&mut body, self.level);
        for payload in &self.payloads {
            put_varint(&mut body, payload.len() as u64);
            body.extend_from_slice(payload.as_bytes());
        }
        assert!(body.len() <= SERVER_BODY_BYTES_MAX, "whoever packs broadcasts keeps to a frame");
        put_body(out, kinds::BROADCAST, &[&body]);
    }
}

impl Goaway {
    fn decode(body: &[u8]) -> Result<Goaway, ProtocolError> {
        let mut reader = Reader::new(body);
        let goaway = Goaway {
            reason: Reason::from_code(reader.varint("reason")?),
            after: Duration::from_secs(reader.varint("after")?),
            spread: Duration::from_secs(reader.varint("spread")?),
        };
        reader.finish()?;
        Ok(goaway)
    }

    fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        put_varint(&mut body, self.reason.code());
        put_varint(&mut body, self.after.as_secs().min(VARINT_MAX));
        put_varint(&mut body, self.spread.as_secs().min(VARINT_MAX));
        body
    }
}
