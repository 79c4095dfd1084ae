//! What stays on the desktop, over the end of the push service that had it shown.

use std::sync::mpsc;

use serde_json::json;

use super::notes;
use super::rig::{APP, Phone};
use crate::fake::{Answer, Fake, PATIENCE};

/// A bubble for each tag, which stays and opens a page.
const STAYING: &str = r#"text=$(sed 's/.*"text":"\([^"]*\)".*/\1/' "$1")
printf '{"notification":{"tag":"%s","card":{"summary":"Bob","body":"%s","popup":true,"persist":true,"actions":["https://chat.example/%s"]}}}' "$text" "$text" "$text" > "$2""#;

#[test]
fn after_a_kill_a_bubble_is_clicked_replaced_and_cleared_as_before() {
    let Some(phone) = Phone::new() else { return };
    let desktop = notes::keeping_server(phone.bus.address());
    let dispatcher = phone.service("com.lomiri.URLDispatcher", |_| Answer::Done);
    phone.install(STAYING);
    let mut service = phone.start();
    let token: String = phone.call("Register");
    let show = |text: &str| {
        phone.post(&token, &json!({ "text": text }));
        phone.await_post();
        notes::replaced(&desktop.next_of("Notify").expect("it was shown before the app was told"))
    };
    assert_eq!(["clicked", "replaced", "cleared"].map(show), [0, 0, 0]);
    service.kill();
    let _service = phone.start();
    assert_eq!(show("replaced"), 2);
    desktop.signal("ActionInvoked", &(1_u32, "default"));
    let (url, _): (String, String) = dispatcher.expect("DispatchURL").body();
    assert_eq!(url, "https://chat.example/clicked");
    assert_eq!(phone.call_with::<u32>("ClearPersistentList", &(APP, vec!["cleared"])), 1);
    assert_eq!(desktop.expect("CloseNotification").body::<u32>(), 3);
    desktop.signal("NotificationClosed", &(2_u32, 2_u32));
    phone.await_tags(&[]);
}

#[test]
fn after_a_kill_and_with_another_notification_server_its_numbers_are_not_taken_for_ours() {
    let Some(phone) = Phone::new() else { return };
    let desktop = notes::keeping_server(phone.bus.address());
    phone.install(STAYING);
    let mut service = phone.start();
    let token: String = phone.call("Register");
    phone.post(&token, &json!({ "text": "kept" }));
    phone.await_post();
    service.kill();
    drop(desktop);
    let desktop = notes::keeping_server(phone.bus.address());
    let _service = phone.start();
    desktop.signal("NotificationClosed", &(1_u32, 2_u32));
    assert_eq!(phone.call::<Vec<String>>("ListPersistent"), ["kept"]);
    assert_eq!(phone.call_with::<u32>("ClearPersistentList", &(APP, vec!["kept"])), 1);
    phone.post(&token, &json!({ "text": "other" }));
    phone.await_post();
    assert_eq!(desktop.others(), ["GetCapabilities", "Notify"], "a stranger's bubble is closed");
}

#[test]
fn what_is_being_shown_when_the_service_stops_is_listed_after_it() {
    let Some(phone) = Phone::new() else { return };
    let (asked, is_asked) = mpsc::channel();
    let (go, may_answer) = mpsc::channel::<()>();
    let _desktop = Fake::start(phone.bus.address(), &[notes::NAME], move |call| match call.member.as_str() {
        "Notify" => {
            asked.send(()).expect("the test waits");
            may_answer.recv().expect("the test says when");
            Answer::Number(1)
        }
        _ => Answer::Texts(&["body", "actions"]),
    });
    phone.install(STAYING);
    let mut service = phone.start();
    let token: String = phone.call("Register");
    phone.post(&token, &json!({ "text": "late" }));
    is_asked.recv_timeout(PATIENCE).expect("a bubble is shown");
    service.ask_to_stop();
    service.await_line("stopping");
    go.send(()).expect("it waits");
    assert!(service.end().0.success());
    let _service = phone.start();
    assert_eq!(phone.call::<Vec<String>>("ListPersistent"), ["late"]);
}
