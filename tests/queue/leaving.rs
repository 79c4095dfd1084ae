//! Revoked devices and erased users of whom very much is stored: their rights end at once, and their rows
//! go in bounded turns, whatever happens in between.

use std::time::Duration;

use lomiri_push::base::{Digest, MessageId, Seq, Token};
use lomiri_push::queue::{
    Address, Answer, Command, Counts, Enrolled, Event, Holder, Limits, Notify, Refusal, Repeat, Status,
    Submission,
};
use lomiri_push::store::Fault;

use super::world::{DAY, World, notify, post, register};

/// Most rows that one turn takes away.
const ROWS_PER_TURN_MAX: usize = 20;
const MESSAGES: usize = 20 * ROWS_PER_TURN_MAX;

fn world() -> World {
    World::new(Limits {
        messages_per_app_max: MESSAGES,
        taken_away_per_turn_max: ROWS_PER_TURN_MAX,
        ..Limits::default()
    })
}

fn to(token: Token) -> Notify {
    Notify { to: Address::Token(token), ..notify("nobody", "chatter", "1") }
}

fn fill(world: &mut World, token: Token, messages: usize) {
    world.promise((0..messages).map(|_| Command::Notify(to(token))));
}

fn send(repeat: Option<Repeat>, token: Token) -> Command {
    Command::Send(vec![Submission { notify: to(token), repeat }])
}

fn sent(world: &mut World, repeat: Option<Repeat>, token: Token) -> Result<MessageId, Refusal> {
    match world.one(send(repeat, token)) {
        Answer::Sent(mut sent) => sent.pop().expect("one answer").map(|sent| sent.id),
        answer => panic!("{answer:?}"),
    }
}

fn revoke(device: &Enrolled) -> Command {
    Command::Revoke { device: device.device.clone() }
}

fn erase() -> Command {
    Command::EraseUser { user: "carol".parse().expect("valid") }
}

fn make_code() -> Command {
    Command::MakeCode { user: "carol".parse().expect("valid"), valid_for: DAY }
}

fn rows(world: &mut World) -> usize {
    world.rows().len()
}

/// Does what is due, turn by turn, until nothing is left to take away.
fn see_off(world: &mut World) {
    while world.queue.due_in(world.now) == Some(Duration::ZERO) {
        let before = rows(world);
        world.handle(Vec::new());
        let taken = before - rows(world);
        assert!(
            taken <= ROWS_PER_TURN_MAX + 1,
            "{taken} rows in one turn, at most one of them a user's mark"
        );
    }
}

/// Nothing is left to the device but rows.
fn assert_powerless(world: &mut World, device: &Enrolled, token: Token) {
    assert!(!world.is_admitted(&device.device, device.credential.as_bytes()));
    assert_eq!(world.refusal(Command::Notify(to(token))), Refusal::UnknownToken);
    assert_eq!(world.refusal(revoke(device)), Refusal::UnknownDevice);
    assert_eq!(world.page(device.device.as_str(), Seq(0)).messages, []);
    assert_eq!(world.queue.counts().registrations, 0);
}

#[test]
fn a_full_device_that_is_revoked_is_powerless_at_once_and_its_rows_go_in_turns() {
    let mut world = world();
    let phone = world.enrol("carol");
    let token = world.tokens(&phone, "chatter").token;
    let before = rows(&mut world);
    fill(&mut world, token, MESSAGES - 1);
    let events = world.promise([Command::Notify(to(token)), revoke(&phone)]);
    assert!(matches!(&events[..], [Event::Revoked { .. }]), "{events:?}");
    let taken = before + MESSAGES - rows(&mut world);
    assert_eq!(taken, ROWS_PER_TURN_MAX + 1, "in the turn that decides, with the user token");
    assert_powerless(&mut world, &phone, token);
    see_off(&mut world);
    assert_eq!(world.queue.counts(), Counts::default());
    assert_eq!(rows(&mut world), 1, "only the head is left");
}

#[test]
fn what_is_left_of_a_revoked_device_goes_after_a_restart() {
    let mut world = world();
    let phone = world.enrol("carol");
    let token = world.tokens(&phone, "chatter").token;
    fill(&mut world, token, MESSAGES);
    world.promise([revoke(&phone)]);
    world.restart();
    assert!(world.queue.counts().messages > 0);
    assert_powerless(&mut world, &phone, token);
    see_off(&mut world);
    assert_eq!(rows(&mut world), 1, "only the head is left");
}

#[test]
fn a_message_is_told_as_revoked_since_the_revocation_though_its_row_is_left() {
    let mut world = world();
    let phone = world.enrol("carol");
    let token = world.tokens(&phone, "chatter").token;
    fill(&mut world, token, MESSAGES - 1);
    let message = sent(&mut world, None, token).expect("room");
    let since = world.now.wall;
    world.promise([revoke(&phone)]);
    world.restart();
    world.wait(DAY / 4);
    let mut fate = || match world.one(Command::Query { message, by: Holder::Token(token) }) {
        Answer::State(state) => (state.devices[0].status, state.devices[0].since),
        answer => panic!("{answer:?}"),
    };
    assert_eq!(fate(), (Status::Revoked, since));
    see_off(&mut world);
    world.restart();
    let Answer::State(state) = world.one(Command::Query { message, by: Holder::Token(token) }) else {
        panic!("its fate is kept")
    };
    assert_eq!((state.devices[0].status, state.devices[0].since), (Status::Revoked, since));
}

/// In open mode anybody may name any device.
#[test]
fn the_id_of_a_device_that_is_leaving_is_nobodys_until_it_is_gone() {
    let mut world = world();
    let phone = world.enrol("carol");
    let token = world.tokens(&phone, "chatter").token;
    fill(&mut world, token, MESSAGES);
    world.promise([revoke(&phone)]);
    let id = phone.device.as_str();
    for _ in 0..2 {
        assert_eq!(world.refusal(register(id, "mail")), Refusal::Unavailable);
        world.restart();
        assert_eq!(world.refusal(post(id, "mail", "1")), Refusal::Unavailable);
    }
    see_off(&mut world);
    world.token(id, "mail");
    world.promise([post(id, "mail", "2")]);
    assert_eq!(world.pending(id), ["2"]);
}

#[test]
fn another_device_of_the_user_goes_on_while_one_is_leaving() {
    let mut world = world();
    let (phone, tablet) = (world.enrol("carol"), world.enrol("carol"));
    let on_phone = world.tokens(&phone, "chatter");
    fill(&mut world, on_phone.token, MESSAGES);
    world.promise([revoke(&phone)]);
    let on_tablet = world.tokens(&tablet, "chatter");
    assert_ne!(on_tablet.user_token, on_phone.user_token, "it died with its last registration");
    world.restart();
    assert_eq!(world.tokens(&tablet, "chatter"), on_tablet);
    world.promise([Command::Notify(to(on_tablet.user_token.expect("a user's")))]);
    world.enrol("carol");
    see_off(&mut world);
    assert_eq!(world.pending(tablet.device.as_str()), ["1"]);
    assert_eq!((world.queue.counts().enrolled, world.queue.counts().messages), (2, 1));
}

#[test]
fn an_erased_user_comes_again_when_all_is_gone() {
    let mut world = world();
    let phone = world.enrol("carol");
    let token = world.tokens(&phone, "chatter").token;
    let repeat = Some(Repeat { key: Digest([1; 32]), request: Digest([2; 32]) });
    let many = (0..MESSAGES / 2).map(|_| send(None, token)).collect();
    world.handle(many);
    let message = sent(&mut world, repeat, token).expect("room");
    let before = rows(&mut world);
    world.promise([erase(), erase()]);
    let taken = before + 1 - rows(&mut world);
    assert_eq!(taken, ROWS_PER_TURN_MAX, "in the turn that decides, with the mark that it writes");
    for _ in 0..2 {
        assert_eq!(world.refusal(make_code()), Refusal::Unavailable);
        let query = Command::Query { message, by: Holder::Token(token) };
        assert_eq!(world.refusal(query), Refusal::UnknownMessage);
        assert_eq!(sent(&mut world, repeat, token), Err(Refusal::UnknownToken));
        world.restart();
    }
    // A restart begins a turn, and the first command another that is written together with it.
    world.handle(Vec::new());
    see_off(&mut world);
    assert_eq!(world.refusal(erase()), Refusal::UnknownUser);
    let phone = world.enrol("carol");
    let token = world.tokens(&phone, "chatter").token;
    world.promise([Command::Notify(to(token)), erase()]);
    assert_eq!(world.queue.counts(), Counts::default());
    world.enrol("carol");
}

/// Codes, tokens, registrations, messages and fates, more of each than one turn takes with the others.
fn crowded() -> (World, Vec<Enrolled>, Token) {
    let mut world = world();
    let devices = vec![world.enrol("carol"), world.enrol("carol")];
    for device in &devices {
        for n in 0..150 {
            world.tokens(device, &format!("app{n}"));
        }
    }
    let token = world.tokens(&devices[0], "chatter").token;
    let both = world.tokens(&devices[1], "chatter").user_token.expect("a user's");
    fill(&mut world, token, MESSAGES / 4);
    let many = (0..MESSAGES / 4).map(|_| send(None, both)).collect();
    world.handle(many);
    world.handle((0..100).map(|_| make_code()).collect());
    (world, devices, token)
}

#[test]
fn an_erasure_ends_whole_wherever_it_is_cut() {
    for fault in [Fault::CrashBefore, Fault::CrashAfter] {
        for cut in [0, 1, 2, 5, 10, 20, 30] {
            let (mut world, devices, token) = crowded();
            let code = world.code("carol", DAY);
            if cut > 0 {
                world.promise([erase()]);
            }
            (1..cut).for_each(|_| drop(world.handle(Vec::new())));
            world.queue.store_mut().fail_next(fault);
            world.handle(if cut == 0 { vec![erase()] } else { Vec::new() });
            world.restart();
            if (cut, fault) == (0, Fault::CrashBefore) {
                assert_eq!(world.queue.counts().enrolled, 2, "as if it had never been asked for");
                continue;
            }
            devices.iter().for_each(|device| assert_powerless(&mut world, device, token));
            assert_eq!(world.use_code(code).err(), Some(Refusal::UnknownCode));
            see_off(&mut world);
            assert_eq!((world.queue.counts(), rows(&mut world)), (Counts::default(), 1), "cut at {cut}");
        }
    }
}
