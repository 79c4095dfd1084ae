//! What the server sends. Deployed devices count these bytes: compact JSON, `T` first, the keys in
//! the order of the spec, payloads untouched.

use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::frame::FrameWriter;
use super::{COOKIE_BYTES_MAX, ProtocolError};
use crate::base::{AppId, ChannelId, IdError, Level, MessageId, Payload, format_duration, parse_duration};
use crate::protocol::object::Fields;

/// A message from the server to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerMessage {
    /// The answer to CONNECT.
    Connack {
        /// How long after the last exchange the server pings.
        ping_interval: Duration,
    },
    /// Is the device there? Answered by PONG.
    Ping,
    /// News of a channel. Answered by ACK.
    Broadcast(Broadcast),
    /// Messages for apps, oldest first. Answered by ACK.
    Notifications(Vec<Notification>),
    /// Something is not as it should be; the session goes on.
    Connwarn {
        /// [`super::UNAUTHORIZED`].
        reason: String,
    },
    /// The server ends the session.
    Connbroken {
        /// [`super::HOST_MISMATCH`].
        reason: String,
    },
    /// Something for the device to keep.
    SetParams {
        /// What the next CONNECT has to carry. At most [`COOKIE_BYTES_MAX`] bytes.
        cookie: String,
    },
}

/// Some broadcasts of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// The app that has the channel; empty for a channel of the system.
    pub app_id: String,
    /// Which channel.
    pub channel: ChannelId,
    /// The level of a device that has these.
    pub top_level: Level,
    /// Oldest first. `None` tells a device that was too far ahead to step back.
    pub payloads: Option<Vec<Payload>>,
}

/// One message for an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Which app.
    pub app: AppId,
    /// By this a device knows the ones it has had.
    pub id: MessageId,
    /// What the app's helper gets.
    pub payload: Payload,
}

const FIELDS: [&str; 9] =
    ["T", "Params", "AppId", "ChanId", "TopLevel", "Payloads", "Notifications", "Reason", "SetCookie"];

/// What a NOTIFICATIONS starts with, up to its first element.
pub(super) const NOTIFICATIONS_START: &str = r#"{"T":"notifications","Notifications":["#;

/// The whole frame of [`ServerMessage::Ping`]: the one that every idle device gets, for ever.
pub const PING_FRAME: &[u8] = b"\x00\x0c{\"T\":\"ping\"}";

impl ServerMessage {
    /// Reads the body of a frame.
    pub fn decode(body: &[u8]) -> Result<ServerMessage, ProtocolError> {
        let json = std::str::from_utf8(body).map_err(|_| ProtocolError::NotAnObject)?;
        let fields = Fields::read(json, FIELDS, ProtocolError::NotAnObject)?;
        Ok(match fields.text("T")?.as_str() {
            "connack" => ServerMessage::Connack { ping_interval: read_ping_interval(fields.raw("Params"))? },
            "ping" => ServerMessage::Ping,
            "broadcast" => ServerMessage::Broadcast(Broadcast::from_fields(&fields)?),
            "notifications" => ServerMessage::Notifications(read_notifications(&fields)?),
            "connwarn" => ServerMessage::Connwarn { reason: fields.text("Reason")? },
            "connbroken" => ServerMessage::Connbroken { reason: fields.text("Reason")? },
            "setparams" => ServerMessage::SetParams { cookie: read_cookie(&fields)? },
            _ => return Err(ProtocolError::UnknownKind),
        })
    }

    /// Writes the whole frame, or fails with [`ProtocolError::FrameTooLong`]. What is queued is
    /// packed into frames by [`super::encode_notifications`] and [`super::encode_broadcast`] instead.
    pub fn encode(&self) -> Result<Bytes, ProtocolError> {
        let mut frame = FrameWriter::with_capacity(0);
        match self {
            ServerMessage::Connack { ping_interval } => {
                let ping_interval = format_duration(*ping_interval);
                frame.string(r#"{"T":"connack","Params":{"PingInterval":"#, &ping_interval);
                frame.json("}}");
            }
            ServerMessage::Ping => frame.json(r#"{"T":"ping"}"#),
            ServerMessage::Broadcast(broadcast) => broadcast.write(&mut frame),
            ServerMessage::Notifications(all) => {
                frame.json(NOTIFICATIONS_START);
                write_list(&mut frame, all, |frame, one| {
                    write_notification(frame, &one.app, one.id, &one.payload)
                });
                frame.json("]}");
            }
            ServerMessage::Connwarn { reason } => write_text(&mut frame, "connwarn", "Reason", reason),
            ServerMessage::Connbroken { reason } => write_text(&mut frame, "connbroken", "Reason", reason),
            ServerMessage::SetParams { cookie } => write_text(&mut frame, "setparams", "SetCookie", cookie),
        }
        frame.finish()
    }
}

impl Broadcast {
    fn from_fields(fields: &Fields<'_, 9>) -> Result<Broadcast, ProtocolError> {
        let payloads = fields.array("Payloads")?;
        Ok(Broadcast {
            app_id: fields.text("AppId")?,
            channel: id_in(fields.text("ChanId")?, "ChanId")?,
            top_level: Level(fields.integer("TopLevel")?),
            payloads: payloads.map(|all| all.into_iter().map(Payload::from_raw).collect()),
        })
    }

    fn write(&self, frame: &mut FrameWriter) {
        frame.json(r#"{"T":"broadcast""#);
        if !self.app_id.is_empty() {
            frame.string(r#","AppId":"#, &self.app_id);
        }
        frame.json(format!(r#","ChanId":"{}","TopLevel":{},"Payloads":"#, self.channel, self.top_level));
        match &self.payloads {
            Some(payloads) => {
                frame.json("[");
                write_list(frame, payloads, |frame, payload| frame.json(payload.as_bytes()));
                frame.json("]");
            }
            None => frame.json("null"),
        }
        frame.json("}");
    }
}

impl Notification {
    fn read(value: &RawValue) -> Result<Notification, ProtocolError> {
        let fields = Fields::read(value.get(), ["A", "M", "P"], ProtocolError::WrongType("Notifications"))?;
        let null = || Payload::from_stored(Bytes::from_static(b"null"));
        Ok(Notification {
            app: id_in(fields.text("A")?, "A")?,
            id: id_in(fields.text("M")?, "M")?,
            payload: fields.raw("P").map_or_else(null, Payload::from_raw),
        })
    }
}

/// One element of a NOTIFICATIONS.
pub(super) fn write_notification(frame: &mut FrameWriter, app: &AppId, id: MessageId, payload: &Payload) {
    frame.string(r#"{"A":"#, app.as_str());
    frame.string(r#","M":"#, &id.to_string());
    frame.json(r#","P":"#);
    frame.json(payload.as_bytes());
    frame.json("}");
}

fn write_list<T>(frame: &mut FrameWriter, items: &[T], write: impl Fn(&mut FrameWriter, &T)) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            frame.json(",");
        }
        write(frame, item);
    }
}

fn write_text(frame: &mut FrameWriter, kind: &str, field: &str, text: &str) {
    frame.string(&format!(r#"{{"T":"{kind}","{field}":"#), text);
    frame.json("}");
}

fn read_ping_interval(params: Option<&RawValue>) -> Result<Duration, ProtocolError> {
    const WRONG: ProtocolError = ProtocolError::WrongType("Params");
    let fields = Fields::read(params.ok_or(WRONG)?.get(), ["PingInterval"], WRONG)?;
    let text = fields.text("PingInterval")?;
    parse_duration(&text).map_err(|_| ProtocolError::WrongType("PingInterval"))
}

fn read_notifications(fields: &Fields<'_, 9>) -> Result<Vec<Notification>, ProtocolError> {
    let all = fields.array("Notifications")?.unwrap_or_default();
    all.into_iter().map(Notification::read).collect()
}

fn read_cookie(fields: &Fields<'_, 9>) -> Result<String, ProtocolError> {
    let cookie = fields.text("SetCookie")?;
    if cookie.len() > COOKIE_BYTES_MAX { Err(ProtocolError::TooLong("SetCookie")) } else { Ok(cookie) }
}

fn id_in<T: FromStr<Err = IdError>>(text: String, name: &'static str) -> Result<T, ProtocolError> {
    text.parse().map_err(|error| ProtocolError::BadId(name, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ping_frame_is_what_ping_encodes_to() {
        assert_eq!(ServerMessage::Ping.encode().as_deref(), Ok(PING_FRAME));
    }

    #[test]
    fn a_message_without_payload_holds_null() {
        let body =
            br#"{"T":"notifications","Notifications":[{"A":"app","M":"AAAAAAAAAAAAAAAAAAAAAA==","P":null}]}"#;
        let Ok(ServerMessage::Notifications(all)) = ServerMessage::decode(body) else { panic!("refused") };
        assert_eq!(all[0].payload.as_bytes(), b"null");
    }
}
