//! The life of a message, and of the service.

use std::fs;
use std::process::Stdio;

use serde_json::json;

use super::notes;
use super::rig::{APP, Phone, Service};

/// Says in a bubble what the payload says.
pub const POLITE: &str = r#"text=$(sed 's/.*"text":"\([^"]*\)".*/\1/' "$1")
printf '{"message":{"text":"%s"},"notification":{"tag":"chat","card":{"summary":"Bob","body":"%s","popup":true,"persist":true}}}' "$text" "$text" > "$2""#;

#[test]
fn a_message_is_helped_shown_announced_listed_and_popped_once() {
    let Some(phone) = Phone::new() else { return };
    let desktop = notes::server(phone.bus.address());
    phone.install(POLITE);
    let service = phone.start();
    let token: String = phone.call("Register");
    assert_eq!(phone.call::<String>("Register"), token, "the same each time");
    assert_ne!(phone.call::<String>("RegisterUser"), token);
    phone.post(&token, &json!({ "text": "Tea?" }));
    phone.await_post();
    desktop.expect("GetCapabilities");
    assert_eq!(notes::shown(&desktop.expect("Notify")), ("Bob".into(), "Tea?".into()));
    assert_eq!(phone.call::<Vec<String>>("ListPersistent"), ["chat"]);
    assert_eq!(phone.pop(), [json!({ "text": "Tea?" })]);
    assert!(phone.pop().is_empty());
    assert!(service.terminate().success());
    let _service = phone.start();
    assert_eq!(phone.call::<Vec<String>>("ListPersistent"), ["chat"], "it stays over a restart");
    phone.call::<()>("Unregister");
}

#[test]
fn calls_that_make_no_sense_get_an_error_and_harm_nobody() {
    let Some(phone) = Phone::new() else { return };
    phone.install(POLITE);
    let _service = phone.start();
    let ours = "/com/lomiri/Postal/_";
    let long = "x".repeat(1024 * 1024);
    for (path, method, error) in [
        (ours, "Nonsense", "UnknownMethod"),
        ("/com/lomiri/Postal/com_2eexample", "PopAll", "NoSuchObject"),
        ("/elsewhere", "PopAll", "UnknownInterface"),
    ] {
        assert!(phone.fails(path, method, &(APP,)).ends_with(error), "{path} {method}");
    }
    for error in [
        phone.fails(ours, "PopAll", &(1u32,)),
        phone.fails(ours, "PopAll", &()),
        phone.fails(ours, "SetCounter", &(APP, "many", true)),
    ] {
        assert_eq!(error, "org.freedesktop.DBus.Error.InvalidArgs");
    }
    for json in ["{", "[]", "{\"notification\":7}"] {
        assert_eq!(phone.fails(ours, "Post", &(APP, json)), "org.freedesktop.DBus.Error.Failed");
    }
    assert_eq!(phone.fails(ours, "Post", &(APP, long)), "org.freedesktop.DBus.Error.LimitsExceeded");
    assert!(phone.pop().is_empty());
}

#[test]
fn without_any_bus_messages_are_kept_for_when_there_is_one() {
    let Some(phone) = Phone::new() else { return };
    phone.install(POLITE);
    let service = phone.start();
    let token: String = phone.call("Register");
    assert!(service.terminate().success());
    phone.post(&token, &json!({ "text": "Tea?" }));
    let mut lonely = phone.command(&["--once"]);
    let (status, log) = Service::spawn(lonely.env_remove("DBUS_SESSION_BUS_ADDRESS")).end();
    assert!(status.success(), "{log}");
    assert!(log.contains("DBUS_SESSION_BUS_ADDRESS is not set"), "{log}");
    let _service = phone.start();
    phone.await_post();
    assert_eq!(phone.pop(), [json!({ "text": "Tea?" })]);
}

#[test]
fn two_at_once_are_told_apart() {
    let Some(phone) = Phone::new() else { return };
    let _service = phone.start();
    let (status, log) = Service::spawn(&mut phone.command(&[])).end();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("another push service uses this folder"), "{log}");
    fs::create_dir(phone.path("other")).expect("writable");
    fs::copy(phone.path("state/device.json"), phone.path("other/device.json")).expect("there");
    let mut other = phone.command(&["--state"]);
    let (status, log) = Service::spawn(other.arg(phone.path("other"))).end();
    assert_eq!(status.code(), Some(2), "--state is there twice: {log}");
}

#[test]
fn a_machine_that_is_not_enrolled_is_told_what_to_do() {
    let Some(phone) = Phone::new() else { return };
    fs::remove_file(phone.path("state/device.json")).expect("it was enrolled");
    let (status, log) = Service::spawn(&mut phone.command(&[])).end();
    assert_eq!(status.code(), Some(2));
    assert!(log.contains("lomiri-push device enrol CODE --state"), "{log}");
}

#[test]
fn what_cannot_be_stored_is_not_acked_and_comes_again() {
    let Some(phone) = Phone::new() else { return };
    phone.install(POLITE);
    let mut service = phone.start();
    let token: String = phone.call("Register");
    // Root may write wherever there is a folder: so there is none.
    let mailbox = phone.path("state/mailbox");
    fs::remove_dir_all(&mailbox).expect("ours");
    fs::write(&mailbox, b"").expect("ours");
    phone.post(&token, &json!({ "text": "Tea?" }));
    let (status, log) = service.end();
    assert_eq!(status.code(), Some(1), "{log}");
    fs::remove_file(&mailbox).expect("ours");
    let _service = phone.start();
    phone.await_post();
    assert_eq!(phone.pop(), [json!({ "text": "Tea?" })]);
}

#[test]
fn the_service_says_how_it_does_and_the_command_if_there_is_none() {
    let Some(phone) = Phone::new() else { return };
    let status = || {
        let output = phone.program(&["device", "status"]).stdout(Stdio::piped()).output().expect("it runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).expect("text"))
    };
    let (code, text) = status();
    assert_eq!(code, Some(1));
    assert!(text.contains("the push service is not running: start it (lomiri-push device"), "{text}");
    let _service = phone.start();
    let (code, text) = status();
    assert_eq!(code, Some(0));
    assert!(text.starts_with("Connected to 127.0.0.1:"), "{text}");
}
