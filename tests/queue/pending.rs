//! What is pending, in which order and in which pages: replace, clear, ack, expiry.

use std::time::Duration;

use lomiri_push::base::{MessageId, Seq, Urgency, Wall};
use lomiri_push::queue::{Command, Event, Limits, Notify, Page, Refusal};

use super::world::{World, device, fetch, notify, post, text};

fn tagged(to: &str, app: &str, json: &str, tag: &str) -> Command {
    Command::Notify(Notify { replace_tag: Some(tag.into()), ..notify(to, app, json) })
}

fn clearing(to: &str, app: &str, json: &str) -> Command {
    Command::Notify(Notify { clear_pending: true, ..notify(to, app, json) })
}

fn expiring(to: &str, app: &str, json: &str, expires: Wall) -> Command {
    Command::Notify(Notify { expires, ..notify(to, app, json) })
}

fn queued(events: &[Event]) -> Vec<String> {
    let payloads = events.iter().map(|event| match event {
        Event::Queued { message, .. } => text(&message.payload),
        Event::Channel(_) | Event::Revoked { .. } => panic!("no broadcast was sent"),
    });
    payloads.collect()
}

#[test]
fn messages_wait_in_order_of_arrival_until_they_are_acked() {
    let mut world = World::new(Limits::default());
    let events = world.promise([post("carol", "b", "1"), post("bob", "a", "2"), post("carol", "a", "3")]);
    assert_eq!(queued(&events), ["1", "2", "3"]);
    assert_eq!(world.pending("carol"), ["1", "3"]);
    world.ack("carol", 1);
    world.ack("carol", 0);
    assert_eq!(world.pending("carol"), ["3"]);
    assert_eq!(world.pending("bob"), ["2"]);
}

#[test]
fn messages_for_one_app_share_its_id_whichever_way_they_leave_the_queue() {
    let mut world = World::new(Limits::default());
    let mut events = world.promise([post("carol", "chatter", "1")]);
    events.extend(world.promise([post("bob", "chatter", "2")]));
    let mut messages: Vec<_> = events
        .into_iter()
        .filter_map(|event| match event {
            Event::Queued { message, .. } => Some(message),
            Event::Channel(_) | Event::Revoked { .. } => None,
        })
        .collect();
    for name in ["carol", "bob"] {
        messages.extend(world.page(name, Seq(0)).messages);
    }
    let (first, others) = messages.split_first().expect("four messages");
    assert_eq!(others.len(), 3);
    for message in others {
        assert!(std::ptr::eq(message.app.as_str(), first.app.as_str()), "{message:?}");
    }
}

#[test]
fn an_ack_drops_nothing_of_another_device() {
    let mut world = World::new(Limits::default());
    world.promise([post("carol", "a", "1"), post("bob", "a", "2")]);
    let (seq, _) = world.pending_with_seqs("bob")[0];
    world.promise([Command::Acked { device: device("carol"), seqs: vec![seq, Seq(99)] }]);
    assert_eq!(world.pending("bob"), ["2"]);
    assert_eq!(world.pending("carol"), ["1"]);
}

#[test]
fn what_a_device_names_as_stored_goes_if_the_whole_id_is_right() {
    let mut world = World::new(Limits::default());
    world.promise([post("carol", "a", "1"), post("carol", "a", "2"), post("bob", "a", "3")]);
    let id = |world: &mut World, of: &str, place: usize| world.page(of, Seq(0)).messages[place].id;
    let of_another_server = MessageId::new(Seq(2), [9; 8]);
    let ids = vec![id(&mut world, "carol", 0), of_another_server, id(&mut world, "bob", 0)];
    let stored = || Command::Stored { device: device("carol"), ids: ids.clone() };
    world.promise([stored(), stored()]);
    assert_eq!(world.pending("carol"), ["2"]);
    assert_eq!(world.pending("bob"), ["3"]);
}

#[test]
fn a_number_that_a_device_made_up_may_be_given_in_the_same_turn() {
    let mut world = World::new(Limits::default());
    let ids = (0..5).map(|number| MessageId::new(Seq(number), [9; 8])).collect();
    world.promise([post("carol", "a", "1"), Command::Stored { device: device("carol"), ids }]);
    assert_eq!(world.pending("carol"), ["1"]);
}

#[test]
fn a_tag_replaces_what_the_same_app_has_pending_under_it() {
    let mut world = World::new(Limits::default());
    world.promise([tagged("carol", "a", "1", "t"), tagged("carol", "b", "2", "t"), post("carol", "a", "3")]);
    world.promise([tagged("carol", "a", "4", "t"), tagged("bob", "a", "5", "t")]);
    assert_eq!(world.pending("carol"), ["2", "3", "4"]);
    world.restart();
    world.promise([tagged("carol", "a", "6", "t")]);
    assert_eq!(world.pending("carol"), ["2", "3", "6"]);
}

#[test]
fn an_empty_tag_is_none() {
    let mut world = World::new(Limits::default());
    world.promise([tagged("carol", "a", "1", ""), tagged("carol", "a", "2", "")]);
    assert_eq!(world.pending("carol"), ["1", "2"]);
}

#[test]
fn clearing_drops_all_of_that_app_on_that_device() {
    let mut world = World::new(Limits::default());
    world.promise([
        post("carol", "a", "1"),
        post("carol", "a", "2"),
        post("carol", "b", "3"),
        post("bob", "a", "4"),
    ]);
    world.promise([clearing("carol", "a", "5")]);
    assert_eq!(world.pending("carol"), ["3", "5"]);
    assert_eq!(world.pending("bob"), ["4"]);
}

#[test]
fn what_a_batch_itself_replaces_is_never_announced() {
    let mut world = World::new(Limits::default());
    let events = world.promise([tagged("carol", "a", "1", "t"), tagged("carol", "a", "2", "t")]);
    assert_eq!(queued(&events), ["2"]);
    assert_eq!(world.pending("carol"), ["2"]);
    let events =
        world.promise([tagged("dave", "a", "1", "t"), clearing("dave", "a", "2"), post("erin", "a", "3")]);
    assert_eq!(queued(&events), ["2", "3"]);
}

#[test]
fn expired_messages_are_neither_given_out_nor_taken() {
    let mut world = World::new(Limits::default());
    let soon = world.now.wall + Duration::from_millis(5);
    world.promise([expiring("carol", "a", "1", soon), post("carol", "a", "2")]);
    assert_eq!(world.queue.due_in(world.now), Some(soon - world.now.wall));
    world.wait(Duration::from_millis(4));
    assert_eq!(world.pending("carol"), ["1", "2"]);
    world.wait(Duration::from_millis(1));
    assert_eq!(world.pending("carol"), ["2"]);
    assert_eq!(world.refusal(expiring("carol", "a", "3", soon)), Refusal::PastExpiration);
}

#[test]
fn very_many_that_expire_at_once_go_in_bounded_turns() {
    let mut world = World::new(Limits::default());
    let soon = world.now.wall + Duration::from_millis(5);
    let posts = (0..2_500).map(|number| expiring(&format!("device-{number}"), "a", "1", soon));
    world.promise(posts);
    world.wait(Duration::from_millis(5));
    let mut turns = 0;
    while world.queue.counts().messages > 0 {
        assert_eq!(world.queue.due_in(world.now), Some(Duration::ZERO));
        assert_eq!(world.pending("device-2499"), [""; 0], "not given out even while it is still held");
        turns += 1;
    }
    assert_eq!(turns, 3);
}

#[test]
fn a_page_is_bounded_by_messages_and_by_bytes() {
    let fill = "x".repeat(1_000);
    let limits = Limits { page_messages_max: 3, page_bytes_max: 2_500, ..Limits::default() };
    let mut world = World::new(limits);
    world.promise((0..3).map(|number| post("carol", "a", &number.to_string())));
    world.promise((3..7).map(|number| post("carol", "a", &format!("\"{number}{fill}\""))));
    let first = world.page("carol", Seq(0));
    assert_eq!((first.messages.len(), first.more), (3, true), "bounded by messages");
    let second = world.page("carol", first.messages[2].id.seq());
    assert_eq!((second.messages.len(), second.more), (2, true), "bounded by bytes");
    let third = world.page("carol", second.messages[1].id.seq());
    assert_eq!((third.messages.len(), third.more), (2, false));
    assert_eq!(third.messages[1].id.seq(), third.newest);
    assert_eq!(first.newest, third.newest);
}

#[test]
fn a_message_larger_than_a_page_still_comes() {
    let mut world = World::new(Limits { page_bytes_max: 1, ..Limits::default() });
    world.promise([post("carol", "a", "1"), post("carol", "a", "2")]);
    assert_eq!(world.pending("carol"), ["1", "2"]);
}

#[test]
fn a_page_is_empty_unless_something_is_as_urgent_as_asked() {
    let mut world = World::new(Limits::default());
    let posted = |json: &str, urgency| Command::Notify(Notify { urgency, ..notify("carol", "a", json) });
    world.promise([posted("1", Urgency::Low), posted("2", Urgency::VeryLow)]);
    let held = world.page_of("carol", Seq(0), Urgency::Normal, 9);
    assert_eq!((held.messages.len(), held.more), (0, false));
    assert_eq!(held.newest, world.page("carol", Seq(0)).newest, "what is held back is known of");
    let wanted = world.page_of("carol", Seq(0), Urgency::Low, 9);
    assert_eq!(wanted.messages.len(), 2, "what is less urgent goes along");
    let first = wanted.messages[0].id.seq();
    assert_eq!(world.page_of("carol", first, Urgency::Low, 9).messages.len(), 0);
    world.promise([posted("3", Urgency::High)]);
    let urgencies = |page: Page| page.messages.iter().map(|message| message.urgency).collect::<Vec<_>>();
    let all = world.page_of("carol", Seq(0), Urgency::High, 9);
    assert_eq!(urgencies(all), [Urgency::Low, Urgency::VeryLow, Urgency::High]);
}

#[test]
fn what_has_expired_makes_no_page_urgent() {
    let mut world = World::new(Limits::default());
    let expires = world.now.wall + Duration::from_secs(5);
    let high = Notify { urgency: Urgency::High, expires, ..notify("carol", "a", "1") };
    world.promise([Command::Notify(high), post("carol", "a", "2")]);
    world.now.wall = expires;
    assert_eq!(world.page_of("carol", Seq(0), Urgency::High, 9).messages.len(), 0);
}

#[test]
fn a_page_holds_no_more_than_the_session_takes() {
    let mut world = World::new(Limits::default());
    world.promise((0..5).map(|number| post("carol", "a", &number.to_string())));
    let page = world.page_of("carol", Seq(0), Urgency::VeryLow, 2);
    assert_eq!((page.messages.len(), page.more), (2, true));
}

#[test]
fn an_empty_page_says_that_there_is_nothing_newer() {
    let mut world = World::new(Limits::default());
    let page = world.page("carol", Seq(0));
    assert_eq!((page.messages.len(), page.more, page.newest), (0, false, Seq(0)));
    assert_eq!(world.page("carol", Seq(7)).newest, Seq(7));
}

#[test]
fn a_page_sees_what_its_own_batch_queued() {
    let mut world = World::new(Limits::default());
    let outcomes = world.handle(vec![fetch("carol", Seq(0)), post("carol", "a", "1")]);
    let lomiri_push::queue::Answer::Page(page) = &outcomes.answers[0] else { panic!("not a page") };
    let Event::Queued { message, .. } = &outcomes.events[0] else { panic!("not queued") };
    assert_eq!(page.newest, message.id.seq(), "so that the session knows it has had the one announced");
    assert_eq!(page.messages, std::slice::from_ref(message));
}

#[test]
fn acks_ride_along_and_are_written_within_a_second() {
    let mut world = World::new(Limits::default());
    world.promise([post("carol", "a", "1"), post("carol", "a", "2")]);
    world.ack("carol", 1);
    assert_eq!(world.queue.due_in(world.now), Some(Duration::from_secs(1)));
    world.restart();
    assert_eq!(world.pending("carol"), ["1", "2"], "a crash brings back what was acked just before");
    world.ack("carol", 1);
    world.wait(Duration::from_secs(1));
    world.handle(Vec::new());
    let never = Wall(u64::MAX) - world.now.wall;
    assert_eq!(world.queue.due_in(world.now), Some(never), "nothing waits but what never expires");
    world.restart();
    assert_eq!(world.pending("carol"), ["2"]);
}

#[test]
fn acks_ride_along_with_the_next_promise_and_with_an_orderly_end() {
    let mut world = World::new(Limits::default());
    world.promise([post("carol", "a", "1"), post("carol", "a", "2"), post("carol", "a", "3")]);
    world.ack("carol", 1);
    world.promise([post("bob", "a", "4")]);
    world.restart();
    assert_eq!(world.pending("carol"), ["2", "3"]);
    world.ack("carol", 1);
    let (limits, now) = (world.limits, world.now);
    let store = world.queue.close().expect("the store works");
    let mut world = World::open(store, limits, now).expect("opens");
    assert_eq!(world.pending("carol"), ["3"]);
}

#[test]
fn very_many_acks_do_not_wait() {
    let limits = Limits { messages_per_app_max: 4_096, ..Limits::default() };
    let mut world = World::new(limits);
    world.promise((0..4_096).map(|_| post("carol", "a", "1")));
    world.promise([Command::Acked { device: device("carol"), seqs: (1..=4_096).map(Seq).collect() }]);
    world.restart();
    assert_eq!(world.queue.counts().messages, 0);
}
