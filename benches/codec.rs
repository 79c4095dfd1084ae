//! What the wires cost per frame: `cargo bench --bench codec`.

#[path = "setup/frames.rs"]
mod frames;

use divan::{Bencher, black_box, counter::BytesCount};
use frames::{IMAGE, decode, message, payload};
use lomiri_push::base::{AppId, ChannelId, Level, MessageId, Seq};
use lomiri_push::protocol::broadcast::{Missing, is_for_image};
use lomiri_push::protocol::wire0::{
    Connect, DeviceMessage, FRAME_BODY_BYTES_MAX, ServerMessage, encode_broadcast, encode_notifications,
    split_frame,
};
use lomiri_push::protocol::wire1::{self, DeviceFrame, SERVER_BODY_BYTES_MAX, ServerFrame, kinds::ACK};

fn main() {
    divan::main();
}

fn connect_body() -> Vec<u8> {
    let connect = Connect {
        device_id: "0123456789abcdef0123456789abcdef".parse().expect("valid"),
        authorization: "a".repeat(32),
        cookie: "c".repeat(32),
        client_ver: "0.68".into(),
        model: "m1".into(),
        image_channel: "img1".into(),
        levels: [(ChannelId::SYSTEM, Level(7))].into(),
    };
    let frame = DeviceMessage::Connect(connect).encode().expect("short");
    split_frame(&frame).expect("whole").0.to_vec()
}

#[divan::bench]
fn decode_connect(bencher: Bencher) {
    let body = connect_body();
    bencher.counter(BytesCount::of_slice(&body)).bench(|| DeviceMessage::decode(black_box(&body)));
}

/// The costs per byte must not grow with the length.
#[divan::bench(args = [4096, FRAME_BODY_BYTES_MAX])]
fn decode_hostile_connect_of_many_keys(bencher: Bencher, body_bytes: usize) {
    let mut body = br#"{"T":"connect","DeviceId":"carol""#.to_vec();
    while body.len() + 16 < body_bytes {
        body.extend_from_slice(br#","t":[[[]]]"#);
    }
    body.push(b'}');
    bencher.counter(BytesCount::of_slice(&body)).bench(|| DeviceMessage::decode(black_box(&body)));
}

#[divan::bench(args = [4096, FRAME_BODY_BYTES_MAX])]
fn decode_hostile_connect_of_many_levels(bencher: Bencher, body_bytes: usize) {
    let mut body = br#"{"T":"connect","DeviceId":"carol","Levels":{"0":0"#.to_vec();
    for channel in 0.. {
        if body.len() + 48 > body_bytes {
            break;
        }
        body.extend_from_slice(format!(r#","{channel:032x}":1"#).as_bytes());
    }
    body.extend_from_slice(b"}}");
    bencher.counter(BytesCount::of_slice(&body)).bench(|| DeviceMessage::decode(black_box(&body)));
}

#[divan::bench]
fn decode_ack() -> DeviceMessage {
    DeviceMessage::decode(black_box(br#"{"T":"ack"}"#)).expect("an ACK")
}

#[divan::bench(args = [1, 10, 500])]
fn encode_notifications_of_100_bytes(bencher: Bencher, count: u64) {
    let app: AppId = "chatter.example".parse().expect("valid");
    let payload = payload(100);
    let ids: Vec<MessageId> = (0..count).map(|seq| MessageId::new(Seq(seq), [7; 8])).collect();
    bencher.bench(|| encode_notifications(black_box(&ids).iter().map(|id| (&app, *id, &payload))));
}

#[divan::bench(args = [1, 50])]
fn encode_broadcasts_of_1_kib(bencher: Bencher, count: usize) {
    let live = vec![payload(1024); count];
    bencher.bench(|| encode_broadcast(Missing::Last(count), Level(99), black_box(&live), IMAGE));
}

#[divan::bench(args = [100, 4096])]
fn filter_a_payload(bencher: Bencher, bytes: usize) {
    let payload = payload(bytes);
    bencher.counter(BytesCount::new(bytes)).bench(|| is_for_image(black_box(&payload), black_box(IMAGE)));
}

#[divan::bench]
fn decode_notifications_of_100_bytes(bencher: Bencher) {
    let app: AppId = "chatter.example".parse().expect("valid");
    let payload = payload(100);
    let part = encode_notifications([(&app, MessageId::new(Seq(1), [7; 8]), &payload)]).expect("one");
    let (body, _) = split_frame(&part.frame).expect("whole");
    bencher.bench(|| ServerMessage::decode(black_box(body)));
}

/// As a session does it: the frames of a turn one behind the other.
#[divan::bench(args = [1, 10, 64])]
fn wire1_encode_messages_of_100_bytes(bencher: Bencher, count: usize) {
    let message = message(100);
    bencher.bench(|| {
        let mut out = Vec::new();
        (0..count).for_each(|_| black_box(&message).encode(&mut out));
        out
    });
}

#[divan::bench]
fn wire1_decode_message_of_100_bytes(bencher: Bencher) {
    let mut bytes = Vec::new();
    message(100).encode(&mut bytes);
    bencher.bench(|| {
        let whole = wire1::split_frame(black_box(&bytes), SERVER_BODY_BYTES_MAX);
        let (raw, _) = whole.expect("well-formed").expect("whole");
        ServerFrame::decode(raw)
    });
}

#[divan::bench]
fn wire1_decode_ack() -> Option<DeviceFrame> {
    decode(&[ACK, 1])
}

#[divan::bench(args = [1, 50])]
fn wire1_encode_broadcasts_of_1_kib(bencher: Bencher, count: usize) {
    let live = vec![payload(1024); count];
    bencher.bench(|| wire1::encode_broadcast(Missing::Last(count), Level(99), black_box(&live), IMAGE));
}
