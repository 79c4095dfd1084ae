//! `lomiri-push app` as developers use it, from a terminal.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::place::{self, Place};
use super::service::{MUSIC, start};

fn command(place: &Place, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lomiri-push"));
    command.arg("app").args(arguments).stdin(Stdio::null());
    match place.socket() {
        Some(path) => command.arg("--socket").arg(path),
        None => command.env("DBUS_SESSION_BUS_ADDRESS", place.bus_address()),
    };
    command
}

fn run(place: &Place, arguments: &[&str]) -> Output {
    command(place, arguments).output().expect("the binary runs")
}

fn said(place: &Place, arguments: &[&str]) -> String {
    let output = run(place, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// With a bus, where there is one, and without.
fn places() -> Vec<Place> {
    [place::bus(), Some(place::peer())].into_iter().flatten().collect()
}

#[test]
fn a_developer_tries_an_app_from_a_terminal() {
    for place in places() {
        start(place.address());
        let tokens = format!("token-of-{MUSIC}\nuser-token-of-{MUSIC}\n");
        assert_eq!(said(&place, &["register", MUSIC, "--user"]), tokens);
        assert_eq!(said(&place, &["post", MUSIC, r#"{"message":1}"#]), "");
        assert_eq!(said(&place, &["pop", MUSIC]), "{\"message\":1}\n");
        assert_eq!(said(&place, &["pop", MUSIC]), "");
        assert_eq!(said(&place, &["persistent", MUSIC]), "a\nb\n");
        assert_eq!(said(&place, &["clear", MUSIC, "a"]), "1\n");
        assert_eq!(said(&place, &["counter", MUSIC, "-1", "--hidden"]), "");
        assert_eq!(said(&place, &["unregister", MUSIC]), "");
    }
}

#[test]
fn json_may_come_on_stdin_and_must_be_json() {
    let place = place::peer();
    start(place.address());
    let mut post = command(&place, &["post", MUSIC]).stdin(Stdio::piped()).spawn().expect("the binary runs");
    post.stdin.take().expect("piped").write_all(b"{\"message\":2}").expect("it is read");
    assert!(post.wait().expect("a child").success());
    assert_eq!(said(&place, &["pop", MUSIC]), "{\"message\":2}\n");
    let refused = run(&place, &["post", MUSIC, "{"]);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn errors_say_what_to_do() {
    let place = place::peer();
    let not_running = run(&place, &["pop", MUSIC]);
    let text = String::from_utf8_lossy(&not_running.stderr);
    assert!(not_running.status.code() == Some(1) && text.contains("start it (lomiri-push device"), "{text}");
    start(place.address());
    let no_app = run(&place, &["pop", "music"]);
    let text = String::from_utf8_lossy(&no_app.stderr);
    assert!(no_app.status.code() == Some(2) && text.contains("PACKAGE_APP"), "{text}");
}

#[test]
fn tail_prints_what_was_there_and_what_comes_until_it_is_interrupted() {
    for place in places() {
        start(place.address());
        said(&place, &["post", MUSIC, r#"{"message":1}"#]);
        let mut tail = command(&place, &["tail", MUSIC]).stdout(Stdio::piped()).spawn().expect("it runs");
        let mut lines = BufReader::new(tail.stdout.take().expect("piped")).lines();
        let mut line = || lines.next().expect("a line is due").expect("text");
        assert_eq!(line(), r#"{"message":1}"#);
        said(&place, &["post", MUSIC, r#"{"message":2}"#]);
        assert_eq!(line(), r#"{"message":2}"#);
        kill_process(Pid::from_child(&tail), Signal::INT).expect("it runs");
        assert!(tail.wait().expect("a child").success());
    }
}
