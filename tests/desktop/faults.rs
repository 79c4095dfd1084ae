//! Desktops that are not there, hang, vanish and come back: none of it holds up who has something to show.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use lomiri_push::device::presenter::{Addresses, Overloaded, Presentation, Surface, Told};
use lomiri_push::service::notification::Emblem;

use super::fake::{Answer, PATIENCE};
use super::stage::{DESKTOP, NOTIFICATIONS, Stage, card, present_on, tagged};

#[test]
fn without_a_notification_server_nothing_is_shown_and_one_that_comes_later_is_found() {
    let Some(stage) = Stage::start() else { return };
    stage.present(1, tagged("", card("Alice")));
    assert_eq!(stage.presented(), None);
    let _server = stage.server(DESKTOP);
    stage.present(2, tagged("", card("Alice")));
    assert_eq!(stage.presented(), Some(1));
}

#[test]
fn without_a_bus_all_is_told_as_not_shown() {
    let session = "unix:path=/nonexistent/bus".to_string();
    let (presenter, told) = present_on(Surface::Desktop(Addresses { session, system: None }), Vec::new());
    let app: lomiri_push::base::AppId = "ab_chat".parse().expect("an id");
    presenter.count(app.clone(), Emblem { count: 1, visible: true }).expect("room");
    let notification = tagged("", card("Alice"));
    presenter.present(Presentation { app, note: 1, notification }).expect("room");
    let told = told.recv_timeout(PATIENCE).expect("something is told");
    assert!(matches!(told, Told::Presented { note: 1, ref presented } if !presented.is_shown), "{told:?}");
}

#[test]
fn with_their_server_bubbles_are_gone_and_the_next_server_is_asked_anew() {
    let Some(stage) = Stage::start() else { return };
    let first = stage.server(DESKTOP);
    stage.present(1, tagged("a", card("Alice")));
    assert_eq!(stage.presented(), Some(1));
    drop(first);
    assert_eq!(stage.closed(), (1, false));
    let second = stage.server(&[]);
    stage.present(2, tagged("a", card("Alice")));
    assert_eq!(stage.presented(), Some(1));
    second.expect("GetCapabilities");
    let shown = super::stage::Notify::of(&second.expect("Notify"));
    assert_eq!((shown.replaces, shown.actions.len()), (0, 0));
}

#[test]
fn a_server_that_hangs_holds_up_nobody_but_what_it_is_to_show() {
    let Some(stage) = Stage::start() else { return };
    let hangs = Arc::new(AtomicBool::new(true));
    let (does_hang, mut last) = (Arc::clone(&hangs), 0);
    let server = stage.service(NOTIFICATIONS, move |call| match call.member.as_str() {
        "GetCapabilities" => Answer::Texts(DESKTOP),
        _ if does_hang.load(Ordering::Acquire) => Answer::Silence,
        _ => {
            last += 1;
            Answer::Number(last)
        }
    });
    stage.present(1, tagged("", card("Alice")));
    server.expect("GetCapabilities");
    server.expect("Notify");
    let mut taken = 0;
    let overloaded = loop {
        let app = "ab_chat".parse().expect("an id");
        let presentation = Presentation { app, note: 2, notification: tagged("", card("Carol")) };
        match stage.presenter.present(presentation) {
            Ok(()) => taken += 1,
            Err(overloaded) => break overloaded,
        }
    };
    assert_eq!((overloaded, taken), (Overloaded, 64));
    hangs.store(false, Ordering::Release);
    assert_eq!(stage.presented(), None, "the one that hung");
    for bubble in 1..=taken {
        assert_eq!(stage.presented(), Some(bubble), "what waited behind it");
    }
}

#[test]
fn a_server_that_dies_before_it_answers_has_shown_nothing_and_the_next_one_shows_the_next() {
    let Some(stage) = Stage::start() else { return };
    let dying = stage.service(NOTIFICATIONS, move |call| match call.member.as_str() {
        "GetCapabilities" => Answer::Texts(DESKTOP),
        _ => Answer::Silence,
    });
    stage.present(1, tagged("a", card("Alice")));
    dying.expect("GetCapabilities");
    dying.expect("Notify");
    // Queued before anybody can hear that the server has gone.
    stage.present(2, tagged("a", card("Carol")));
    let heir = stage.server(&[]);
    drop(dying);
    assert_eq!(stage.presented(), None);
    assert_eq!(stage.presented(), Some(1));
    heir.expect("GetCapabilities");
    let shown = super::stage::Notify::of(&heir.expect("Notify"));
    assert_eq!((shown.summary.as_str(), shown.actions.len()), ("Carol", 0), "it can do other things");
    heir.signal("NotificationClosed", &(1_u32, 2_u32));
    assert_eq!(stage.closed(), (1, true), "the end of the other one is not its end");
}

#[test]
fn a_server_that_gives_no_number_has_shown_nothing() {
    let Some(stage) = Stage::start() else { return };
    let server = stage.service(NOTIFICATIONS, |call| match call.member.as_str() {
        "GetCapabilities" => Answer::Texts(DESKTOP),
        _ => Answer::Number(0),
    });
    for note in 1..=2 {
        stage.present(note, tagged("a", card("Alice")));
        let Told::Presented { presented, .. } = stage.told() else { panic!("nothing was presented") };
        assert!(presented.bubble.is_none() && !presented.is_shown);
    }
    assert_eq!(server.others(), ["GetCapabilities", "Notify", "Notify"]);
}

#[test]
fn a_stop_shows_what_is_queued() {
    let Some(stage) = Stage::start() else { return };
    let server = stage.server(DESKTOP);
    for note in 1..=40 {
        stage.present(note, tagged("", card(&note.to_string())));
    }
    let Stage { presenter, bus: _bus, .. } = stage;
    assert!(presenter.stop());
    assert_eq!(server.others().len(), 1 + 40);
}

#[test]
fn a_terminal_takes_the_place_of_a_desktop() {
    let (printing, printed) = mpsc::channel();
    let print = move |text: &str| printing.send(text.to_string()).expect("the test listens");
    let (presenter, told) = present_on(Surface::Terminal(Box::new(print)), Vec::new());
    let app = "ab_chat".parse().expect("an id");
    presenter.present(Presentation { app, note: 1, notification: tagged("", card("Alice")) }).expect("room");
    let told = told.recv_timeout(PATIENCE).expect("something is told");
    assert!(
        matches!(told, Told::Presented { note: 1, ref presented } if presented.bubble.is_some()),
        "{told:?}"
    );
    assert!(printed.recv_timeout(PATIENCE).expect("a box").contains("│ Alice "));
}
