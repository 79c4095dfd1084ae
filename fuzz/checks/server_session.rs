//! The server's side of a conversation, on whichever wire the bytes choose, driven by arbitrary bytes,
//! times and commands. It never panics; what it sends are whole frames; it says nothing after its end,
//! and who breaks the rules of wire 1 is told why; it takes no ack of more than is in flight; on wire 0 it
//! keeps no more bytes than the answer that is due may have; its deadlines lie ahead, and left alone it
//! ends; and it makes no difference how the bytes are cut.
//!
//! An input is a script. To act means what [`Server::act`] says.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use lomiri_push::base::{AppId, Credential, Level, MessageId, Now, Payload, Seq, Urgency, Wall};
use lomiri_push::protocol::Wire;
use lomiri_push::protocol::broadcast::Missing;
use lomiri_push::protocol::wire0::{self, ANSWER_BODY_BYTES_MAX, CONNECT_BODY_BYTES_MAX, ServerMessage};
use lomiri_push::protocol::wire1::{self, Enrolled, Reason, SERVER_BODY_BYTES_MAX, ServerFrame};
use lomiri_push::session::EndReason;
use lomiri_push::session::server::{Event, Message, Options, Session, Stop};

use super::catch_up::IMAGE;
use super::script::{Script, Step};

const OPTIONS: Options = Options {
    ping_interval: Duration::from_secs(60),
    exchange_timeout: Duration::from_secs(5),
    keepalive_max: Duration::from_secs(7_200),
};
/// How often a session that is left alone may have something to do before it ends: it pings, and then
/// waits for the answer.
const JUMPS_MAX: usize = 2;
/// More apps than a session knows by number.
const APPS: u64 = 20;
static SHORT: LazyLock<Payload> = LazyLock::new(|| payload(2));
/// A payload of which few fill the window.
static LONG: LazyLock<Payload> = LazyLock::new(|| payload(20_000));

/// Panics unless all of this holds for `input`.
pub fn check(input: &[u8]) {
    let at_once = run(input, usize::MAX);
    let byte_by_byte = run(input, 1);
    assert_eq!(at_once, byte_by_byte, "however the bytes are cut");
}

/// Plays the whole script to a session, and then leaves it alone until it ends.
fn run(input: &[u8], piece_bytes: usize) -> Told {
    let mut server = Server::new(piece_bytes);
    for step in Script::new(input) {
        server.take(step);
    }
    server.leave_alone();
    server.told
}

/// What came out of a session, but for PONGs on wire 1, which answer as many PINGs as came together.
#[derive(Debug, Default, PartialEq)]
struct Told {
    events: Vec<Event>,
    sent: Vec<u8>,
    goaway: Option<Reason>,
}

/// The owner of one session.
struct Server {
    session: Session,
    now: Now,
    /// How many bytes arrive at once, at most.
    piece_bytes: usize,
    told: Told,
    /// What the device opened with.
    version: Option<u8>,
    is_refusing: bool,
    has_connected: bool,
    has_ended: bool,
    /// How many messages were ever delivered, and how many deliveries are not acked.
    delivered: u64,
    in_flight: usize,
    /// How many bytes came since an answer began to be due, on wire 0.
    due_bytes: usize,
}

impl Server {
    fn new(piece_bytes: usize) -> Server {
        let now = Now { wall: Wall(1_800_000_000_000), ..Now::default() };
        Server {
            session: Session::new(now.monotonic, &Arc::new(OPTIONS)),
            now,
            piece_bytes,
            told: Told::default(),
            version: None,
            is_refusing: false,
            has_connected: false,
            has_ended: false,
            delivered: 0,
            in_flight: 0,
            due_bytes: 0,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Bytes(bytes) => self.hear(bytes),
            Step::Wait(time) => self.pass(time),
            Step::Jump => self.jump(),
            Step::Act(number) => self.act(number),
        }
    }

    /// Takes bytes piece by piece; a device that introduces itself is let in when all are there.
    fn hear(&mut self, bytes: &[u8]) {
        let heard = self.told.events.len();
        for piece in bytes.chunks(self.piece_bytes) {
            self.version.get_or_insert(piece[0]);
            self.session.handle_bytes(piece, self.now.monotonic);
            self.due_bytes += piece.len();
            self.take_out();
        }
        if self.has_ended {
            // A device that is gone at once need not have been announced.
            let news = self.told.events.split_off(heard);
            let is_told = |event: &Event| !matches!(event, Event::Connect(_) | Event::Enrol(_));
            self.told.events.extend(news.into_iter().filter(is_told));
        } else {
            match self.told.events.get(heard) {
                Some(Event::Connect(_)) => self.answer_connect(),
                Some(Event::Enrol(_)) => self.answer_enrol(),
                _ => {}
            }
        }
        self.check_due_bytes();
    }

    fn answer_connect(&mut self) {
        self.has_connected = true;
        match self.is_refusing {
            true => self.session.refuse(Reason::HostMismatch),
            false => self.session.accept(self.now),
        }
        self.take_out();
        self.due_bytes = 0;
    }

    fn answer_enrol(&mut self) {
        match self.is_refusing {
            true => self.session.refuse(Reason::Unauthorized),
            false => self.session.enrol(enrolled(), self.now.monotonic),
        }
        self.take_out();
    }

    /// What a device on wire 0 can make a session keep is less than the longest message that is due.
    fn check_due_bytes(&mut self) {
        if self.session.wire() != Some(Wire::Zero) || self.session.room() > 0 {
            self.due_bytes = 0;
        }
        let bytes_max =
            if self.has_connected { 2 + ANSWER_BODY_BYTES_MAX } else { 1 + 2 + CONNECT_BODY_BYTES_MAX };
        assert!(self.due_bytes < bytes_max, "{} bytes, and still no end", self.due_bytes);
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        let is_due = self.session.next_deadline().is_some_and(|deadline| deadline <= self.now.monotonic);
        self.session.handle_timeout(self.now.monotonic);
        let did = self.take_out();
        assert_eq!(did, is_due, "a deadline is when there is something to do");
        if is_due {
            self.due_bytes = 0;
        }
        let next = self.session.next_deadline();
        assert_eq!(next.is_some(), !self.has_ended, "a session that has not ended will do something");
        assert!(next.is_none_or(|next| next > self.now.monotonic), "{next:?} at {:?}", self.now);
    }

    fn jump(&mut self) {
        if let Some(deadline) = self.session.next_deadline() {
            self.pass(deadline.since(self.now.monotonic));
        }
    }

    /// The owner delivers, changes its mind about devices to come, turns the device away, or ends the session.
    fn act(&mut self, number: u8) {
        let (action, argument) = (number % 8, number / 8);
        match action {
            0 => self.deliver(argument),
            1 if self.session.room() > 0 => self.deliver_broadcast(),
            2 if self.is_idle_on_wire_0() => self.session.tell(connwarn()),
            3 => self.is_refusing = !self.is_refusing,
            4 if self.session.wire() == Some(Wire::One) || self.is_idle_on_wire_0() => {
                self.session.refuse(Reason::Drain);
            }
            5 => self.session.shut_down(Stop::Drain, Duration::from_secs(argument.into())),
            6 => self.session.end(EndReason::Terminated),
            7 => self.session.end(EndReason::Eof),
            _ => {}
        }
        self.take_out();
        self.due_bytes = 0;
    }

    fn is_idle_on_wire_0(&self) -> bool {
        self.session.wire() == Some(Wire::Zero) && self.session.room() > 0
    }

    /// Delivers some messages, of which as many as there is room for are taken.
    fn deliver(&mut self, argument: u8) {
        let count = usize::from(argument % 8) + 1;
        let payload = if argument < 16 { &SHORT } else { &LONG };
        let apps: Vec<_> = (self.delivered..).take(count).map(|number| app(number % APPS)).collect();
        let messages = apps.iter().zip(self.delivered..).map(|(app, number)| Message {
            id: MessageId::new(Seq(number), [7; 8]),
            app,
            expires: self.now.wall + Duration::from_secs(60),
            urgency: Urgency::Normal,
            payload,
        });
        let room = self.session.room();
        let taken = self.session.deliver(messages, self.now);
        assert!(taken <= room && taken <= count && (taken > 0 || room == 0), "{taken} of {count} in {room}");
        self.delivered += taken as u64;
        self.in_flight += taken;
        assert!(self.has_ended || self.in_flight <= self.session.window(), "the window is kept to");
    }

    fn deliver_broadcast(&mut self) {
        let frame = broadcast(self.session.wire().expect("there is room"));
        self.session.deliver_broadcast(frame, self.now.monotonic);
        self.in_flight += 1;
    }

    /// Takes out all that there is; whether there was anything.
    fn take_out(&mut self) -> bool {
        let had_ended = self.has_ended;
        let mut did = false;
        while let Some(event) = self.session.poll_event() {
            assert!(!self.has_ended, "{event:?} after the end");
            self.hear_of(&event);
            self.told.events.push(event);
            did = true;
        }
        while let Some(frames) = self.session.poll_transmit() {
            assert!(!had_ended, "{frames:?} after the end");
            self.take_frames(&frames);
            did = true;
        }
        if let Some(Event::Ended(EndReason::Frame(error))) = self.told.events.last() {
            assert_eq!(self.told.goaway, Some(error.reason()), "who breaks the rules is told why");
        }
        did
    }

    fn hear_of(&mut self, event: &Event) {
        match event {
            Event::Acked(count) => {
                let left = self.in_flight.checked_sub(*count);
                self.in_flight = left.expect("only what is in flight can be acked");
            }
            Event::Ended(_) => self.has_ended = true,
            _ => {}
        }
    }

    /// What is sent are whole frames of the wire that the device chose.
    fn take_frames(&mut self, mut frames: &[u8]) {
        while !frames.is_empty() {
            let used = match self.version {
                Some(wire0::VERSION) => self.take_frame_of_wire0(frames),
                Some(wire1::VERSION) => self.take_frame_of_wire1(frames),
                other => panic!("nothing is said to a device that opens with {other:?}"),
            };
            frames = &frames[used..];
        }
    }

    fn take_frame_of_wire0(&mut self, frames: &[u8]) -> usize {
        let (body, used) = wire0::split_frame(frames).expect("whole frames");
        ServerMessage::decode(body).expect("a message");
        self.told.sent.extend_from_slice(&frames[..used]);
        used
    }

    fn take_frame_of_wire1(&mut self, frames: &[u8]) -> usize {
        let split = wire1::split_frame(frames, SERVER_BODY_BYTES_MAX);
        let (raw, used) = split.expect("well-formed frames").expect("whole frames");
        assert_eq!(self.told.goaway, None, "GOAWAY is the last frame");
        match ServerFrame::decode(raw).expect("a frame").expect("a known one") {
            ServerFrame::Pong => return used,
            ServerFrame::Goaway(goaway) => self.told.goaway = Some(goaway.reason),
            _ => {}
        }
        self.told.sent.extend_from_slice(&frames[..used]);
        used
    }

    fn leave_alone(&mut self) {
        for _ in 0..JUMPS_MAX {
            self.jump();
        }
        assert!(self.has_ended, "a session that is left alone ends");
    }
}

fn enrolled() -> Enrolled {
    Enrolled {
        device: "carol".parse().expect("a valid id"),
        credential: Credential::new([7; 32]),
        api: "https://push.example".into(),
    }
}

fn app(number: u64) -> AppId {
    format!("app{number}").parse().expect("a valid id")
}

/// A payload of so many bytes.
fn payload(bytes: usize) -> Payload {
    Payload::from_json(format!("\"{}\"", "x".repeat(bytes - 2)).as_bytes()).expect("JSON")
}

fn broadcast(wire: Wire) -> Bytes {
    let live = [Payload::from_json(br#"{"img1/m1":[1]}"#).expect("JSON")];
    let (missing, top) = (Missing::Last(1), Level(1));
    let frame = match wire {
        Wire::Zero => wire0::encode_broadcast(missing, top, &live, IMAGE).map(|part| part.frame),
        Wire::One => wire1::encode_broadcast(missing, top, &live, IMAGE).map(|(frame, _)| frame),
    };
    frame.expect("the device lacks one")
}

fn connwarn() -> Bytes {
    ServerMessage::Connwarn { reason: wire0::UNAUTHORIZED.into() }.encode().expect("short")
}
