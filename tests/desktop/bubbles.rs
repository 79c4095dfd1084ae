//! Bubbles as the notification server gets them, and what the presenter tells of them.

use lomiri_push::device::presenter::Told;
use lomiri_push::service::Presented;
use lomiri_push::service::notification::{Card, Notification, Sound};
use lomiri_push::service::shade::BubbleId;

use super::stage::{DESKTOP, Notify, Stage, card, tagged};

fn number(presented: &Presented) -> Option<u32> {
    presented.bubble.as_ref().map(|bubble| bubble.number)
}

#[test]
fn a_notification_comes_with_all_that_a_desktop_wants_to_know() {
    let Some(stage) = Stage::start() else { return };
    let server = stage.server(DESKTOP);
    let card = Card { body: "1 < 2 & so on".into(), icon: "mail-unread".into(), ..card("<Alice>") };
    stage.present(7, tagged("a", card));
    let Told::Presented { note: 7, presented } = stage.told() else { panic!("nothing was presented") };
    assert_eq!((number(&presented), presented.is_shown, presented.is_listed), (Some(1), true, false));

    server.expect("GetCapabilities");
    let shown = Notify::of(&server.expect("Notify"));
    assert_eq!((shown.app.as_str(), shown.replaces, shown.icon.as_str()), ("chat", 0, "mail-unread"));
    assert_eq!((shown.summary.as_str(), shown.body.as_str()), ("<Alice>", "1 &lt; 2 &amp; so on"));
    assert_eq!((shown.actions.join(" ").as_str(), shown.expires_after_ms), ("default Open", 30_000));
    assert_eq!(shown.hint("desktop-entry").as_deref(), Some("\"ab_chat\""));
    assert_eq!(shown.hint("category").as_deref(), Some("\"im.received\""));
    assert_eq!(shown.hints["urgency"], 1_u8.into());
    assert_eq!((&shown.hints["transient"], &shown.hints["suppress-sound"]), (&true.into(), &true.into()));
}

#[test]
fn a_server_that_can_do_little_is_asked_for_little() {
    let Some(stage) = Stage::start() else { return };
    let server = stage.server(&[]);
    stage.present(1, tagged("", Card { body: "1 < 2".into(), ..card("Alice") }));
    assert_eq!(stage.presented(), Some(1));
    server.expect("GetCapabilities");
    let shown = Notify::of(&server.expect("Notify"));
    assert_eq!((shown.body.as_str(), shown.actions.len(), shown.hints.len()), ("1 < 2", 0, 3));
}

#[test]
fn notifications_come_in_their_order_and_the_server_is_asked_once_what_it_can_do() {
    let Some(stage) = Stage::start() else { return };
    let server = stage.server(DESKTOP);
    for note in 1..=20 {
        stage.present(note, tagged("", card(&note.to_string())));
    }
    server.expect("GetCapabilities");
    for note in 1..=20 {
        let Told::Presented { note: told, .. } = stage.told() else { panic!("nothing was presented") };
        let shown = Notify::of(&server.expect("Notify"));
        assert_eq!((told, shown.summary, shown.replaces), (note, note.to_string(), 0));
    }
}

#[test]
fn a_bubble_takes_the_place_of_one_with_the_same_tag_and_of_no_other() {
    let Some(stage) = Stage::start() else { return };
    let server = stage.server(DESKTOP);
    for (tag, bubble) in [("a", 1), ("b", 2), ("a", 1), ("", 3), ("", 4)] {
        stage.present(1, tagged(tag, card("Alice")));
        assert_eq!(stage.presented(), Some(bubble), "{tag}");
    }
    server.expect("GetCapabilities");
    for replaced in [0, 0, 1, 0, 0] {
        assert_eq!(Notify::of(&server.expect("Notify")).replaces, replaced);
    }
}

#[test]
fn what_stays_is_left_to_a_server_that_keeps() {
    let Some(stage) = Stage::start() else { return };
    let server = stage.server(DESKTOP);
    stage.present(1, tagged("a", Card { persist: true, popup: false, ..card("Alice") }));
    let Told::Presented { presented, .. } = stage.told() else { panic!("nothing was presented") };
    assert!(presented.is_listed && number(&presented) == Some(1));
    server.expect("GetCapabilities");
    let shown = Notify::of(&server.expect("Notify"));
    assert_eq!(shown.hints["urgency"], 0_u8.into());
    assert!(!shown.hints.contains_key("transient"));
}

#[test]
fn a_sound_goes_with_the_bubble_where_the_server_plays() {
    let Some(stage) = Stage::start() else { return };
    let server = stage.server(DESKTOP);
    stage.present(1, Notification { sound: Some(Sound::Default), ..tagged("", card("Alice")) });
    assert_eq!(stage.presented(), Some(1));
    server.expect("GetCapabilities");
    let shown = Notify::of(&server.expect("Notify"));
    assert_eq!(shown.hint("sound-name").as_deref(), Some("\"message-new-instant\""));
}

#[test]
fn a_closed_bubble_is_told_once_and_whether_it_was_the_user() {
    let Some(stage) = Stage::start() else { return };
    let server = stage.server(DESKTOP);
    for note in 1..=2 {
        stage.present(note, tagged("", card("Alice")));
        stage.presented();
    }
    for (bubble, reason) in [(9_u32, 2_u32), (2, 1), (2, 2), (1, 2)] {
        server.signal("NotificationClosed", &(bubble, reason));
    }
    assert_eq!(stage.closed(), (2, false));
    assert_eq!(stage.closed(), (1, true));
}

#[test]
fn a_withdrawn_bubble_is_closed_and_nothing_is_told_of_it() {
    let Some(stage) = Stage::start() else { return };
    let server = stage.server(DESKTOP);
    stage.present(1, tagged("", card("Alice")));
    let first = stage.shown().expect("a bubble");
    stage.present(2, tagged("", card("Alice")));
    assert_eq!(stage.presented(), Some(2));
    let of_another_server = BubbleId { server: "another".into(), ..first.clone() };
    for bubble in [of_another_server, BubbleId { number: 9, ..first.clone() }, first.clone(), first] {
        stage.presenter.withdraw(bubble).expect("room");
    }
    for member in ["GetCapabilities", "Notify", "Notify"] {
        server.expect(member);
    }
    assert_eq!(server.expect("CloseNotification").body::<u32>(), 1);
    server.signal("NotificationClosed", &(1_u32, 3_u32));
    server.signal("NotificationClosed", &(2_u32, 2_u32));
    assert_eq!(stage.closed(), (2, true));
    assert_eq!(server.others(), Vec::<String>::new(), "a bubble that is not ours is left alone");
}
