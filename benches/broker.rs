//! What one shard costs without sockets, TLS and disk: CPU for each connect, message, keepalive and
//! broadcast, on either wire. Times are of one thread that does nothing else.

#[path = "setup/shard.rs"]
mod shard;

use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;
use lomiri_push::broker::SessionKey;
use lomiri_push::protocol::Wire;
use lomiri_push::protocol::wire0::DeviceMessage;
use lomiri_push::protocol::wire1::kinds::PING;
use shard::{SILENCE, Shard, broadcast, queued};

const DEVICES: u32 = 10_000;
const WIRES: [Wire; 2] = [Wire::Zero, Wire::One];

fn main() {
    divan::main();
}

/// Version byte and CONNECT to CONNACK and the first question to the queue.
#[divan::bench(args = WIRES)]
fn connect(bencher: Bencher, wire: Wire) {
    bencher.counter(ItemsCount::new(1_000_u32)).with_inputs(|| Shard::empty(wire)).bench_local_values(
        |mut shard| {
            (0..1_000).for_each(|number| shard.connect(number));
            shard
        },
    );
}

/// A message of 100 bytes, from the queue's event to the device's ack, among 10,000 devices.
#[divan::bench(args = WIRES)]
fn unicast(bencher: Bencher, wire: Wire) {
    let mut shard = Shard::with_devices(wire, DEVICES);
    let mut seq = 0;
    let events = || {
        seq += 1;
        queued((seq % u64::from(DEVICES)) as u32, seq)
    };
    bencher
        .counter(ItemsCount::new(1_u32))
        .with_inputs(events)
        .bench_local_values(|event| assert_eq!(shard.deliver(event), 1));
}

/// One ping and its pong, for each of 10,000 devices at once: the server's on wire 0, the device's on wire 1.
#[divan::bench(args = WIRES)]
fn keepalive(bencher: Bencher, wire: Wire) {
    let mut shard = Shard::with_devices(wire, DEVICES);
    let pong = DeviceMessage::Pong.encode().expect("short");
    bencher.counter(ItemsCount::new(DEVICES)).bench_local(|| match wire {
        Wire::Zero => {
            shard.now = shard.now + SILENCE + Duration::from_secs(1);
            while shard.broker.next_deadline().is_some_and(|due| due <= shard.now.monotonic) {
                shard.broker.handle_timeout(shard.now);
                shard.settle(&pong);
            }
        }
        Wire::One => {
            shard.now = shard.now + SILENCE;
            for number in 0..DEVICES {
                shard.broker.handle_bytes(SessionKey(number), &[PING], shard.now);
                shard.broker.poll_action().expect("a PONG");
            }
        }
    });
}

/// One broadcast to each of 10,000 devices, to the last ack.
#[divan::bench(args = WIRES)]
fn broadcast_to_all(bencher: Bencher, wire: Wire) {
    let mut shard = Shard::with_devices(wire, DEVICES);
    let mut level = 0;
    let events = || {
        level += 1;
        broadcast(level)
    };
    bencher
        .counter(ItemsCount::new(DEVICES))
        .with_inputs(events)
        .bench_local_values(|event| assert_eq!(shard.deliver(event), DEVICES));
}
