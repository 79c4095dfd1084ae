//! The vectors of wire 1. Each is a whole frame, or as much of one as it takes to refuse it.

use std::collections::{BTreeMap, BTreeSet};

use lomiri_push::base::{ChannelId, Level, MessageId, Payload};
use lomiri_push::protocol::wire1::{
    Connect, DEVICE_BODY_BYTES_MAX, DeviceFrame, ProtocolError, Reason, SERVER_BODY_BYTES_MAX, ServerFrame,
    kinds, split_frame,
};
use serde_json::{Value, json};

use crate::vector::Vector;
use crate::vectors;

/// What a frame is decoded to, as the vectors write it, and encoded again. Null and nothing if it is
/// skipped.
type Decoded = Result<(Value, Vec<u8>), ProtocolError>;

impl Vector {
    fn body_bytes_max(&self) -> usize {
        match self.line("sender") {
            "device" => DEVICE_BODY_BYTES_MAX,
            "server" => SERVER_BODY_BYTES_MAX,
            other => panic!("{}: {other}", self.name),
        }
    }

    fn decode_frame(&self, bytes: &[u8]) -> Decoded {
        let frame = split_frame(bytes, self.body_bytes_max())?;
        let (raw, used) = frame.unwrap_or_else(|| panic!("{}: not whole", self.name));
        assert_eq!(used, bytes.len(), "{}: the frame is all there is", self.name);
        let mut encoded = Vec::new();
        let form = if self.line("sender") == "device" {
            let frame = DeviceFrame::decode(raw)?;
            frame.iter().try_for_each(|frame| frame.encode(&mut encoded))?;
            frame.as_ref().map(device_form)
        } else {
            let frame = ServerFrame::decode(raw)?;
            frame.iter().for_each(|frame| frame.encode(&mut encoded));
            frame.as_ref().map(server_form)
        };
        Ok((form.unwrap_or_default(), encoded))
    }
}

fn device_form(frame: &DeviceFrame) -> Value {
    let name = frame.name();
    match frame {
        DeviceFrame::Connect(connect) => connect_form(connect),
        DeviceFrame::Enrol(code) => json!({"frame": name, "code": hex(&code.0)}),
        DeviceFrame::Ping | DeviceFrame::Flush => json!({"frame": name}),
        DeviceFrame::Ack(count) => json!({"frame": name, "count": count}),
        DeviceFrame::Urgency(least) => json!({"frame": name, "least": least.name()}),
        DeviceFrame::Keepalive(silence) => json!({"frame": name, "silence_s": silence.as_secs()}),
        DeviceFrame::Bye(reason) => json!({"frame": name, "reason": reason.name()}),
        DeviceFrame::Receipt(receipt) => {
            json!({"frame": name, "outcome": receipt.outcome.name(), "message": id_form(&receipt.message)})
        }
    }
}

fn connect_form(connect: &Connect) -> Value {
    let level = |(channel, level): (&ChannelId, &Level)| (channel.to_string(), level.0);
    json!({
        "frame": "CONNECT",
        "keepalive_s": connect.keepalive.as_secs(),
        "window": connect.window,
        "least": connect.least.name(),
        "device_id": connect.device_id.as_str(),
        "credential": hex(&connect.credential),
        "image": connect.image,
        "levels": connect.levels.iter().map(level).collect::<BTreeMap<_, _>>(),
        "stored": connect.stored.iter().map(id_form).collect::<Vec<_>>(),
    })
}

fn server_form(frame: &ServerFrame) -> Value {
    let name = frame.name();
    match frame {
        ServerFrame::Connack(connack) => json!({
            "frame": name,
            "time_ms": connack.time.0,
            "keepalive_max_s": connack.keepalive_max.as_secs(),
            "window": connack.window,
        }),
        ServerFrame::Enrolled(enrolled) => json!({
            "frame": name,
            "device_id": enrolled.device.as_str(),
            "credential": hex(enrolled.credential.as_bytes()),
            "api": enrolled.api,
        }),
        ServerFrame::Pong => json!({"frame": name}),
        ServerFrame::App(number, app) => {
            json!({"frame": name, "number": number.index(), "app": app.as_str()})
        }
        ServerFrame::Message(message) => json!({
            "frame": name,
            "app": message.app.index(),
            "urgency": message.urgency.name(),
            "expires_s": message.expires.as_secs(),
            "message": id_form(&message.id),
            "payload": text(&message.payload),
        }),
        ServerFrame::Broadcast(broadcast) => json!({
            "frame": name,
            "channel": broadcast.channel.to_string(),
            "level": broadcast.level.0,
            "payloads": broadcast.payloads.iter().map(text).collect::<Vec<_>>(),
        }),
        ServerFrame::Goaway(goaway) => json!({
            "frame": name,
            "reason": goaway.reason.name(),
            "after_s": goaway.after.as_secs(),
            "spread_s": goaway.spread.as_secs(),
        }),
    }
}

fn text(payload: &Payload) -> String {
    String::from_utf8(payload.as_bytes().to_vec()).expect("JSON is UTF-8")
}

fn id_form(id: &MessageId) -> String {
    hex(&id.0)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn valid_frames_decode_and_encode_as_the_vectors_say() {
    for vector in vectors("wire1", "valid") {
        let bytes = vector.frame();
        let (form, encoded) =
            vector.decode_frame(&bytes).unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        assert_eq!(form, vector.decoded(), "{}", vector.name);
        let same = if encoded == bytes { "same" } else { "otherwise" };
        assert_eq!(same, vector.line("encoded"), "{}", vector.name);
        if !encoded.is_empty() {
            assert_eq!(vector.decode_frame(&encoded), Ok((form, encoded)), "{}", vector.name);
        }
    }
}

#[test]
fn invalid_frames_are_refused_with_the_reason_that_the_vectors_say() {
    for vector in vectors("wire1", "invalid") {
        match vector.decode_frame(&vector.frame()) {
            Err(error) => assert_eq!(error.reason().name(), vector.line("error"), "{}", vector.name),
            Ok((form, _)) => panic!("{}: {form}", vector.name),
        }
    }
}

#[test]
fn a_frame_is_waited_for_until_its_last_byte_is_there() {
    for vector in vectors("wire1", "valid") {
        let bytes = vector.frame();
        for cut in 0..bytes.len() {
            let split = split_frame(&bytes[..cut], vector.body_bytes_max());
            assert_eq!(split, Ok(None), "{}: {cut}", vector.name);
        }
    }
}

#[test]
fn what_follows_a_frame_does_not_change_it() {
    for vector in vectors("wire1", "valid") {
        let bytes = vector.frame();
        let followed = [&bytes[..], &[0xff; 9]].concat();
        let max = vector.body_bytes_max();
        assert_eq!(split_frame(&followed, max), split_frame(&bytes, max), "{}", vector.name);
    }
}

#[test]
fn every_frame_and_every_reason_has_its_vectors() {
    let [valid, invalid] = ["valid", "invalid"].map(|kind| vectors("wire1", kind));
    let all = valid.iter().chain(&invalid);
    let first_bytes: BTreeSet<u8> = all.map(|vector| vector.frame()[0]).collect();
    let missing = kinds::ALL.iter().filter(|(kind, ..)| !first_bytes.contains(kind));
    assert_eq!(missing.count(), 0);
    for frame in ["BYE", "GOAWAY"] {
        let of_frame = valid.iter().map(Vector::decoded).filter(|form| form["frame"] == frame);
        let told: BTreeSet<String> =
            of_frame.map(|form| form["reason"].as_str().expect("text").into()).collect();
        assert_eq!(told, Reason::ALL.map(|reason| reason.name().to_owned()).into(), "{frame}");
    }
}
