//! Scenes with few actors, each a behaviour that somebody relies on.

use std::time::Duration;

use lomiri_push::base::{AppId, DeviceId, Level, Payload, Token, Wall};
use lomiri_push::queue::{
    Address, Answer, Command, Counts, Limits, MESSAGE_BYTES_MAX, Notify, Refusal, Registered,
};
use lomiri_push::session::EndReason;

use crate::world::{EXCHANGE_TIMEOUT, PING_INTERVAL, World};

const HOUR: Duration = Duration::from_secs(3600);

pub fn device(name: &str) -> DeviceId {
    name.parse().expect("a device id")
}

pub fn app(name: &str) -> AppId {
    name.parse().expect("an app id")
}

pub fn payload(json: &str) -> Payload {
    Payload::from_json(json.as_bytes()).expect("JSON")
}

pub fn notify(world: &World, to: &str, json: &str) -> Notify {
    Notify {
        to: Address::Device(device(to)),
        app: app("chatter"),
        expires: world.now.wall + HOUR,
        payload: payload(json),
        urgency: Default::default(),
        clear_pending: false,
        app_key: None,
        replace_tag: None,
    }
}

pub fn post(world: &mut World, to: &str, json: &str) -> Answer {
    let message = notify(world, to, json);
    world.ask(Command::Notify(message))
}

fn broadcast(world: &mut World, json: &str) {
    let expires = world.now.wall + HOUR;
    let answer = world.ask(Command::Broadcast { channel: "system".into(), expires, payload: payload(json) });
    assert!(matches!(answer, Answer::Done), "{answer:?}");
}

#[test]
fn a_connected_device_gets_a_message_at_once() {
    let mut world = World::new();
    world.connect("carol");
    assert!(matches!(post(&mut world, "carol", "1"), Answer::Done));
    assert_eq!(world.device("carol").mailbox, ["1"]);
    assert_eq!(world.counts().messages, 0);
}

#[test]
fn messages_wait_for_an_absent_device_and_come_in_order() {
    let mut world = World::new();
    for number in 0..200 {
        post(&mut world, &format!("device-{}", number % 2), &number.to_string());
    }
    world.crash();
    world.connect("device-1");
    let expected: Vec<String> = (0..100).map(|number| (2 * number + 1).to_string()).collect();
    assert_eq!(world.device("device-1").received, expected);
    assert_eq!(world.counts().messages, 100);
}

#[test]
fn a_second_connect_ends_the_earlier_session_and_gets_all_that_is_pending() {
    let mut world = World::new();
    world.device("carol").is_silent = true;
    world.connect("carol");
    post(&mut world, "carol", "1");
    assert_eq!((world.registered(), world.sessions()), (1, 1));
    world.device("carol").is_silent = false;
    world.connect("carol");
    assert_eq!((world.registered(), world.sessions()), (1, 1));
    assert_eq!(world.device("carol").mailbox, ["1"]);
}

#[test]
fn a_device_that_never_acks_holds_nobody_up_and_ends_by_timeout() {
    let mut world = World::new();
    world.device("mute").is_silent = true;
    world.connect("mute");
    world.connect("carol");
    for number in 0..90 {
        post(&mut world, "mute", &number.to_string());
        post(&mut world, "carol", &number.to_string());
        assert_eq!(world.device("carol").mailbox.len(), number + 1);
    }
    world.pass(EXCHANGE_TIMEOUT + Duration::from_millis(20));
    assert_eq!((world.registered(), world.sessions()), (1, 1));
    world.device("mute").is_silent = false;
    world.connect("mute");
    assert_eq!(world.device("mute").mailbox.len(), 90);
}

#[test]
fn payloads_full_of_what_escaping_would_swell_are_delivered_and_the_queue_drains() {
    let mut world = World::new();
    let payload = format!("\"{}\"", "<&>\u{2028}".repeat(600));
    for _ in 0..50 {
        assert!(matches!(post(&mut world, "carol", &payload), Answer::Done));
    }
    world.connect("carol");
    assert_eq!(world.device("carol").mailbox, vec![payload; 50]);
    assert_eq!(world.counts().messages, 0);
}

#[test]
fn a_full_queue_of_the_largest_payloads_drains_frame_by_frame() {
    let mut world = World::new();
    let payload = format!("\"{}\"", "x".repeat(MESSAGE_BYTES_MAX - 2));
    for _ in 0..100 {
        post(&mut world, "carol", &payload);
    }
    world.connect("carol");
    assert_eq!(world.device("carol").mailbox.len(), 100);
    assert_eq!(world.counts().messages, 0);
}

#[test]
fn expired_and_replaced_messages_are_never_sent() {
    let mut world = World::new();
    let mut expiring = notify(&world, "carol", "1");
    expiring.expires = world.now.wall + Duration::from_secs(10);
    let tagged = |world: &World, json: &str| Notify {
        replace_tag: Some("news".into()),
        ..notify(world, "carol", json)
    };
    let (second, third) = (tagged(&world, "2"), tagged(&world, "3"));
    world.ask_all([expiring, second, third].map(Command::Notify).into());
    world.pass(Duration::from_secs(10));
    world.connect("carol");
    assert_eq!(world.device("carol").received, ["3"]);
}

#[test]
fn clearing_drops_what_is_pending_for_the_app_alone() {
    let mut world = World::new();
    post(&mut world, "carol", "1");
    let other = Notify { app: app("mail"), ..notify(&world, "carol", "2") };
    let clearing = Notify { clear_pending: true, ..notify(&world, "carol", "3") };
    world.ask_all(vec![Command::Notify(other), Command::Notify(clearing)]);
    world.connect("carol");
    assert_eq!(world.device("carol").received, ["2", "3"]);
}

#[test]
fn a_broadcast_reaches_every_device_that_runs_the_image_once() {
    let mut world = World::new();
    let names: Vec<String> = (0..700).map(|number| format!("device-{number}")).collect();
    names.iter().for_each(|name| world.connect(name));
    broadcast(&mut world, r#"{"i/m":1}"#);
    broadcast(&mut world, r#"{"i/other":2}"#);
    for name in &names {
        assert_eq!(world.device(name).broadcasts, [r#"{"i/m":1}"#], "{name}");
    }
}

#[test]
fn levels_survive_a_crash_and_bring_what_was_missed() {
    let mut world = World::new();
    for number in 1..=3 {
        broadcast(&mut world, &format!(r#"{{"i/m":{number}}}"#));
    }
    world.crash();
    world.device("carol").level = Level(1);
    world.connect("carol");
    assert_eq!(world.device("carol").broadcasts, [r#"{"i/m":2}"#, r#"{"i/m":3}"#]);
    broadcast(&mut world, r#"{"i/m":4}"#);
    assert_eq!(world.device("carol").level, Level(4));
    world.device("dave").level = Level(99);
    world.connect("dave");
    assert_eq!(world.device("dave").broadcasts, [r#"{"i/m":4}"#]);
    assert_eq!(world.device("dave").level, Level(4));
}

#[test]
fn an_idle_device_is_pinged_and_one_that_is_gone_is_noticed() {
    let mut world = World::new();
    world.connect("carol");
    world.pass(10 * PING_INTERVAL);
    assert_eq!(world.registered(), 1);
    assert!(world.device("carol").ends.is_empty());
    world.device("carol").connection = None;
    world.pass(PING_INTERVAL + EXCHANGE_TIMEOUT + Duration::from_millis(40));
    assert_eq!((world.registered(), world.sessions()), (0, 0));
}

#[test]
fn an_idle_device_with_nothing_pending_costs_the_queue_one_question() {
    let mut world = World::new();
    for number in 0..100 {
        world.connect(&format!("device-{number}"));
    }
    world.pass(10 * PING_INTERVAL);
    assert_eq!((world.registered(), world.shard_commands), (100, 100));
    assert_eq!(world.counts(), Counts::default());
}

#[test]
fn unsolicited_bytes_end_the_session() {
    let mut world = World::new();
    world.connect("carol");
    world.inject("carol", b"\0\x0b{\"T\":\"ack\"}");
    assert_eq!(world.device("carol").ends, [EndReason::Eof]);
    assert_eq!(world.sessions(), 0);
}

#[test]
fn a_token_survives_a_crash_and_dies_with_unregister() {
    let mut world = World::new();
    let register = || Command::Register { device: device("carol"), app: app("chatter"), credential: None };
    let token_of = |answer| match answer {
        Answer::Registered(Registered { token, .. }) => token,
        other => panic!("{other:?}"),
    };
    let token: Token = token_of(world.ask(register()));
    world.crash();
    assert_eq!(token_of(world.ask(register())), token);
    let by_token = |world: &World| Notify { to: Address::Token(token), ..notify(world, "carol", "1") };
    let message = by_token(&world);
    assert!(matches!(world.ask(Command::Notify(message)), Answer::Done));
    let foreign = Notify { app: app("mail"), ..by_token(&world) };
    let answer = world.ask(Command::Notify(foreign));
    assert!(matches!(answer, Answer::Refused(Refusal::Unauthorized)), "{answer:?}");
    world.ask(Command::Unregister { device: device("carol"), app: app("chatter"), credential: None });
    let late = by_token(&world);
    let answer = world.ask(Command::Notify(late));
    assert!(matches!(answer, Answer::Refused(Refusal::UnknownToken)), "{answer:?}");
    assert_ne!(token_of(world.ask(register())), token);
}

#[test]
fn a_queue_at_its_bound_refuses_and_takes_again_when_it_has_drained() {
    let limits = Limits { messages_max: 10, ..Limits::default() };
    let mut world = World::with_limits(limits);
    for number in 0..10 {
        assert!(matches!(post(&mut world, "carol", &number.to_string()), Answer::Done));
    }
    let answer = post(&mut world, "dave", "10");
    assert!(matches!(answer, Answer::Refused(Refusal::Unavailable)), "{answer:?}");
    world.connect("carol");
    assert_eq!(world.device("carol").mailbox.len(), 10);
    assert!(matches!(post(&mut world, "dave", "10"), Answer::Done));
}

#[test]
fn a_clock_that_starts_in_1970_does_not_bring_expired_messages_back() {
    let mut world = World::new();
    let mut message = notify(&world, "carol", "1");
    message.expires = world.now.wall + Duration::from_secs(100);
    world.ask(Command::Notify(message));
    world.pass(Duration::from_secs(500));
    post(&mut world, "dave", "2");
    world.crash();
    world.now.wall = Wall(0);
    world.connect("carol");
    assert!(world.device("carol").received.is_empty());
}
