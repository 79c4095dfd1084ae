//! What frames cost, that they come back as they were written, and what is refused.

use std::time::Duration;

use super::*;
use crate::base::{ChannelId, Level, MessageId, Payload, Urgency, Wall};

fn connect() -> Connect {
    Connect {
        credential: vec![7; 32],
        image: "ubports-touch/20.04/stable/fairphone-4".into(),
        levels: [(ChannelId::SYSTEM, Level(1_000))].into(),
        ..Connect::new("R3J8q0Yt5mWc1Zk2bXv7Lw".parse().expect("valid"), Duration::from_secs(1_700))
    }
}

fn message(payload_bytes: usize) -> Message {
    let json = format!("\"{}\"", "x".repeat(payload_bytes - 2));
    Message {
        app: AppNumber::new(15).expect("16 numbers"),
        urgency: Urgency::High,
        expires: Duration::from_secs(EXPIRY_SECONDS_MAX),
        id: MessageId([9; 16]),
        payload: Payload::from_json(json.as_bytes()).expect("JSON"),
    }
}

fn device_bytes(frame: &DeviceFrame) -> Vec<u8> {
    let mut out = Vec::new();
    frame.encode(&mut out).expect("within the limits");
    let (raw, used) = split_frame(&out, DEVICE_BODY_BYTES_MAX).expect("well-formed").expect("whole");
    assert_eq!((DeviceFrame::decode(raw), used), (Ok(Some(frame.clone())), out.len()));
    out
}

fn server_bytes(frame: &ServerFrame) -> Vec<u8> {
    let mut out = Vec::new();
    frame.encode(&mut out);
    let (raw, used) = split_frame(&out, SERVER_BODY_BYTES_MAX).expect("well-formed").expect("whole");
    assert_eq!((ServerFrame::decode(raw), used), (Ok(Some(frame.clone())), out.len()));
    out
}

#[test]
fn frames_cost_what_a_weak_link_can_bear() {
    assert_eq!(device_bytes(&DeviceFrame::Ping).len(), 1);
    assert_eq!(server_bytes(&ServerFrame::Pong).len(), 1);
    assert_eq!(device_bytes(&DeviceFrame::Ack(1)).len(), 2);
    assert_eq!(device_bytes(&DeviceFrame::Ack(WINDOW_MAX as u64)).len(), 3);
    for payload_bytes in [2, 40, 100, 4_096] {
        let bytes = server_bytes(&ServerFrame::Message(message(payload_bytes)));
        assert!(bytes.len() - 16 - payload_bytes <= 8, "{payload_bytes}: {}", bytes.len());
    }
    let connect = device_bytes(&DeviceFrame::Connect(Box::new(connect())));
    assert!(connect.len() - 32 <= 80, "{}", connect.len());
    let time = Wall(1_800_000_000_000);
    let connack = Connack { time, keepalive_max: Duration::from_secs(7_200), window: WINDOW_MAX };
    let connack = server_bytes(&ServerFrame::Connack(connack));
    assert!(connack.len() <= 16, "{}", connack.len());
}

#[test]
fn the_longest_connect_fits_what_a_server_reads() {
    let channel = |number: u8| (ChannelId([number + 1; 16]), Level(i64::MAX >> 1));
    let longest = Connect {
        keepalive: Duration::from_secs(1 << 40),
        credential: vec![1; CREDENTIAL_BYTES_MAX],
        image: "i".repeat(IMAGE_BYTES_MAX),
        levels: (0..LEVELS_MAX as u8).map(channel).collect(),
        stored: vec![MessageId([3; 16]); STORED_MAX],
        ..Connect::new("d".repeat(128).parse().expect("valid"), Duration::from_secs(1))
    };
    let bytes = device_bytes(&DeviceFrame::Connect(Box::new(longest)));
    assert!(bytes.len() <= DEVICE_BODY_BYTES_MAX, "{}", bytes.len());
}

#[test]
fn a_connect_beyond_a_limit_is_not_written() {
    let cases: [(&str, Connect); 6] = [
        ("keepalive", Connect { keepalive: Duration::from_millis(999), ..connect() }),
        ("window", Connect { window: 0, ..connect() }),
        ("window", Connect { window: WINDOW_MAX + 1, ..connect() }),
        ("credential", Connect { credential: vec![0; CREDENTIAL_BYTES_MAX + 1], ..connect() }),
        ("image", Connect { image: "i".repeat(IMAGE_BYTES_MAX + 1), ..connect() }),
        ("stored", Connect { stored: vec![MessageId([0; 16]); STORED_MAX + 1], ..connect() }),
    ];
    for (field, connect) in cases {
        let mut out = vec![1];
        let written = DeviceFrame::Connect(Box::new(connect)).encode(&mut out);
        assert_eq!((written, out), (Err(ProtocolError::BadValue(field)), vec![1]));
    }
}

#[test]
fn a_connect_that_is_cut_anywhere_is_malformed_and_one_with_extensions_is_not() {
    let whole = connect().encode().expect("within the limits");
    for cut in 0..whole.len() {
        assert!(matches!(Connect::decode(&whole[..cut]), Err(ProtocolError::Malformed(_))), "{cut}");
    }
    let with = |extension: &[u8]| Connect::decode(&[&whole[..], extension].concat());
    assert_eq!(with(&[1, 2, 8, 8, 3, 0]), Ok(connect()));
    assert_eq!(with(&[1, 2, 8, 8, 4, 0]), Err(ProtocolError::UnknownExtension(4)));
    assert_eq!(with(&[1, 2, 8]), Err(ProtocolError::Malformed("extension")));
}

#[test]
fn codes_stand_for_one_reason_each_and_unknown_ones_for_closing() {
    for reason in Reason::ALL {
        assert_eq!(Reason::from_code(reason.code()), reason);
        device_bytes(&DeviceFrame::Bye(reason));
    }
    assert!(Reason::ALL.is_sorted_by_key(|reason| reason.code()));
    assert_eq!(Reason::from_code(0x3f), Reason::Closing);
}

#[test]
fn broadcasts_of_one_frame_reach_the_top_and_one_too_far_ahead_steps_back() {
    use crate::protocol::broadcast::Missing;
    let payload = Payload::from_json(br#"{"img1/m1":[1,""]}"#).expect("JSON");
    let decode = |(frame, level): (bytes::Bytes, Level)| {
        let (raw, _) = split_frame(&frame, SERVER_BODY_BYTES_MAX).expect("well-formed").expect("whole");
        match ServerFrame::decode(raw) {
            Ok(Some(ServerFrame::Broadcast(broadcast))) if broadcast.level == level => broadcast,
            other => panic!("{other:?}"),
        }
    };
    let live = [payload.clone(), payload.clone()];
    let some = encode_broadcast(Missing::Last(2), Level(7), &live, "img1/m1").map(decode);
    let expected = Broadcast { channel: ChannelId::SYSTEM, level: Level(7), payloads: live.to_vec() };
    assert_eq!(some, Some(expected));
    let none = encode_broadcast(Missing::StepBack, Level(3), &live, "other/m1").map(decode);
    assert_eq!(none.map(|broadcast| (broadcast.level, broadcast.payloads)), Some((Level(3), vec![])));
}

#[test]
fn many_short_broadcasts_do_not_burst_the_frame() {
    use crate::protocol::broadcast::Missing;
    let short = Payload::from_json(br#"{"?/?":1}"#).expect("JSON");
    let live = vec![short; 7_000];
    let (frame, _) = encode_broadcast(Missing::Last(7_000), Level(i64::MAX), &live, "?/?").expect("some");
    assert!((SERVER_BODY_BYTES_MAX - 30..=SERVER_BODY_BYTES_MAX + 5).contains(&frame.len()));
}
