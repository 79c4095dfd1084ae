//! What a click opens, and with what.

use std::collections::HashMap;

use lomiri_push::service::notification::Card;
use zbus::zvariant::OwnedValue;

use super::fake::{Answer, Fake};
use super::stage::{DESKTOP, Stage, card, tagged};

const URL: &str = "https://chat.example/1";

/// A stage on which a bubble is up, and its server.
fn with_bubble() -> Option<(Stage, Fake)> {
    let stage = Stage::start()?;
    let server = stage.server(DESKTOP);
    stage.present(1, tagged("", card("Alice")));
    assert_eq!(stage.presented(), Some(1));
    Some((stage, server))
}

fn clicked() -> (u32, String) {
    (1, URL.into())
}

#[test]
fn a_click_is_told_and_opens_the_url_with_lomiris_dispatcher() {
    let Some((stage, server)) = with_bubble() else { return };
    let dispatcher = stage.service("com.lomiri.URLDispatcher", |_| Answer::Done);
    server.signal("ActionInvoked", &(1_u32, "default"));
    assert_eq!(stage.activated(), clicked());
    let call = dispatcher.expect("DispatchURL");
    assert_eq!(call.path, "/com/lomiri/URLDispatcher");
    assert_eq!(call.body::<(String, String)>(), (URL.into(), "ab".into()));
}

#[test]
fn elsewhere_the_desktops_portal_opens_it() {
    let Some((stage, server)) = with_bubble() else { return };
    let portal = stage.service("org.freedesktop.portal.Desktop", |_| Answer::Done);
    server.signal("ActionInvoked", &(1_u32, "default"));
    assert_eq!(stage.activated(), clicked());
    let (_, url, _): (String, String, HashMap<String, OwnedValue>) = portal.expect("OpenURI").body();
    assert_eq!(url, URL);
}

#[test]
fn only_the_server_itself_is_believed_about_clicks() {
    let Some((stage, server)) = with_bubble() else { return };
    server.expect("GetCapabilities");
    let presenter = server.expect("Notify").sender();
    let liar = stage.service("org.example.Liar", |_| Answer::Done);
    let dispatcher = stage.service("com.lomiri.URLDispatcher", |_| Answer::Done);
    // What is said to everybody does not even arrive.
    liar.signal("NotificationClosed", &(1_u32, 2_u32));
    liar.signal_to(&presenter, "ActionInvoked", &(1_u32, "default"));
    liar.signal_to(&presenter, "NotificationClosed", &(1_u32, 2_u32));
    server.signal("ActionInvoked", &(1_u32, "another-button"));
    server.signal("ActionInvoked", &(9_u32, "default"));
    server.signal("NotificationClosed", &(1_u32, 1_u32));
    assert_eq!(stage.closed(), (1, false), "a liar is believed");
    assert!(stage.presenter.stop());
    assert_eq!(dispatcher.others(), Vec::<String>::new());
}

#[test]
fn what_is_no_url_cannot_be_clicked() {
    let Some(stage) = Stage::start() else { return };
    let server = stage.server(DESKTOP);
    stage.present(1, tagged("", Card { actions: vec!["--help".into()], ..card("Alice") }));
    assert_eq!(stage.presented(), Some(1));
    server.expect("GetCapabilities");
    assert!(super::stage::Notify::of(&server.expect("Notify")).actions.is_empty());
}
