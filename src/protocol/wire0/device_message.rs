//! What devices send: CONNECT once, then nothing but PONG and ACK.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::frame::FrameWriter;
use super::{CONNECT_BODY_BYTES_MAX, INFO_TEXT_BYTES_MAX, ProtocolError};
use crate::base::{ChannelId, DeviceId, Level};
use crate::protocol::object::{Fields, each_entry, integer, text};

/// A message from a device to its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceMessage {
    /// Who the device is and what it has seen.
    Connect(Connect),
    /// The answer to PING.
    Pong,
    /// The answer to BROADCAST and NOTIFICATIONS: the device has stored what came.
    Ack,
}

/// The first message of a device.
#[derive(Clone, PartialEq, Eq)]
pub struct Connect {
    /// Who it is.
    pub device_id: DeviceId,
    /// What proves it; a credential.
    pub authorization: String,
    /// What the last SETPARAMS gave; empty if there was none.
    pub cookie: String,
    /// The device software's version, for statistics at most.
    pub client_ver: String,
    /// The device's model, `?` if unknown: `Info.device` on the wire.
    pub model: String,
    /// Where the device's system image comes from, `?` if unknown: `Info.channel` on the wire.
    pub image_channel: String,
    /// How far the device has followed each channel. One that is missing stands at level 0.
    pub levels: BTreeMap<ChannelId, Level>,
}

const FIELDS: [&str; 7] = ["T", "ClientVer", "DeviceId", "Authorization", "Cookie", "Info", "Levels"];
const UNKNOWN: &str = "?";

impl DeviceMessage {
    /// Reads the body of a frame.
    pub fn decode(body: &[u8]) -> Result<DeviceMessage, ProtocolError> {
        let json = std::str::from_utf8(body).map_err(|_| ProtocolError::NotAnObject)?;
        let fields = Fields::read(json, FIELDS, ProtocolError::NotAnObject)?;
        match fields.text("T")?.as_str() {
            "connect" => Connect::from_fields(&fields).map(DeviceMessage::Connect),
            "pong" => Ok(DeviceMessage::Pong),
            "ack" => Ok(DeviceMessage::Ack),
            _ => Err(ProtocolError::UnknownKind),
        }
    }

    /// Writes the whole frame. Fails with [`ProtocolError::FrameTooLong`] only for a CONNECT.
    pub fn encode(&self) -> Result<Bytes, ProtocolError> {
        let mut frame = FrameWriter::with_capacity(0);
        match self {
            DeviceMessage::Connect(connect) => {
                connect.write(&mut frame);
                if frame.body_bytes() > CONNECT_BODY_BYTES_MAX {
                    return Err(ProtocolError::FrameTooLong);
                }
            }
            DeviceMessage::Pong => frame.json(r#"{"T":"pong"}"#),
            DeviceMessage::Ack => frame.json(r#"{"T":"ack"}"#),
        }
        frame.finish()
    }
}

impl Connect {
    /// What a device says that has seen nothing, holds nothing, and keeps to itself what it is.
    pub fn new(device_id: DeviceId) -> Connect {
        Connect {
            device_id,
            authorization: String::new(),
            cookie: String::new(),
            client_ver: String::new(),
            model: UNKNOWN.into(),
            image_channel: UNKNOWN.into(),
            levels: BTreeMap::new(),
        }
    }

    /// The image this device runs, `<channel>/<model>`: the key that a system broadcast has for it.
    pub fn image(&self) -> String {
        format!("{}/{}", self.image_channel, self.model)
    }

    fn from_fields(fields: &Fields<'_, 7>) -> Result<Connect, ProtocolError> {
        let device_id = fields.text("DeviceId")?.parse();
        let info = Info::read(fields.raw("Info"))?;
        Ok(Connect {
            device_id: device_id.map_err(|error| ProtocolError::BadId("DeviceId", error))?,
            authorization: fields.text("Authorization")?,
            cookie: fields.text("Cookie")?,
            client_ver: fields.text("ClientVer")?,
            model: info.model,
            image_channel: info.image_channel,
            levels: read_levels(fields.raw("Levels"))?,
        })
    }

    fn write(&self, frame: &mut FrameWriter) {
        frame.string(r#"{"T":"connect","ClientVer":"#, &self.client_ver);
        frame.string(r#","DeviceId":"#, self.device_id.as_str());
        frame.string(r#","Authorization":"#, &self.authorization);
        frame.string(r#","Cookie":"#, &self.cookie);
        frame.string(r#","Info":{"device":"#, &self.model);
        frame.string(r#","channel":"#, &self.image_channel);
        frame.json(r#"},"Levels":{"#);
        for (index, (channel, level)) in self.levels.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            frame.json(format!(r#"{comma}"{channel}":{level}"#));
        }
        frame.json("}}");
    }
}

/// Leaves the credential out, and whatever else is not needed to recognise a device.
impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("device_id", &self.device_id)
            .field("image", &self.image())
            .field("levels", &self.levels)
            .finish_non_exhaustive()
    }
}

/// What the server takes from `Info`.
struct Info {
    model: String,
    image_channel: String,
}

impl Info {
    /// `Info` is a map, not an object with fields: its keys count only as written, and a `null` in
    /// it is a value, and not a string.
    fn read(value: Option<&RawValue>) -> Result<Info, ProtocolError> {
        let mut info = Info { model: UNKNOWN.into(), image_channel: UNKNOWN.into() };
        let Some(value) = value else { return Ok(info) };
        each_entry(value.get(), ProtocolError::WrongType("Info"), |key, value| {
            match key {
                "device" => info.model = info_text("Info.device", value)?,
                "channel" => info.image_channel = info_text("Info.channel", value)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(info)
    }
}

fn info_text(name: &'static str, value: &RawValue) -> Result<String, ProtocolError> {
    let text = text(name, value)?;
    if text.len() > INFO_TEXT_BYTES_MAX { Err(ProtocolError::TooLong(name)) } else { Ok(text) }
}

/// `Levels` is a map as well; a `null` in it stands for level 0, as if the channel were missing.
fn read_levels(value: Option<&RawValue>) -> Result<BTreeMap<ChannelId, Level>, ProtocolError> {
    let mut levels = BTreeMap::new();
    let Some(value) = value else { return Ok(levels) };
    each_entry(value.get(), ProtocolError::WrongType("Levels"), |key, value| {
        let channel = key.parse().map_err(|error| ProtocolError::BadId("Levels", error))?;
        let level = if value.get() == "null" { 0 } else { integer("Levels", value)? };
        levels.insert(channel, Level(level));
        Ok(())
    })?;
    Ok(levels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(body: &str) -> Result<DeviceMessage, ProtocolError> {
        DeviceMessage::decode(body.as_bytes())
    }

    fn connect(body: &str) -> Connect {
        match decode(body) {
            Ok(DeviceMessage::Connect(connect)) => connect,
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn info_keys_count_only_as_written_and_must_hold_strings() {
        let plain = connect(r#"{"T":"connect","DeviceId":"carol","Info":{"Device":5,"build_number":7}}"#);
        assert_eq!(plain.image(), "?/?");
        for field in ["device", "channel"] {
            for value in ["5", "null", "{}"] {
                let body = format!(r#"{{"T":"connect","DeviceId":"carol","Info":{{"{field}":{value}}}}}"#);
                let refused = decode(&body).expect_err("not a string").to_string();
                assert_eq!(refused, format!("field Info.{field} is not of its type"));
            }
        }
    }

    #[test]
    fn a_model_that_a_session_would_have_to_keep_is_bounded() {
        let with_model = |len| {
            let model = "m".repeat(len);
            decode(&format!(r#"{{"T":"connect","DeviceId":"carol","Info":{{"device":"{model}"}}}}"#))
        };
        assert!(with_model(INFO_TEXT_BYTES_MAX).is_ok());
        assert_eq!(with_model(INFO_TEXT_BYTES_MAX + 1), Err(ProtocolError::TooLong("Info.device")));
    }

    #[test]
    fn debug_shows_no_credential() {
        let body = r#"{"T":"connect","DeviceId":"carol","Authorization":"s3cret","Cookie":"s3cret"}"#;
        assert!(!format!("{:?}", connect(body)).contains("s3cret"));
    }
}
