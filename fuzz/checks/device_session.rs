//! The device's side of a conversation, on either wire or to enrol, driven by arbitrary bytes, times and wishes. It
//! never panics; what it sends are whole frames; it acks no more than was stored, keeps no more for the
//! next session than it may, and says nothing after its end; its deadlines lie ahead, and left alone it
//! ends; and it makes no difference how the bytes are cut.
//!
//! An input is one byte, 2 to enrol and otherwise odd for wire 1, and a script. To act means what [`Device::act`] says.

use std::time::Duration;

use lomiri_push::base::{CodeSecret, MessageId, Monotonic, Urgency};
use lomiri_push::protocol::Wire;
use lomiri_push::protocol::wire0::{self, DeviceMessage};
use lomiri_push::protocol::wire1::{self, DEVICE_BODY_BYTES_MAX, DeviceFrame, Outcome, Receipt, STORED_MAX};
use lomiri_push::session::EndReason;
use lomiri_push::session::device::{Connect, Event, Options, RECEIPTS_MAX, Session};

use super::script::{Script, Step};

/// The first byte of an input whose device has a code and is to enrol.
pub const ENROL: u8 = 2;
/// The shortest frame of wire 0, in bytes: as many answers there may be at most, for so many bytes.
const FRAME_BYTES_MIN: usize = 2;
/// How often a session that is left alone may have something to do before it ends: it waits half a
/// minute for a PONG, and may have promised to say something every second.
const JUMPS_MAX: usize = 32;

/// Panics unless all of this holds for `input`.
pub fn check(input: &[u8]) {
    let at_once = run(input, usize::MAX);
    let byte_by_byte = run(input, 1);
    assert_eq!(at_once, byte_by_byte, "however the bytes are cut");
}

/// Plays the whole script to a session, and then leaves it alone until it ends.
fn run(input: &[u8], piece_bytes: usize) -> Told {
    let mut script = Script::new(input);
    let (wire, connect) = opening(script.byte());
    let mut device = Device::new(wire, connect, piece_bytes);
    for step in script {
        device.take(step);
    }
    device.leave_alone();
    device.told
}

/// What came out of a session.
#[derive(Debug, Default, PartialEq)]
struct Told {
    events: Vec<Event>,
    answers: Vec<DeviceMessage>,
    frames: Vec<DeviceFrame>,
}

/// The owner of one session.
struct Device {
    session: Session,
    wire: Wire,
    now: Monotonic,
    /// How many bytes arrive at once, at most.
    piece_bytes: usize,
    told: Told,
    /// How many deliveries came that are not stored yet.
    unstored: u64,
    /// How many deliveries may be acked.
    ackable: u64,
    /// Whether storing waits until the owner is told to act.
    is_slow: bool,
    has_ended: bool,
    heard_bytes: usize,
}

impl Device {
    fn new(wire: Wire, connect: Connect, piece_bytes: usize) -> Device {
        let now = Monotonic(Duration::from_secs(1));
        let mut device = Device {
            session: Session::new(Options::new(connect), now).expect("a short CONNECT"),
            wire,
            now,
            piece_bytes,
            told: Told::default(),
            unstored: 0,
            ackable: 0,
            is_slow: false,
            has_ended: false,
            heard_bytes: 0,
        };
        device.take_opening();
        device
    }

    fn take_opening(&mut self) {
        let opening = self.session.poll_transmit(self.now).expect("a device speaks first");
        let (version, connect) = opening.split_first().expect("a version");
        match self.wire {
            Wire::Zero => assert_eq!(*version, wire0::VERSION),
            Wire::One => assert_eq!(*version, wire1::VERSION),
        }
        self.take_frames(connect);
        self.told = Told::default();
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Bytes(bytes) => self.hear(bytes),
            Step::Wait(time) => self.pass(time),
            Step::Jump => self.jump(),
            Step::Act(number) => self.act(number),
        }
        let answers_max = self.heard_bytes / FRAME_BYTES_MIN;
        assert!(self.told.answers.len() <= answers_max, "more answers than frames");
    }

    /// Takes bytes piece by piece. What is to be sent is taken when all are there, so that acks are
    /// combined in the same way.
    fn hear(&mut self, bytes: &[u8]) {
        let had_ended = self.has_ended;
        for piece in bytes.chunks(self.piece_bytes) {
            self.session.handle_bytes(piece, self.now);
            self.take_events();
        }
        self.take_bytes(had_ended);
        self.heard_bytes += bytes.len();
        if !self.is_slow {
            self.store();
            self.take_out();
        }
    }

    fn store(&mut self) {
        self.ackable += std::mem::take(&mut self.unstored);
        self.session.ack();
    }

    /// The owner has stored what came; is slow or quick from now on; wishes something; or ends the session.
    fn act(&mut self, number: u8) {
        let (action, argument) = (number % 8, number / 8);
        match action {
            0 => self.store(),
            1 => self.is_slow = !self.is_slow,
            2 => self.session.receipt(receipt(argument)),
            3 => self.session.want(Urgency::High),
            4 => self.session.flush(),
            5 => self.session.keep_alive(Duration::from_secs(argument.into())),
            6 => self.session.leave(),
            _ => self.session.end(EndReason::Eof),
        }
        self.take_out();
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        let is_due = self.session.next_deadline().is_some_and(|deadline| deadline <= self.now);
        self.session.handle_timeout(self.now);
        self.take_out();
        let next = self.session.next_deadline();
        assert_eq!(next.is_some(), !self.has_ended, "a session that has not ended will do something");
        assert!(next.is_none_or(|next| next > self.now), "{next:?} at {:?}", self.now);
        if self.wire == Wire::Zero {
            assert!(!is_due || self.has_ended, "a server that is silent for too long is left");
        }
    }

    fn jump(&mut self) {
        if let Some(deadline) = self.session.next_deadline() {
            self.pass(deadline.since(self.now));
        }
    }

    fn take_out(&mut self) {
        let had_ended = self.has_ended;
        self.take_events();
        self.take_bytes(had_ended);
    }

    fn take_events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            assert!(!self.has_ended, "{event:?} after the end");
            match event {
                Event::Ended(_) => self.has_ended = true,
                Event::Message(_) | Event::Broadcast(_) => self.unstored += 1,
                Event::Expired(_) => self.ackable += 1,
                _ => {}
            }
            self.told.events.push(event);
        }
    }

    fn take_bytes(&mut self, had_ended: bool) {
        while let Some(bytes) = self.session.poll_transmit(self.now) {
            assert!(!had_ended, "{bytes:?} after the end");
            self.take_frames(&bytes);
        }
        let unconfirmed = self.session.unconfirmed();
        assert!(unconfirmed.stored.len() <= STORED_MAX && unconfirmed.receipts.len() <= RECEIPTS_MAX);
    }

    /// What is sent are whole frames.
    fn take_frames(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let used = match self.wire {
                Wire::Zero => self.take_frame_of_wire0(bytes),
                Wire::One => self.take_frame_of_wire1(bytes),
            };
            bytes = &bytes[used..];
        }
    }

    fn take_frame_of_wire0(&mut self, bytes: &[u8]) -> usize {
        let (body, used) = wire0::split_frame(bytes).expect("whole frames");
        self.told.answers.push(DeviceMessage::decode(body).expect("a message"));
        used
    }

    fn take_frame_of_wire1(&mut self, bytes: &[u8]) -> usize {
        let split = wire1::split_frame(bytes, DEVICE_BODY_BYTES_MAX);
        let (raw, used) = split.expect("well-formed frames").expect("whole frames");
        let frame = DeviceFrame::decode(raw).expect("a frame").expect("a known one");
        if let DeviceFrame::Ack(count) = frame {
            self.ackable = self.ackable.checked_sub(count).expect("only what is stored is acked");
        }
        self.told.frames.push(frame);
        used
    }

    fn leave_alone(&mut self) {
        for _ in 0..JUMPS_MAX {
            self.jump();
        }
        assert!(self.has_ended, "a session that is left alone ends");
    }
}

fn opening(choice: u8) -> (Wire, Connect) {
    let device = "carol".parse().expect("an id");
    match choice {
        ENROL => (Wire::One, Connect::Enrol(CodeSecret([5; 16]))),
        even if even.is_multiple_of(2) => (Wire::Zero, wire0::Connect::new(device).into()),
        _ => {
            let connect = wire1::Connect::new(device, Duration::from_secs(60));
            (Wire::One, wire1::Connect { window: 4, ..connect }.into())
        }
    }
}

fn receipt(number: u8) -> Receipt {
    Receipt { message: MessageId([number; 16]), outcome: Outcome::Shown }
}
