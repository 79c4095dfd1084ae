//! What a sender is told of a message later, and requests that are made again.

use std::time::Duration;

use lomiri_push::base::{Credential, Digest, MessageId, Token};
use lomiri_push::protocol::wire1::{Outcome, Receipt};
use lomiri_push::queue::{
    Address, Answer, Command, Enrolled, Holder, Limits, MessageState, Notify, Refusal, Repeat, Sent, Status,
    Submission,
};

use super::world::{DAY, World, app, notify};

fn world() -> World {
    World::new(Limits::default())
}

fn to_token(token: Token, json: &str) -> Notify {
    Notify { to: Address::Token(token), ..notify("nobody", "chatter", json) }
}

fn send(world: &mut World, notify: Notify) -> Result<Sent, Refusal> {
    send_again(world, notify, None)
}

fn send_again(world: &mut World, notify: Notify, repeat: Option<Repeat>) -> Result<Sent, Refusal> {
    match world.one(Command::Send(vec![Submission { notify, repeat }])) {
        Answer::Sent(mut sent) => sent.pop().expect("one answer"),
        answer => panic!("{answer:?}"),
    }
}

fn query(world: &mut World, message: MessageId, token: Token) -> Result<MessageState, Refusal> {
    match world.one(Command::Query { message, by: Holder::Token(token) }) {
        Answer::State(state) => Ok(state),
        Answer::Refused(refusal) => Err(refusal),
        answer => panic!("{answer:?}"),
    }
}

fn status(world: &mut World, message: MessageId, token: Token) -> Status {
    query(world, message, token).expect("its fate is kept").devices[0].status
}

fn repeat(key: u8, request: u8) -> Option<Repeat> {
    Some(Repeat { key: Digest([key; 32]), request: Digest([request; 32]) })
}

fn tell(world: &mut World, device: &Enrolled, message: MessageId, outcome: Outcome) {
    world
        .promise([Command::Receipt { device: device.device.clone(), receipt: Receipt { message, outcome } }]);
}

#[test]
fn a_messages_fate_is_told_from_queue_to_screen_and_survives_restarts() {
    let mut world = world();
    let phone = world.enrol("carol");
    let token = world.tokens(&phone, "chatter").token;
    let sent = send(&mut world, to_token(token, "1")).expect("there is room");
    assert_eq!(sent.devices, [(phone.device.clone(), Status::Queued)]);
    assert_eq!(status(&mut world, sent.id, token), Status::Queued);

    let posted = world.now.wall;
    world.wait(Duration::from_secs(5));
    world.ack(phone.device.as_str(), 1);
    let delivered = world.now.wall;
    world.wait(Duration::from_secs(5));
    tell(&mut world, &phone, sent.id, Outcome::Shown);
    tell(&mut world, &phone, sent.id, Outcome::Opened);
    world.let_ride();
    world.restart();
    let state = query(&mut world, sent.id, token).expect("its fate is kept");
    assert_eq!((state.id, state.app, state.sent), (sent.id, app("chatter"), posted));
    let device = &state.devices[0];
    assert_eq!((device.status, device.delivered), (Status::Opened, Some(delivered)));
    assert_eq!(device.since, delivered + Duration::from_secs(5));
}

#[test]
fn the_ways_in_which_a_message_goes_unseen_are_told_apart() {
    let mut world = world();
    let phone = world.enrol("carol");
    let token = world.tokens(&phone, "chatter").token;
    let tagged = |json| Notify { replace_tag: Some("t".into()), ..to_token(token, json) };
    let replaced = send(&mut world, tagged("1")).expect("room").id;
    let cleared = send(&mut world, tagged("2")).expect("room").id;
    let clearing = Notify { clear_pending: true, ..to_token(token, "3") };
    let revoked = send(&mut world, clearing).expect("room").id;
    let soon = world.now.wall + Duration::from_secs(10);
    let expired = send(&mut world, Notify { expires: soon, ..to_token(token, "4") }).expect("room").id;
    world.wait(Duration::from_secs(10));
    world.promise([Command::Revoke { device: phone.device.clone() }]);
    let expected = [
        (replaced, Status::Replaced),
        (cleared, Status::Cleared),
        (expired, Status::Expired),
        (revoked, Status::Revoked),
    ];
    for (id, fate) in expected {
        assert_eq!(status(&mut world, id, token), fate);
    }
}

#[test]
fn what_a_device_brings_along_was_delivered_though_it_has_expired_here() {
    let mut world = world();
    let phone = world.enrol("carol");
    let token = world.tokens(&phone, "chatter").token;
    let soon = world.now.wall + Duration::from_secs(10);
    let id = send(&mut world, Notify { expires: soon, ..to_token(token, "1") }).expect("room").id;
    world.wait(Duration::from_secs(10));
    assert_eq!(status(&mut world, id, token), Status::Expired);
    let ids = vec![id, MessageId::new(id.seq(), [0; 8])];
    world.promise([Command::Stored { device: phone.device.clone(), ids }]);
    assert_eq!(status(&mut world, id, token), Status::Delivered);
}

#[test]
fn each_device_of_a_user_has_a_fate_of_its_own() {
    let mut world = World::new(Limits { messages_per_app_max: 1, ..Limits::default() });
    let (phone, tablet) = (world.enrol("carol"), world.enrol("carol"));
    let on_phone = world.tokens(&phone, "chatter");
    world.tokens(&tablet, "chatter");
    let token = on_phone.user_token.expect("a user's");
    send(&mut world, to_token(on_phone.token, "1")).expect("room");
    let sent = send(&mut world, to_token(token, "2")).expect("one has room");
    let of = |device: &Enrolled| sent.devices.iter().find(|(id, _)| *id == device.device).expect("told").1;
    assert_eq!((of(&phone), of(&tablet)), (Status::TooManyPending, Status::Queued));
    assert_eq!(send(&mut world, to_token(token, "3")), Err(Refusal::TooManyPending(None)));
    world.ack(tablet.device.as_str(), 1);
    let state = query(&mut world, sent.id, token).expect("kept");
    let statuses: Vec<_> = state.devices.iter().map(|device| device.status).collect();
    assert!(statuses.contains(&Status::TooManyPending) && statuses.contains(&Status::Delivered));
}

#[test]
fn only_who_holds_the_token_or_the_apps_key_may_ask() {
    let mut world = world();
    let phone = world.enrol("carol");
    let (chatter, mail) = (world.tokens(&phone, "chatter"), world.tokens(&phone, "mail"));
    let id = send(&mut world, to_token(chatter.token, "1")).expect("room").id;
    for other in [mail.token, chatter.user_token.expect("a user's"), Token([1; 16])] {
        assert_eq!(query(&mut world, id, other), Err(Refusal::UnknownMessage));
    }
    let guessed = MessageId::new(id.seq(), [0; 8]);
    assert_eq!(query(&mut world, guessed, chatter.token), Err(Refusal::UnknownMessage));

    let by = |key: &Credential| Command::Query { message: id, by: Holder::AppKey(key.clone()) };
    assert_eq!(world.refusal(by(&Credential::new([1; 32]))), Refusal::UnknownMessage);
    let Answer::AppKey(key) = world.one(Command::BindApp { app: app("chatter") }) else { panic!("no key") };
    assert!(matches!(world.one(by(&key)), Answer::State(_)));
}

#[test]
fn a_stranger_cannot_tell_the_fate_of_a_message() {
    let mut world = world();
    let (phone, other) = (world.enrol("carol"), world.enrol("bob"));
    let token = world.tokens(&phone, "chatter").token;
    let id = send(&mut world, to_token(token, "1")).expect("room").id;
    tell(&mut world, &other, id, Outcome::Opened);
    tell(&mut world, &phone, MessageId::new(id.seq(), [0; 8]), Outcome::Opened);
    assert_eq!(status(&mut world, id, token), Status::Queued);
}

#[test]
fn a_request_made_again_is_answered_again_and_not_sent_twice() {
    let mut world = world();
    let phone = world.enrol("carol");
    let token = world.tokens(&phone, "chatter").token;
    let first = send_again(&mut world, to_token(token, "1"), repeat(1, 1)).expect("room");
    world.ack(phone.device.as_str(), 1);
    world.let_ride();
    world.restart();
    assert_eq!(send_again(&mut world, to_token(token, "1"), repeat(1, 1)), Ok(first.clone()));
    assert_eq!(world.pending(phone.device.as_str()), [""; 0]);
    assert_eq!(send_again(&mut world, to_token(token, "2"), repeat(1, 2)), Err(Refusal::AnotherRequest));
    assert_ne!(send_again(&mut world, to_token(token, "1"), repeat(2, 1)).expect("room").id, first.id);
    world.wait(DAY);
    assert_ne!(send_again(&mut world, to_token(token, "1"), repeat(1, 1)).expect("room").id, first.id);
}

#[test]
fn a_request_made_again_for_a_bound_app_needs_the_apps_key_again() {
    let mut world = world();
    let phone = world.enrol("carol");
    let token = world.tokens(&phone, "chatter").token;
    let Answer::AppKey(key) = world.one(Command::BindApp { app: app("chatter") }) else { panic!("no key") };
    let with_key = |key: Option<&Credential>| Notify { app_key: key.cloned(), ..to_token(token, "1") };
    let first = send_again(&mut world, with_key(Some(&key)), repeat(1, 1)).expect("room");
    for wrong in [None, Some(Credential::new([9; 32]))] {
        for request in [1, 2] {
            let again = send_again(&mut world, with_key(wrong.as_ref()), repeat(1, request));
            assert_eq!(again, Err(Refusal::AppKeyNeeded));
        }
    }
    assert_eq!(send_again(&mut world, with_key(Some(&key)), repeat(1, 1)), Ok(first));
}

#[test]
fn a_key_is_of_one_token_and_a_refused_request_is_not_kept() {
    let mut world = World::new(Limits { messages_per_app_max: 1, ..Limits::default() });
    let (phone, tablet) = (world.enrol("carol"), world.enrol("carol"));
    let (one, other) = (world.tokens(&phone, "chatter").token, world.tokens(&tablet, "chatter").token);
    let first = send_again(&mut world, to_token(one, "1"), repeat(1, 1)).expect("room");
    let second = send_again(&mut world, to_token(other, "1"), repeat(1, 1)).expect("room");
    assert_ne!(first.id, second.id);
    let refused = send_again(&mut world, to_token(one, "2"), repeat(2, 2));
    assert_eq!(refused, Err(Refusal::TooManyPending(None)));
    world.ack(phone.device.as_str(), 1);
    send_again(&mut world, to_token(one, "2"), repeat(2, 2)).expect("room now");
}

#[test]
fn fates_are_forgotten_in_time_and_beyond_their_number() {
    let mut world = World::new(Limits { tracked_max: 2, tracked_for: DAY / 2, ..Limits::default() });
    let phone = world.enrol("carol");
    let token = world.tokens(&phone, "chatter").token;
    let ids: Vec<_> =
        ["1", "2", "3"].map(|json| send(&mut world, to_token(token, json)).expect("room").id).into();
    assert_eq!(query(&mut world, ids[0], token), Err(Refusal::UnknownMessage));
    assert_eq!(status(&mut world, ids[1], token), Status::Queued);
    let kept_longer = send_again(&mut world, to_token(token, "4"), repeat(1, 1)).expect("room").id;
    world.wait(DAY / 2);
    for id in [ids[2], kept_longer] {
        assert_eq!(query(&mut world, id, token), Err(Refusal::UnknownMessage));
    }
    assert_eq!(world.queue.counts().tracked, 1);
    let again = send_again(&mut world, to_token(token, "4"), repeat(1, 1)).expect("known again");
    assert_eq!(again.id, kept_longer);
    world.wait(DAY / 2);
    world.handle(Vec::new());
    assert_eq!(world.queue.counts().tracked, 0);
    world.let_ride();
    world.restart();
    assert_eq!(world.queue.counts().tracked, 0);
}

#[test]
fn an_erased_user_takes_the_fates_of_devices_along_that_were_revoked_before() {
    let mut world = world();
    let (phone, tablet) = (world.enrol("carol"), world.enrol("carol"));
    let on_phone = world.tokens(&phone, "chatter").token;
    let of_both = world.tokens(&tablet, "chatter").user_token.expect("a user's");
    send(&mut world, to_token(on_phone, "1")).expect("room");
    send_again(&mut world, to_token(of_both, "2"), repeat(1, 1)).expect("room");
    let bobs = world.enrol("bob");
    let kept = world.tokens(&bobs, "chatter").token;
    let kept_id = send(&mut world, to_token(kept, "3")).expect("room").id;
    for device in [&phone, &tablet] {
        world.promise([Command::Revoke { device: device.device.clone() }]);
    }
    world.let_ride();
    world.restart();
    let erase = || Command::EraseUser { user: "carol".parse().expect("valid") };
    world.promise([erase()]);
    assert_eq!(world.queue.counts().tracked, 1);
    assert_eq!(status(&mut world, kept_id, kept), Status::Queued);
    world.restart();
    assert_eq!(world.queue.counts().tracked, 1);
    assert_eq!(world.refusal(erase()), Refusal::UnknownUser);
}

#[test]
fn a_flood_of_one_app_takes_no_idempotency_key_of_anothers() {
    const TRACKED_MAX: usize = 10;
    let mut world = World::new(Limits { tracked_max: TRACKED_MAX, ..Limits::default() });
    let phone = world.enrol("carol");
    let (chatter, mail) = (world.tokens(&phone, "chatter").token, world.tokens(&phone, "mail").token);
    let by_mail = |json| Notify { app: app("mail"), ..to_token(mail, json) };
    let kept = send_again(&mut world, by_mail("1"), repeat(1, 1)).expect("room");
    let unkeyed = send(&mut world, by_mail("2")).expect("room").id;
    for n in 0..3 * TRACKED_MAX as u8 {
        send_again(&mut world, to_token(chatter, "1"), repeat(n, 1)).expect("room");
        if n == TRACKED_MAX as u8 / 2 {
            world.restart();
        }
    }
    assert_eq!(world.queue.counts().tracked, TRACKED_MAX);
    assert_eq!(send_again(&mut world, by_mail("1"), repeat(1, 1)), Ok(kept), "known again");
    assert_eq!(query(&mut world, unkeyed, mail), Err(Refusal::UnknownMessage));
    let newest = repeat(3 * TRACKED_MAX as u8 - 1, 2);
    assert_eq!(send_again(&mut world, to_token(chatter, "2"), newest), Err(Refusal::AnotherRequest));
    send_again(&mut world, to_token(chatter, "2"), repeat(0, 2)).expect("its own first key made room");
}

#[test]
fn a_fate_and_a_code_are_due_when_they_end() {
    let mut world = world();
    let phone = world.enrol("carol");
    let token = world.tokens(&phone, "chatter").token;
    send(&mut world, to_token(token, "1")).expect("room");
    let sent = world.now.wall;
    world.ack(phone.device.as_str(), 1);
    world.let_ride();
    assert_eq!(world.queue.due_in(world.now), Some(sent + DAY - world.now.wall));
    world.code("bob", Duration::from_secs(60));
    assert_eq!(world.queue.due_in(world.now), Some(Duration::from_secs(60)));
}
