//! What a token opens, and when it dies.

use lomiri_push::base::Token;
use lomiri_push::queue::{Address, Command, Limits, Notify, Refusal};

use super::world::{World, notify, post, register, unregister};

fn to_token(token: Token, app: &str) -> Command {
    Command::Notify(Notify { to: Address::Token(token), ..notify("nobody", app, "1") })
}

#[test]
fn a_token_reaches_its_app_on_its_device_and_no_other() {
    let mut world = World::new(Limits::default());
    let token = world.token("carol", "chatter");
    world.promise([to_token(token, "chatter")]);
    assert_eq!(world.pending("carol"), ["1"]);
    assert_eq!(world.refusal(to_token(token, "mail")), Refusal::Unauthorized);
    assert_eq!(world.refusal(to_token(Token([1; 16]), "chatter")), Refusal::UnknownToken);
    assert_eq!(world.pending("nobody"), [""; 0]);
}

#[test]
fn registering_again_gives_the_same_token_also_after_a_restart() {
    let mut world = World::new(Limits::default());
    let token = world.token("carol", "chatter");
    assert_eq!(world.token("carol", "chatter"), token);
    assert_ne!(world.token("carol", "mail"), token);
    assert_ne!(world.token("bob", "chatter"), token);
    world.restart();
    assert_eq!(world.token("carol", "chatter"), token);
    world.promise([to_token(token, "chatter")]);
}

#[test]
fn unregistering_kills_the_token_but_not_what_was_promised() {
    let mut world = World::new(Limits::default());
    let token = world.token("carol", "chatter");
    world.promise([to_token(token, "chatter"), unregister("carol", "chatter")]);
    assert_eq!(world.refusal(to_token(token, "chatter")), Refusal::UnknownToken);
    world.restart();
    assert_eq!(world.refusal(to_token(token, "chatter")), Refusal::UnknownToken);
    assert_eq!(world.pending("carol"), ["1"]);
    assert_ne!(world.token("carol", "chatter"), token);
}

#[test]
fn unregistering_what_was_never_registered_is_done() {
    let mut world = World::new(Limits::default());
    world.promise([unregister("carol", "chatter"), unregister("carol", "chatter")]);
}

#[test]
fn a_device_is_forgotten_with_its_last_registration_and_message() {
    let mut world = World::new(Limits::default());
    world.token("carol", "chatter");
    world.promise([post("carol", "chatter", "1"), post("bob", "mail", "2")]);
    assert_eq!(world.queue.counts().devices, 2);
    world.ack("bob", 1);
    assert_eq!(world.queue.counts().devices, 1);
    world.promise([unregister("carol", "chatter")]);
    assert_eq!(world.queue.counts().devices, 1);
    world.ack("carol", 1);
    assert_eq!(world.queue.counts(), Default::default());
}

#[test]
fn registrations_are_bounded_and_known_ones_stay_free() {
    let mut world = World::new(Limits { registrations_max: 1, ..Limits::default() });
    let token = world.token("carol", "chatter");
    assert_eq!(world.refusal(register("carol", "mail")), Refusal::Unavailable);
    assert_eq!(world.token("carol", "chatter"), token);
    world.promise([unregister("carol", "chatter")]);
    world.token("carol", "mail");
}
