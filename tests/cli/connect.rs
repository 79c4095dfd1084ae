//! A device in a terminal, against a real server.

use std::io::{self, BufRead, BufReader};
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::process::{Running, Serving, binary, folder, run, serve, serve_command, stderr, stdout};

fn carol(server: &Serving, more: &[&str]) -> Running {
    carol_on("0", server, more)
}

fn carol_on(wire: &str, server: &Serving, more: &[&str]) -> Running {
    let addr = server.devices.to_string();
    let mut command = binary(&["connect", "--wire", wire, "--addr", &addr, "--insecure"]);
    command.args(["--device-id", "carol"]).args(more);
    Running::with_stdout(command)
}

#[test]
fn a_posted_message_is_printed_and_acked() {
    let folder = folder("ping_interval = \"1m30s\"");
    let server = serve(&folder);
    let device = carol(&server, &["--count", "1"]);
    assert_eq!(device.line(), "connected; a sign of life every 1m30s");
    server.notify("carol", r#"{ "text": "Lunch at one?" }"#);
    assert_eq!(device.line(), r#"chatter: {"text":"Lunch at one?"}"#);
    assert!(device.wait().0.success());

    server.notify("carol", "2");
    let again = carol(&server, &["--count", "1"]);
    again.line();
    assert_eq!(again.line(), "chatter: 2", "the first one was acked, so it does not come again");
}

#[test]
fn what_came_together_is_printed_and_acked_together() {
    for wire in ["0", "1"] {
        let folder = folder("");
        let server = serve(&folder);
        server.notify("carol", "1");
        server.notify("carol", "2");
        let device = carol_on(wire, &server, &["--count", "1"]);
        device.line();
        let (status, lines) = device.wait();
        assert!(status.success());
        assert_eq!(lines, ["chatter: 1", "chatter: 2"], "wire {wire}");

        server.notify("carol", "3");
        let again = carol_on(wire, &server, &["--count", "1"]);
        again.line();
        assert_eq!(again.line(), "chatter: 3", "wire {wire}");
    }
}

#[test]
fn json_lines_say_the_same_to_programs() {
    let folder = folder("");
    let server = serve(&folder);
    server.notify("carol", r#"{"n":1.50}"#);
    let device = carol(&server, &["--json", "--count", "1"]);
    assert_eq!(device.line(), r#"{"event":"connected","interval":"5m0s"}"#);
    let line = device.line();
    assert!(line.ends_with(r#","payload":{"n":1.50}}"#), "{line}");
    let message: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((&message["event"], &message["app"]), (&json!("message"), &json!("chatter")));
}

#[test]
fn wire_1_says_the_same_and_when_it_expires() {
    let folder = folder("keepalive_max = \"1h\"");
    let server = serve(&folder);
    server.notify("carol", r#"{"n":1.50}"#);
    let device = carol_on("1", &server, &["--json", "--count", "1", "--keepalive", "2h"]);
    assert_eq!(device.line(), r#"{"event":"connected","interval":"1h0m0s"}"#);
    let message: Value = serde_json::from_str(&device.line()).expect("JSON");
    assert_eq!((&message["event"], &message["app"]), (&json!("message"), &json!("chatter")));
    assert_eq!((&message["urgency"], &message["payload"]["n"]), (&json!("normal"), &json!(1.50)));
    assert!(message["expires_in"].as_str().is_some_and(|left| left.ends_with('s')), "{message}");
    assert!(device.wait().0.success());

    server.notify("carol", "2");
    let again = carol_on("1", &server, &["--count", "1"]);
    again.line();
    assert_eq!(again.line(), "chatter: 2", "the first one was acked, so it does not come again");
}

#[test]
fn a_device_on_wire_1_is_sent_away_when_the_server_stops() {
    for (signal, reason) in [(Signal::TERM, "restart"), (Signal::USR1, "drain")] {
        let folder = folder("");
        let server = serve(&folder);
        let device = carol_on("1", &server, &["--json"]);
        device.line();
        server.process.signal(signal);
        let (status, lines) = device.wait();
        assert_eq!(status.code(), Some(1));
        let goaway = format!(r#"{{"event":"goaway","reason":"{reason}","after":"1s","spread":"10s"}}"#);
        let ended = format!(r#"{{"event":"ended","reason":"sent away by the server: {reason}"}}"#);
        assert_eq!(lines, [goaway, ended]);
        assert!(server.process.wait().0.success());
    }
}

#[test]
fn what_is_less_urgent_than_wanted_waits_and_goes_along() {
    let folder = folder("");
    let server = serve(&folder);
    let device = carol_on("1", &server, &["--urgency", "high", "--count", "1"]);
    device.line();
    let post = |urgency: &str, data: &str| {
        let to = r#""userid":"u","deviceid":"carol","appid":"chatter","expire_on":"2100-01-01T00:00:00Z""#;
        let body = format!(r#"{{{to},"urgency":"{urgency}","data":{data}}}"#);
        assert_eq!(server.post("/notify", &body).1, "{\"ok\":true}");
    };
    // Had the first come alone, it would have been the one that was asked for.
    post("low", "1");
    post("high", "2");
    assert_eq!((device.line(), device.line()), ("chatter: 1".into(), "chatter: 2".into()));
    assert!(device.wait().0.success());
}

#[test]
fn broadcasts_come_to_the_image_they_are_for() {
    for wire in ["0", "1"] {
        broadcasts_come_to_the_image_they_are_for_on(wire);
    }
}

fn broadcasts_come_to_the_image_they_are_for_on(wire: &str) {
    let folder = folder("");
    let server = serve(&folder);
    for data in [r#"{"stable/phone":1}"#, r#"{"devel/phone":2}"#, r#"{"stable/phone":3}"#] {
        let body = format!(r#"{{"channel":"system","expire_on":"2100-01-01T00:00:00Z","data":{data}}}"#);
        assert_eq!(server.post("/broadcast", &body).1, "{\"ok\":true}");
    }
    let image = ["--model", "phone", "--channel", "stable"];
    let device = carol_on(wire, &server, &[&image[..], &["--count", "2"]].concat());
    device.line();
    assert_eq!(device.line(), r#"broadcast, channel 0 is at 3: {"stable/phone":1} {"stable/phone":3}"#);
    assert!(device.wait().0.success());
    let later = carol_on(wire, &server, &[&image[..], &["--level", "2", "--count", "1"]].concat());
    later.line();
    assert_eq!(later.line(), r#"broadcast, channel 0 is at 3: {"stable/phone":3}"#);
}

#[test]
fn a_device_takes_its_leave_on_a_signal_and_what_it_has_printed_is_acked() {
    for signal in [Signal::INT, Signal::TERM] {
        let folder = folder("");
        let mut command = serve_command(&folder);
        command.env("RUST_LOG", "debug");
        let server = Serving::started(command);
        let device = carol_on("1", &server, &[]);
        device.line();
        server.notify("carol", "1");
        device.line();
        device.signal(signal);
        let (status, rest) = device.wait();
        assert!(status.success() && rest.is_empty(), "{status} {rest:?}");
        assert_eq!(server.process.line_after("ended with: "), "the device left: closing");

        server.notify("carol", "2");
        let again = carol_on("1", &server, &[]);
        again.line();
        assert_eq!(again.line(), "chatter: 2");
    }
}

#[test]
fn ctrl_c_ends_it_with_status_0_on_wire_0_too() {
    let folder = folder("");
    let server = serve(&folder);
    let device = carol(&server, &[]);
    device.line();
    device.signal(Signal::INT);
    assert!(device.wait().0.success());
}

#[test]
fn the_end_of_the_session_is_told_and_status_1() {
    let folder = folder("");
    let server = serve(&folder);
    let device = carol(&server, &[]);
    device.line();
    server.process.signal(Signal::TERM);
    let (status, lines) = device.wait();
    assert_eq!(status.code(), Some(1));
    assert_eq!(lines, ["ended: EOF"]);
}

#[test]
fn what_nobody_reads_is_not_acked() {
    let folder = folder("");
    let server = serve(&folder);
    let addr = server.devices.to_string();
    let (reader, writer) = io::pipe().expect("a pipe");
    let mut command = binary(&["connect", "--wire", "0", "--addr", &addr, "--insecure"]);
    command.args(["--device-id", "carol"]).stdout(writer).stderr(Stdio::piped());
    let unread = command.spawn().expect("the binary runs");
    drop(command);
    let mut lines = BufReader::new(reader).lines();
    lines.next().expect("a line is due").expect("text");
    drop(lines);
    server.notify("carol", "1");
    let output = unread.wait_with_output().expect("a child");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");

    let device = carol(&server, &[]);
    device.line();
    assert_eq!(device.line(), "chatter: 1");
}

#[test]
fn a_server_that_is_not_there_or_not_trusted_is_status_1() {
    let folder = folder("");
    let server = serve(&folder);
    let addr = server.devices.to_string();
    let ca = folder.path().join("data/certificate.pem");
    let ca = ca.to_str().expect("UTF-8");
    let arguments = ["connect", "--wire", "0", "--addr", &addr, "--device-id", "carol", "--ca", ca];
    let output = run(&[&arguments[..], &["--domain", "elsewhere.example"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).starts_with("ended: TLS: invalid peer certificate"), "{}", stdout(&output));
    drop(server);
    let output = run(&arguments);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stderr(&output), format!("lomiri-push: {addr}: Connection refused (os error 111)\n"));
}
