//! What is deleted goes in bounded batches, and a crash between any two of them loses nothing.

use lomiri_push::base::{DeviceId, Now, Seq, Wall};
use lomiri_push::queue::{Batch, Command, Counts, Key, Limits, Notify, Place, Queue};
use lomiri_push::store::{DurableQueue, Memory, Store};

use super::world::{Seeded, device, notify, register, unregister};

const NOW: Wall = Wall(1_000);
const DELETED_BYTES_MAX: usize = 1 << 20;
/// Rows of some 6 KB: a few batches of deletes.
const MESSAGES: u64 = 600;

fn limits() -> Limits {
    Limits { messages_per_app_max: 10_000, ..Limits::default() }
}

fn large(clear_pending: bool) -> Command {
    let payload = format!("\"{}\"", "x".repeat(6_000));
    Command::Notify(Notify { clear_pending, ..notify("carol", "a", &payload) })
}

/// One turn of the queue, its batches written one by one.
fn turn(queue: &mut Queue, store: &mut Memory, commands: impl IntoIterator<Item = Command>) -> Vec<Batch> {
    queue.begin(Now { wall: NOW, ..Now::default() }, u64::MAX);
    let mut random = Seeded(store.rows_mut().len() as u64);
    for command in commands {
        queue.decide(command, &mut |bytes| random.fill(bytes));
    }
    let batches: Vec<Batch> = std::iter::from_fn(|| queue.take_batch()).collect();
    queue.take_events();
    for batch in &batches {
        store.apply(batch).expect("it works");
        let now = Now { wall: NOW, ..Now::default() };
        let reopened = DurableQueue::open(store.clone(), limits(), now).expect("rows of whole batches");
        let Counts { messages, registrations, .. } = reopened.counts();
        assert_eq!(messages + registrations, store.clone().rows_mut().len() - 1);
    }
    batches
}

fn filled() -> (Queue, Memory) {
    let (mut queue, mut store) = (Queue::new(limits()), Memory::new());
    let batches = turn(&mut queue, &mut store, (0..MESSAGES).map(|_| large(false)));
    assert_eq!(batches.len(), 1, "what is put goes in one batch");
    (queue, store)
}

fn deleted_bytes(batch: &Batch) -> usize {
    batch.deletes.len() * 6_000
}

fn assert_bounded(batches: &[Batch], deleted: usize) {
    assert!(batches.len() > 3, "{} batches", batches.len());
    assert!(batches.iter().all(|batch| deleted_bytes(batch) <= DELETED_BYTES_MAX));
    assert_eq!(batches.iter().map(|batch| batch.deletes.len()).sum::<usize>(), deleted);
}

#[test]
fn acks_of_much_are_written_at_once_in_bounded_batches() {
    let (mut queue, mut store) = filled();
    let carol: DeviceId = device("carol");
    let acked = Command::Acked { device: carol, seqs: (1..=MESSAGES).map(Seq).collect() };
    let mut batches = turn(&mut queue, &mut store, [acked]);
    batches.extend(std::iter::from_fn(|| queue.take_any()));
    assert_bounded(&batches, 600);
}

#[test]
fn acks_of_little_wait() {
    let (mut queue, mut store) = filled();
    let acked = Command::Acked { device: device("carol"), seqs: vec![Seq(1)] };
    assert!(turn(&mut queue, &mut store, [acked]).is_empty());
}

/// The first batch brings the message, so that a crash never leaves less than was promised.
#[test]
fn clearing_of_much_is_written_whole_before_it_is_answered() {
    let (mut queue, mut store) = filled();
    let batches = turn(&mut queue, &mut store, [large(true)]);
    assert_bounded(&batches, 600);
    assert!(batches[0].puts.iter().any(|(key, _)| *key == Key::Message(Place::single(Seq(MESSAGES + 1)))));
    assert_eq!(store.rows_mut().len(), 2, "the head and the message");
}

/// Else the old token and the new one would both be there after a crash, for the same app and device.
#[test]
fn a_token_is_gone_before_another_takes_its_place() {
    let (mut queue, mut store) = filled();
    turn(&mut queue, &mut store, [register("carol", "mail")]);
    let anew = [large(true), unregister("carol", "mail"), register("carol", "mail")];
    assert_bounded(&turn(&mut queue, &mut store, anew), 601);
}
