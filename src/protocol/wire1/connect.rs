//! CONNECT and CONNACK: how the two sides introduce themselves (spec: CONNECT, CONNACK).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::device_frame::{keepalive, urgency};
use super::reader::{Reader, VARINT_MAX, put_short, put_varint};
use super::{
    CREDENTIAL_BYTES_MAX, DEVICE_BODY_BYTES_MAX, IMAGE_BYTES_MAX, LEVELS_MAX, ProtocolError, STORED_MAX,
    WINDOW_MAX,
};
use crate::base::{ChannelId, DeviceId, Level, MessageId, Urgency, Wall};

/// The first frame of a device.
#[derive(Clone, PartialEq, Eq)]
pub struct Connect {
    /// How long it may stay silent: whole seconds, at least 1.
    pub keepalive: Duration,
    /// How many unacked deliveries it takes, 1 to [`WINDOW_MAX`].
    pub window: usize,
    /// The least urgency it wants now.
    pub least: Urgency,
    /// Who it is.
    pub device_id: DeviceId,
    /// What proves it; a credential of at most [`CREDENTIAL_BYTES_MAX`] bytes.
    pub credential: Vec<u8>,
    /// The image it runs, `<channel>/<model>`, at most [`IMAGE_BYTES_MAX`] bytes; empty if unknown.
    pub image: String,
    /// How far it has followed each channel, at most [`LEVELS_MAX`]. One that is missing stands at level 0.
    pub levels: BTreeMap<ChannelId, Level>,
    /// Messages that it has stored and whose ack may be lost, at most [`STORED_MAX`].
    pub stored: Vec<MessageId>,
}

/// The first frame of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connack {
    /// The server's time: where expiry is counted from.
    pub time: Wall,
    /// The longest silence that the server grants, whatever was announced: whole seconds, at least 1.
    pub keepalive_max: Duration,
    /// The window granted: 1 to what the device asked for.
    pub window: usize,
}

impl Connect {
    /// What a device says that has seen nothing, proves nothing, and keeps to itself what it runs.
    pub fn new(device_id: DeviceId, keepalive: Duration) -> Connect {
        Connect {
            keepalive,
            window: WINDOW_MAX,
            least: Urgency::VeryLow,
            device_id,
            credential: Vec::new(),
            image: String::new(),
            levels: BTreeMap::new(),
            stored: Vec::new(),
        }
    }

    pub(super) fn decode(body: &[u8]) -> Result<Connect, ProtocolError> {
        let mut reader = Reader::new(body);
        let connect = Connect {
            keepalive: keepalive(reader.varint("keepalive")?)?,
            window: window(reader.varint("window")?)?,
            least: urgency(reader.byte("urgency")?.into())?,
            device_id: device_id(reader.short("device id")?)?,
            credential: credential(reader.short("credential")?)?,
            image: image(reader.short("image")?)?,
            levels: levels(&mut reader)?,
            stored: stored(&mut reader)?,
        };
        extensions(reader)?;
        Ok(connect)
    }

    /// The body, if it keeps to the limits.
    pub(super) fn encode(&self) -> Result<Vec<u8>, ProtocolError> {
        let mut body = Vec::new();
        self.check()?;
        put_varint(&mut body, self.keepalive.as_secs());
        put_varint(&mut body, self.window as u64);
        body.push(self.least.code());
        put_short(&mut body, self.device_id.as_str().as_bytes());
        put_short(&mut body, &self.credential);
        put_short(&mut body, self.image.as_bytes());
        put_varint(&mut body, self.levels.len() as u64);
        for (channel, level) in &self.levels {
            put_channel(&mut body, *channel);
            put_level(&mut body, *level);
        }
        put_varint(&mut body, self.stored.len() as u64);
        self.stored.iter().for_each(|id| body.extend_from_slice(&id.0));
        assert!(body.len() <= DEVICE_BODY_BYTES_MAX, "all fields at their maxima fit");
        Ok(body)
    }

    fn check(&self) -> Result<(), ProtocolError> {
        let limits = [
            ("keepalive", (1..=VARINT_MAX).contains(&self.keepalive.as_secs())),
            ("window", (1..=WINDOW_MAX).contains(&self.window)),
            ("credential", self.credential.len() <= CREDENTIAL_BYTES_MAX),
            ("image", self.image.len() <= IMAGE_BYTES_MAX),
            ("levels", self.levels.len() <= LEVELS_MAX),
            ("stored", self.stored.len() <= STORED_MAX),
        ];
        match limits.into_iter().find(|(_, kept)| !kept) {
            Some((field, _)) => Err(ProtocolError::BadValue(field)),
            None => Ok(()),
        }
    }
}

/// Leaves the credential out.
impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("device_id", &self.device_id)
            .field("keepalive", &self.keepalive)
            .field("window", &self.window)
            .field("least", &self.least)
            .field("image", &self.image)
            .field("levels", &self.levels)
            .field("stored", &self.stored)
            .finish_non_exhaustive()
    }
}

impl Connack {
    pub(super) fn decode(body: &[u8]) -> Result<Connack, ProtocolError> {
        let mut reader = Reader::new(body);
        let connack = Connack {
            time: Wall(reader.varint("time")?),
            keepalive_max: keepalive(reader.varint("keepalive")?)?,
            window: window(reader.varint("window")?)?,
        };
        extensions(reader)?;
        Ok(connack)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        put_varint(&mut body, self.time.0.min(VARINT_MAX));
        put_varint(&mut body, self.keepalive_max.as_secs().clamp(1, VARINT_MAX));
        put_varint(&mut body, self.window as u64);
        body
    }
}

fn window(count: u64) -> Result<usize, ProtocolError> {
    let count = usize::try_from(count).ok().filter(|count| (1..=WINDOW_MAX).contains(count));
    count.ok_or(ProtocolError::BadValue("window"))
}

pub(super) fn device_id(bytes: &[u8]) -> Result<DeviceId, ProtocolError> {
    let id = std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok());
    id.ok_or(ProtocolError::BadValue("device id"))
}

fn credential(bytes: &[u8]) -> Result<Vec<u8>, ProtocolError> {
    if bytes.len() > CREDENTIAL_BYTES_MAX {
        return Err(ProtocolError::BadValue("credential"));
    }
    Ok(bytes.to_vec())
}

fn image(bytes: &[u8]) -> Result<String, ProtocolError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| ProtocolError::BadValue("image"))
}

fn levels(reader: &mut Reader<'_>) -> Result<BTreeMap<ChannelId, Level>, ProtocolError> {
    let mut levels = BTreeMap::new();
    for _ in 0..count(reader, LEVELS_MAX, "levels")? {
        let (channel, level) = (take_channel(reader)?, take_level(reader)?);
        if levels.last_key_value().is_some_and(|(last, _)| *last >= channel) {
            return Err(ProtocolError::BadValue("levels"));
        }
        levels.insert(channel, level);
    }
    Ok(levels)
}

fn stored(reader: &mut Reader<'_>) -> Result<Vec<MessageId>, ProtocolError> {
    (0..count(reader, STORED_MAX, "stored")?).map(|_| reader.array("stored").map(MessageId)).collect()
}

fn count(reader: &mut Reader<'_>, max: usize, field: &'static str) -> Result<usize, ProtocolError> {
    let count = usize::try_from(reader.varint(field)?).ok().filter(|count| *count <= max);
    count.ok_or(ProtocolError::BadValue(field))
}

/// A channel: no byte for the system's, else all 16.
pub(super) fn put_channel(out: &mut Vec<u8>, channel: ChannelId) {
    let bytes: &[u8] = if channel == ChannelId::SYSTEM { &[] } else { &channel.0 };
    put_short(out, bytes);
}

pub(super) fn take_channel(reader: &mut Reader<'_>) -> Result<ChannelId, ProtocolError> {
    let bytes = reader.short("channel")?;
    match <[u8; 16]>::try_from(bytes).map(ChannelId) {
        _ if bytes.is_empty() => Ok(ChannelId::SYSTEM),
        Ok(channel) if channel != ChannelId::SYSTEM => Ok(channel),
        _ => Err(ProtocolError::BadValue("channel")),
    }
}

/// A level. The few that no number can say, negative ones, stand for a device that wants all there is.
pub(super) fn put_level(out: &mut Vec<u8>, level: Level) {
    put_varint(out, u64::try_from(level.0).unwrap_or_default().min(VARINT_MAX));
}

pub(super) fn take_level(reader: &mut Reader<'_>) -> Result<Level, ProtocolError> {
    reader.varint("level").map(|level| Level(level.try_into().expect("62 bits fit 63")))
}

/// What is left of a body: extensions in the order of their ids, of which none is known yet.
pub(super) fn extensions(mut reader: Reader<'_>) -> Result<(), ProtocolError> {
    let mut last = None;
    while !reader.is_empty() {
        let id = reader.varint("extension")?;
        reader.long("extension")?;
        if last >= Some(id) {
            return Err(ProtocolError::BadValue("extension"));
        }
        if id.is_multiple_of(2) {
            return Err(ProtocolError::UnknownExtension(id));
        }
        last = Some(id);
    }
    Ok(())
}
