//! What the queue costs alone, over a store that keeps nothing: CPU for each message with a hundred
//! thousand others pending. Times are of the one thread that owns a queue.

use std::hint::black_box;

use divan::Bencher;
use divan::counter::ItemsCount;
use lomiri_push::base::{DeviceId, Now, Payload, Seq, Urgency, Wall};
use lomiri_push::queue::{Address, Command, Event, Limits, Notify, Queue, Wanted};

/// Messages pending, one a device.
const RESIDENT: u64 = 100_000;
/// Commands in a turn, as the storage thread finds them gathered under load.
const TURN: u64 = 256;

fn main() {
    divan::main();
}

fn device(number: u64) -> DeviceId {
    format!("{number:032x}").parse().expect("a device id")
}

fn message(to: u64, clear_pending: bool) -> Command {
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
fn turn(queue: &mut Queue, commands: Vec<Command>) -> Vec<Event> {
    let mut drawn = 0u64;
    let mut random = |bytes: &mut [u8]| {
        drawn += 1;
        bytes.copy_from_slice(&drawn.to_be_bytes()[..bytes.len()]);
    };
    queue.begin(Now { wall: Wall(1), ..Now::default() }, u64::MAX);
    for command in commands {
        black_box(queue.decide(command, &mut random));
    }
    black_box(queue.take_batch());
    queue.take_events()
}

fn filled() -> Queue {
    let mut queue = Queue::new(Limits::default());
    for first in (0..RESIDENT).step_by(1_000) {
        turn(&mut queue, (first..first + 1_000).map(|to| message(to, false)).collect());
    }
    queue
}

/// Messages, and then the acks of those just queued: two turns.
#[divan::bench]
fn notify_and_ack(bencher: Bencher) {
    let mut queue = filled();
    let mut next = 0;
    let commands = || {
        next += TURN;
        (next..next + TURN).map(|number| message(number * 7_919 % RESIDENT, false)).collect::<Vec<_>>()
    };
    bencher.counter(ItemsCount::new(TURN)).with_inputs(commands).bench_local_values(|commands| {
        let acks = turn(&mut queue, commands).into_iter().map(|event| match event {
            Event::Queued { device, message } => Command::Acked { device, seqs: vec![message.id.seq()] },
            Event::Channel(_) | Event::Revoked { .. } => unreachable!("nothing is broadcast"),
        });
        turn(&mut queue, acks.collect())
    });
}

#[divan::bench]
fn notify_that_clears(bencher: Bencher) {
    let mut queue = filled();
    let mut next = 0;
    let commands = || {
        next += TURN;
        (next..next + TURN).map(|number| message(number * 7_919 % RESIDENT, true)).collect::<Vec<_>>()
    };
    bencher
        .counter(ItemsCount::new(TURN))
        .with_inputs(commands)
        .bench_local_values(|commands| turn(&mut queue, commands));
}

/// A device at the longest that the queue allows, which each decision about it walks over.
#[divan::bench]
fn notify_to_the_fullest_device(bencher: Bencher) {
    let mut queue = Queue::new(Limits { messages_per_app_max: usize::MAX, ..Limits::default() });
    let fullest = Limits::default().messages_per_device_max as u64 - 1;
    turn(&mut queue, (0..fullest).map(|_| message(1, false)).collect());
    bencher.with_inputs(|| message(1, false)).bench_local_values(|command| {
        let queued = turn(&mut queue, vec![command]);
        let acks = queued.into_iter().filter_map(|event| match event {
            Event::Queued { device, message } => {
                Some(Command::Acked { device, seqs: vec![message.id.seq()] })
            }
            Event::Channel(_) | Event::Revoked { .. } => None,
        });
        turn(&mut queue, acks.collect())
    });
}

#[divan::bench]
fn list_a_page(bencher: Bencher) {
    let queue = filled();
    let wanted = Wanted { after: Seq(0), least: Urgency::VeryLow, messages_max: usize::MAX };
    let mut next = 0;
    let devices = || {
        next += 1;
        device(next * 7_919 % RESIDENT)
    };
    bencher
        .counter(ItemsCount::new(1u32))
        .with_inputs(devices)
        .bench_local_refs(|device| queue.list(device, wanted));
}
