//! What the tests here ask of a queue on disk.

use std::path::Path;

use lomiri_push::base::{DeviceId, Now, Payload, Seq, SessionId, Urgency, Wall};
use lomiri_push::queue::{Address, Answer, Command, Limits, Notify, Page};
use lomiri_push::store::{Disk, DurableQueue, StoreError};

pub type Queue = DurableQueue<Disk>;

pub const NOW: Now =
    Now { monotonic: lomiri_push::base::Monotonic(std::time::Duration::ZERO), wall: Wall(1_000) };

/// Limits that leave the disk to the tests.
pub fn limits() -> Limits {
    Limits { free_disk_min_bytes: 0, ..Limits::default() }
}

pub fn open(dir: &Path) -> Result<Queue, StoreError> {
    DurableQueue::open(Disk::open(dir)?, limits(), NOW)
}

pub fn device(number: u64) -> DeviceId {
    format!("device-{number}").parse().expect("a device id")
}

/// A message that tells its number, and takes about `bytes` bytes.
pub fn message(to: u64, number: u64, bytes: usize) -> Command {
    let payload = format!("{{\"n\":{number},\"fill\":\"{}\"}}", "x".repeat(bytes));
    Command::Notify(Notify {
        to: Address::Device(device(to)),
        app: "chatter".parse().expect("an app id"),
        expires: Wall(u64::MAX),
        payload: Payload::from_json(payload.as_bytes()).expect("JSON"),
        urgency: Default::default(),
        clear_pending: false,
        app_key: None,
        replace_tag: None,
    })
}

pub fn handle(queue: &mut Queue, commands: Vec<Command>) -> Vec<Answer> {
    let mut drawn = 0u8;
    let mut random = |bytes: &mut [u8]| {
        drawn = drawn.wrapping_add(1);
        bytes.fill(drawn);
    };
    queue.handle(commands, NOW, &mut random).answers
}

/// Has the commands answered with [`Answer::Done`].
pub fn promise(queue: &mut Queue, commands: Vec<Command>) {
    for answer in handle(queue, commands) {
        assert!(matches!(answer, Answer::Done), "{answer:?}");
    }
}

/// The numbers of the messages pending for a device.
pub fn pending(queue: &mut Queue, device_number: u64) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut after = Seq(0);
    loop {
        let fetch = Command::Fetch {
            device: device(device_number),
            session: SessionId(1),
            after,
            least: Urgency::VeryLow,
            messages_max: usize::MAX,
        };
        let Some(Answer::Page(page)) = handle(queue, vec![fetch]).pop() else { panic!("not a page") };
        numbers.extend(page.messages.iter().map(|message| number(message.payload.as_bytes())));
        after = last(&page).unwrap_or(after);
        if !page.more {
            return numbers;
        }
    }
}

fn last(page: &Page) -> Option<Seq> {
    page.messages.last().map(|message| message.id.seq())
}

fn number(payload: &[u8]) -> u64 {
    let json: serde_json::Value = serde_json::from_slice(payload).expect("JSON");
    json["n"].as_u64().expect("a number")
}
