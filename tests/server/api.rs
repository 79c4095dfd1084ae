//! The API's sockets: many requests on one connection, callers who do not read, HTTPS.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use super::device::Secured;
use super::rig::{Made, Rig, notify_request, read_response};

#[test]
fn pipelined_requests_are_answered_in_order() {
    let rig = Rig::start();
    let mut caller = rig.caller();
    let good = notify_request("carol", "1");
    let bad = "GET /nowhere HTTP/1.1\r\nHost: push\r\n\r\n";
    caller.write_all([&good, bad, &good].concat().as_bytes()).expect("the server reads");
    caller.shutdown(Shutdown::Write).expect("connected");
    let mut answers = String::new();
    caller.read_to_string(&mut answers).expect("the server closes");
    let statuses: Vec<&str> =
        answers.match_indices("HTTP/1.1 ").map(|(at, _)| &answers[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "404", "200"], "{answers}");
    assert_eq!(rig.counter("pending"), 2);
}

/// More than a conversation takes in at once: what stays in the socket is read when there is room.
#[test]
fn a_long_pipeline_of_messages_is_queued_to_its_end() {
    let rig = Rig::start();
    let mut caller = rig.caller();
    let requests: String = (0..1000).map(|number| notify_request(&format!("device-{number}"), "1")).collect();
    caller.write_all(requests.as_bytes()).expect("the server reads");
    rig.await_counter("pending", 1000);
}

#[test]
fn an_error_arrives_though_the_body_is_not_read() {
    let rig = Rig::start();
    let mut caller = rig.caller();
    let huge = vec![b'x'; 4 << 20];
    let head = format!(
        "POST /notify HTTP/1.1\r\nHost: push\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        huge.len()
    );
    caller.write_all(head.as_bytes()).expect("the server reads");
    caller.write_all(&huge).expect("the server reads on, and throws away");
    let mut answer = String::new();
    caller.read_to_string(&mut answer).expect("no reset");
    assert_eq!(read_response(&answer).0, 413);
}

const QUESTION: &str = "GET /delivery-hosts HTTP/1.1\r\nHost: push\r\n\r\n";

/// Asks until the server does not read any more, since all buffers are full of answers; returns how
/// many bytes it took.
fn ask_until_stalled(caller: &mut TcpStream) -> usize {
    let many = QUESTION.repeat(1000);
    caller.set_write_timeout(Some(Duration::from_millis(300))).expect("a valid timeout");
    let mut taken = 0;
    while let Ok(count) = caller.write(&many.as_bytes()[taken % many.len()..]) {
        taken += count;
    }
    taken
}

#[test]
fn a_caller_who_reads_late_gets_every_answer() {
    let rig = Rig::start();
    let mut caller = rig.caller();
    let taken = ask_until_stalled(&mut caller);
    let mut reader = caller.try_clone().expect("a descriptor");
    let reader = thread::spawn(move || {
        let mut answers = String::new();
        reader.read_to_string(&mut answers).map(|_| answers).expect("the server closes")
    });
    caller.set_write_timeout(None).expect("valid");
    caller.write_all(&QUESTION.as_bytes()[taken % QUESTION.len()..]).expect("the server reads on");
    caller.shutdown(Shutdown::Write).expect("connected");
    let answers = reader.join().expect("it has read");
    assert_eq!(answers.matches("HTTP/1.1 200").count(), taken / QUESTION.len() + 1);
}

#[test]
fn a_caller_who_does_not_read_is_dropped_alone() {
    let rig = Rig::start_with(|options| options.http_write_timeout = Duration::from_millis(100));
    let mut deaf = rig.caller();
    ask_until_stalled(&mut deaf);
    rig.notify("carol", "1");
    rig.await_counter("api_connections", 1);
}

#[test]
fn the_api_speaks_https_with_its_own_certificate() {
    let made = Made::new();
    let rig = Rig::start_with(|options| options.http_tls = Some(made.tls()));
    let mut caller = Secured::connect(rig.addresses.http, &made.trust());
    caller.write(notify_request("carol", "1").as_bytes());
    caller.write(b"GET /healthz HTTP/1.1\r\nHost: push\r\nConnection: close\r\n\r\n");
    let answers = String::from_utf8(caller.read_to_end()).expect("text");
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{answers}");
}

#[test]
fn who_does_not_speak_https_there_is_put_out() {
    let made = Made::new();
    let rig = Rig::start_with(|options| {
        options.http_tls = Some(made.tls());
        options.api.read_timeout = Duration::from_millis(100);
    });
    for said in ["", "GET /healthz HTTP/1.1\r\nHost: push\r\n\r\n"] {
        let mut caller = rig.caller();
        caller.write_all(said.as_bytes()).expect("the server reads");
        let mut answer = Vec::new();
        caller.read_to_end(&mut answer).expect("the server closes");
        assert!(!answer.starts_with(b"HTTP"), "{}", answer.escape_ascii());
    }
}
