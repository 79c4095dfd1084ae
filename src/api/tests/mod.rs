//! The peer's side of a conversation, in memory and with a clock of its own.

mod ending;
mod framing;
mod granted;
mod guarded;
mod memory;
mod messages;
mod openapi;
mod operator;
mod registrations;
mod required;
mod table;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::base::{Credential, Monotonic, Now, Wall};
use crate::queue::{Answer, Command};

const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// 2026-01-01T00:00:00Z.
const START: Now = Now { monotonic: Monotonic(Duration::ZERO), wall: Wall(1_767_225_600_000) };
const NOTIFY: &str = r#"{"token":"AAECAwQFBgcICQoLDA0ODw","appid":"chatter","expire_on":"2026-01-02T00:00:00Z","data":{"m":"hi"}}"#;

fn options() -> Options {
    Options {
        body_bytes_max: 6 * 1024,
        payload_bytes_max: 4 * 1024,
        read_timeout: READ_TIMEOUT,
        hosts: vec!["push.example:443".into(), "push2.example:443".into()],
        domain: "push.example".into(),
        is_auth_required: false,
        operator: None,
        enrolling: None,
        stats: Some(StatsCredential::new("ops", "secret")),
    }
}

/// Where devices must prove who they are.
fn required() -> Options {
    let made = rcgen::generate_simple_self_signed(["push.example".to_owned()]).expect("a certificate");
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let certificates = Certificates::new(chain.as_bytes(), key.as_bytes()).expect("a certificate");
    Options {
        is_auth_required: true,
        operator: Some(operator_key().digest()),
        enrolling: Some(certificates),
        ..options()
    }
}

fn operator_key() -> Credential {
    Credential::new([1; 32])
}

/// A header line.
fn bearer(credential: &Credential) -> String {
    format!("Authorization: Bearer {}\r\n", credential.reveal())
}

/// Whoever talks to the server.
struct Peer {
    conversation: Conversation,
    now: Now,
    arrived: Vec<u8>,
}

#[derive(Debug)]
struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Peer {
    fn new() -> Peer {
        Peer::with(options())
    }

    fn with(options: Options) -> Peer {
        Peer::with_line(options, Line::Private)
    }

    fn with_line(options: Options, line: Line) -> Peer {
        let conversation = Conversation::new(Arc::new(options), line, START);
        Peer { conversation, now: START, arrived: Vec::new() }
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.conversation.handle_bytes(bytes.as_ref(), self.now);
        self.receive();
    }

    fn end(&mut self) {
        self.conversation.handle_end(self.now);
        self.receive();
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.conversation.handle_timeout(self.now);
        self.receive();
    }

    fn receive(&mut self) {
        while let Some(bytes) = self.conversation.poll_transmit(self.now) {
            self.arrived.extend_from_slice(&bytes);
        }
    }

    fn command(&mut self) -> Option<Command> {
        match self.conversation.poll_request()? {
            Request::Queue(command) => Some(command),
            Request::Stats => panic!("a request for counters"),
        }
    }

    fn reply(&mut self, reply: Reply) {
        self.conversation.handle_reply(reply, self.now);
        self.receive();
    }

    /// The queue does what it is asked, until it is asked no more. Returns how often.
    fn grant_all(&mut self) -> usize {
        let mut granted = 0;
        while self.command().is_some() {
            self.reply(Reply::Queue(Answer::Done));
            granted += 1;
        }
        granted
    }

    /// The next response that has arrived whole.
    fn response(&mut self) -> Option<Response> {
        self.response_to("")
    }

    /// The same, when the request had this method.
    fn response_to(&mut self, method: &str) -> Option<Response> {
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut head = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head_bytes) = head.parse(&self.arrived).expect("a response") else {
            return None;
        };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        let headers = head.headers.iter().map(|header| (header.name.to_owned(), text(header.value)));
        let mut response =
            Response { status: head.code.expect("a code"), headers: headers.collect(), body: Vec::new() };
        let body_bytes = if method == "HEAD" { 0 } else { response.body_bytes() };
        response.body = self.arrived[head_bytes..head_bytes + body_bytes].to_vec();
        self.arrived.drain(..head_bytes + body_bytes);
        Some(response)
    }

    fn statuses(&mut self) -> Vec<u16> {
        std::iter::from_fn(|| self.response()).map(|response| response.status).collect()
    }
}

impl Response {
    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    fn body_bytes(&self) -> usize {
        self.header("Content-Length").map_or(0, |length| length.parse().expect("a number"))
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

/// A POST that is in order, apart from what `body` and `headers` make of it.
fn post_with(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: push\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n{headers}\r\n{body}"
    )
}

fn post(path: &str, body: &str) -> String {
    post_with(path, "", body)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: push\r\n\r\n")
}
