//! A device as the server sees it: an id, a mailbox that survives its sessions, and at most one
//! connection. It speaks either wire. Unless it is told to be silent it stores and acks what has come.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::time::Duration;

use lomiri_push::base::{ChannelId, Level, MessageId, Monotonic, Payload, Urgency};
use lomiri_push::broker::SessionKey;
use lomiri_push::protocol::wire1::{Outcome, Reason, Receipt, WINDOW_MAX};
use lomiri_push::protocol::{Wire, wire0, wire1};
use lomiri_push::session::EndReason;
use lomiri_push::session::device::{Connect, Event, Message, Options, Session, Unconfirmed};

pub struct Device {
    pub name: String,
    /// How it means to connect.
    pub profile: Profile,
    pub connection: Option<Connection>,
    /// Payloads of the messages that it stored, each once.
    pub mailbox: Vec<String>,
    /// Payloads of all that it looked at, doubles included, in order.
    pub received: Vec<String>,
    /// Payloads of the broadcasts that it stored.
    pub broadcasts: Vec<String>,
    pub level: Level,
    /// Whether it leaves what comes where it is, without an ack, until it is told to look.
    pub is_silent: bool,
    /// Whether nothing moves on its line but what is let through.
    pub is_stalled: bool,
    /// How its sessions ended.
    pub ends: Vec<EndReason>,
    /// All receipts that it ever gave.
    pub receipts: Vec<Receipt>,
    /// What the server may not have heard.
    unconfirmed: Unconfirmed,
    /// What it acked on wire 1, and the server has had no chance to forget.
    settled: BTreeSet<MessageId>,
    seen: BTreeSet<MessageId>,
}

/// How a device connects. The last three are wire 1's.
#[derive(Clone, Copy)]
pub struct Profile {
    pub wire: Wire,
    pub window: usize,
    pub keepalive: Duration,
    pub least: Urgency,
}

pub struct Connection {
    /// A number of its own among all connections that there ever were.
    pub number: u64,
    pub shard: usize,
    pub key: SessionKey,
    /// On their way to the server.
    pub up: Vec<u8>,
    /// On their way to the device.
    pub down: Vec<u8>,
    /// Whether the server has closed it: the end comes behind `down`.
    pub is_closing: bool,
    wire: Wire,
    session: Session,
    is_let_in: bool,
    /// Whether the device was ever silent on it, or its line stalled.
    was_slow: bool,
}

impl Device {
    pub fn new(name: &str) -> Device {
        let keepalive = Duration::from_secs(1_700);
        Device {
            name: name.into(),
            profile: Profile { wire: Wire::Zero, window: WINDOW_MAX, keepalive, least: Urgency::VeryLow },
            connection: None,
            mailbox: Vec::new(),
            received: Vec::new(),
            broadcasts: Vec::new(),
            level: Level(0),
            is_silent: false,
            is_stalled: false,
            ends: Vec::new(),
            receipts: Vec::new(),
            unconfirmed: Unconfirmed::default(),
            settled: BTreeSet::new(),
            seen: BTreeSet::new(),
        }
    }

    pub fn connect(&mut self, number: u64, shard: usize, key: SessionKey, now: Monotonic) {
        self.forget_connection();
        let session = Session::new(self.options(), now).expect("a short CONNECT");
        self.connection = Some(Connection {
            number,
            shard,
            key,
            up: Vec::new(),
            down: Vec::new(),
            is_closing: false,
            wire: self.profile.wire,
            session,
            is_let_in: false,
            was_slow: false,
        });
    }

    fn options(&self) -> Options {
        let levels = BTreeMap::from([(ChannelId::SYSTEM, self.level)]);
        let id = self.name.parse().expect("a device id");
        let Profile { wire, window, keepalive, least } = self.profile;
        let connect = match wire {
            Wire::Zero => Connect::Wire0(wire0::Connect {
                model: "m".into(),
                image_channel: "i".into(),
                levels,
                ..wire0::Connect::new(id)
            }),
            Wire::One => Connect::Wire1(wire1::Connect {
                window,
                least,
                image: "i/m".into(),
                levels,
                stored: self.unconfirmed.stored.clone(),
                ..wire1::Connect::new(id, keepalive)
            }),
        };
        Options { receipts: self.unconfirmed.receipts.clone(), ..Options::new(connect) }
    }

    /// The connection is no more, and the device knows it.
    pub fn forget_connection(&mut self) {
        self.note_unconfirmed();
        self.connection = None;
    }

    fn note_unconfirmed(&mut self) {
        if let Some(Connection { wire: Wire::One, session, .. }) = &self.connection {
            self.unconfirmed = session.unconfirmed();
            self.settled.extend(&self.unconfirmed.stored);
        }
    }

    /// The server has crashed: it may have forgotten acks that it had heard, and said so.
    pub fn handle_crash(&mut self) {
        self.handle_close();
        self.settled = self.unconfirmed.stored.iter().copied().collect();
    }

    /// Puts what it sends now on the line.
    pub fn send(&mut self, now: Monotonic) {
        let is_slow = self.is_silent || self.is_stalled;
        let Some(connection) = &mut self.connection else { return };
        connection.was_slow |= is_slow;
        let mut is_new = false;
        while let Some(bytes) = connection.session.poll_transmit(now) {
            connection.up.extend(bytes);
            is_new = true;
        }
        if is_new {
            self.note_unconfirmed();
        }
    }

    /// Whether its session is over, so that nothing more will come from it than is on the line.
    pub fn is_over(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.session.next_deadline().is_none())
    }

    /// Whether it is let in, and has stored and acked all that the server ever sent.
    pub fn is_attentive(&self) -> bool {
        let is_done = |connection: &Connection| {
            let is_empty = connection.up.is_empty() && connection.down.is_empty();
            connection.is_let_in && is_empty && !connection.session.has_events()
        };
        !self.is_silent && !self.is_stalled && self.connection.as_ref().is_some_and(is_done)
    }

    /// The receipts that the server may not have heard.
    pub fn untold_receipts(&self) -> Vec<Receipt> {
        match &self.connection {
            Some(Connection { wire: Wire::One, session, .. }) => session.unconfirmed().receipts,
            _ => self.unconfirmed.receipts.clone(),
        }
    }

    pub fn handle_bytes(&mut self, bytes: &[u8], now: Monotonic) {
        self.with_session(|session| session.handle_bytes(bytes, now));
    }

    pub fn handle_timeout(&mut self, now: Monotonic) {
        self.with_session(|session| session.handle_timeout(now));
    }

    /// The server has closed the connection.
    pub fn handle_close(&mut self) {
        self.with_session(|session| session.end(EndReason::Eof));
        self.forget_connection();
    }

    pub fn leave(&mut self) {
        self.with_session(Session::leave);
    }

    /// Says what it wants; it goes with the next bytes.
    pub fn say(&mut self, words: impl FnOnce(&mut Session)) {
        self.with_session(words);
    }

    pub fn next_deadline(&self) -> Option<Monotonic> {
        self.connection.as_ref()?.session.next_deadline()
    }

    fn with_session(&mut self, input: impl FnOnce(&mut Session)) {
        let Some(connection) = &mut self.connection else { return };
        input(&mut connection.session);
        self.look(if self.is_silent && !self.is_over() { 0 } else { usize::MAX });
    }

    /// Takes out, stores and acks at most so many of the things that have come.
    pub fn look(&mut self, events_max: usize) {
        for _ in 0..events_max {
            let Some(event) = self.connection.as_mut().and_then(|c| c.session.poll_event()) else { return };
            self.handle_event(event);
        }
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Connected { .. } => {
                self.connection.iter_mut().for_each(|connection| connection.is_let_in = true)
            }
            Event::Broadcast(broadcast) => {
                let text = |payload: &Payload| text(payload.as_bytes());
                self.broadcasts.extend(broadcast.payloads.iter().map(text));
                self.level = broadcast.level;
                self.ack();
            }
            Event::Message(message) => self.take(&message),
            Event::Expired(message) => self.receipts.push(Receipt { message, outcome: Outcome::Expired }),
            Event::Ended(reason) => self.note_end(reason),
            _ => {}
        }
    }

    fn take(&mut self, message: &Message) {
        let Some(Connection { wire, session, .. }) = &mut self.connection else { return };
        let is_settled = *wire == Wire::One && self.settled.contains(&message.id);
        assert!(!is_settled, "{}: {} came again after its ack", self.name, message.id);
        let payload = text(message.payload.as_bytes());
        self.received.push(payload.clone());
        if self.seen.insert(message.id) {
            self.mailbox.push(payload);
            if *wire == Wire::One {
                let outcome =
                    if message.id.0[15].is_multiple_of(2) { Outcome::Shown } else { Outcome::Opened };
                let receipt = Receipt { message: message.id, outcome };
                session.receipt(receipt);
                self.receipts.push(receipt);
            }
        }
        self.ack();
    }

    fn ack(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.session.ack();
        }
    }

    fn note_end(&mut self, reason: EndReason) {
        let was_slow = self.connection.as_ref().is_some_and(|connection| connection.was_slow);
        let is_late = matches!(reason, EndReason::Timeout | EndReason::SentAway(Reason::Timeout));
        let is_slow = was_slow || self.is_silent || self.is_stalled;
        assert!(!is_late || is_slow, "{} was there, and its session ended for: {reason}", self.name);
        self.ends.push(reason);
    }
}

impl Connection {
    /// The next so many bytes to the server.
    pub fn take_up(&mut self, bytes_max: usize) -> Vec<u8> {
        take_front(&mut self.up, bytes_max)
    }

    /// The next so many bytes to the device.
    pub fn take_down(&mut self, bytes_max: usize) -> Vec<u8> {
        take_front(&mut self.down, bytes_max)
    }
}

fn take_front(bytes: &mut Vec<u8>, bytes_max: usize) -> Vec<u8> {
    let rest = bytes.split_off(bytes_max.min(bytes.len()));
    mem::replace(bytes, rest)
}

fn text(json: &[u8]) -> String {
    String::from_utf8(json.to_vec()).expect("payloads are UTF-8")
}
