//! The ledger finds what it is there to find, and leaves alone what is right either way.

use std::time::Duration;

use lomiri_push::base::{ChannelId, Level};

use super::super::phone::IMAGE;
use super::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn later(seconds: u64) -> Timestamp {
    NOW + Duration::from_secs(seconds)
}

fn post(tag: Option<&str>) -> Post {
    let tag = tag.map(str::to_owned);
    Post { device: "carol".into(), app: "chatter".into(), tag, clears: false, expires: later(10) }
}

fn ledger_with(posts: &[(Option<&str>, Outcome)]) -> Ledger {
    let mut ledger = Ledger::default();
    for (tag, outcome) in posts {
        let number = ledger.post(post(*tag));
        ledger.answered(number, *outcome);
    }
    ledger
}

fn notification(number: usize, id: u8) -> device::Message {
    device::Message {
        urgency: Default::default(),
        expires_in: None,
        app: "chatter".parse().expect("valid"),
        id: MessageId([id; 16]),
        payload: Payload::from_json(format!(r#"{{"numbers":{{"carol":{number}}}}}"#).as_bytes())
            .expect("JSON"),
    }
}

/// Carol connects, gets these numbers and stores them.
fn get(ledger: &mut Ledger, numbers: &[usize]) {
    let all: Vec<_> = numbers.iter().map(|number| notification(*number, *number as u8)).collect();
    let (mut visit, _) = ledger.visit("carol", NOW);
    ledger.came(&mut visit, &all);
    ledger.stored(&visit, &all);
}

fn news(level: i64, numbers: &[usize]) -> Broadcast {
    let payload = |number| format!(r#"{{"{IMAGE}":{{"number":{number}}}}}"#);
    let payloads = numbers.iter().map(|n| Payload::from_json(payload(n).as_bytes()).expect("JSON")).collect();
    let (channel, level) = (ChannelId::SYSTEM, Level(level));
    Broadcast { channel, level, payloads }
}

fn assert_well(ledger: &Ledger) {
    assert_eq!(ledger.complaints(), [""; 0]);
}

fn assert_complains(ledger: &Ledger, of: &str) {
    assert!(matches!(ledger.complaints(), [one] if one.contains(of)), "{of}: {:?}", ledger.complaints());
}

use Outcome::{Accepted, Refused, Unanswered};

#[test]
fn an_accepted_message_is_owed_until_it_expires() {
    let mut ledger = ledger_with(&[(None, Accepted)]);
    ledger.check_device("carol", later(10));
    assert_well(&ledger);
    ledger.check_device("carol", later(9));
    assert_complains(&ledger, "was lost");
}

#[test]
fn an_unanswered_message_may_come_or_not_but_not_go_again() {
    let mut ledger = ledger_with(&[(None, Unanswered)]);
    ledger.check_device("carol", NOW);
    let (mut visit, _) = ledger.visit("carol", NOW);
    ledger.came(&mut visit, &[notification(0, 0)]);
    assert_well(&ledger);
    ledger.check_device("carol", NOW);
    assert_complains(&ledger, "was lost");
}

#[test]
fn a_replaced_message_may_be_on_its_way_but_not_come_in_a_later_session() {
    let mut ledger = ledger_with(&[(Some("tag"), Accepted)]);
    let (mut visit, _) = ledger.visit("carol", NOW);
    let number = ledger.post(post(Some("tag")));
    ledger.answered(number, Accepted);
    ledger.came(&mut visit, &[notification(0, 0)]);
    assert_well(&ledger);
    get(&mut ledger, &[0]);
    assert_complains(&ledger, "after it had been dropped");
}

#[test]
fn a_post_without_answer_leaves_what_it_replaces_in_doubt_until_that_comes() {
    for comes in [false, true] {
        let mut ledger = ledger_with(&[(Some("tag"), Accepted), (Some("tag"), Unanswered)]);
        ledger.check_device("carol", NOW);
        assert_well(&ledger);
        if comes {
            let (mut visit, _) = ledger.visit("carol", NOW);
            ledger.came(&mut visit, &[notification(0, 0)]);
            ledger.check_device("carol", NOW);
            assert_complains(&ledger, "message 0");
        }
    }
}

#[test]
fn a_replacement_without_answer_that_comes_has_dropped_what_it_replaces() {
    let mut ledger = ledger_with(&[(Some("tag"), Accepted), (Some("tag"), Unanswered)]);
    get(&mut ledger, &[1]);
    assert_well(&ledger);
    get(&mut ledger, &[0]);
    assert_complains(&ledger, "after it had been dropped");
}

#[test]
fn what_nobody_posted_or_was_refused_or_has_expired_must_not_come() {
    let mut ledger = ledger_with(&[(None, Refused)]);
    get(&mut ledger, &[7]);
    assert_complains(&ledger, "which nobody posted");

    let mut ledger = ledger_with(&[(None, Refused)]);
    get(&mut ledger, &[0]);
    assert_complains(&ledger, "was refused");

    let mut ledger = ledger_with(&[(None, Accepted)]);
    let (mut visit, _) = ledger.visit("carol", later(10));
    ledger.came(&mut visit, &[notification(0, 0)]);
    assert_complains(&ledger, "had expired");
}

#[test]
fn what_comes_out_of_order_or_under_two_ids_is_found() {
    let mut ledger = ledger_with(&[(None, Accepted), (None, Accepted)]);
    get(&mut ledger, &[1, 0]);
    assert_complains(&ledger, "out of order");

    let mut ledger = ledger_with(&[(None, Accepted)]);
    get(&mut ledger, &[0]);
    let (mut visit, _) = ledger.visit("carol", NOW);
    ledger.came(&mut visit, &[notification(0, 9)]);
    assert_complains(&ledger, "queued twice");
}

fn ledger_with_broadcasts(outcomes: &[Outcome]) -> Ledger {
    let mut ledger = Ledger::default();
    for outcome in outcomes {
        let number = ledger.broadcast(later(10));
        ledger.broadcast_answered(number, *outcome);
    }
    ledger
}

#[test]
fn levels_count_every_accepted_broadcast_and_no_refused_one() {
    for (level, complaint) in [(1, "the level is 1 after 2"), (2, ""), (3, ""), (4, "counts what nobody")] {
        let mut ledger = ledger_with_broadcasts(&[Accepted, Accepted, Unanswered, Refused]);
        let (visit, _) = ledger.visit("carol", NOW);
        ledger.broadcast_came(&visit, &news(level, &[0, 1]));
        ledger.check_device("carol", NOW);
        match complaint {
            "" => assert_well(&ledger),
            complaint => assert_complains(&ledger, complaint),
        }
    }
}

#[test]
fn a_lost_broadcast_and_a_level_that_steps_back_are_found() {
    let mut ledger = ledger_with_broadcasts(&[Accepted, Accepted]);
    let (visit, _) = ledger.visit("carol", NOW);
    ledger.broadcast_came(&visit, &news(2, &[0]));
    ledger.check_device("carol", NOW);
    assert_complains(&ledger, "broadcast 1 was lost");

    let mut ledger = ledger_with_broadcasts(&[Accepted, Accepted]);
    let (visit, _) = ledger.visit("carol", NOW);
    ledger.broadcast_came(&visit, &news(2, &[0]));
    ledger.broadcast_came(&visit, &news(1, &[1]));
    assert_complains(&ledger, "stepped back");
}
