//! Frames of wire 1 and what is in them. What is measured is not known here.

use std::hint::black_box;
use std::time::Duration;

use lomiri_push::base::{MessageId, Payload, Seq, Urgency};
use lomiri_push::protocol::wire1::{self, AppNumber, DeviceFrame, ServerFrame};

pub const IMAGE: &str = "img1/m1";

/// A payload of `bytes` for the image, the key behind most of it.
pub fn payload(bytes: usize) -> Payload {
    let around = format!(r#"{{"x":"","{IMAGE}":1}}"#).len();
    let json = format!(r#"{{"x":"{}","{IMAGE}":1}}"#, "x".repeat(bytes - around));
    Payload::from_json(json.as_bytes()).expect("JSON")
}

/// One message, the payload being the same as on wire 0.
pub fn message(payload_bytes: usize) -> ServerFrame {
    ServerFrame::Message(wire1::Message {
        app: AppNumber::new(0).expect("the first number"),
        urgency: Urgency::Normal,
        expires: Duration::from_secs(3_600),
        id: MessageId::new(Seq(1), [7; 8]),
        payload: payload(payload_bytes),
    })
}

/// As the server reads it.
pub fn decode(bytes: &[u8]) -> Option<DeviceFrame> {
    let whole = wire1::split_frame(black_box(bytes), wire1::DEVICE_BODY_BYTES_MAX);
    let (raw, _) = whole.expect("well-formed").expect("whole");
    DeviceFrame::decode(raw).expect("well-formed")
}
