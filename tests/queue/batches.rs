//! What is deleted goes in bounded batches, and a crash between any two of them loses nothing.

use std::time::Duration;

use lomiri_push::base::{CodeSecret, DeviceId, Now, Seq, SessionId, Wall};
use lomiri_push::queue::{
    Address, Answer, Batch, Command, Counts, Decision, Enrolled, Key, Limits, Notify, Place, Queue,
    Registered, Submission,
};
use lomiri_push::store::{DurableQueue, Memory, Store};

use super::world::{Seeded, app, device, notify, register, unregister};

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

/// Else the head of a batch would count a row that no batch brings, until the one that would have deleted it,
/// and a crash before that one leave a queue that does not open.
#[test]
fn a_tracked_message_that_is_forgotten_in_its_own_turn_is_never_counted() {
    let limits = Limits { tracked_max: 1, ..limits() };
    let (mut queue, mut store) = (Queue::new(limits), Memory::new());
    let Answer::Registered(tokens) = decided(&mut queue, &mut store, register("carol", "a")) else {
        panic!("no tokens")
    };
    for _ in 0..MESSAGES {
        decided(&mut queue, &mut store, large(false));
    }
    queue.begin(Now { wall: NOW, ..Now::default() }, u64::MAX);
    let acked = Command::Acked { device: device("carol"), seqs: (1..=MESSAGES).map(Seq).collect() };
    let submission = || {
        let notify = Notify { to: Address::Token(tokens.token), ..notify("nobody", "a", "1") };
        Submission { notify, repeat: None }
    };
    let send = Command::Send(std::iter::repeat_with(submission).take(2).collect());
    let mut random = Seeded(7);
    for command in [acked, send] {
        queue.decide(command, &mut |bytes| random.fill(bytes));
    }
    for batch in std::iter::from_fn(|| queue.take_batch()) {
        store.apply(&batch).expect("it works");
        let now = Now { wall: NOW, ..Now::default() };
        let reopened = DurableQueue::open(store.clone(), limits, now).expect("rows of whole batches");
        assert_eq!(reopened.counts().tracked, 1);
    }
}

/// Else the code would be good for another device after a crash.
#[test]
fn a_code_goes_with_the_batch_that_brings_its_device() {
    let (mut queue, mut store) = filled();
    let code = code(&mut queue, &mut store);
    queue.begin(Now { wall: NOW, ..Now::default() }, u64::MAX);
    let acked = Command::Acked { device: device("carol"), seqs: (1..=MESSAGES).map(Seq).collect() };
    let mut random = Seeded(7);
    for command in [acked, Command::Enrol { session: SessionId(1), code }] {
        queue.decide(command, &mut |bytes| random.fill(bytes));
    }
    let first = queue.take_batch().expect("an answer stands on it");
    assert!(first.puts.iter().any(|(key, _)| matches!(key, Key::Device(_))));
    assert!(first.deletes.contains(&Key::Code(code.digest())));
}

/// A code for a device of carol's.
fn code(queue: &mut Queue, store: &mut Memory) -> CodeSecret {
    let make =
        Command::MakeCode { user: "carol".parse().expect("valid"), valid_for: Duration::from_secs(60) };
    let Answer::Code(code) = decided(queue, store, make) else { panic!("no code") };
    code.secret
}

/// A device of carol's, with the app.
fn enrolled(queue: &mut Queue, store: &mut Memory) -> (Enrolled, Registered) {
    let enrol = Command::Enrol { session: SessionId(1), code: code(queue, store) };
    let Answer::Enrolment(enrolment) = decided(queue, store, enrol) else { panic!("no enrolment") };
    let device = enrolment.outcome.expect("a good code");
    let credential = Some(device.credential.clone());
    let register = Command::Register { device: device.device.clone(), app: app("a"), credential };
    let Answer::Registered(tokens) = decided(queue, store, register) else { panic!("no tokens") };
    (device, tokens)
}

/// The answer to one command, whose batches are written.
fn decided(queue: &mut Queue, store: &mut Memory, command: Command) -> Answer {
    queue.begin(Now { wall: NOW, ..Now::default() }, u64::MAX);
    let mut random = Seeded(1_000 + store.rows_mut().len() as u64 + queue.batches());
    let decision = queue.decide(command, &mut |bytes| random.fill(bytes));
    while let Some(batch) = queue.take_batch() {
        store.apply(&batch).expect("it works");
    }
    queue.take_events();
    match decision {
        Decision::Answer(answer) => answer,
        decision => panic!("{decision:?}"),
    }
}

#[test]
fn a_tracked_message_is_written_once_however_many_devices_ack_it() {
    let (mut queue, mut store) = (Queue::new(limits()), Memory::new());
    let devices: Vec<_> = (0..8).map(|_| enrolled(&mut queue, &mut store)).collect();
    let token = devices[0].1.user_token.expect("a user's");
    let notify = Notify { to: Address::Token(token), ..notify("nobody", "a", "1") };
    decided(&mut queue, &mut store, Command::Send(vec![Submission { notify, repeat: None }]));
    for (device, _) in &devices {
        let seqs = vec![Seq(1)];
        decided(&mut queue, &mut store, Command::Acked { device: device.device.clone(), seqs });
    }
    let batch = queue.take_any().expect("acks");
    let keys: Vec<Key> = batch.puts.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, [Key::Tracked(Seq(1)), Key::Head]);
    assert_eq!(batch.deletes.len(), devices.len());
}
