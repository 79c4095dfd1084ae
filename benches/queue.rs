//! What the queue costs alone, over a store that keeps nothing: CPU for each message with a hundred
//! thousand others pending. Times are of the one thread that owns a queue.

#[path = "setup/queue.rs"]
mod setup;

use divan::Bencher;
use divan::counter::ItemsCount;
use lomiri_push::base::{Seq, Urgency};
use lomiri_push::queue::{Limits, Queue, Wanted};
use setup::{acks, device, filled, message, turn};

/// Messages pending, one a device.
const RESIDENT: u64 = 100_000;
/// Commands in a turn, as the storage thread finds them gathered under load.
const TURN: u64 = 256;

fn main() {
    divan::main();
}

/// Messages, and then the acks of those just queued: two turns.
#[divan::bench]
fn notify_and_ack(bencher: Bencher) {
    let mut queue = filled(RESIDENT);
    let mut next = 0;
    let commands = || {
        next += TURN;
        (next..next + TURN).map(|number| message(number * 7_919 % RESIDENT, false)).collect::<Vec<_>>()
    };
    bencher.counter(ItemsCount::new(TURN)).with_inputs(commands).bench_local_values(|commands| {
        let queued = turn(&mut queue, commands);
        turn(&mut queue, acks(queued))
    });
}

#[divan::bench]
fn notify_that_clears(bencher: Bencher) {
    let mut queue = filled(RESIDENT);
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
        turn(&mut queue, acks(queued))
    });
}

#[divan::bench]
fn list_a_page(bencher: Bencher) {
    let queue = filled(RESIDENT);
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
