//! A Lomiri phone, and other Linux phones: the launcher, the vibrator, silence, and the app in the foreground.

use std::collections::HashMap;
use std::sync::mpsc;
use std::thread;

use lomiri_push::device::presenter::Told;
use lomiri_push::service::notification::{Emblem, Notification, Sound, Vibration};
use zbus::blocking::MessageIterator;
use zbus::blocking::connection::Builder;
use zbus::zvariant::{OwnedValue, Value};

use super::fake::{Answer, PATIENCE, Unit};
use super::stage::{DESKTOP, Notify, Stage, card, tagged};

/// What Lomiri's notification server can do.
const LOMIRI: &[&str] = &["actions", "body", "body-markup", "x-lomiri-secondary-icon"];

fn value(value: impl Into<Value<'static>>) -> Answer {
    Answer::Value(value.into().try_into().expect("no file descriptors"))
}

fn pattern() -> Notification {
    let vibration = Some(Vibration::Pattern { durations_ms: vec![200, 50, 100], repeat: 2 });
    Notification { vibration, ..Notification::default() }
}

fn emblem() -> Notification {
    Notification { emblem: Some(Emblem { count: 3, visible: true }), ..Notification::default() }
}

#[test]
fn lomiris_launcher_counts() {
    let Some(stage) = Stage::start() else { return };
    let launcher = stage.service("com.lomiri.Shell.Launcher", |_| Answer::Done);
    stage.present(1, emblem());
    let mut set = HashMap::new();
    for _ in 0..2 {
        let call = launcher.expect("Set");
        assert_eq!(call.path, "/com/lomiri/Shell/Launcher/ab_5fchat");
        let (interface, name, value): (String, String, OwnedValue) = call.body();
        assert_eq!(interface, "com.lomiri.Shell.Launcher.Item");
        set.insert(name, value);
    }
    assert_eq!((&set["count"], &set["countVisible"]), (&3_i32.into(), &true.into()));
}

#[test]
fn the_docks_of_other_desktops_hear_a_signal() {
    let Some(stage) = Stage::start() else { return };
    let dock = Builder::address(stage.bus.address()).and_then(Builder::build).expect("a bus");
    let rule = "type='signal',interface='com.canonical.Unity.LauncherEntry',member='Update'";
    let mut signals = MessageIterator::for_match_rule(rule, &dock, None).expect("a rule");
    let (hearing, heard) = mpsc::channel();
    thread::spawn(move || signals.next().map(|signal| hearing.send(signal)));
    stage.present(1, emblem());
    let update = heard.recv_timeout(PATIENCE).expect("a signal").expect("a signal");
    let (app, set): (String, HashMap<String, OwnedValue>) = update.body().deserialize().expect("its types");
    assert_eq!(app, "application://ab_chat.desktop");
    assert_eq!((&set["count"], &set["count-visible"]), (&3_i64.into(), &true.into()));
}

#[test]
fn lomiris_vibrator_gets_the_pattern_as_it_is() {
    let Some(stage) = Stage::start() else { return };
    let vibrator = stage.service("com.lomiri.hfd", |_| Answer::Done);
    stage.present(1, pattern());
    let call = vibrator.expect("vibratePattern");
    assert_eq!(call.path, "/com/lomiri/hfd");
    assert_eq!(call.body::<(Vec<u32>, u32)>(), (vec![200, 50, 100], 2));
    assert!(matches!(stage.told(), Told::Presented { presented, .. } if presented.is_shown));
}

#[test]
fn other_phones_vibrate_by_their_feedback() {
    let Some(stage) = Stage::start() else { return };
    let feedback = stage.service("org.sigxcpu.Feedback", |call| match call.member.as_str() {
        "Vibrate" => Answer::Refused,
        _ => Answer::Number(1),
    });
    stage.present(1, pattern());
    let (app, steps): (String, Vec<(f64, u32)>) = feedback.expect("Vibrate").body();
    assert_eq!((app.as_str(), steps.len(), steps[1]), ("ab_chat", 6, (0.0, 50)));
    // Older ones do not know patterns.
    let event: (String, String, HashMap<String, OwnedValue>, i32) = feedback.expect("TriggerFeedback").body();
    assert_eq!(event.1, "message-new-instant");
}

/// The system of a Lomiri phone, on which the app has the focus or not, and the screen is locked or not.
fn phone(stage: &Stage, is_focused: bool, is_locked: bool) -> Vec<super::fake::Fake> {
    let path = |path: &str| path.to_string().try_into().expect("a path");
    let unit: Unit = (
        "lomiri-app-launch--click--ab_chat_1.0--.service".into(),
        String::new(),
        "loaded".into(),
        "active".into(),
        "running".into(),
        String::new(),
        path("/unit/chat"),
        0,
        String::new(),
        path("/"),
    );
    let systemd = stage.service("org.freedesktop.systemd1", move |call| match call.member.as_str() {
        "ListUnitsByPatterns" => Answer::Units(vec![unit.clone()]),
        _ if call.path == "/unit/chat" => value(4711_u32),
        _ => Answer::Refused,
    });
    let shell = stage.service("com.lomiri.Shell.FocusInfo", move |call| {
        Answer::Flag(is_focused && call.body::<u32>() == 4711)
    });
    let greeter = stage.service("com.lomiri.LomiriGreeter", |_| value(false));
    let login = stage.service("org.freedesktop.login1", move |_| value(is_locked));
    vec![systemd, shell, greeter, login]
}

#[test]
fn nothing_is_shown_for_the_app_in_the_foreground_of_an_unlocked_screen() {
    for (is_focused, is_locked, bubble) in
        [(true, false, None), (true, true, Some(1)), (false, false, Some(1))]
    {
        let Some(stage) = Stage::start() else { return };
        let _server = stage.server(LOMIRI);
        let _phone = phone(&stage, is_focused, is_locked);
        stage.present(1, tagged("", card("Alice")));
        assert_eq!(stage.presented(), bubble, "focused: {is_focused}, locked: {is_locked}");
    }
}

#[test]
fn where_nobody_says_what_is_in_the_foreground_all_is_shown() {
    let Some(stage) = Stage::start() else { return };
    let server = stage.server(LOMIRI);
    stage.present(1, tagged("", card("Alice")));
    assert_eq!(stage.presented(), Some(1));
    server.expect("GetCapabilities");
    let shown = Notify::of(&server.expect("Notify"));
    assert_eq!(shown.hint("x-lomiri-switch-to-application").as_deref(), Some("\"true\""));
}

#[test]
fn a_phone_that_is_to_be_silent_makes_no_sound() {
    let noisy = || Notification { sound: Some(Sound::Default), ..tagged("", card("Alice")) };
    let is_silenced = |stage: &Stage, can| {
        let server = stage.server(can);
        stage.present(1, noisy());
        assert_eq!(stage.presented(), Some(1));
        server.expect("GetCapabilities");
        Notify::of(&server.expect("Notify")).hints.contains_key("suppress-sound")
    };
    let Some(stage) = Stage::start() else { return };
    let _accounts = stage.service("org.freedesktop.Accounts", |_| value(true));
    assert!(is_silenced(&stage, LOMIRI));
    let Some(stage) = Stage::start() else { return };
    let _feedback = stage.service("org.sigxcpu.Feedback", |_| value("silent"));
    assert!(is_silenced(&stage, DESKTOP));
}
