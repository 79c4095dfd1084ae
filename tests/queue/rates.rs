//! Senders that post too often, and those that they must not slow.

use std::time::Duration;

use lomiri_push::base::{Token, Wall};
use lomiri_push::queue::{Address, Command, Limits, Notify, Rate, Rates, Refusal};

use super::world::{World, notify};

const SLOW: Rate = Rate { per_minute: 60, burst: 2 };

fn world(rates: Rates) -> World {
    World::new(Limits { rates, ..Limits::default() })
}

fn to(token: Token, app: &str) -> Command {
    Command::Notify(Notify { to: Address::Token(token), ..notify("nobody", app, "1") })
}

fn too_many(seconds: u64) -> Refusal {
    Refusal::TooManyRequests { retry_after: Duration::from_secs(seconds) }
}

#[test]
fn a_token_over_its_rate_is_told_when_to_come_back() {
    let mut world = world(Rates { token: Some(SLOW), ..Rates::default() });
    let (one, other) = (world.token("carol", "chatter"), world.token("bob", "chatter"));
    world.promise([to(one, "chatter"), to(one, "chatter")]);
    assert_eq!(world.refusal(to(one, "chatter")), too_many(1));
    world.promise([to(other, "chatter")]);
    world.wait(Duration::from_secs(1));
    world.promise([to(one, "chatter")]);
}

#[test]
fn a_token_gets_its_rate_back_though_the_clock_was_set_back() {
    let mut world = world(Rates { token: Some(SLOW), ..Rates::default() });
    let token = world.token("carol", "chatter");
    world.wait(Duration::from_secs(3_600));
    world.promise([to(token, "chatter"), to(token, "chatter")]);
    world.now.wall = Wall(1_000);
    assert_eq!(world.refusal(to(token, "chatter")), too_many(1));
    world.wait(Duration::from_secs(1));
    world.promise([to(token, "chatter")]);
}

#[test]
fn an_app_over_its_rate_slows_no_other_app() {
    let mut world = world(Rates { app: Some(SLOW), ..Rates::default() });
    let (carol, bob) = (world.token("carol", "chatter"), world.token("bob", "chatter"));
    let mail = world.token("carol", "mail");
    world.promise([to(carol, "chatter"), to(bob, "chatter")]);
    assert_eq!(world.refusal(to(carol, "chatter")), too_many(1));
    world.promise([to(mail, "mail")]);
}

#[test]
fn a_user_has_one_rate_on_all_devices_and_over_all_tokens() {
    let mut world = world(Rates { user: Some(SLOW), ..Rates::default() });
    let (phone, tablet, other) = (world.enrol("carol"), world.enrol("carol"), world.enrol("bob"));
    let on_phone = world.tokens(&phone, "chatter");
    let on_tablet = world.tokens(&tablet, "mail");
    let elsewhere = world.tokens(&other, "chatter");
    world.promise([to(on_phone.token, "chatter"), to(on_tablet.token, "mail")]);
    let of_user = on_phone.user_token.expect("a user's");
    assert_eq!(world.refusal(to(of_user, "chatter")), too_many(1));
    world.promise([to(elsewhere.token, "chatter")]);
}

#[test]
fn what_one_rate_refuses_costs_nothing_of_the_others() {
    let once = Rate { per_minute: 1, burst: 1 };
    let mut world = world(Rates { token: Some(once), app: Some(SLOW), ..Rates::default() });
    let (one, other) = (world.token("carol", "chatter"), world.token("bob", "chatter"));
    world.promise([to(one, "chatter")]);
    for _ in 0..10 {
        assert_eq!(world.refusal(to(one, "chatter")), too_many(60));
    }
    world.promise([to(other, "chatter")]);
}
