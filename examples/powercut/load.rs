//! The load, in a process of its own: queues, acks, registers and broadcasts as fast as it can, and
//! tells on its output what was promised to it, one line each, until the store fails.
//!
//! ```text
//! queued NUMBER       the queue has promised this message
//! acking NUMBER       its ack is about to be given: from now on it may be gone
//! token DEVICE TOKEN  the queue has promised this token
//! level LEVEL         the queue has promised this level
//! ```

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::Write;

use lomiri_push::base::{DeviceId, MessageId, Monotonic, Now, Payload, Wall};
use lomiri_push::queue::{Address, Answer, Command, Event, Limits, Notify, Registered};
use lomiri_push::store::{DurableQueue, Outcomes, Store};

pub const DEVICES: u64 = 500;
/// Messages that a turn brings, as the storage thread would find them gathered.
const TURN: u64 = 64;
/// Beyond so many the oldest are acked, so that rows come and go.
const PENDING_MAX: usize = 4_000;
/// One turn in so many registers and broadcasts.
const RARE: u64 = 16;

/// Longest payload but for its frame: as long as the queue takes them, since long rows lie apart in sled.
const FILL_BYTES_MAX: u64 = 6_000;

pub const NOW: Now = Now { monotonic: Monotonic(std::time::Duration::ZERO), wall: Wall(1_000_000) };

pub fn limits() -> Limits {
    Limits {
        messages_per_app_max: usize::MAX,
        broadcasts_live_max: usize::MAX,
        free_disk_min_bytes: 0,
        ..Limits::default()
    }
}

pub fn device(number: u64) -> DeviceId {
    format!("device-{}", number % DEVICES).parse().expect("a device id")
}

/// Loads the queue until it fails, or until nobody listens any more. Messages are numbered from `first`.
pub fn run<S: Store>(mut queue: DurableQueue<S>, first: u64) -> std::io::Result<()> {
    let mut listener = std::io::stdout().lock();
    let mut pending = VecDeque::new();
    for turn in first / TURN.. {
        let acked = pending.len().saturating_sub(PENDING_MAX);
        let acks: Vec<(u64, MessageId)> = pending.drain(..acked).collect();
        let announced: String = acks.iter().map(|(number, _)| format!("acking {number}\n")).collect();
        listener.write_all(announced.as_bytes())?;
        listener.flush()?;

        let outcomes = queue.handle(commands(turn, &acks), NOW, &mut |bytes| {
            getrandom::fill(bytes).expect("the system has random bytes");
        });
        if let Some(failure) = queue.failure() {
            eprintln!("the load ends: {failure}");
            return Ok(());
        }
        listener.write_all(report(turn, &outcomes).as_bytes())?;
        listener.flush()?;
        pending.extend(outcomes.events.iter().filter_map(queued));
    }
    Ok(())
}

fn commands(turn: u64, acks: &[(u64, MessageId)]) -> Vec<Command> {
    let ack =
        |&(number, id): &(u64, MessageId)| Command::Acked { device: device(number), seqs: vec![id.seq()] };
    let mut commands: Vec<Command> = acks.iter().map(ack).collect();
    commands.extend((turn * TURN..(turn + 1) * TURN).map(message));
    if turn.is_multiple_of(RARE) {
        let app = "chatter".parse().expect("an app id");
        commands.push(Command::Register { device: device(turn / RARE), app, credential: None });
        let payload = Payload::from_json(b"{\"news\":true}").expect("JSON");
        commands.push(Command::Broadcast { channel: "system".into(), expires: Wall(u64::MAX), payload });
    }
    commands
}

fn message(number: u64) -> Command {
    let fill = "x".repeat((number * 37 % FILL_BYTES_MAX) as usize);
    let json = format!("{{\"n\":{number},\"fill\":\"{fill}\"}}");
    Command::Notify(Notify {
        to: Address::Device(device(number)),
        app: "chatter".parse().expect("an app id"),
        expires: Wall(u64::MAX),
        payload: Payload::from_json(json.as_bytes()).expect("JSON"),
        urgency: Default::default(),
        clear_pending: false,
        app_key: None,
        replace_tag: None,
    })
}

/// The number that a message carries.
pub fn number(payload: &Payload) -> u64 {
    let json: serde_json::Value = serde_json::from_slice(payload.as_bytes()).expect("JSON");
    json["n"].as_u64().expect("a number")
}

fn queued(event: &Event) -> Option<(u64, MessageId)> {
    match event {
        Event::Queued { message, .. } => Some((number(&message.payload), message.id)),
        Event::Channel(_) | Event::Revoked { .. } => None,
    }
}

fn report(turn: u64, outcomes: &Outcomes) -> String {
    let mut report = String::new();
    for event in &outcomes.events {
        let line = match event {
            Event::Queued { message, .. } => writeln!(report, "queued {}", number(&message.payload)),
            Event::Channel(channel) => writeln!(report, "level {}", channel.top),
            Event::Revoked { device } => writeln!(report, "revoked {device}"),
        };
        line.expect("a string takes all");
    }
    for answer in &outcomes.answers {
        if let Answer::Registered(Registered { token, .. }) = answer {
            writeln!(report, "token {} {}", turn / RARE, token.reveal()).expect("a string takes all");
        }
    }
    report
}
