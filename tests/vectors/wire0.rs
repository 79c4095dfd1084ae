//! The vectors of wire 0.

use std::collections::BTreeMap;

use bytes::Bytes;
use lomiri_push::protocol::wire0::{DeviceMessage, Notification, ProtocolError, ServerMessage, split_frame};
use serde_json::{Value, json};

use crate::vector::Vector;
use crate::vectors;

/// What a frame is decoded to: as the vectors write it, and encoded again.
type Decoded = Result<(Value, Result<Bytes, ProtocolError>), ProtocolError>;

impl Vector {
    fn decode(&self, frame: &[u8]) -> Decoded {
        let (body, used) = split_frame(frame).expect("the frame is whole");
        assert_eq!(used, frame.len(), "{}: the length is right", self.name);
        match self.line("sender") {
            "device" => DeviceMessage::decode(body).map(|message| (device_form(&message), message.encode())),
            "server" => ServerMessage::decode(body).map(|message| (server_form(&message), message.encode())),
            other => panic!("{}: {other}", self.name),
        }
    }
}

fn device_form(message: &DeviceMessage) -> Value {
    let connect = match message {
        DeviceMessage::Pong => return json!({"message": "pong"}),
        DeviceMessage::Ack => return json!({"message": "ack"}),
        DeviceMessage::Connect(connect) => connect,
    };
    let levels: BTreeMap<String, i64> =
        connect.levels.iter().map(|(channel, level)| (channel.to_string(), level.0)).collect();
    json!({
        "message": "connect",
        "device_id": connect.device_id.as_str(),
        "authorization": connect.authorization,
        "cookie": connect.cookie,
        "client_ver": connect.client_ver,
        "model": connect.model,
        "image_channel": connect.image_channel,
        "levels": levels,
    })
}

fn server_form(message: &ServerMessage) -> Value {
    let text = |payload: &[u8]| String::from_utf8(payload.to_vec()).expect("JSON is UTF-8");
    let notification = |one: &Notification| json!({"app": one.app.as_str(), "id": one.id.to_string(), "payload": text(one.payload.as_bytes())});
    match message {
        ServerMessage::Connack { ping_interval } => {
            json!({"message": "connack", "ping_interval_ms": ping_interval.as_millis() as u64})
        }
        ServerMessage::Ping => json!({"message": "ping"}),
        ServerMessage::Broadcast(broadcast) => json!({
            "message": "broadcast",
            "app_id": broadcast.app_id,
            "channel": broadcast.channel.to_string(),
            "top_level": broadcast.top_level.0,
            "payloads": broadcast.payloads.as_ref().map(|all| {
                all.iter().map(|payload| text(payload.as_bytes())).collect::<Vec<_>>()
            }),
        }),
        ServerMessage::Notifications(all) => json!({
            "message": "notifications",
            "notifications": all.iter().map(notification).collect::<Vec<_>>(),
        }),
        ServerMessage::Connwarn { reason } => json!({"message": "connwarn", "reason": reason}),
        ServerMessage::Connbroken { reason } => json!({"message": "connbroken", "reason": reason}),
        ServerMessage::SetParams { cookie } => json!({"message": "setparams", "cookie": cookie}),
    }
}

#[test]
fn valid_frames_decode_and_encode_as_the_vectors_say() {
    for vector in vectors("wire0", "valid") {
        let decode =
            |frame: &[u8]| vector.decode(frame).unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        let (form, encoded) = decode(&vector.frame());
        assert_eq!(form, vector.decoded(), "{}", vector.name);
        let encoded = encoded.unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        assert_eq!(decode(&encoded).0, form, "{}: what is written means the same", vector.name);
        let same = encoded == vector.frame();
        assert_eq!(if same { "same" } else { "otherwise" }, vector.line("encoded"), "{}", vector.name);
    }
}

#[test]
fn invalid_frames_are_refused_as_the_vectors_say() {
    for vector in vectors("wire0", "invalid") {
        match vector.decode(&vector.frame()) {
            Err(error) => assert_eq!(error.to_string(), vector.line("error"), "{}", vector.name),
            Ok((form, _)) => panic!("{}: {form}", vector.name),
        }
    }
}
