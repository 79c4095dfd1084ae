//! What holds when the wall clock is wrong: ahead, behind, or at its zero.

use std::time::Duration;

use lomiri_push::base::{Now, Wall};
use lomiri_push::queue::{Command, Limits, Notify, Refusal};

use super::world::{World, broadcast, notify, post};

const DAY: Duration = Duration::from_secs(24 * 3600);
const LAG_MAX: Duration = Duration::from_secs(5 * 60);

fn expiring(expires: Wall) -> Command {
    Command::Notify(Notify { expires, ..notify("carol", "a", "1") })
}

/// A queue that has taken a message by a clock that was `ahead` and is right again.
fn misled(ahead: Duration) -> World {
    let mut world = World::new(Limits::default());
    let right = world.now + DAY;
    world.now = right + ahead;
    world.promise([post("carol", "a", "1")]);
    world.now = right;
    world
}

#[test]
fn a_clock_that_starts_in_1970_counts_as_the_last_one_stored() {
    let mut world = World::new(Limits::default());
    let expires = world.now.wall + Duration::from_secs(60);
    world.wait(Duration::from_secs(120));
    world.promise([post("carol", "a", "1")]);
    world.now = Now::default();
    world.restart();
    let late = Command::Notify(Notify { expires, ..notify("carol", "a", "2") });
    assert_eq!(world.refusal(late), Refusal::PastExpiration);
}

#[test]
fn while_the_clock_is_far_behind_what_it_could_still_be_right_about_is_refused_for_now_only() {
    let mut world = misled(3650 * DAY);
    for _ in 0..2 {
        let now = world.now.wall;
        assert_eq!(world.refusal(expiring(now + DAY)), Refusal::Unavailable);
        assert_eq!(world.refusal(broadcast("1", now + DAY)), Refusal::Unavailable);
        assert_eq!(world.refusal(Command::Probe), Refusal::Unavailable);
        assert_eq!(world.refusal(expiring(now)), Refusal::PastExpiration);
        assert_eq!(world.refusal(broadcast("1", now)), Refusal::PastExpiration);
        world.promise([post("carol", "a", "2")]);
        world.restart();
    }
    world.wait(3650 * DAY);
    world.promise([Command::Probe]);
    let now = world.now.wall;
    assert_eq!(world.refusal(expiring(now)), Refusal::PastExpiration);
}

#[test]
fn while_the_clock_is_behind_acks_are_written_within_a_second_all_the_same() {
    let mut world = World::new(Limits::default());
    world.wait(DAY);
    world.promise([post("carol", "a", "1"), post("carol", "a", "2")]);
    world.now.wall = Wall::default();
    world.ack("carol", 1);
    assert_eq!(world.queue.due_in(world.now), Some(Duration::from_secs(1)));
    world.let_ride();
    world.restart();
    assert_eq!(world.pending("carol"), ["2"]);
}

#[test]
fn while_the_clock_is_behind_what_had_expired_before_still_goes_turn_by_turn() {
    let mut world = World::new(Limits::default());
    let soon = world.now.wall + Duration::from_secs(1);
    let to = |number| Notify { expires: soon, ..notify(&format!("device-{number}"), "a", "1") };
    world.promise((0..2_500).map(|number| Command::Notify(to(number))));
    world.wait(Duration::from_secs(1));
    world.promise([post("carol", "a", "1")]);
    world.now.wall = Wall::default();
    while world.queue.counts().messages > 1 {
        assert_eq!(world.queue.due_in(world.now), Some(Duration::ZERO));
        world.handle(Vec::new());
    }
}

#[test]
fn a_clock_that_is_set_back_by_little_is_no_fault() {
    let mut world = misled(LAG_MAX);
    world.promise([Command::Probe]);
    let expires = world.now.wall + LAG_MAX;
    assert_eq!(world.refusal(expiring(expires)), Refusal::PastExpiration);
    world = misled(LAG_MAX + Duration::from_millis(1));
    assert_eq!(world.refusal(Command::Probe), Refusal::Unavailable);
}

#[test]
fn whoever_trusts_the_clock_once_has_it_trusted_for_good() {
    let mut world = misled(3650 * DAY);
    world.restart_trusting_clock();
    world.restart();
    world.promise([Command::Probe]);
    let expires = world.now.wall + DAY;
    world.promise([expiring(expires)]);
    assert_eq!(world.pending("carol"), ["1", "1"]);
    world.wait(DAY);
    assert_eq!(world.pending("carol"), ["1"]);
}

#[test]
fn a_clock_that_is_trusted_revives_nothing_when_it_was_right_all_along() {
    let mut world = World::new(Limits::default());
    let expires = world.now.wall + DAY;
    world.promise([expiring(expires)]);
    world.wait(DAY);
    world.restart_trusting_clock();
    assert!(world.pending("carol").is_empty());
}
