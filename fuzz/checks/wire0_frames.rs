//! Frames of wire 0: however the bytes arrive they are the same frames, what is written is read as
//! what was meant, and what is packed into several frames comes out whole and in order.
//!
//! An input is one byte, which is one less than the length of each piece that arrives, and the bytes.

use lomiri_push::base::{AppId, ChannelId, Level, MessageId, Payload};
use lomiri_push::protocol::broadcast::Missing;
use lomiri_push::protocol::wire0::{
    self, Broadcast, DeviceMessage, FRAME_BODY_BYTES_MAX, Notification, PAYLOAD_BYTES_MAX, ProtocolError,
    ServerMessage,
};

use super::catch_up::{self, IMAGE};
use super::script::Script;

/// Panics unless all of this holds for `input`.
pub fn check(input: &[u8]) {
    let mut script = Script::new(input);
    let piece_bytes = usize::from(script.byte()) + 1;
    let stream = script.rest();
    let bodies = bodies_in(stream);
    assert_eq!(bodies, bodies_in_pieces(stream, piece_bytes), "in pieces of {piece_bytes}");
    for body in bodies {
        check_device_body(body);
        check_server_body(body);
    }
}

fn bodies_in(mut stream: &[u8]) -> Vec<&[u8]> {
    let mut bodies = Vec::new();
    while let Some((body, used)) = wire0::split_frame(stream) {
        assert_eq!(wire0::announced_body_bytes(stream), Some(body.len()));
        bodies.push(body);
        stream = &stream[used..];
    }
    bodies
}

fn bodies_in_pieces(stream: &[u8], piece_bytes: usize) -> Vec<Vec<u8>> {
    let (mut bodies, mut gathered) = (Vec::new(), Vec::new());
    for piece in stream.chunks(piece_bytes) {
        gathered.extend_from_slice(piece);
        while let Some((body, used)) = wire0::split_frame(&gathered) {
            bodies.push(body.to_vec());
            gathered.drain(..used);
        }
    }
    bodies
}

/// The body of bytes that must be one whole frame.
fn body_of(frame: &[u8]) -> &[u8] {
    let (body, used) = wire0::split_frame(frame).expect("a whole frame");
    assert_eq!(used, frame.len());
    body
}

fn check_device_body(body: &[u8]) {
    let Ok(message) = DeviceMessage::decode(body) else { return };
    match message.encode() {
        Ok(frame) => assert_eq!(DeviceMessage::decode(body_of(&frame)), Ok(message)),
        Err(error) => {
            assert_eq!(error, ProtocolError::FrameTooLong);
            assert!(matches!(message, DeviceMessage::Connect(_)), "answers are short");
        }
    }
}

fn check_server_body(body: &[u8]) {
    let Ok(message) = ServerMessage::decode(body) else { return };
    match message.encode() {
        Ok(frame) => assert_eq!(ServerMessage::decode(body_of(&frame)).as_ref(), Ok(&message)),
        Err(error) => {
            assert_eq!(error, ProtocolError::FrameTooLong);
            assert!(body.len() > FRAME_BODY_BYTES_MAX / 2, "what may be left out is short");
        }
    }
    match message {
        ServerMessage::Notifications(all) => check_packed_notifications(all),
        ServerMessage::Broadcast(broadcast) => check_packed_broadcasts(broadcast),
        _ => {}
    }
}

/// Messages are packed with payloads that a server takes.
fn check_packed_notifications(mut all: Vec<Notification>) {
    all.retain(|one| one.payload.len() <= PAYLOAD_BYTES_MAX);
    let mut rest = &all[..];
    while let Some(part) = wire0::encode_notifications(rest.iter().map(parts)) {
        assert!(part.count > 0, "every frame leads on");
        let (packed, after) = rest.split_at(part.count);
        let decoded = ServerMessage::decode(body_of(&part.frame));
        assert_eq!(decoded, Ok(ServerMessage::Notifications(packed.to_vec())));
        rest = after;
    }
    assert!(rest.is_empty());
}

fn parts(one: &Notification) -> (&AppId, MessageId, &Payload) {
    (&one.app, one.id, &one.payload)
}

fn check_packed_broadcasts(broadcast: Broadcast) {
    let mut live = broadcast.payloads.unwrap_or_default();
    live.retain(|payload| payload.len() <= PAYLOAD_BYTES_MAX);
    catch_up::check(&live, broadcast.top_level, |missing: Missing, top: Level| {
        let part = wire0::encode_broadcast(missing, top, &live, IMAGE)?;
        let read = read_broadcast(&part.frame);
        assert_eq!(read.reached, part.reached);
        Some(read)
    });
}

fn read_broadcast(frame: &[u8]) -> catch_up::Part {
    match ServerMessage::decode(body_of(frame)) {
        Ok(ServerMessage::Broadcast(part)) if part.channel == ChannelId::SYSTEM => catch_up::Part {
            payloads: part.payloads.expect("a device that is behind gets payloads"),
            reached: part.top_level,
        },
        other => panic!("packed as a broadcast, read as {other:?}"),
    }
}
