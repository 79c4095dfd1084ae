//! What the durable queue costs on this machine's disk: promises per second with many others
//! pending, and what a pending message takes of memory, disk and the next start.
//!
//! `RESIDENT=1000000 cargo bench --bench store` sets how many are pending (100,000 otherwise);
//! `BENCH_DIR=/path` puts the queue on another disk than that of temporary files.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::process::Command as Process;
use std::time::{Duration, Instant};

use lomiri_push::base::{DeviceId, Monotonic, Now, Payload, Seq, Wall};
use lomiri_push::queue::{Address, Command, Event, Limits, Notify};
use lomiri_push::store::{Disk, DurableQueue};

const NOW: Now = Now { monotonic: Monotonic(Duration::ZERO), wall: Wall(1_000) };
/// Bytes of the payloads whose figures are per message; the loads mix sizes around it.
const PAYLOAD_BYTES: usize = 300;

type Queue = DurableQueue<Disk>;

/// Tells a process started by this one which directory to use, and so what to do.
const LOAD: &str = "STORE_BENCH_LOAD";
const START: &str = "STORE_BENCH_START";

fn main() {
    let resident = std::env::var("RESIDENT").map_or(100_000, |count| count.parse().expect("a number"));
    if let Some(dir) = std::env::var_os(LOAD) {
        return load(Path::new(&dir), resident);
    }
    if let Some(dir) = std::env::var_os(START) {
        return start(Path::new(&dir), resident);
    }
    let base = std::env::var_os("BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(base).expect("a directory to write in");
    for step in [LOAD, START] {
        let mut process = Process::new(std::env::current_exe().expect("known"));
        process.env(step, dir.path()).status().expect("starts again");
    }
}

/// Ends without a word, as if killed.
fn load(dir: &Path, resident: u64) {
    let mut queue = open(dir);
    fill(&mut queue, resident);
    println!("{resident} messages of {PAYLOAD_BYTES} bytes pending, one a device with a 32-byte id:");
    println!("  disk: {} bytes a message", file_bytes(dir) / resident);
    for in_flight in [64, 256] {
        report_load(&mut queue, in_flight, resident);
    }
    println!("  disk after these: {} bytes a message pending", file_bytes(dir) / resident);
    std::process::exit(0);
}

fn start(dir: &Path, resident: u64) {
    let started = Instant::now();
    let queue = open(dir);
    println!(
        "  start after a kill: {:.2} s, {:.2} s of CPU; {} MiB resident, {} at the peak",
        started.elapsed().as_secs_f64(),
        cpu_time().as_secs_f64(),
        memory_mib("VmRSS:"),
        memory_mib("VmHWM:")
    );
    assert!(queue.counts().messages as u64 >= resident);
}

fn open(dir: &Path) -> Queue {
    let limits = Limits { messages_max: usize::MAX, bytes_max: u64::MAX, ..Limits::default() };
    let store = Disk::open(dir).expect("the directory is ours");
    DurableQueue::open(store, limits, NOW).expect("an intact queue")
}

fn fill(queue: &mut Queue, count: u64) {
    for first in (0..count).step_by(1_000) {
        let commands = (first..(first + 1_000).min(count)).map(|to| message(to, PAYLOAD_BYTES)).collect();
        handle(queue, commands);
    }
}

fn message(to: u64, bytes: usize) -> Command {
    let payload = format!("\"{}\"", "x".repeat(bytes - 2));
    let device: DeviceId = format!("{to:032x}").parse().expect("a device id");
    Command::Notify(Notify {
        to: Address::Device(device),
        app: "chatter".parse().expect("an app id"),
        expires: Wall(u64::MAX),
        payload: Payload::from_json(payload.as_bytes()).expect("JSON"),
        urgency: Default::default(),
        clear_pending: false,
        app_key: None,
        replace_tag: None,
    })
}

fn handle(queue: &mut Queue, commands: Vec<Command>) -> Vec<(DeviceId, Seq)> {
    let mut random = |bytes: &mut [u8]| getrandom::fill(bytes).expect("the system has random bytes");
    let events = queue.handle(commands, NOW, &mut random).events;
    assert!(queue.failure().is_none(), "{:?}", queue.failure());
    let queued = |event| match event {
        Event::Queued { device, message } => Some((device, message.id.seq())),
        Event::Channel(_) | Event::Revoked { .. } => None,
    };
    events.into_iter().filter_map(queued).collect()
}

/// So many messages wait for their promise at any time; each is acked in the turn after.
fn report_load(queue: &mut Queue, in_flight: u64, resident: u64) {
    const RUN: Duration = Duration::from_secs(8);
    let mut turns = Vec::new();
    let mut delivered = VecDeque::new();
    let mut next = 1u64;
    let started = Instant::now();
    let cpu_before = cpu_time();
    while started.elapsed() < RUN {
        let mut commands: Vec<Command> =
            delivered.drain(..).map(|(device, seq)| Command::Acked { device, seqs: vec![seq] }).collect();
        for _ in 0..in_flight {
            next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            commands.push(message((next >> 33) % resident, 100 + (next >> 50) as usize % 500));
        }
        let turn = Instant::now();
        delivered.extend(handle(queue, commands));
        turns.push(turn.elapsed());
    }
    let elapsed = started.elapsed();
    turns.sort();
    let promised = turns.len() as u64 * in_flight;
    println!(
        "  {in_flight} in flight: {:.0} notifies with their acks per second, {:.1} µs of CPU each; a turn takes {:.1} ms, p99 {:.1} ms",
        promised as f64 / elapsed.as_secs_f64(),
        (cpu_time() - cpu_before).as_secs_f64() * 1e6 / promised as f64,
        turns[turns.len() / 2].as_secs_f64() * 1e3,
        turns[turns.len() * 99 / 100].as_secs_f64() * 1e3,
    );
}

fn file_bytes(dir: &Path) -> u64 {
    fs::metadata(dir.join("db")).expect("the data file").len()
}

/// A line of this process's status.
fn memory_mib(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|found| found.starts_with(line)).expect("Linux tells");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number");
    kib >> 10
}

/// User and system time of this process.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("below a second"))
}
