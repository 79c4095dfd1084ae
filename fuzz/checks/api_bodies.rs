//! The bodies of API requests: each is refused with an answer, or makes a command that keeps to all
//! limits, whose payload is compact JSON, that fits a frame of either wire, and that the queue gives back
//! as it took it, after a restart too.
//!
//! An input is one byte, which picks the path, and the body.

use std::sync::Arc;
use std::time::Duration;

use lomiri_push::api::{Conversation, Line, Options, Reply, Request, State};
use lomiri_push::base::{
    AppId, Credential, DeviceId, MessageId, Monotonic, Now, Payload, Seq, SessionId, Urgency, Wall,
};
use lomiri_push::protocol::wire0::{self, Notification, ServerMessage};
use lomiri_push::protocol::wire1::{self, AppNumber, SERVER_BODY_BYTES_MAX, ServerFrame};
use lomiri_push::queue::{
    Address, Answer, Command, Limits, Notify, PendingMessage, Sent, Status, Submission,
};
use lomiri_push::store::{DurableQueue, Memory};

use super::script::Script;

/// What can be posted to.
pub const PATHS: [&str; 7] = [
    "/notify",
    "/broadcast",
    "/register",
    "/unregister",
    "/v1/messages",
    "/v1/registrations",
    "/v1/enrolment-codes",
];
/// Most messages of one request.
const MESSAGES_MAX: usize = 500;
/// The operator's, and any device's.
const CREDENTIAL: [u8; 32] = [1; 32];
const PAYLOAD_BYTES_MAX: usize = 4 * 1024;
const REPLACE_TAG_BYTES_MAX: usize = 128;
const NOW: Now = Now { monotonic: Monotonic(Duration::ZERO), wall: Wall(1_800_000_000_000) };

/// Panics unless all of this holds for `input`.
pub fn check(input: &[u8]) {
    let mut script = Script::new(input);
    let path = PATHS[usize::from(script.byte()) % PATHS.len()];
    if let Some(command) = ask(path, script.rest()) {
        check_command(command);
    }
}

/// The command that a POST makes, unless it is refused.
fn ask(path: &str, body: &[u8]) -> Option<Command> {
    let length = body.len();
    let bearer = Credential::new(CREDENTIAL).reveal();
    let head = format!(
        "POST {path} HTTP/1.1\r\nContent-Type: application/json\r\nAuthorization: Bearer {bearer}\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    let mut conversation = Conversation::new(Arc::new(options()), Line::Private, NOW);
    conversation.handle_bytes(&[head.as_bytes(), body].concat(), NOW);
    match conversation.poll_request() {
        Some(Request::Queue(command)) => {
            if let Command::Send(submissions) = &command {
                check_answer(conversation, submissions.len());
            }
            Some(command)
        }
        Some(Request::Stats) => panic!("nobody asked for counters"),
        None => {
            let answer = conversation.poll_transmit(NOW).expect("a refusal is told");
            // No codes are made here, for the server does not know where it is.
            let is_without_codes = path == "/v1/enrolment-codes" && answer.starts_with(b"HTTP/1.1 503");
            assert!(answer.starts_with(b"HTTP/1.1 4") || is_without_codes, "{answer:?}");
            assert_ne!(conversation.state(), State::Finished, "the refusal must arrive");
            None
        }
    }
}

/// What is told of messages that were sent is one answer, however many they are.
fn check_answer(mut conversation: Conversation, count: usize) {
    assert!(count <= MESSAGES_MAX);
    let device: DeviceId = "carol".parse().expect("an id");
    let sent = || Sent { id: MessageId([7; 16]), devices: vec![(device.clone(), Status::Queued)] };
    let answers = (0..count).map(|_| Ok(sent())).collect();
    conversation.handle_reply(Reply::Queue(Answer::Sent(answers)), NOW);
    let answer = conversation.poll_transmit(NOW).expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
}

fn options() -> Options {
    Options {
        body_bytes_max: 6 * 1024,
        payload_bytes_max: PAYLOAD_BYTES_MAX,
        read_timeout: Duration::from_secs(5),
        hosts: Vec::new(),
        domain: String::new(),
        is_auth_required: false,
        operator: Some(Credential::new(CREDENTIAL).digest()),
        enrolling: None,
        stats: None,
    }
}

fn check_command(command: Command) {
    match command {
        Command::Notify(notify) => check_notify(notify),
        Command::Send(submissions) => submissions.into_iter().for_each(check_submission),
        Command::Broadcast { expires, payload, .. } => check_dated(expires, &payload),
        Command::Register { .. } | Command::Unregister { .. } => {}
        other => panic!("no path makes {other:?}"),
    }
}

/// The queue is asked about what has expired only if it may have had it before.
fn check_submission(submission: Submission) {
    let is_live = submission.notify.expires > NOW.wall;
    assert!(is_live || submission.repeat.is_some(), "what is over is refused");
    if is_live {
        check_notify(submission.notify);
    }
}

fn check_dated(expires: Wall, payload: &Payload) {
    assert!(expires > NOW.wall, "what is over is refused");
    assert!(payload.len() <= PAYLOAD_BYTES_MAX);
    assert_eq!(Payload::from_json(payload.as_bytes()).as_ref(), Ok(payload), "compact JSON");
}

fn check_notify(notify: Notify) {
    check_dated(notify.expires, &notify.payload);
    let tag = notify.replace_tag.as_deref();
    assert!(tag.is_none_or(|tag| (1..=REPLACE_TAG_BYTES_MAX).contains(&tag.len())));
    let (app, payload, urgency) = (notify.app.clone(), notify.payload.clone(), notify.urgency);
    check_wire0(&app, &payload);
    check_wire1(&payload, urgency);
    check_queued(notify);
}

fn check_wire0(app: &AppId, payload: &Payload) {
    let id = MessageId([7; 16]);
    let part = wire0::encode_notifications([(app, id, payload)]).expect("one message");
    let (body, _) = wire0::split_frame(&part.frame).expect("a whole frame");
    let notification = Notification { app: app.clone(), id, payload: payload.clone() };
    assert_eq!(ServerMessage::decode(body), Ok(ServerMessage::Notifications(vec![notification])));
}

fn check_wire1(payload: &Payload, urgency: Urgency) {
    let frame = ServerFrame::Message(wire1::Message {
        app: AppNumber::new(0).expect("the first"),
        urgency,
        expires: Duration::from_secs(60),
        id: MessageId([7; 16]),
        payload: payload.clone(),
    });
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    let (raw, _) = wire1::split_frame(&bytes, SERVER_BODY_BYTES_MAX).expect("well-formed").expect("whole");
    assert_eq!(ServerFrame::decode(raw), Ok(Some(frame)));
}

/// The queue gives back what it has taken, from memory and, restarted, from its rows.
fn check_queued(notify: Notify) {
    let device = match &notify.to {
        Address::Device(device) => device.clone(),
        Address::Token(_) => "carol".parse().expect("an id"),
    };
    let expected = PendingMessage {
        id: MessageId([0; 16]),
        app: notify.app.clone(),
        expires: notify.expires,
        urgency: notify.urgency,
        payload: notify.payload.clone(),
    };
    let notify = Notify { to: Address::Device(device.clone()), ..notify };
    let mut queue = open(Memory::new());
    assert!(matches!(handle(&mut queue, Command::Notify(notify)), Answer::Done), "there is room");
    assert_eq!(pending(&mut queue, &device), expected);
    let mut queue = open(queue.close().expect("memory does not fail"));
    assert_eq!(pending(&mut queue, &device), expected);
}

fn open(store: Memory) -> DurableQueue<Memory> {
    DurableQueue::open(store, Limits::default(), NOW).expect("rows of its own")
}

fn handle(queue: &mut DurableQueue<Memory>, command: Command) -> Answer {
    let mut outcomes = queue.handle(vec![command], NOW, &mut |bytes| bytes.fill(7));
    outcomes.answers.pop().expect("an answer for each command")
}

/// The one message that is pending for `device`, but for its id.
fn pending(queue: &mut DurableQueue<Memory>, device: &DeviceId) -> PendingMessage {
    let fetch = Command::Fetch {
        device: device.clone(),
        session: SessionId(1),
        after: Seq(0),
        least: Urgency::VeryLow,
        messages_max: 2,
    };
    let Answer::Page(mut page) = handle(queue, fetch) else { panic!("no page") };
    let message = page.messages.pop().expect("it is pending");
    assert!(page.messages.is_empty() && !page.more);
    PendingMessage { id: MessageId([0; 16]), ..Arc::into_inner(message).expect("read for this page") }
}
