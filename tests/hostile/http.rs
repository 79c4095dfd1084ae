//! At the API: shapes by which one request hides in another, JSON without end, heads without end, and
//! callers who read or write slowly.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use super::victim::{MIB, Victim, post};

const BOUND: u64 = 3 * MIB;
/// The API has at most 512 connections, each with a request in the making and an answer.
const CALLERS_BOUND: u64 = 512 * 12 * 1024 + 2 * MIB;
/// What hides behind the first request.
const HIDDEN: &str = "GET /healthz HTTP/1.1\r\nHost: push\r\nConnection: close\r\n\r\n";

fn hiding(fields: &str) -> String {
    format!("POST /notify HTTP/1.1\r\nHost: push\r\nContent-Type: application/json\r\n{fields}\r\n{HIDDEN}")
}

#[test]
fn no_request_hides_in_another() {
    let victim = Victim::start();
    let length = HIDDEN.len();
    let shapes = [
        format!("Content-Length: 0\r\nContent-Length: {length}\r\n"),
        format!("Content-Length: {length}\r\nContent-Length: 0\r\n"),
        format!("Content-Length: {length}, 0\r\n"),
        format!("Content-Length: +{length}\r\n"),
        format!("Content-Length: 0x{length:x}\r\n"),
        "Content-Length: -1\r\n".into(),
        "Content-Length:\r\n".into(),
        "Content-Length : 0\r\n".into(),
        "Content-Length\r\n : 0\r\n".into(),
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n".into(),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
        "Transfer-Encoding: chunked\r\n".into(),
        "Transfer-Encoding: xchunked\r\n".into(),
        "Transfer-Encoding: identity, chunked\r\n".into(),
        "Transfer-Encoding:\tchunked\r\n".into(),
        "Transfer-Encoding : chunked\r\n".into(),
        "X: y\r\n Transfer-Encoding: chunked\r\n".into(),
        "X: y\0z\r\n".into(),
        "X: y\rTransfer-Encoding: chunked\r\n".into(),
    ];
    for shape in &shapes {
        let answer = victim.ask(&hiding(shape));
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{shape:?}: {answer}");
        assert!(answer.starts_with("HTTP/1.1 4"), "{shape:?}: {answer}");
    }
    victim.assert_grown_by_at_most(BOUND);
    victim.assert_serves();
}

#[test]
fn json_as_deep_as_a_body_may_be_is_answered() {
    let victim = Victim::start();
    let deep =
        |open: &str, close: &str, depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
    for json in [deep("[", "]", 2_000), deep("{\"a\":", "}", 900), "[".repeat(5_000), "{\"a\":".repeat(1_000)]
    {
        let bodies = [
            json.clone(),
            format!(
                r#"{{"userid":"u","deviceid":"eve","appid":"chatter","expire_on":"2100-01-01T00:00:00Z","data":{json}}}"#
            ),
        ];
        for path in ["/notify", "/broadcast", "/register"] {
            for body in &bodies {
                let answer = victim.ask(&post(path, body));
                assert!(answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 200"), "{answer}");
            }
        }
    }
    victim.assert_grown_by_at_most(BOUND);
    victim.assert_serves();
}

#[test]
fn heads_and_bodies_without_end_are_not_gathered() {
    let victim = Victim::start();
    let long = "a".repeat(4 * MIB as usize);
    let requests = [
        long.clone(),
        format!("GET /{long} HTTP/1.1\r\n\r\n"),
        format!("GET /healthz HTTP/1.1\r\nX: {long}\r\n\r\n"),
        format!("GET /healthz HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(500_000)),
        format!("{}{long}", post("/notify", "").replace("Content-Length: 0", "Content-Length: 4000000000")),
    ];
    for request in &requests {
        victim.ask(request);
    }
    victim.assert_grown_by_at_most(BOUND);
    victim.assert_serves();
}

/// Writes until the server takes no more, or has closed; says how much it took, at most `bytes_max`.
fn flood(socket: &mut TcpStream, bytes: &[u8], bytes_max: u64) -> u64 {
    socket.set_write_timeout(Some(Duration::from_secs(1))).expect("a valid timeout");
    let mut taken = 0;
    while taken < bytes_max && socket.write_all(bytes).is_ok() {
        taken += bytes.len() as u64;
    }
    taken
}

#[test]
fn a_pipeline_of_requests_whose_answers_nobody_reads_is_not_read_to_its_end() {
    let victim = Victim::start();
    let requests = "GET /delivery-hosts HTTP/1.1\r\nHost: push\r\n\r\n".repeat(1_000);
    let mut callers: Vec<TcpStream> = (0..8).map(|_| victim.caller()).collect();
    for caller in &mut callers {
        let taken = flood(caller, requests.as_bytes(), 64 * MIB);
        assert!(taken < 64 * MIB, "all of it was read, and where are the answers?");
    }
    victim.assert_serves();
    victim.assert_grown_by_at_most(BOUND);
}

#[test]
fn bodies_that_never_end_cost_what_a_body_costs() {
    let victim = Victim::start();
    let unfinished = post("/notify", &"x".repeat(6_000));
    let slow: Vec<TcpStream> = (0..500)
        .map(|_| {
            let mut caller = victim.caller();
            caller.write_all(&unfinished.as_bytes()[..unfinished.len() - 1]).expect("the server reads");
            caller
        })
        .collect();
    victim.assert_serves();
    victim.assert_grown_by_at_most(CALLERS_BOUND);
    drop(slow);
}
