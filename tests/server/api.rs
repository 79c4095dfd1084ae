//! The API's sockets: many requests on one connection, callers who do not read, HTTPS.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::time::Duration;

use super::device::Secured;
use super::rig::{Made, Rig, notify_body, read_response};

fn notify(body: &str) -> String {
    let length = body.len();
    format!(
        "POST /notify HTTP/1.1\r\nHost: push\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let rig = Rig::start();
    let mut caller = rig.caller();
    let good = notify(&notify_body("carol", "1"));
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

#[test]
fn a_caller_who_does_not_read_is_dropped_alone() {
    let rig = Rig::start_with(|options| options.http_write_timeout = Duration::from_millis(100));
    let mut deaf = rig.caller();
    deaf.set_write_timeout(Some(Duration::from_millis(300))).expect("a valid timeout");
    let many = "GET /delivery-hosts HTTP/1.1\r\nHost: push\r\n\r\n".repeat(1000);
    while deaf.write_all(many.as_bytes()).is_ok() {}
    rig.notify("carol", "1");
    drop(rig.caller());
    rig.await_counter("api_connections", 1);
}

#[test]
fn the_api_speaks_https_with_its_own_certificate() {
    let made = Made::new();
    let rig = Rig::start_with(|options| options.http_certificates = Some(made.certificates()));
    let mut caller = Secured::connect(rig.addresses.http, &made.trust());
    caller.write(notify(&notify_body("carol", "1")).as_bytes());
    caller.write(b"GET /healthz HTTP/1.1\r\nHost: push\r\nConnection: close\r\n\r\n");
    let answers = String::from_utf8(caller.read_to_end()).expect("text");
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{answers}");
}
