//! Who is whose, who is let in, and what dies with a revocation.

use std::time::Duration;

use lomiri_push::base::{CodeSecret, Credential, SessionId, Token};
use lomiri_push::queue::{
    Address, Answer, Command, Enrolled, Event, Limits, Notify, Refusal, Registered, Registration,
};

use super::world::{DAY, World, app, device, notify, post, register};

fn world() -> World {
    World::new(Limits::default())
}

fn to_token(token: Token, json: &str) -> Command {
    Command::Notify(Notify { to: Address::Token(token), ..notify("nobody", "chatter", json) })
}

fn of_user(registered: Registered) -> Token {
    registered.user_token.expect("its device is a user's")
}

fn revoke(device: &Enrolled) -> Command {
    Command::Revoke { device: device.device.clone() }
}

fn unregister(device: &Enrolled) -> Command {
    let credential = Some(device.credential.clone());
    Command::Unregister { device: device.device.clone(), app: app("chatter"), credential }
}

#[test]
fn a_code_makes_one_device_and_survives_a_restart_until_then() {
    let mut world = world();
    let code = world.code("carol", DAY);
    world.restart();
    let phone = world.use_code(code).expect("a good code");
    assert_eq!(world.use_code(code).err(), Some(Refusal::UnknownCode));
    world.restart();
    assert_eq!(world.use_code(code).err(), Some(Refusal::UnknownCode));
    assert!(world.is_admitted(&phone.device, phone.credential.as_bytes()));
    assert_eq!(world.use_code(CodeSecret([1; 16])).err(), Some(Refusal::UnknownCode));
}

#[test]
fn a_code_expires_and_leaves_nothing() {
    let mut world = world();
    let code = world.code("carol", Duration::from_secs(60));
    world.wait(Duration::from_secs(60));
    assert_eq!(world.use_code(code).err(), Some(Refusal::UnknownCode));
    world.wait(DAY);
    world.handle(Vec::new());
    world.restart();
    assert_eq!(world.queue.due_in(world.now), None);
}

#[test]
fn a_device_is_let_in_by_its_own_credential_alone() {
    let mut world = world();
    let (phone, other) = (world.enrol("carol"), world.enrol("bob"));
    assert_ne!(phone.device, other.device);
    let right = *phone.credential.as_bytes();
    assert!(world.is_admitted(&phone.device, &right));
    for wrong in [&[][..], &right[1..], &[&right[..], &[0]].concat(), other.credential.as_bytes(), &[0; 32]] {
        assert!(!world.is_admitted(&phone.device, wrong), "{} bytes", wrong.len());
    }
    assert!(!world.is_admitted(&device("carol"), &right));
}

#[test]
fn nobody_is_let_in_who_is_revoked_in_the_same_turn() {
    let mut world = world();
    let phone = world.enrol("carol");
    let admit = Command::Admit {
        device: phone.device.clone(),
        session: SessionId(1),
        credential: phone.credential.as_bytes().to_vec(),
    };
    let outcomes = world.handle(vec![admit, revoke(&phone)]);
    let Answer::Admission(admission) = &outcomes.answers[0] else { panic!("{:?}", outcomes.answers) };
    assert!(!admission.is_admitted);
}

#[test]
fn only_the_device_itself_registers_for_itself() {
    let mut world = world();
    let (phone, other) = (world.enrol("carol"), world.enrol("carol"));
    let with = |credential: &Credential| Command::Register {
        device: phone.device.clone(),
        app: app("chatter"),
        credential: Some(credential.clone()),
    };
    assert_eq!(world.refusal(with(&other.credential)), Refusal::NotThisDevice);
    assert_eq!(world.queue.counts().registrations, 0);
    world.tokens(&phone, "chatter");
    let steal = Command::Unregister {
        device: phone.device.clone(),
        app: app("chatter"),
        credential: Some(other.credential.clone()),
    };
    assert_eq!(world.refusal(steal), Refusal::NotThisDevice);
    assert_eq!(world.queue.counts().registrations, 1);
}

#[test]
fn a_user_token_reaches_all_devices_that_have_the_app() {
    let mut world = world();
    let (phone, tablet, desktop) = (world.enrol("carol"), world.enrol("carol"), world.enrol("carol"));
    let token = of_user(world.tokens(&phone, "chatter"));
    assert_eq!(of_user(world.tokens(&tablet, "chatter")), token);
    world.tokens(&desktop, "mail");
    let stranger = world.enrol("bob");
    assert_ne!(of_user(world.tokens(&stranger, "chatter")), token);

    let events = world.promise([to_token(token, "1")]);
    let ids: Vec<_> = events
        .iter()
        .map(|event| match event {
            Event::Queued { message, .. } => message.id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
    world.restart();
    for (device, pending) in [(&phone, 1), (&tablet, 1), (&desktop, 0), (&stranger, 0)] {
        assert_eq!(world.pending(device.device.as_str()).len(), pending);
    }

    world.ack(phone.device.as_str(), 1);
    world.let_ride();
    world.restart();
    assert_eq!(world.pending(phone.device.as_str()), [""; 0]);
    assert_eq!(world.pending(tablet.device.as_str()), ["1"]);
}

#[test]
fn a_user_token_dies_with_its_last_registration() {
    let mut world = world();
    let (phone, tablet) = (world.enrol("carol"), world.enrol("carol"));
    let token = of_user(world.tokens(&phone, "chatter"));
    world.tokens(&tablet, "chatter");
    world.promise([unregister(&phone), to_token(token, "1"), revoke(&tablet)]);
    assert_eq!(world.refusal(to_token(token, "2")), Refusal::UnknownToken);
    world.restart();
    assert_eq!(world.refusal(to_token(token, "2")), Refusal::UnknownToken);
    assert_ne!(of_user(world.tokens(&phone, "chatter")), token);
}

#[test]
fn the_operator_ends_a_user_token_and_the_next_registration_makes_another() {
    let mut world = world();
    let phone = world.enrol("carol");
    let first = world.tokens(&phone, "chatter");
    let end = || Command::RevokeUserToken { user: "carol".parse().expect("valid"), app: app("chatter") };
    world.promise([end()]);
    assert_eq!(world.refusal(end()), Refusal::UnknownToken);
    assert_eq!(world.refusal(to_token(of_user(first), "1")), Refusal::UnknownToken);
    world.promise([to_token(first.token, "2")]);
    let second = world.tokens(&phone, "chatter");
    assert_eq!(second.token, first.token);
    assert_ne!(second.user_token, first.user_token);
}

#[test]
fn a_user_token_is_made_where_the_disk_has_room_alone() {
    let mut world = world();
    let phone = world.enrol("carol");
    world.tokens(&phone, "chatter");
    let user = "carol".parse().expect("valid");
    world.promise([Command::RevokeUserToken { user, app: app("chatter") }]);
    world.queue.store_mut().set_free_disk_bytes(Limits::default().free_disk_min_bytes - 1);
    let credential = Some(phone.credential);
    let register = Command::Register { device: phone.device, app: app("chatter"), credential };
    assert_eq!(world.refusal(register), Refusal::Unavailable);
}

#[test]
fn a_revoked_device_takes_its_tokens_and_its_messages_with_it() {
    let mut world = world();
    let (phone, tablet) = (world.enrol("carol"), world.enrol("carol"));
    let tokens = world.tokens(&phone, "chatter");
    world.tokens(&tablet, "chatter");
    world.promise([to_token(of_user(tokens), "1")]);
    let events = world.promise([revoke(&phone)]);
    assert!(matches!(&events[..], [Event::Revoked { device }] if *device == phone.device), "{events:?}");

    for _ in 0..2 {
        assert!(!world.is_admitted(&phone.device, phone.credential.as_bytes()));
        assert_eq!(world.refusal(to_token(tokens.token, "2")), Refusal::UnknownToken);
        assert_eq!(world.refusal(revoke(&phone)), Refusal::UnknownDevice);
        assert_eq!(world.pending(phone.device.as_str()), [""; 0]);
        assert_eq!(world.pending(tablet.device.as_str()), ["1"]);
        world.restart();
    }
}

#[test]
fn a_message_of_the_turn_of_its_devices_revocation_is_not_announced() {
    let mut world = world();
    let phone = world.enrol("carol");
    let token = world.tokens(&phone, "chatter").token;
    let events = world.promise([to_token(token, "1"), revoke(&phone)]);
    assert!(matches!(&events[..], [Event::Revoked { .. }]), "{events:?}");
}

#[test]
fn an_erased_user_leaves_nothing() {
    let mut world = world();
    let (phone, tablet) = (world.enrol("carol"), world.enrol("carol"));
    let token = of_user(world.tokens(&phone, "chatter"));
    world.tokens(&tablet, "mail");
    let code = world.code("carol", DAY);
    world.promise([to_token(token, "1")]);
    let erase = || Command::EraseUser { user: "carol".parse().expect("valid") };
    assert_eq!(world.promise([erase()]).len(), 2);
    assert_eq!(world.queue.counts(), Default::default());
    assert_eq!(world.use_code(code).err(), Some(Refusal::UnknownCode));
    assert_eq!(world.refusal(erase()), Refusal::UnknownUser);
    world.restart();
    assert_eq!(world.queue.counts(), Default::default());
    assert_eq!(world.refusal(erase()), Refusal::UnknownUser);
    let rows = world.queue.store_mut().rows_mut().len();
    assert_eq!(rows, 1, "only the head is left");
}

#[test]
fn a_bound_app_takes_posts_with_its_key_alone() {
    let mut world = world();
    let phone = world.enrol("carol");
    let token = world.tokens(&phone, "chatter").token;
    let bind = |world: &mut World| match world.one(Command::BindApp { app: app("chatter") }) {
        Answer::AppKey(key) => key,
        answer => panic!("{answer:?}"),
    };
    let with = |key: Option<&Credential>| {
        Command::Notify(Notify {
            to: Address::Token(token),
            app_key: key.cloned(),
            ..notify("nobody", "chatter", "1")
        })
    };
    let first = bind(&mut world);
    let second = bind(&mut world);
    world.restart();
    assert_eq!(world.refusal(with(None)), Refusal::AppKeyNeeded);
    assert_eq!(world.refusal(with(Some(&first))), Refusal::AppKeyNeeded);
    world.promise([with(Some(&second))]);

    world.promise([Command::UnbindApp { app: app("chatter") }]);
    world.promise([with(None)]);
    world.restart();
    world.promise([with(None)]);
}

#[test]
fn an_app_that_is_unbound_and_bound_again_stays_bound() {
    let mut world = world();
    let chatter = || app("chatter");
    let commands = vec![
        Command::BindApp { app: chatter() },
        Command::UnbindApp { app: chatter() },
        Command::BindApp { app: chatter() },
    ];
    world.handle(commands);
    world.restart();
    let Answer::BoundApps(bound) = world.one(Command::BoundApps) else { panic!("no apps") };
    assert_eq!(bound, [chatter()]);
}

#[test]
fn a_device_that_was_never_enrolled_loses_its_tokens_when_it_is_revoked() {
    let mut world = world();
    let revoke = || Command::Revoke { device: device("phone") };
    world.promise([post("phone", "chatter", "0")]);
    assert_eq!(world.refusal(revoke()), Refusal::UnknownDevice, "it has registered nothing");
    let tokens = ["chatter", "mail"].map(|app| match world.one(register("phone", app)) {
        Answer::Registered(registered) => registered.token,
        answer => panic!("{answer:?}"),
    });
    world.one(register("tablet", "chatter"));
    let events = world.promise([to_token(tokens[0], "1"), revoke()]);
    assert!(
        events.iter().any(|event| matches!(event, Event::Revoked { device } if device.as_str() == "phone"))
    );
    for token in tokens {
        assert_eq!(world.refusal(to_token(token, "1")), Refusal::UnknownToken);
    }
    world.restart();
    assert_eq!(world.queue.counts().messages, 0);
    assert_eq!(world.refusal(revoke()), Refusal::UnknownDevice);
    world.promise([Command::Revoke { device: device("tablet") }]);
    assert_eq!(world.queue.store_mut().rows_mut().len(), 1, "only the head is left");
}

#[test]
fn devices_are_listed_in_pages_and_by_user() {
    let mut world = world();
    let mut all: Vec<_> = (0..5).map(|n| world.enrol(&format!("user{}", n % 2)).device).collect();
    all.sort();
    let mut list = |after, user: Option<&str>, devices_max| {
        let user = user.map(|user| user.parse().expect("valid"));
        match world.one(Command::Devices { after, user, devices_max }) {
            Answer::Devices(page) => page,
            answer => panic!("{answer:?}"),
        }
    };
    let first = list(None, None, 3);
    assert!(first.more);
    let rest = list(Some(first.devices[2].device.clone()), None, 3);
    assert!(!rest.more);
    let listed: Vec<_> = first.devices.into_iter().chain(rest.devices).map(|device| device.device).collect();
    assert_eq!(listed, all);
    let of_one = list(None, Some("user1"), 100);
    assert_eq!(of_one.devices.len(), 2);
    assert!(of_one.devices.iter().all(|device| device.user.as_str() == "user1"));
    assert_eq!(list(None, Some("nobody"), 100).devices, []);
}

#[test]
fn a_device_lists_its_own_registrations() {
    let mut world = world();
    let phone = world.enrol("carol");
    let mail = world.tokens(&phone, "mail");
    let chatter = world.tokens(&phone, "chatter");
    let list = |credential: Credential| Command::Registrations {
        device: phone.device.clone(),
        credential: Some(credential),
    };
    let Answer::Registrations(listed) = world.one(list(phone.credential.clone())) else { panic!("no list") };
    let expected =
        [("chatter", chatter), ("mail", mail)].map(|(name, tokens)| Registration { app: app(name), tokens });
    assert_eq!(listed, expected);
    assert_eq!(world.refusal(list(Credential::new([1; 32]))), Refusal::NotThisDevice);
}

#[test]
fn a_user_has_a_bounded_number_of_devices_and_a_device_of_registrations() {
    let limits = Limits {
        devices_per_user_max: 1,
        registrations_per_device_max: 1,
        codes_max: 2,
        ..Limits::default()
    };
    let mut world = World::new(limits);
    let phone = world.enrol("carol");
    let code = world.code("carol", DAY);
    assert_eq!(world.use_code(code).err(), Some(Refusal::TooManyDevices));
    world.promise([revoke(&phone)]);
    let phone = world.use_code(code).expect("the code is still good");
    world.tokens(&phone, "chatter");
    let second = Command::Register {
        device: phone.device.clone(),
        app: app("mail"),
        credential: Some(phone.credential.clone()),
    };
    assert_eq!(world.refusal(second), Refusal::Unavailable);
    world.code("bob", DAY);
    world.code("bob", DAY);
    let third = Command::MakeCode { user: "bob".parse().expect("valid"), valid_for: DAY };
    assert_eq!(world.refusal(third), Refusal::Unavailable);
}

#[test]
fn below_the_floor_of_free_disk_nobody_new_comes_but_the_old_may_go() {
    let mut world = World::new(Limits { free_disk_min_bytes: 1_000, ..Limits::default() });
    let phone = world.enrol("carol");
    world.tokens(&phone, "chatter");
    let user = || "carol".parse().expect("valid");
    let code = world.code("carol", DAY);
    world.queue.store_mut().set_free_disk_bytes(999);
    world.promise([Command::RevokeUserToken { user: user(), app: app("chatter") }]);
    let register = Command::Register {
        device: phone.device.clone(),
        app: app("chatter"),
        credential: Some(phone.credential.clone()),
    };
    let new =
        [register, Command::MakeCode { user: user(), valid_for: DAY }, Command::BindApp { app: app("mail") }];
    for command in new {
        assert_eq!(world.refusal(command), Refusal::Unavailable);
    }
    assert_eq!(world.use_code(code).err(), Some(Refusal::Unavailable));
    world.promise([Command::EraseUser { user: user() }]);
    assert_eq!(world.queue.counts(), Default::default());
}

#[test]
fn devices_and_bound_apps_are_bounded_and_a_known_app_gets_a_new_key() {
    let mut world = World::new(Limits { devices_max: 1, bound_apps_max: 1, ..Limits::default() });
    world.enrol("carol");
    let code = world.code("bob", DAY);
    assert_eq!(world.use_code(code).err(), Some(Refusal::Unavailable));
    let bind = |name: &str| Command::BindApp { app: app(name) };
    for _ in 0..2 {
        assert!(matches!(world.one(bind("chatter")), Answer::AppKey(_)));
    }
    assert_eq!(world.refusal(bind("mail")), Refusal::Unavailable);
}
