//! Bubbles that were up before the presenter was: as long as their server lives, they are like its own.

use lomiri_push::service::shade::{BubbleId, Note};

use super::fake::{Answer, Fake};
use super::private_bus::PrivateBus;
use super::stage::{DESKTOP, NOTIFICATIONS, Notify, Stage, card, tagged};

const URL: &str = "https://chat.example/1";

fn note(tag: &str, bubble: &BubbleId) -> Note {
    let (app, bubble) = ("ab_chat".parse().expect("an id"), Some(bubble.clone()));
    Note { app, tag: tag.into(), bubble, url: Some(URL.into()), message: None }
}

/// A stage on which bubbles with these tags were shown by a presenter that is no more, their server, and they.
fn with_earlier(tags: &[&str]) -> Option<(Stage, Fake, Vec<BubbleId>)> {
    let stage = Stage::start()?;
    let server = stage.server(DESKTOP);
    let show = |tag: &&str| {
        stage.present(1, tagged(tag, card("Alice")));
        stage.shown().expect("a bubble")
    };
    let bubbles: Vec<BubbleId> = tags.iter().map(show).collect();
    assert_eq!(server.others().len(), 1 + tags.len());
    let earlier = tags.iter().zip(&bubbles).map(|(tag, bubble)| note(tag, bubble)).collect();
    Some((stage.restart(earlier), server, bubbles))
}

#[test]
fn a_click_on_an_earlier_bubble_opens_it_and_its_end_is_told() {
    let Some((stage, server, bubbles)) = with_earlier(&["a", "b"]) else { return };
    let dispatcher = stage.service("com.lomiri.URLDispatcher", |_| Answer::Done);
    // Its presenter listens once another notification is through.
    stage.present(2, tagged("c", card("Carol")));
    assert_eq!(stage.presented(), Some(3));
    server.signal("ActionInvoked", &(bubbles[0].number, "default"));
    server.signal("NotificationClosed", &(bubbles[1].number, 2_u32));
    assert_eq!(stage.activated(), (1, URL.into()));
    assert_eq!(stage.closed(), (2, true));
    assert_eq!(dispatcher.expect("DispatchURL").body::<(String, String)>(), (URL.into(), "ab".into()));
}

#[test]
fn an_earlier_bubble_is_withdrawn_and_replaced_by_its_tag() {
    let Some((stage, server, bubbles)) = with_earlier(&["a", "b"]) else { return };
    stage.presenter.withdraw(bubbles[0].clone()).expect("room");
    assert_eq!(server.expect("CloseNotification").body::<u32>(), 1);
    stage.present(2, tagged("b", card("Carol")));
    assert_eq!(stage.shown().as_ref(), Some(&bubbles[1]));
    server.expect("GetCapabilities");
    assert_eq!(Notify::of(&server.expect("Notify")).replaces, 2);
}

#[test]
fn earlier_bubbles_are_none_of_another_servers() {
    let Some((stage, first, bubbles)) = with_earlier(&["a"]) else { return };
    let bus = stage.bus;
    assert!(stage.presenter.stop());
    // The other one is there before the presenter is, and may have a bubble of the same number.
    let second = Fake::start(bus.address(), &[NOTIFICATIONS], |call| match call.member.as_str() {
        "GetCapabilities" => Answer::Texts(DESKTOP),
        _ => Answer::Number(7),
    });
    drop(first);
    let stage = Stage::on(bus, vec![note("a", &bubbles[0])]);
    stage.presenter.withdraw(bubbles[0].clone()).expect("room");
    stage.present(2, tagged("a", card("Carol")));
    assert_eq!(stage.presented(), Some(7));
    second.signal("NotificationClosed", &(bubbles[0].number, 2_u32));
    second.signal("NotificationClosed", &(7_u32, 2_u32));
    assert_eq!(stage.closed(), (7, true));
    second.expect("GetCapabilities");
    assert_eq!(Notify::of(&second.expect("Notify")).replaces, 0);
    assert!(second.others().is_empty());
}

#[test]
fn another_bus_gives_its_servers_other_names() {
    let first = |bus: PrivateBus| {
        let stage = Stage::on(bus, Vec::new());
        let _server = stage.server(DESKTOP);
        stage.present(1, tagged("a", card("Alice")));
        stage.shown()
    };
    let (Some(one), Some(other)) = (PrivateBus::start(), PrivateBus::start()) else { return };
    let (one, other) = (first(one).expect("a bubble"), first(other).expect("a bubble"));
    assert_eq!(one.number, other.number);
    assert_ne!(one.server, other.server);
}

#[test]
fn no_server_is_started_or_asked_for_the_sake_of_earlier_bubbles() {
    let Some((stage, server, _)) = with_earlier(&["a"]) else { return };
    assert!(stage.presenter.stop());
    assert!(server.others().is_empty());
}
