//! Seeds of the two session targets: conversations of a few frames.

use std::path::Path;
use std::time::Duration;

use lomiri_push::base::Wall;
use lomiri_push::protocol::wire0::{self, DeviceMessage, ServerMessage};
use lomiri_push::protocol::wire1::{self, AppNumber, Connack, DeviceFrame, ServerFrame};

use super::super::device_session::ENROL;
use super::super::script::Step;
use super::{frames_of, script};

const DELIVER: Step = Step::Act(0);
const LEAVE: Step = Step::Act(6);

/// Each frame of a device, as the first one and as the answer to a delivery.
pub fn of_server(root: &Path) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (wire, opening) in [("wire0", opening_of_wire0()), ("wire1", opening_of_wire1())] {
        for frame in frames_of(root, wire, "device") {
            let first = [&opening[..1], &frame].concat();
            seeds.push(script(&[Step::Bytes(&first), DELIVER, Step::Jump]));
            seeds.push(script(&[Step::Bytes(&opening), DELIVER, Step::Bytes(&frame), Step::Jump]));
        }
    }
    seeds
}

/// Each frame of a server, as the first one and behind a CONNACK; those of wire 1 as the answer to a code too.
pub fn of_device(root: &Path) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (number, wire, opening) in [(0, "wire0", connack_of_wire0()), (1, "wire1", connack_of_wire1())] {
        let seed = |steps: &[Step]| [&[number][..], &script(steps)].concat();
        for frame in frames_of(root, wire, "server") {
            seeds.push(seed(&[Step::Bytes(&frame), Step::Jump]));
            seeds.push(seed(&[Step::Bytes(&opening), Step::Bytes(&frame), Step::Jump]));
        }
    }
    for frame in frames_of(root, "wire1", "server") {
        seeds.push([&[ENROL][..], &script(&[Step::Bytes(&frame), LEAVE])].concat());
    }
    seeds
}

fn opening_of_wire0() -> Vec<u8> {
    let connect = DeviceMessage::Connect(wire0::Connect::new("carol".parse().expect("an id")));
    [&[wire0::VERSION], &connect.encode().expect("short")[..]].concat()
}

fn opening_of_wire1() -> Vec<u8> {
    let connect = wire1::Connect::new("carol".parse().expect("an id"), Duration::from_secs(60));
    let mut opening = vec![wire1::VERSION];
    DeviceFrame::Connect(Box::new(connect)).encode(&mut opening).expect("within the limits");
    opening
}

fn connack_of_wire0() -> Vec<u8> {
    ServerMessage::Connack { ping_interval: Duration::from_secs(60) }.encode().expect("short").to_vec()
}

/// With the apps that vectors speak of.
fn connack_of_wire1() -> Vec<u8> {
    let connack = Connack { time: Wall(0), keepalive_max: Duration::from_secs(60), window: 4 };
    let mut opening = Vec::new();
    ServerFrame::Connack(connack).encode(&mut opening);
    for number in [0, 3, 15] {
        let number = AppNumber::new(number).expect("a number");
        ServerFrame::App(number, "chatter".parse().expect("an id")).encode(&mut opening);
    }
    opening
}
