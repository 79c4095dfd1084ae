//! How many instructions a message costs where the server spends most on it, as valgrind counts them: figures that
//! no other load on the machine moves, so that a change of one in a hundred is seen. Each thing is done `TIMES` times,
//! after it has been done before. It needs valgrind and gungraun's runner, and steps aside without them.

#[path = "setup/frames.rs"]
mod frames;
#[path = "setup/pair.rs"]
mod pair;
#[path = "setup/queue.rs"]
mod queue;
#[path = "setup/shard.rs"]
mod shard;

use std::env;
use std::process::{Command, Stdio};

/// So often is each thing done.
const TIMES: u32 = 100;
/// Devices of a shard, and messages pending in the queue: many enough that tables are deep, and
/// few enough for valgrind.
const RESIDENT: u32 = 10_000;
/// Is set where valgrind runs this program.
const IS_COUNTED: &str = "LOMIRI_PUSH_IS_COUNTED";
/// What it needs, and how to get it.
const TOOLS: [(&str, &str); 2] = [
    ("valgrind", "your system's package `valgrind`"),
    ("gungraun-runner", "`cargo install --locked gungraun-runner --version 0.20.0`"),
];

mod counted {
    use std::hint::black_box;

    use gungraun::prelude::*;
    use lomiri_push::protocol::Wire;
    use lomiri_push::protocol::wire1::{ServerFrame, kinds};
    use lomiri_push::queue::{Command, Event, Queue};

    use super::pair::Pair;
    use super::shard::Shard;
    use super::{IS_COUNTED, RESIDENT, TIMES, frames, queue, shard};

    /// A connection that has opened and sealed, and what its device says next.
    fn records(bytes: usize) -> (Pair, Vec<Vec<u8>>) {
        let mut pair = Pair::new(true);
        let mut next = || pair.device_says(1, bytes);
        let (mut first, next) = (next(), (0..TIMES).map(|_| next()).collect());
        let (mut plaintext, mut out) = (Vec::new(), Vec::new());
        pair.server.read(&mut first, &mut plaintext, &mut out).expect("intact");
        pair.server.write(&plaintext, &mut out).expect("open");
        (pair, next)
    }

    #[library_benchmark(setup = records)]
    #[bench::keepalive(1)]
    #[bench::message(100)]
    fn open_a_record((mut pair, mut records): (Pair, Vec<Vec<u8>>)) -> (Pair, Vec<Vec<u8>>) {
        let (mut plaintext, mut out) = (Vec::with_capacity(200), Vec::new());
        for record in &mut records {
            plaintext.clear();
            pair.server.read(record, &mut plaintext, &mut out).expect("intact");
        }
        black_box(plaintext);
        (pair, records)
    }

    fn plaintext(bytes: usize) -> (Pair, Vec<u8>) {
        (records(bytes).0, vec![7; bytes])
    }

    #[library_benchmark(setup = plaintext)]
    #[bench::keepalive(1)]
    #[bench::message(100)]
    fn seal_a_record((mut pair, plaintext): (Pair, Vec<u8>)) -> (Pair, Vec<u8>) {
        let mut out = Vec::with_capacity(200);
        for _ in 0..TIMES {
            out.clear();
            pair.server.write(black_box(&plaintext), &mut out).expect("open");
        }
        (pair, out)
    }

    /// Devices that have had a message, and the next for each of some.
    fn messages() -> (Shard, Vec<Event>) {
        let mut shard = Shard::with_devices(Wire::One, RESIDENT);
        let to_some = |round| (0..TIMES).map(move |number| shard::queued(number * 97, round));
        to_some(1).for_each(|event| assert_eq!(shard.deliver(event), 1));
        (shard, to_some(2).collect())
    }

    #[library_benchmark(setup = messages)]
    #[bench::among_10_000_devices()]
    fn deliver_a_message((mut shard, events): (Shard, Vec<Event>)) -> Shard {
        events.into_iter().for_each(|event| assert_eq!(shard.deliver(event), 1));
        shard
    }

    /// As many devices as things are done, which have had a broadcast, and the next.
    fn broadcast() -> (Shard, Event) {
        let mut shard = Shard::with_devices(Wire::One, TIMES);
        assert_eq!(shard.deliver(shard::broadcast(1)), TIMES);
        (shard, shard::broadcast(2))
    }

    #[library_benchmark(setup = broadcast)]
    #[bench::to_each_device()]
    fn deliver_a_broadcast((mut shard, event): (Shard, Event)) -> Shard {
        assert_eq!(shard.deliver(event), TIMES);
        shard
    }

    #[library_benchmark]
    #[bench::message(frames::message(100))]
    fn encode_a_frame(message: ServerFrame) -> ServerFrame {
        for _ in 0..TIMES {
            let mut out = Vec::new();
            black_box(&message).encode(&mut out);
            black_box(out);
        }
        message
    }

    #[library_benchmark]
    #[bench::ack(&[kinds::ACK, 1])]
    #[bench::ping(&[kinds::PING])]
    fn decode_a_frame(bytes: &[u8]) {
        (0..TIMES).for_each(|_| drop(black_box(frames::decode(bytes))));
    }

    /// A queue, and posts for devices that have something pending.
    fn posts() -> (Queue, Vec<Command>) {
        let mut queue = queue::filled(RESIDENT.into());
        let to_some = || (0..TIMES).map(|number| queue::message(u64::from(number) * 97, false)).collect();
        queue::turn(&mut queue, to_some());
        (queue, to_some())
    }

    fn acks() -> (Queue, Vec<Command>) {
        let (mut queue, posts) = posts();
        let queued = queue::turn(&mut queue, posts);
        (queue, queue::acks(queued))
    }

    #[library_benchmark]
    #[bench::post(posts())]
    #[bench::ack(acks())]
    fn decide((mut queue, commands): (Queue, Vec<Command>)) -> (Queue, Vec<Event>) {
        let events = queue::turn(&mut queue, commands);
        (queue, events)
    }

    library_benchmark_group!(
        name = delivery,
        benchmarks = [
            open_a_record,
            seal_a_record,
            decode_a_frame,
            encode_a_frame,
            deliver_a_message,
            deliver_a_broadcast,
            decide
        ]
    );
    gungraun::main!(
        config = LibraryBenchmarkConfig::default().env(IS_COUNTED, "1"),
        library_benchmark_groups = delivery
    );

    pub fn run() {
        main();
    }
}

fn main() {
    let is_asked = env::args().any(|argument| argument == "--bench");
    if env::var_os(IS_COUNTED).is_some() || (is_asked && has_tools()) {
        counted::run();
    }
}

/// Says what is missing.
fn has_tools() -> bool {
    let missing: Vec<_> = TOOLS.into_iter().filter(|(tool, _)| !is_installed(tool)).collect();
    for (tool, package) in &missing {
        println!("Nothing is counted without {tool}: install {package}.");
    }
    let must_be = env::var_os("LOMIRI_PUSH_REQUIRE_TOOLS").is_some();
    assert!(!must_be || missing.is_empty(), "tools are missing");
    missing.is_empty()
}

fn is_installed(tool: &str) -> bool {
    Command::new(tool).arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}
