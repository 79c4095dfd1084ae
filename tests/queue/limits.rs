//! What is refused when there is too much, and that a refusal changes nothing.

use std::time::Duration;

use lomiri_push::base::{Urgency, Wall};
use lomiri_push::queue::{Address, Answer, Command, Enrolled, Limits, MESSAGE_BYTES_MAX, Notify, Refusal};

use super::world::{World, broadcast, notify, payload, post, register, unregister};

fn clearing(to: &str, app: &str, json: &str) -> Command {
    Command::Notify(Notify { clear_pending: true, ..notify(to, app, json) })
}

fn tagged(to: &str, app: &str, json: &str) -> Command {
    Command::Notify(Notify { replace_tag: Some("t".into()), ..notify(to, app, json) })
}

#[test]
fn too_many_pending_shows_the_newest_of_the_same_app() {
    let mut world = World::new(Limits { messages_per_app_max: 2, ..Limits::default() });
    world.promise([post("carol", "a", "1"), post("carol", "a", "2"), post("carol", "secret", "3")]);
    assert_eq!(world.refusal(post("carol", "a", "4")), Refusal::TooManyPending(Some(payload("2"))));
    world.promise([post("carol", "b", "5"), post("bob", "a", "6")]);
    assert_eq!(world.pending("carol"), ["1", "2", "3", "5"]);
}

#[test]
fn what_may_wait_does_not_keep_out_what_hurries() {
    let mut world = World::new(Limits { messages_per_app_max: 2, ..Limits::default() });
    let urgent = |urgency, json: &str| Command::Notify(Notify { urgency, ..notify("carol", "a", json) });
    world.promise([urgent(Urgency::Low, "1"), urgent(Urgency::Low, "2")]);
    assert_eq!(world.refusal(urgent(Urgency::VeryLow, "3")), Refusal::TooManyPending(Some(payload("2"))));
    world.promise([urgent(Urgency::High, "4"), urgent(Urgency::High, "5")]);
    assert_eq!(world.refusal(urgent(Urgency::High, "6")), Refusal::TooManyPending(Some(payload("5"))));
    assert_eq!(world.pending("carol"), ["1", "2", "4", "5"]);
}

#[test]
fn the_newest_shown_may_be_of_the_same_batch_and_gone_by_its_end() {
    let mut world = World::new(Limits { messages_per_app_max: 1, ..Limits::default() });
    let commands = vec![
        post("carol", "a", "1"),
        post("carol", "a", "2"),
        clearing("carol", "a", "3"),
        post("carol", "a", "4"),
    ];
    let answers = world.handle(commands).answers;
    let shown: Vec<_> = answers
        .iter()
        .filter_map(|answer| match answer {
            Answer::Refused(Refusal::TooManyPending(newest)) => newest.clone(),
            _ => None,
        })
        .collect();
    assert_eq!(shown, [payload("1"), payload("3")]);
    assert_eq!(world.pending("carol"), ["3"]);
}

#[test]
fn the_newest_shown_may_be_dropped_later_in_the_batch() {
    let mut world = World::new(Limits { messages_per_app_max: 1, ..Limits::default() });
    world.promise([post("carol", "a", "1")]);
    let answers = world.handle(vec![post("carol", "a", "2"), clearing("carol", "a", "3")]).answers;
    let [Answer::Refused(Refusal::TooManyPending(Some(newest))), Answer::Done] = &answers[..] else {
        panic!("{answers:?}")
    };
    assert_eq!(*newest, payload("1"));
}

#[test]
fn replacing_and_clearing_make_room_first() {
    let mut world = World::new(Limits { messages_per_app_max: 2, messages_max: 2, ..Limits::default() });
    world.promise([tagged("carol", "a", "1"), post("carol", "a", "2")]);
    world.promise([tagged("carol", "a", "3")]);
    assert_eq!(world.pending("carol"), ["2", "3"]);
    world.promise([clearing("carol", "a", "4")]);
    assert_eq!(world.pending("carol"), ["4"]);
}

#[test]
fn expired_messages_do_not_count() {
    let mut world = World::new(Limits { messages_per_app_max: 1, messages_max: 1, ..Limits::default() });
    let expires = world.now.wall + Duration::from_millis(1);
    world.promise([Command::Notify(Notify { expires, ..notify("carol", "a", "1") })]);
    world.wait(Duration::from_millis(1));
    world.promise([post("carol", "a", "2")]);
    assert_eq!(world.pending("carol"), ["2"]);
}

#[test]
fn expired_messages_do_not_count_even_while_many_others_expire_before_them() {
    let mut world = World::new(Limits { messages_per_app_max: 1, ..Limits::default() });
    let soon = world.now.wall + Duration::from_millis(1);
    let expiring = |device: String, expires| Command::Notify(Notify { expires, ..notify(&device, "a", "1") });
    world.promise((0..1_500).map(|number| expiring(format!("device-{number}"), soon)));
    world.promise([expiring("carol".into(), soon + Duration::from_millis(1))]);
    world.wait(Duration::from_millis(2));
    world.promise([post("carol", "a", "2")]);
    assert_eq!(world.pending("carol"), ["2"]);
}

#[test]
fn a_refused_replacement_leaves_the_old_one() {
    let mut world = World::new(Limits { bytes_max: 150, ..Limits::default() });
    world.promise([tagged("carol", "a", "1")]);
    let long = format!("\"{}\"", "x".repeat(150));
    assert_eq!(world.refusal(tagged("carol", "a", &long)), Refusal::Unavailable);
    assert_eq!(world.pending("carol"), ["1"]);
    world.restart();
    assert_eq!(world.pending("carol"), ["1"]);
}

#[test]
fn the_queue_as_a_whole_is_bounded_in_messages_and_serves_on_when_there_is_room() {
    let mut world = World::new(Limits { messages_max: 2, ..Limits::default() });
    world.promise([post("carol", "a", "1"), Command::Probe, post("bob", "a", "2")]);
    assert_eq!(world.refusal(post("dave", "a", "3")), Refusal::Unavailable);
    assert_eq!(world.refusal(Command::Probe), Refusal::Unavailable);
    world.ack("bob", 1);
    world.promise([post("dave", "a", "3")]);
}

#[test]
fn the_queue_as_a_whole_is_bounded_in_bytes_also_after_a_restart() {
    let mut world = World::new(Limits { bytes_max: 1_000, ..Limits::default() });
    let posts = (0..).map(|number| post("carol", "a", &number.to_string()));
    let taken = posts.map(|post| world.one(post)).take_while(|answer| matches!(answer, Answer::Done)).count();
    assert!((10..40).contains(&taken), "{taken}");
    let bytes = world.queue.counts().bytes;
    world.restart();
    assert_eq!(world.queue.counts().bytes, bytes);
    assert_eq!(world.refusal(post("bob", "a", "1")), Refusal::Unavailable);
    world.promise([clearing("carol", "a", "1")]);
    world.promise([post("bob", "a", "1")]);
}

#[test]
fn one_device_is_bounded_over_all_its_apps() {
    let mut world = World::new(Limits { messages_per_device_max: 2, ..Limits::default() });
    world.promise([post("carol", "a", "1"), post("carol", "b", "2")]);
    assert_eq!(world.refusal(post("carol", "c", "3")), Refusal::Unavailable);
    world.promise([post("bob", "c", "4")]);
}

#[test]
fn one_user_is_bounded_over_all_devices_and_another_is_not() {
    let mut world = World::new(Limits { messages_per_user_max: 3, ..Limits::default() });
    let (phone, tablet, bobs) = (world.enrol("carol"), world.enrol("carol"), world.enrol("bob"));
    let mut token = |device: &Enrolled| world.tokens(device, "a");
    let (on_phone, on_tablet, of_bob) = (token(&phone), token(&tablet), token(&bobs));
    let to = |token, clear_pending| {
        Command::Notify(Notify { to: Address::Token(token), clear_pending, ..notify("nobody", "a", "1") })
    };
    let of_both = on_phone.user_token.expect("a user's");
    world.promise([to(of_both, false), to(of_both, false)]);
    assert_eq!(world.queue.counts().messages, 3, "the second had room on one device alone");
    world.restart();
    for token in [on_phone.token, on_tablet.token, of_both] {
        assert_eq!(world.refusal(to(token, false)), Refusal::Unavailable);
    }
    world.promise([to(of_bob.token, false), to(on_phone.token, true)]);
    world.promise([Command::Revoke { device: tablet.device }, to(on_phone.token, false)]);
}

#[test]
fn live_broadcasts_are_bounded() {
    let mut world = World::new(Limits { broadcasts_live_max: 1, ..Limits::default() });
    let soon = world.now.wall + Duration::from_millis(1);
    world.promise([broadcast("1", soon)]);
    assert_eq!(world.refusal(broadcast("2", Wall(u64::MAX))), Refusal::Unavailable);
    world.wait(Duration::from_millis(1));
    world.promise([broadcast("3", Wall(u64::MAX))]);
}

#[test]
fn below_the_floor_of_free_disk_nothing_new_is_taken_but_the_old_may_go() {
    let mut world = World::new(Limits { free_disk_min_bytes: 1_000, ..Limits::default() });
    world.token("carol", "a");
    world.promise([post("carol", "a", "1")]);
    world.queue.store_mut().set_free_disk_bytes(999);
    let new = [post("carol", "a", "2"), broadcast("3", Wall(u64::MAX)), register("bob", "a"), Command::Probe];
    for command in new {
        assert_eq!(world.refusal(command), Refusal::Unavailable);
    }
    world.ack("carol", 1);
    world.promise([unregister("carol", "a")]);
    assert_eq!(world.queue.counts(), Default::default());
    world.queue.store_mut().set_free_disk_bytes(1_000);
    world.promise([post("carol", "a", "2")]);
}

#[test]
fn a_payload_beyond_what_rows_may_hold_is_refused() {
    let mut world = World::new(Limits::default());
    let payload = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    let (longest, longer) = (payload(MESSAGE_BYTES_MAX), payload(MESSAGE_BYTES_MAX + 1));
    assert_eq!(world.refusal(post("carol", "a", &longer)), Refusal::Unavailable);
    assert_eq!(world.refusal(broadcast(&longer, Wall(u64::MAX))), Refusal::Unavailable);
    world.promise([post("carol", "a", &longest), broadcast(&longest, Wall(u64::MAX))]);
}
