//! The server's side of one conversation. It knows whose turn it is and until when; what is
//! delivered, and to whom else, is its owner's business.
//!
//! ```text
//!  AwaitVersion ──0x00──▶ AwaitConnect ──CONNECT──▶ AwaitAccept ──accept (CONNACK)──▶ Idle
//!                                                   Event::Connect
//!
//!          ┌── ping due: PING ──▶ AwaitPong ── PONG ──┐
//!  Idle ───┤                                          ├──▶ Idle, ping due an interval later
//!          └── deliver: frame ──▶ AwaitAck ─── ACK ───┘
//!                                          Event::Acked
//!
//!  any ── end, refuse, a deadline missed, or bytes that were not due ──▶ Ended
//!                                                                        Event::Ended
//! ```
//!
//! The first byte decides the wire. Wire 0 is the only one, so its states stand here; another wire
//! brings its own conversation, and this file then keeps no more than `AwaitVersion` and `Ended`.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::EndReason;
use crate::base::Monotonic;
use crate::protocol::wire0::{
    self, ANSWER_BODY_BYTES_MAX, Connect, DeviceMessage, FRAME_BODY_BYTES_MAX, ProtocolError, ServerMessage,
};

/// What the sessions of a server have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long after the last completed exchange a ping is due.
    pub ping_interval: Duration,
    /// How long a device may take for CONNECT (from accept) and for each answer.
    pub exchange_timeout: Duration,
}

/// One session. The owner feeds it what happens (`handle_*`) and tells it what to do (`accept`,
/// `deliver`, …), and after each of these takes out all that [`Session::poll_transmit`] and
/// [`Session::poll_event`] have, and notes [`Session::next_deadline`]. An idle session holds no buffer.
#[derive(Debug)]
pub struct Session {
    options: Arc<Options>,
    state: State,
    /// The front of a frame whose rest has not come.
    partial: Vec<u8>,
    outgoing: Option<Bytes>,
    event: Option<Event>,
}

#[derive(Debug)]
enum State {
    AwaitVersion { deadline: Monotonic },
    AwaitConnect { deadline: Monotonic },
    AwaitAccept,
    Idle { ping_due: Monotonic },
    AwaitPong { deadline: Monotonic },
    AwaitAck { deadline: Monotonic },
    Ended { untold: Option<EndReason> },
}

/// What the owner has to know.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A device has introduced itself: it waits for [`Session::accept`] or [`Session::refuse`].
    Connect(Box<Connect>),
    /// The device has acked what was delivered last; the session is idle again.
    Acked,
    /// The session is over. Comes once, and last; what [`Session::poll_transmit`] still has is to be sent.
    Ended(EndReason),
}

impl Session {
    /// A session on a connection that was accepted at `now`.
    pub fn new(now: Monotonic, options: &Arc<Options>) -> Session {
        let deadline = now + options.exchange_timeout;
        Session {
            options: Arc::clone(options),
            state: State::AwaitVersion { deadline },
            partial: Vec::new(),
            outgoing: None,
            event: None,
        }
    }

    /// Takes plaintext from the device.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Monotonic) {
        let Some((&first, rest)) = bytes.split_first() else { return };
        match self.state {
            State::AwaitVersion { deadline } if first == wire0::VERSION => {
                self.state = State::AwaitConnect { deadline };
                self.handle_bytes(rest, now);
            }
            State::AwaitVersion { .. } => self.end(EndReason::UnknownVersion(first)),
            State::AwaitConnect { .. } => self.gather(bytes, FRAME_BODY_BYTES_MAX, now),
            State::AwaitPong { .. } | State::AwaitAck { .. } => {
                self.gather(bytes, ANSWER_BODY_BYTES_MAX, now);
            }
            State::AwaitAccept | State::Idle { .. } => self.end(EndReason::Unsolicited),
            State::Ended { .. } => {}
        }
    }

    /// Lets time pass. Does nothing before [`Session::next_deadline`]; then pings, or gives up on the device.
    pub fn handle_timeout(&mut self, now: Monotonic) {
        if self.next_deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.state {
            State::Idle { .. } => {
                self.send(Bytes::from_static(wire0::PING_FRAME));
                self.state = State::AwaitPong { deadline: now + self.options.exchange_timeout };
            }
            _ => self.end(EndReason::Timeout),
        }
    }

    /// Ends the session, whatever its state: the connection failed, or the owner wants it so. The
    /// first reason stays.
    pub fn end(&mut self, reason: EndReason) {
        if matches!(self.state, State::Ended { .. }) {
            return;
        }
        // A device that is gone before the owner has heard of it need not be announced.
        self.event.take_if(|event| matches!(event, Event::Connect(_)));
        self.partial = Vec::new();
        self.state = State::Ended { untold: Some(reason) };
    }

    /// Lets in the device that [`Event::Connect`] introduced.
    ///
    /// # Panics
    /// If none waits for it.
    pub fn accept(&mut self, now: Monotonic) {
        assert!(matches!(self.state, State::AwaitAccept), "accept follows Event::Connect");
        self.send(self.connack());
        self.become_idle(now);
    }

    /// Turns the device away, telling it the reason, such as [`wire0::HOST_MISMATCH`]. A device that
    /// was not accepted yet gets its CONNACK first: until then it would not understand.
    ///
    /// # Panics
    /// If the device neither waits for [`Session::accept`] nor is idle.
    pub fn refuse(&mut self, reason: &'static str) {
        let connbroken = encode(ServerMessage::Connbroken { reason: reason.into() });
        match self.state {
            State::AwaitAccept => self.send([self.connack(), connbroken].concat().into()),
            State::Idle { .. } => self.send(connbroken),
            _ => panic!("refuse answers Event::Connect or starts from idle"),
        }
        self.end(EndReason::Refused(reason));
    }

    /// Sends a frame that devices do not answer: CONNWARN or SETPARAMS.
    ///
    /// # Panics
    /// If the session is not [idle](Session::is_idle).
    pub fn tell(&mut self, frame: Bytes) {
        assert!(self.is_idle(), "frames are sent from idle");
        self.send(frame);
    }

    /// Starts the exchange of a BROADCAST or NOTIFICATIONS frame; [`Event::Acked`] completes it.
    ///
    /// # Panics
    /// If the session is not [idle](Session::is_idle).
    pub fn deliver(&mut self, frame: Bytes, now: Monotonic) {
        assert!(self.is_idle(), "an exchange starts from idle");
        self.send(frame);
        self.state = State::AwaitAck { deadline: now + self.options.exchange_timeout };
    }

    /// What is to be sent next.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.outgoing.take()
    }

    /// What the owner has to know next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.event.take().or_else(|| match &mut self.state {
            State::Ended { untold } => untold.take().map(Event::Ended),
            _ => None,
        })
    }

    /// Whether the owner may [`deliver`](Session::deliver): the device is connected, no exchange
    /// runs, and everything was taken out.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle { .. }) && self.outgoing.is_none() && self.event.is_none()
    }

    /// The time at which [`Session::handle_timeout`] has something to do.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        match self.state {
            State::AwaitVersion { deadline }
            | State::AwaitConnect { deadline }
            | State::AwaitPong { deadline }
            | State::AwaitAck { deadline } => Some(deadline),
            State::Idle { ping_due } => Some(ping_due),
            State::AwaitAccept | State::Ended { .. } => None,
        }
    }

    /// Adds `bytes` to the frame that is due, and handles it once it is complete.
    fn gather(&mut self, bytes: &[u8], body_bytes_max: usize, now: Monotonic) {
        let mut gathered = mem::take(&mut self.partial);
        let available = if gathered.is_empty() {
            bytes
        } else {
            gathered.extend_from_slice(bytes);
            &gathered
        };
        if wire0::announced_body_bytes(available).is_some_and(|announced| announced > body_bytes_max) {
            return self.end(ProtocolError::FrameTooLong.into());
        }
        match wire0::split_frame(available) {
            Some((body, used)) => self.handle_frame(body, used < available.len(), now),
            None if gathered.is_empty() => self.partial = bytes.to_vec(),
            None => self.partial = gathered,
        }
    }

    fn handle_frame(&mut self, body: &[u8], more_follows: bool, now: Monotonic) {
        match DeviceMessage::decode(body) {
            Ok(message) => self.handle_message(message, now),
            Err(error) => self.end(error.into()),
        }
        if more_follows {
            self.end(EndReason::Unsolicited);
        }
    }

    fn handle_message(&mut self, message: DeviceMessage, now: Monotonic) {
        match (&self.state, message) {
            (State::AwaitConnect { .. }, DeviceMessage::Connect(connect)) => {
                self.state = State::AwaitAccept;
                self.event = Some(Event::Connect(Box::new(connect)));
            }
            (State::AwaitPong { .. }, DeviceMessage::Pong) => self.become_idle(now),
            (State::AwaitAck { .. }, DeviceMessage::Ack) => {
                self.become_idle(now);
                self.event = Some(Event::Acked);
            }
            (State::AwaitConnect { .. }, _) => self.end(EndReason::WrongMessage { due: "CONNECT" }),
            (State::AwaitPong { .. }, _) => self.end(EndReason::WrongMessage { due: "PONG" }),
            (_, _) => self.end(EndReason::WrongMessage { due: "ACK" }),
        }
    }

    fn become_idle(&mut self, now: Monotonic) {
        self.state = State::Idle { ping_due: now + self.options.ping_interval };
    }

    fn connack(&self) -> Bytes {
        encode(ServerMessage::Connack { ping_interval: self.options.ping_interval })
    }

    fn send(&mut self, frame: Bytes) {
        assert!(self.outgoing.is_none(), "the owner takes out every frame before the next command");
        self.outgoing = Some(frame);
    }
}

/// The frame of a message that is this side's own and short.
fn encode(message: ServerMessage) -> Bytes {
    message.encode().expect("a message without payloads fits a frame")
}
