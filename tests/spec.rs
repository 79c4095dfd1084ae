//! Holds the conversations that `protocol-spec/wire1-bytes.md` spells out to the code: their bytes are
//! frames, and the code writes the same ones.

use std::fs;
use std::path::Path;

use lomiri_push::protocol::wire1::{
    DEVICE_BODY_BYTES_MAX, DeviceFrame, SERVER_BODY_BYTES_MAX, ServerFrame, VERSION, split_frame,
};

/// What one side sends at one moment.
struct Turn {
    is_device: bool,
    bytes: Vec<u8>,
}

/// The conversation under this heading.
fn turns(heading: &str) -> Vec<Turn> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("protocol-spec/wire1-bytes.md");
    let page = fs::read_to_string(page).expect("the spec is part of the source");
    let conversation = page.split("\n## ").find(|part| part.starts_with(heading)).expect("its heading");
    let mut turns: Vec<Turn> = Vec::new();
    for line in conversation.lines() {
        if line.starts_with("**") {
            turns.push(Turn { is_device: line.starts_with("**The device**"), bytes: Vec::new() });
        } else if line.starts_with("| `") {
            let column = line.split('|').nth(1).expect("a table has columns").replace('`', " ");
            let byte = |digits| u8::from_str_radix(digits, 16).expect("two hexadecimal digits");
            turns.last_mut().expect("somebody speaks").bytes.extend(column.split_whitespace().map(byte));
        }
    }
    turns
}

/// The names of the frames in `bytes`, which the code writes in the same way.
fn frames(turn: &Turn, bytes: &[u8]) -> Vec<&'static str> {
    let body_bytes_max = if turn.is_device { DEVICE_BODY_BYTES_MAX } else { SERVER_BODY_BYTES_MAX };
    let (mut names, mut written, mut left) = (Vec::new(), Vec::new(), bytes);
    while let Some((raw, used)) = split_frame(left, body_bytes_max).expect("well-formed") {
        if turn.is_device {
            let frame = DeviceFrame::decode(raw).expect("a frame").expect("a known one");
            frame.encode(&mut written).expect("within the limits");
            names.push(frame.name());
        } else {
            let frame = ServerFrame::decode(raw).expect("a frame").expect("a known one");
            frame.encode(&mut written);
            names.push(frame.name());
        }
        left = &left[used..];
    }
    assert_eq!((left, &written[..]), (&[][..], bytes));
    names
}

/// The names of the frames that are said at each moment.
fn said(heading: &str) -> Vec<String> {
    let names = |turn: &Turn| {
        let opening = turn.bytes.strip_prefix(&[VERSION]);
        frames(turn, opening.unwrap_or(&turn.bytes)).join(" ")
    };
    turns(heading).iter().map(names).collect()
}

#[test]
fn the_enrolment_of_the_spec_is_made_of_frames() {
    assert_eq!(said("An enrolment"), ["ENROL", "ENROLLED", "BYE"]);
}

#[test]
fn the_session_of_the_spec_is_made_of_frames() {
    let expected =
        ["CONNECT", "CONNACK BROADCAST APP MESSAGE MESSAGE", "ACK", "PING RECEIPT", "PONG", "GOAWAY"];
    assert_eq!(said("A session"), expected);
}
