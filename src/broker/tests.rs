//! One shard, one device, and a queue that answers when the test says so: what depends on an order
//! of events that the simulation in `tests/world` does not produce.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::base::{Credential, MessageId, Payload, Seq, Wall};
use crate::protocol::wire0::{self, Connect, DeviceMessage};
use crate::protocol::wire1;

const KEY: SessionKey = SessionKey(0);
const SESSION: SessionId = SessionId(1);
const PING_INTERVAL: Duration = Duration::from_secs(60);

fn carol() -> DeviceId {
    "carol".parse().expect("a device id")
}

/// A shard to which Carol has just connected on wire 0; her first question to the queue is open.
fn shard_with_carol() -> Broker {
    let frame = DeviceMessage::Connect(Connect::new(carol())).encode().expect("short");
    shard_that_hears(&[&[wire0::VERSION], &frame[..]].concat())
}

/// A shard to which a device has just connected with these bytes.
fn shard_that_hears(opening: &[u8]) -> Broker {
    shard_that(false, opening)
}

fn shard_that(is_auth_required: bool, opening: &[u8]) -> Broker {
    let session = server::Options {
        ping_interval: PING_INTERVAL,
        exchange_timeout: Duration::from_secs(10),
        keepalive_max: Duration::from_secs(7_200),
    };
    let session = Arc::new(session);
    let options = Options { shard: ShardId(0), shards: 1, is_auth_required, api_url: "".into(), session };
    let mut broker = Broker::new(options, Arc::new(Channel::default()));
    broker.handle_accepted(KEY, SESSION, Now::default());
    broker.handle_bytes(KEY, opening, Now::default());
    broker
}

/// Each device has one of each: a larger one is a decision (ARCHITECTURE.md, "What an idle device costs").
#[test]
fn what_a_shard_keeps_of_a_device_is_small() {
    assert!(size_of::<Option<Slot>>() <= 88, "{}", size_of::<Option<Slot>>());
    assert!(size_of::<Delivery>() <= 104, "{}", size_of::<Delivery>());
}

fn answer(broker: &mut Broker, message: DeviceMessage, now: Now) {
    broker.handle_bytes(KEY, &message.encode().expect("short"), now);
}

fn message(seq: u64, expires: u64) -> Arc<PendingMessage> {
    Arc::new(PendingMessage {
        id: MessageId::new(Seq(seq), [0; 8]),
        app: "chatter".parse().expect("an app id"),
        expires: Wall(expires),
        urgency: Default::default(),
        payload: Payload::from_json(seq.to_string().as_bytes()).expect("JSON"),
    })
}

fn queued(seq: u64, expires: u64) -> Event {
    Event::Queued { device: carol(), message: message(seq, expires) }
}

fn page(messages: Vec<Arc<PendingMessage>>, more: bool, newest: u64) -> Page {
    Page { device: carol(), session: SESSION, messages, more, newest: Seq(newest) }
}

/// What the shard wants done, in short: frames by their kind and payloads, questions by where they begin.
fn wanted(broker: &mut Broker) -> Vec<String> {
    let describe = |action| match action {
        Action::Send(_, frame) => {
            let body = String::from_utf8_lossy(&frame[2..]).into_owned();
            let payloads = body.split("\"P\":").skip(1).filter_map(|rest| rest.split('}').next());
            let kind = body.split('"').nth(3).expect("T comes first").to_owned();
            payloads.fold(kind, |text, payload| format!("{text} {payload}"))
        }
        Action::Command(Command::Fetch { after, .. }) => format!("fetch after {}", after.0),
        Action::Command(Command::Acked { seqs, .. }) => format!("acked {}", seqs.len()),
        Action::Close(_, _, reason) => format!("close: {reason}"),
        other => format!("{other:?}"),
    };
    std::iter::from_fn(|| broker.poll_action()).map(describe).collect()
}

#[test]
fn a_message_that_expired_on_its_way_from_the_queue_is_not_sent() {
    let mut broker = shard_with_carol();
    assert_eq!(wanted(&mut broker), ["connack", "fetch after 0"]);
    let now = Now { wall: Wall(100), ..Now::default() };
    broker.handle_page(&page(vec![message(1, 100), message(2, 101)], false, 2), now);
    assert_eq!(wanted(&mut broker), ["notifications 2"]);
    answer(&mut broker, DeviceMessage::Ack, now);
    assert_eq!(wanted(&mut broker), ["acked 1"]);
    broker.handle_event(queued(3, 100), now);
    assert!(wanted(&mut broker).is_empty());
    broker.handle_event(queued(4, 101), now);
    assert_eq!(wanted(&mut broker), ["notifications 4"]);
}

#[test]
fn a_page_that_finds_the_session_in_a_ping_is_asked_for_again() {
    let mut broker = shard_with_carol();
    let now = Now::default() + PING_INTERVAL;
    broker.handle_timeout(now);
    assert_eq!(wanted(&mut broker), ["connack", "fetch after 0", "ping"]);
    broker.handle_page(&page(vec![message(1, 1_000_000)], false, 1), now);
    assert!(wanted(&mut broker).is_empty());
    answer(&mut broker, DeviceMessage::Pong, now);
    assert_eq!(wanted(&mut broker), ["fetch after 0"]);
    broker.handle_page(&page(vec![message(1, 1_000_000)], false, 1), now);
    assert_eq!(wanted(&mut broker), ["notifications 1"]);
}

#[test]
fn a_message_that_is_told_and_stands_in_the_page_too_is_sent_once() {
    let mut broker = shard_with_carol();
    let now = Now::default();
    broker.handle_event(queued(1, 9), now);
    broker.handle_page(&page(vec![message(1, 9)], false, 1), now);
    broker.handle_event(queued(1, 9), now);
    assert_eq!(wanted(&mut broker), ["connack", "fetch after 0", "notifications 1"]);
    answer(&mut broker, DeviceMessage::Ack, now);
    assert_eq!(wanted(&mut broker), ["acked 1"]);
}

#[test]
fn a_page_for_an_earlier_session_is_not_taken() {
    let mut broker = shard_with_carol();
    wanted(&mut broker);
    let late = Page { session: SessionId(0), ..page(vec![message(1, 9)], false, 1) };
    broker.handle_page(&late, Now::default());
    assert!(wanted(&mut broker).is_empty());
}

/// However long what it has stored would wait for being as urgent as wanted.
#[test]
fn what_a_device_has_stored_is_told_before_its_first_page_is_asked_for() {
    let stored = vec![MessageId::new(Seq(7), [1; 8])];
    let connect =
        wire1::Connect { stored: stored.clone(), ..wire1::Connect::new(carol(), Duration::from_secs(60)) };
    let mut opening = vec![wire1::VERSION];
    wire1::DeviceFrame::Connect(Box::new(connect)).encode(&mut opening).expect("within the limits");
    let mut broker = shard_that_hears(&opening);
    let actions = std::iter::from_fn(|| broker.poll_action());
    let commands: Vec<Action> = actions.filter(|action| matches!(action, Action::Command(_))).collect();
    match &commands[..] {
        [Action::Command(Command::Stored { device, ids }), Action::Command(Command::Fetch { .. })] => {
            assert_eq!((device, ids), (&carol(), &stored));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_page_full_of_expired_messages_leads_to_the_next_page() {
    let mut broker = shard_with_carol();
    wanted(&mut broker);
    let now = Now { wall: Wall(100), ..Now::default() };
    broker.handle_page(&page(vec![message(1, 1), message(2, 1)], true, 7), now);
    assert_eq!(wanted(&mut broker), ["fetch after 2"]);
}

#[test]
fn shutdown_ends_every_session() {
    let mut broker = shard_with_carol();
    wanted(&mut broker);
    broker.shutdown(Stop::Restart, Now::default());
    assert_eq!(wanted(&mut broker), ["close: shutdown"]);
    assert_eq!(broker.next_deadline(), None);
    assert_eq!(broker.counts(), Counts::default());
}

fn opening_with(credential: &[u8]) -> Vec<u8> {
    let connect = wire1::Connect {
        credential: credential.to_vec(),
        ..wire1::Connect::new(carol(), Duration::from_secs(60))
    };
    let mut opening = vec![wire1::VERSION];
    wire1::DeviceFrame::Connect(Box::new(connect)).encode(&mut opening).expect("within the limits");
    opening
}

fn admission(session: SessionId, is_admitted: bool) -> Admission {
    Admission { device: carol(), session, is_admitted }
}

/// What the shard wants done, by the kind alone.
fn kinds(broker: &mut Broker) -> Vec<&'static str> {
    let kind = |action| match action {
        Action::Send(..) => "send",
        Action::Close(..) => "close",
        Action::Move(..) => "move",
        Action::Command(Command::Admit { .. }) => "admit",
        Action::Command(Command::Fetch { .. }) => "fetch",
        Action::Command(_) => "another command",
    };
    std::iter::from_fn(|| broker.poll_action()).map(kind).collect()
}

#[test]
fn a_device_waits_for_the_queues_word_before_it_is_let_in() {
    let mut broker = shard_that(true, &opening_with(&[7; 32]));
    match broker.poll_action() {
        Some(Action::Command(Command::Admit { device, session, credential })) => {
            assert_eq!((device, session, &credential[..]), (carol(), SESSION, &[7; 32][..]));
        }
        other => panic!("{other:?}"),
    }
    assert!(kinds(&mut broker).is_empty());
    assert_eq!(broker.counts().registered, 0);
    broker.handle_admission(&admission(SESSION, true), Now::default());
    assert_eq!(kinds(&mut broker), ["send", "fetch"]);
    assert_eq!(broker.counts().registered, 1);
}

#[test]
fn a_stranger_ends_no_session_but_its_own() {
    let mut broker = shard_that(true, &opening_with(&[7; 32]));
    broker.handle_admission(&admission(SESSION, true), Now::default());
    kinds(&mut broker);
    let (key, id) = (SessionKey(1), SessionId(2));
    broker.handle_accepted(key, id, Now::default());
    broker.handle_bytes(key, &opening_with(&[8; 32]), Now::default());
    assert_eq!(kinds(&mut broker), ["admit"]);
    broker.handle_admission(&admission(id, false), Now::default());
    let refused = std::iter::from_fn(|| broker.poll_action()).last();
    let expected = EndReason::Refused(Reason::Unauthorized);
    assert!(matches!(refused, Some(Action::Close(k, _, reason)) if k == key && reason == expected));
    broker.handle_event(queued(1, 9), Now::default());
    assert_eq!(broker.counts().registered, 1);
}

#[test]
fn a_word_on_a_session_that_is_gone_changes_nothing() {
    let mut broker = shard_that(true, &opening_with(&[7; 32]));
    broker.handle_end(KEY, EndReason::Eof, Now::default());
    kinds(&mut broker);
    // Its key is another's by now.
    broker.handle_accepted(KEY, SessionId(2), Now::default());
    broker.handle_admission(&admission(SESSION, true), Now::default());
    assert!(kinds(&mut broker).is_empty());
    assert_eq!(broker.counts().registered, 0);
}

#[test]
fn a_revoked_device_is_sent_away_whatever_it_is_doing() {
    let revoked = || Event::Revoked { device: carol() };
    let mut on_wire1 = shard_that(true, &opening_with(&[7; 32]));
    on_wire1.handle_admission(&admission(SESSION, true), Now::default());
    kinds(&mut on_wire1);
    on_wire1.handle_event(revoked(), Now::default());
    assert_eq!(kinds(&mut on_wire1), ["send", "close"]);

    let mut idle = shard_with_carol();
    wanted(&mut idle);
    idle.handle_event(revoked(), Now::default());
    assert_eq!(wanted(&mut idle), ["connwarn", "close: refused: unauthorized"]);

    let mut owes_an_ack = shard_with_carol();
    owes_an_ack.handle_page(&page(vec![message(1, 9)], false, 1), Now::default());
    wanted(&mut owes_an_ack);
    owes_an_ack.handle_event(revoked(), Now::default());
    assert_eq!(wanted(&mut owes_an_ack), ["close: refused: unauthorized"]);
}

#[test]
fn a_receipt_is_passed_on_to_the_queue() {
    let mut broker = shard_that_hears(&opening_with(&[]));
    kinds(&mut broker);
    let receipt = Receipt { message: MessageId::new(Seq(3), [1; 8]), outcome: Outcome::Shown };
    let mut frame = Vec::new();
    wire1::DeviceFrame::Receipt(receipt).encode(&mut frame).expect("short");
    broker.handle_bytes(KEY, &frame, Now::default());
    match broker.poll_action() {
        Some(Action::Command(Command::Receipt { device, receipt: told })) => {
            assert_eq!((device, told), (carol(), receipt));
        }
        other => panic!("{other:?}"),
    }
}

/// The shard's answer to a code, by what the queue says of it.
fn answer_to_a_code(
    outcome: Result<queue::Enrolled, Refusal>,
) -> (Vec<wire1::ServerFrame>, Vec<&'static str>) {
    let mut opening = vec![wire1::VERSION];
    wire1::DeviceFrame::Enrol(CodeSecret([5; 16])).encode(&mut opening).expect("short");
    let mut broker = shard_that(true, &opening);
    match broker.poll_action() {
        Some(Action::Command(Command::Enrol { session: SESSION, code })) => assert_eq!(code.0, [5; 16]),
        other => panic!("{other:?}"),
    }
    broker.handle_enrolment(Enrolment { session: SESSION, outcome }, Now::default());
    let mut frames = Vec::new();
    let mut rest = Vec::new();
    while let Some(action) = broker.poll_action() {
        match action {
            Action::Send(_, bytes) => {
                let (raw, _) = wire1::split_frame(&bytes, 255).expect("a frame").expect("whole");
                frames.push(wire1::ServerFrame::decode(raw).expect("known").expect("not skipped"));
            }
            Action::Close(..) => rest.push("close"),
            other => panic!("{other:?}"),
        }
    }
    (frames, rest)
}

#[test]
fn a_code_is_answered_by_a_device_or_a_goaway() {
    let credential = || Credential::new([9; 32]);
    let good = queue::Enrolled { device: carol(), credential: credential() };
    let enrolled = Enrolled { device: carol(), credential: credential(), api: String::new() };
    assert_eq!(answer_to_a_code(Ok(good)), (vec![wire1::ServerFrame::Enrolled(enrolled)], vec![]));
    for (refusal, expected) in [
        (Refusal::UnknownCode, Reason::Unauthorized),
        (Refusal::TooManyDevices, Reason::Overloaded),
        (Refusal::Unavailable, Reason::Overloaded),
    ] {
        let (frames, rest) = answer_to_a_code(Err(refusal));
        assert!(matches!(frames[..], [wire1::ServerFrame::Goaway(goaway)] if goaway.reason == expected));
        assert_eq!(rest, ["close"]);
    }
}
