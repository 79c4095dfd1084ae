//! An HTTP connection's conversation, driven by arbitrary bytes and times, and by whatever the queue may
//! reply. It never panics; what it writes are whole responses, each with a JSON object that says what its
//! status does, and no more of them than requests can have come; it asks one thing at a time; it writes
//! nothing behind its last answer; its deadlines lie ahead, and left alone it finishes; and it makes no
//! difference how the bytes are cut.
//!
//! An input is a script. To act means what [`Peer::act`] says.

use std::sync::Arc;
use std::time::Duration;

use lomiri_push::api::{Conversation, Line, Options, Reply, Request, State, StatsCredential};
use lomiri_push::base::{Credential, DeviceId, MessageId, Now, Payload, Token, Wall};
use lomiri_push::queue::{Answer, Devices, Refusal, Registered, Sent, Status};

use super::script::{Script, Step};

/// The shortest request that is answered, in bytes.
const REQUEST_BYTES_MIN: usize = 4;
/// How often a conversation that is left alone may have something to do before it finishes: it gives up
/// on a request, and then waits until its peer has read that.
const JUMPS_MAX: usize = 3;
/// What a server may read at once, in bytes.
const READ_BYTES_MAX: usize = 4 * 1024;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Panics unless all of this holds for `input`.
pub fn check(input: &[u8]) {
    let in_long_pieces = run(input, READ_BYTES_MAX);
    let byte_by_byte = run(input, 1);
    assert_eq!(in_long_pieces, byte_by_byte, "however the bytes are cut");
}

/// What comes of the whole script to a conversation that is then left alone until it finishes.
fn run(input: &[u8], piece_bytes: usize) -> Told {
    let mut peer = Peer::new(piece_bytes);
    for step in Script::new(input) {
        peer.take(step);
    }
    peer.leave_alone();
    peer.told()
}

/// What came out of a conversation, but for each 100, which is left out where the body came at once.
#[derive(Debug, PartialEq)]
struct Told {
    requests: Vec<String>,
    responses: Vec<Response>,
}

#[derive(Debug, PartialEq)]
struct Response {
    status: u16,
    is_last: bool,
    body: Vec<u8>,
}

/// Whoever talks to the server, and the owner of its conversation.
struct Peer {
    conversation: Conversation,
    now: Now,
    /// How many bytes arrive at once, at most.
    piece_bytes: usize,
    sent_bytes: usize,
    arrived: Vec<u8>,
    requests: Vec<String>,
    /// A request has been asked that is not replied to.
    is_waiting: bool,
    /// Nothing more may be written.
    is_shut: bool,
}

impl Peer {
    fn new(piece_bytes: usize) -> Peer {
        let now = Now { wall: Wall(1_800_000_000_000), ..Now::default() };
        Peer {
            conversation: Conversation::new(Arc::new(options()), Line::Private, now),
            now,
            piece_bytes,
            sent_bytes: 0,
            arrived: Vec::new(),
            requests: Vec::new(),
            is_waiting: false,
            is_shut: false,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Bytes(bytes) => self.send(bytes),
            Step::Wait(time) => self.pass(time),
            Step::Jump => self.jump(),
            Step::Act(number) => self.act(number),
        }
    }

    /// What the server does not want to read is not sent.
    fn send(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(self.piece_bytes) {
            if self.conversation.wants_bytes() {
                self.conversation.handle_bytes(piece, self.now);
                self.sent_bytes += piece.len();
            }
        }
        self.take_out();
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.conversation.handle_timeout(self.now);
        self.take_out();
        let next = self.conversation.next_deadline();
        assert!(next.is_none_or(|next| next > self.now.monotonic), "{next:?} at {:?}", self.now);
    }

    fn jump(&mut self) {
        if let Some(deadline) = self.conversation.next_deadline() {
            self.pass(deadline.since(self.now.monotonic));
        }
    }

    /// The peer sends no more, or the server replies to what was asked.
    fn act(&mut self, number: u8) {
        match number {
            0 => self.conversation.handle_end(self.now),
            number if self.is_waiting => self.reply(number),
            _ => {}
        }
        self.take_out();
    }

    fn reply(&mut self, number: u8) {
        self.is_waiting = false;
        self.conversation.handle_reply(reply(number), self.now);
    }

    fn take_out(&mut self) {
        while let Some(bytes) = self.conversation.poll_transmit(self.now) {
            assert!(!self.is_shut, "{bytes:?} behind the last answer");
            self.arrived.extend_from_slice(&bytes);
        }
        if let Some(request) = self.conversation.poll_request() {
            assert!(!self.is_waiting, "{request:?} though another one waits");
            self.is_waiting = true;
            self.requests.push(match request {
                Request::Queue(command) => format!("{command:?}"),
                Request::Stats => "stats".into(),
            });
        }
        assert!(self.conversation.poll_request().is_none(), "each request is given out once");
        self.is_shut |= self.conversation.state() != State::Open;
    }

    fn leave_alone(&mut self) {
        self.conversation.handle_end(self.now);
        self.take_out();
        while self.is_waiting {
            self.reply(1);
            self.take_out();
        }
        for _ in 0..JUMPS_MAX {
            self.jump();
        }
        assert_eq!(self.conversation.state(), State::Finished, "a conversation that is left alone ends");
    }

    fn told(self) -> Told {
        let responses = Responses(&self.arrived).collect::<Vec<_>>();
        assert!(responses.len() <= self.sent_bytes / REQUEST_BYTES_MIN + 1, "more answers than requests");
        let last = responses.iter().position(|response| response.is_last);
        assert!(last.is_none_or(|last| last + 1 == responses.len()), "nothing follows the last answer");
        Told { requests: self.requests, responses }
    }
}

/// The responses in what was written, each of which must be whole.
struct Responses<'a>(&'a [u8]);

impl Iterator for Responses<'_> {
    type Item = Response;

    fn next(&mut self) -> Option<Response> {
        while let Some(rest) = self.0.strip_prefix(CONTINUE) {
            self.0 = rest;
        }
        if self.0.is_empty() { None } else { Some(self.read()) }
    }
}

impl Responses<'_> {
    fn read(&mut self) -> Response {
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut head = httparse::Response::new(&mut headers);
        let head_bytes = head.parse(self.0).expect("a response").unwrap();
        let header = |name: &str| {
            let found = head.headers.iter().find(|header| header.name == name).expect(name);
            std::str::from_utf8(found.value).expect("text")
        };
        assert_eq!(header("Content-Type"), "application/json");
        let status = head.code.expect("a status");
        let is_last = header("Connection") == "close";
        let length: usize = header("Content-Length").parse().expect("a length");
        self.0 = &self.0[head_bytes..];
        Response { status, is_last, body: self.read_body(status, length) }
    }

    /// The answer to a HEAD has no body, in spite of its length.
    fn read_body(&mut self, status: u16, length: usize) -> Vec<u8> {
        if !self.0.starts_with(b"{") {
            return Vec::new();
        }
        let (body, rest) = self.0.split_at(length);
        self.0 = rest;
        let object: serde_json::Value = serde_json::from_slice(body).expect("JSON");
        assert_eq!(object["ok"] == true, status == 200, "{object}");
        assert_eq!(object["error"].is_string(), status != 200, "{object}");
        body.to_vec()
    }
}

fn options() -> Options {
    Options {
        body_bytes_max: 6 * 1024,
        payload_bytes_max: 4 * 1024,
        read_timeout: Duration::from_secs(5),
        hosts: vec!["push.example:443".into()],
        domain: "push.example".into(),
        is_auth_required: false,
        operator: Some(Credential::new([1; 32]).digest()),
        enrolling: None,
        stats: Some(StatsCredential::new("ops", "secret")),
    }
}

/// Whatever the server may say, whether it fits what was asked or not.
fn reply(number: u8) -> Reply {
    let refused = |refusal| Reply::Queue(Answer::Refused(refusal));
    match number % 14 {
        0 => Reply::Busy,
        1 => Reply::Queue(Answer::Done),
        2 => Reply::Queue(Answer::Registered(Registered { token: Token([number; 16]), user_token: None })),
        3 => Reply::Stats(vec![("messages", number.into())]),
        4 => refused(Refusal::UnknownToken),
        5 => refused(Refusal::Unauthorized),
        6 => refused(Refusal::UnknownChannel),
        7 => refused(Refusal::PastExpiration),
        8 => refused(Refusal::TooManyPending(Payload::from_json(b"[1]").ok())),
        9 => refused(Refusal::Unavailable),
        10 => refused(Refusal::TooManyRequests { retry_after: Duration::from_secs(number.into()) }),
        11 => Reply::Queue(Answer::Sent(vec![Ok(sent()), Err(Refusal::AnotherRequest)])),
        12 => Reply::Queue(Answer::AppKey(Credential::new([number; 32]))),
        _ => Reply::Queue(Answer::Devices(Devices { devices: Vec::new(), more: true })),
    }
}

fn sent() -> Sent {
    let device: DeviceId = "carol".parse().expect("an id");
    Sent { id: MessageId([7; 16]), devices: vec![(device, Status::Queued)] }
}
