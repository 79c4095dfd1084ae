//! A queue over a store that keeps nothing, its commands and its turns. What is measured is not known here.

use std::hint::black_box;

use lomiri_push::base::{DeviceId, Now, Payload, Wall};
use lomiri_push::queue::{Address, Command, Event, Limits, Notify, Queue};

pub fn device(number: u64) -> DeviceId {
    format!("{number:032x}").parse().expect("a device id")
}

pub fn message(to: u64, clear_pending: bool) -> Command {
    let payload = format!("{{\"n\":{to},\"fill\":\"{}\"}}", "x".repeat(80));
    Command::Notify(Notify {
        to: Address::Device(device(to)),
        app: "chatter".parse().expect("an app id"),
        expires: Wall(1_000_000 + to % 1_000),
        payload: Payload::from_json(payload.as_bytes()).expect("JSON"),
        urgency: Default::default(),
        clear_pending,
        app_key: None,
        replace_tag: None,
    })
}

/// One turn as the storage thread runs it, but for the store.
pub fn turn(queue: &mut Queue, commands: Vec<Command>) -> Vec<Event> {
    let mut drawn = 0u64;
    let mut random = |bytes: &mut [u8]| {
        drawn += 1;
        bytes.copy_from_slice(&drawn.to_be_bytes()[..bytes.len()]);
    };
    queue.begin(Now { wall: Wall(1), ..Now::default() }, u64::MAX);
    queue.look_ahead(&commands);
    for command in commands {
        black_box(queue.decide(command, &mut random));
    }
    black_box(queue.take_batch());
    queue.take_events()
}

/// What the devices say that have stored what was queued in a turn.
pub fn acks(events: Vec<Event>) -> Vec<Command> {
    let acked = |event| match event {
        Event::Queued { device, message } => Command::Acked { device, seqs: vec![message.id.seq()] },
        Event::Channel(_) | Event::Revoked { .. } => unreachable!("nothing is broadcast, nobody revoked"),
    };
    events.into_iter().map(acked).collect()
}

/// A queue with so many messages pending, one a device.
pub fn filled(resident: u64) -> Queue {
    let mut queue = Queue::new(Limits::default());
    for first in (0..resident).step_by(1_000) {
        turn(&mut queue, (first..first + 1_000).map(|to| message(to, false)).collect());
    }
    queue
}
