//! What the durable queue costs on this machine's disk: promises per second with many others
//! pending, there, where each sync takes 5 ms more, and where devices are slow to ack; what a message writes
//! to the disk, what a pending one takes of it, what is left there of many that came and went, and what the
//! next start takes of time and memory. To make the messages up and to take what they lead to counts in
//! neither: in a server other threads do that.
//!
//! `RESIDENT=1000000 cargo bench --bench store` sets how many are pending, and how many more come and
//! go (100,000 otherwise); `BENCH_DIR=/path` puts the queue on another disk than that of temporary files.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fs;
use std::num::NonZeroU64;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command as Process;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use lomiri_push::base::{DeviceId, Monotonic, Now, Payload, Seq, Wall};
use lomiri_push::queue::{Address, Batch, Command, Event, Key, Limits, Notify};
use lomiri_push::store::{Disk, DurableQueue, Store, StoreError, TakeRow};
use rustix::process::{Signal, getpid, kill_process};
use rustix::thread::set_current_timer_slack;
use rustix::time::{ClockId, clock_gettime};

const NOW: Now = Now { monotonic: Monotonic(Duration::ZERO), wall: Wall(1_000) };
/// Bytes of the payloads whose figures are per message; the loads mix sizes around it.
const PAYLOAD_BYTES: usize = 300;

/// Notifies in a turn while nothing is measured: as many as a batch takes.
const TURN: u64 = 256;
/// How long each load runs.
const RUN: Duration = Duration::from_secs(8);
/// What a slow disk takes longer for a sync.
const SLOW_SYNC: Duration = Duration::from_millis(5);
/// How many messages come before one is acked where devices are slow: more than the store's journal holds.
const LATE: usize = 20_000;

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
    let run = |step| {
        let mut process = Process::new(std::env::current_exe().expect("known"));
        process.env(step, dir.path()).status().expect("starts again")
    };
    let status = run(LOAD);
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "it kills itself at its end");
    assert!(run(START).success());
}

/// Ends by a kill -9.
fn load(dir: &Path, resident: u64) {
    // Else the kernel makes each sleep up to 50 µs longer than the disk that it stands for.
    set_current_timer_slack(NonZeroU64::new(1)).expect("this thread may");
    let mut bench = Bench::open(dir, resident);
    bench.fill();
    println!("{resident} messages of {PAYLOAD_BYTES} bytes pending, one a device with a 32-byte id:");
    println!("  disk: {} bytes a message", file_bytes(dir) / resident);
    let mut cycles = 0;
    for in_flight in [64, 256] {
        cycles += bench.load(in_flight, Duration::ZERO);
    }
    for in_flight in [64, 256] {
        cycles += bench.load(in_flight, SLOW_SYNC);
    }
    let left = resident.saturating_sub(cycles);
    bench.cycle(left);
    println!("  disk after {} that came and went: {} MB", cycles + left, file_bytes(dir) / 1_000_000);
    bench.acked_after = LATE;
    for in_flight in [64, 256] {
        bench.load(in_flight, Duration::ZERO);
    }
    kill_process(getpid(), Signal::KILL).expect("this process may");
}

fn start(dir: &Path, resident: u64) {
    let started = Instant::now();
    let bench = Bench::open(dir, resident);
    println!(
        "  start after a kill: {:.2} s, {:.2} s of CPU; {} MiB resident, {} at the peak",
        started.elapsed().as_secs_f64(),
        cpu_time().as_secs_f64(),
        memory_mib("VmRSS:"),
        memory_mib("VmHWM:")
    );
    assert!(bench.queue.counts().messages as u64 >= resident);
}

/// The queue, and what goes through it.
struct Bench {
    queue: DurableQueue<Slowed>,
    slow: Rc<Cell<Duration>>,
    resident: u64,
    /// Delivered, the newest last; acked in the next turn but for so many.
    delivered: VecDeque<(DeviceId, Seq)>,
    acked_after: usize,
    random: u64,
}

/// What one turn of the load took.
struct Turn {
    /// How long, in the queue, on disk included.
    taken: Duration,
    /// CPU beside that, to make up what comes and to take what it leads to.
    beside_cpu: Duration,
}

impl Bench {
    fn open(dir: &Path, resident: u64) -> Bench {
        let limits = Limits { messages_max: usize::MAX, bytes_max: u64::MAX, ..Limits::default() };
        let slow = Rc::default();
        let disk = Disk::open(dir).expect("the directory is ours");
        let store = Slowed { disk, by: Rc::clone(&slow) };
        let queue = DurableQueue::open(store, limits, NOW).expect("an intact queue");
        Bench { queue, slow, resident, delivered: VecDeque::new(), acked_after: 0, random: 1 }
    }

    /// These stay.
    fn fill(&mut self) {
        let progress = progress("fill", self.resident);
        for first in (0..self.resident).step_by(1_000) {
            let last = (first + 1_000).min(self.resident);
            self.handle((first..last).map(|to| message(to, PAYLOAD_BYTES)).collect());
            progress.inc(last - first);
        }
    }

    /// So many notifies wait for their promise at any time. Says how many there were.
    fn load(&mut self, in_flight: u64, slow: Duration) -> u64 {
        self.slow.set(slow);
        let (mut turns, mut beside_cpu) = (Vec::new(), Duration::ZERO);
        let written_before = written_bytes();
        let (started, cpu_before) = (Instant::now(), cpu_time());
        while started.elapsed() < RUN {
            let turn = self.turn(in_flight);
            turns.push(turn.taken);
            beside_cpu += turn.beside_cpu;
        }
        let cpu = cpu_time() - cpu_before - beside_cpu;
        self.slow.set(Duration::ZERO);
        let taken: Duration = turns.iter().sum();
        turns.sort();
        let promised = turns.len() as u64 * in_flight;
        let late = if self.acked_after > 0 { ", acked late" } else { "" };
        println!("  {in_flight} in flight, {} ms more a sync{late}:", slow.as_millis());
        println!(
            "    {:.0} notifies with their acks per second, {:.1} µs of CPU and {} bytes written each",
            promised as f64 / taken.as_secs_f64(),
            cpu.as_secs_f64() * 1e6 / promised as f64,
            (written_bytes() - written_before) / promised,
        );
        println!(
            "    a turn takes {:.1} ms, p99 {:.1} ms",
            turns[turns.len() / 2].as_secs_f64() * 1e3,
            turns[turns.len() * 99 / 100].as_secs_f64() * 1e3,
        );
        promised
    }

    /// So many come, and go in the turn after.
    fn cycle(&mut self, count: u64) {
        let progress = progress("come and go", count);
        for first in (0..count).step_by(TURN as usize) {
            let length = TURN.min(count - first);
            self.turn(length);
            progress.inc(length);
        }
    }

    fn turn(&mut self, notifies: u64) -> Turn {
        let cpu_before = thread_cpu_time();
        let acked = |(device, seq)| Command::Acked { device, seqs: vec![seq] };
        let acks = self.delivered.len().saturating_sub(self.acked_after);
        let mut commands: Vec<Command> = self.delivered.drain(..acks).map(acked).collect();
        for _ in 0..notifies {
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            commands
                .push(message((self.random >> 33) % self.resident, 100 + (self.random >> 50) as usize % 500));
        }
        let (started, cpu_started) = (Instant::now(), thread_cpu_time());
        let events = self.handle(commands);
        let (taken, cpu) = (started.elapsed(), thread_cpu_time() - cpu_started);
        self.delivered.extend(events.into_iter().filter_map(queued));
        Turn { taken, beside_cpu: thread_cpu_time() - cpu_before - cpu }
    }

    fn handle(&mut self, commands: Vec<Command>) -> Vec<Event> {
        let mut random = |bytes: &mut [u8]| getrandom::fill(bytes).expect("the system has random bytes");
        let events = self.queue.handle(commands, NOW, &mut random).events;
        assert!(self.queue.failure().is_none(), "{:?}", self.queue.failure());
        events
    }
}

fn queued(event: Event) -> Option<(DeviceId, Seq)> {
    match event {
        Event::Queued { device, message } => Some((device, message.id.seq())),
        Event::Channel(_) | Event::Revoked { .. } => None,
    }
}

/// The disk, with syncs that take longer.
struct Slowed {
    disk: Disk,
    by: Rc<Cell<Duration>>,
}

impl Store for Slowed {
    fn apply(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.disk.apply(batch)?;
        // None at all costs no call of the system either.
        if !self.by.get().is_zero() {
            thread::sleep(self.by.get());
        }
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

/// On stderr, and only on a terminal.
fn progress(what: &'static str, count: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:12} {wide_bar} {human_pos} of {human_len}, {eta}");
    ProgressBar::new(count).with_style(style.expect("a template")).with_message(what)
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

fn file_bytes(dir: &Path) -> u64 {
    fs::metadata(dir.join("db")).expect("the data file").len()
}

/// What this process has had written to disks.
fn written_bytes() -> u64 {
    number("/proc/self/io", "write_bytes:")
}

/// A line of this process's status.
fn memory_mib(line: &str) -> u64 {
    number("/proc/self/status", line) >> 10
}

fn number(file: &str, line: &str) -> u64 {
    let text = fs::read_to_string(file).expect("Linux tells");
    let line = text.lines().find(|found| found.starts_with(line)).expect("Linux tells");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

/// User and system time of this process.
fn cpu_time() -> Duration {
    clock(ClockId::ProcessCPUTime)
}

/// The same of this thread.
fn thread_cpu_time() -> Duration {
    clock(ClockId::ThreadCPUTime)
}

fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("below a second"))
}
