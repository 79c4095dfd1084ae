//! What the durable queue costs on this machine's disk: promises per second with many others
//! pending, the same as if each sync took 5 ms more, and what a pending message takes of memory, disk and the next
//! start. As many messages come and go as are pending, to see what they leave behind.
//!
//! `RESIDENT=1000000 cargo bench --bench store` sets how many are pending (100,000 otherwise);
//! `BENCH_DIR=/path` puts the queue on another disk than that of temporary files.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::process::Command as Process;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use lomiri_push::base::{DeviceId, Monotonic, Now, Payload, Seq, Wall};
use lomiri_push::queue::{Address, Batch, Command, Event, Key, Limits, Notify};
use lomiri_push::store::{Disk, DurableQueue, Store, StoreError, TakeRow};

const NOW: Now = Now { monotonic: Monotonic(Duration::ZERO), wall: Wall(1_000) };
/// Bytes of the payloads whose figures are per message; the loads mix sizes around it.
const PAYLOAD_BYTES: usize = 300;

/// What a sync of a slow disk takes more than one here: a memory card's, or a spinning disk's with a good cache.
const SLOW_SYNC: Duration = Duration::from_millis(5);
/// What a load takes at least.
const LOAD_TIME: Duration = Duration::from_secs(8);

type Queue = DurableQueue<Slowed>;

/// A disk whose syncs take longer, if somebody says so.
struct Slowed {
    disk: Disk,
    sync: Rc<Cell<Duration>>,
}

impl Store for Slowed {
    fn apply(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.disk.apply(batch)?;
        thread::sleep(self.sync.get());
        Ok(())
    }
    fn read(&self, key: Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.disk.read(key)
    }
    fn scan(&self, take: &mut TakeRow) -> Result<(), StoreError> {
        self.disk.scan(take)
    }
    fn free_disk_bytes(&self) -> Result<u64, StoreError> {
        self.disk.free_disk_bytes()
    }
    fn batches_written(&self) -> u64 {
        self.disk.batches_written()
    }
    fn file(&self) -> &Path {
        self.disk.file()
    }
}

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
    let sync = Rc::new(Cell::new(Duration::ZERO));
    let mut queue = open(dir, &sync);
    fill(&mut queue, resident);
    println!("{resident} messages of {PAYLOAD_BYTES} bytes pending, one a device with a 32-byte id:");
    println!("  disk: {} bytes a message", file_bytes(dir) / resident);
    let few = report_load(&mut queue, 64, resident, 0);
    let many = report_load(&mut queue, 256, resident, resident.saturating_sub(few));
    println!("  disk after {} more came and went: {} MB", few + many, file_bytes(dir) / 1_000_000);
    sync.set(SLOW_SYNC);
    println!("  if a sync takes {SLOW_SYNC:?} more:");
    report_load(&mut queue, 256, resident, 0);
    std::process::exit(0);
}

fn start(dir: &Path, resident: u64) {
    let started = Instant::now();
    let queue = open(dir, &Rc::default());
    println!(
        "  start after a kill: {:.2} s, {:.2} s of CPU; {} MiB resident, {} at the peak",
        started.elapsed().as_secs_f64(),
        cpu_time().as_secs_f64(),
        memory_mib("VmRSS:"),
        memory_mib("VmHWM:")
    );
    assert!(queue.counts().messages as u64 >= resident);
}

fn open(dir: &Path, sync: &Rc<Cell<Duration>>) -> Queue {
    let limits = Limits { messages_max: usize::MAX, bytes_max: u64::MAX, ..Limits::default() };
    let disk = Disk::open(dir).expect("the directory is ours");
    DurableQueue::open(Slowed { disk, sync: sync.clone() }, limits, NOW).expect("an intact queue")
}

fn fill(queue: &mut Queue, count: u64) {
    let bar = bar("filling", count);
    for first in (0..count).step_by(1_000) {
        let commands = (first..(first + 1_000).min(count)).map(|to| message(to, PAYLOAD_BYTES)).collect();
        handle(queue, commands);
        bar.set_position(first);
    }
    bar.finish_and_clear();
}

/// On the terminal, if there is one.
fn bar(what: &'static str, count: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}").expect("a template");
    ProgressBar::new(count).with_style(style).with_message(what)
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

/// So many messages wait for their promise at any time; each is acked in the turn after. At least `count` of them;
/// says how many it were.
fn report_load(queue: &mut Queue, in_flight: u64, resident: u64, count: u64) -> u64 {
    let bar = bar("loading", count);
    let mut turns = Vec::new();
    let mut delivered = VecDeque::new();
    let mut next = 1u64;
    let started = Instant::now();
    let cpu_before = cpu_time();
    while started.elapsed() < LOAD_TIME || (turns.len() as u64) * in_flight < count {
        let mut commands: Vec<Command> =
            delivered.drain(..).map(|(device, seq)| Command::Acked { device, seqs: vec![seq] }).collect();
        for _ in 0..in_flight {
            next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            commands.push(message((next >> 33) % resident, 100 + (next >> 50) as usize % 500));
        }
        let turn = Instant::now();
        delivered.extend(handle(queue, commands));
        turns.push(turn.elapsed());
        bar.set_position(turns.len() as u64 * in_flight);
    }
    bar.finish_and_clear();
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
    promised
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
