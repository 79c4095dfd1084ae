//! The device's side of one conversation, on either wire. It keeps the connection alive by itself; it
//! acks only when told to, because only its owner knows when what came is stored. It drops no doubles
//! and keeps no levels.
//!
//! ```text
//!  new (version, CONNECT or ENROL) ──▶ wire 0, wire 1 or enrolment ── end, leave, silence, what was not due ──▶ Ended
//! ```

mod enrolment;
mod wire0;
mod wire1;

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use bytes::Bytes;

use self::enrolment::Enrolment;
use super::EndReason;
use crate::base::{AppId, CodeSecret, MessageId, Monotonic, Payload, Urgency};
use crate::protocol;
use crate::protocol::wire1::{Enrolled, Goaway, Receipt};

pub use crate::protocol::broadcast::Broadcast;
pub use wire1::{RECEIPTS_MAX, Unconfirmed};

/// How long devices wait for an answer unless told otherwise: what deployed ones do.
pub const EXCHANGE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// A device, and how patient it is.
#[derive(Clone, Debug)]
pub struct Options {
    /// What it says of itself, and thereby which wire it speaks.
    pub connect: Connect,
    /// How long the server may take for CONNACK, and be late with what is due.
    pub exchange_timeout: Duration,
    /// Receipts of an earlier session that may not have arrived.
    pub receipts: Vec<Receipt>,
}

/// What a device says of itself.
#[derive(Clone, Debug)]
pub enum Connect {
    /// On wire 0.
    Wire0(protocol::wire0::Connect),
    /// On wire 1.
    Wire1(protocol::wire1::Connect),
    /// On wire 1, of somebody who is no device yet and has a code.
    Enrol(CodeSecret),
}

/// What the device would say of itself does not fit its wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Wire 0.
    #[error(transparent)]
    Wire0(#[from] protocol::wire0::ProtocolError),
    /// Wire 1.
    #[error(transparent)]
    Wire1(#[from] protocol::wire1::ProtocolError),
}

/// One session. The owner feeds it what happens (`handle_*`, `ack`, `end`), and after each of these
/// takes out all that [`Session::poll_event`] and [`Session::poll_transmit`] have, and notes
/// [`Session::next_deadline`]. Acks that are told before what they go with is taken out share a frame.
#[derive(Debug)]
pub struct Session {
    state: State,
    rim: Rim,
}

#[derive(Debug)]
enum State {
    Wire0(wire0::Conversation),
    Wire1(Box<wire1::Conversation>),
    Enrolment(Enrolment),
    /// What is told and acked now is for the next session to say.
    Ended(Option<Box<wire1::Conversation>>),
}

/// Where a conversation's words go.
#[derive(Debug, Default)]
struct Rim {
    outgoing: VecDeque<Bytes>,
    events: VecDeque<Event>,
}

/// What the owner has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The server let the device in.
    Connected {
        /// How often something is said even if nothing happens: by the server's pings on wire 0, by
        /// the device's own on wire 1, as the server granted it.
        interval: Duration,
    },
    /// The server has made a device of the code's sender: to be stored before anything else, for the code is
    /// used now. Then [`Session::leave`], and a session of that device.
    Enrolled(Enrolled),
    /// News of a channel: to be stored together with the level, then [acked](Session::ack).
    Broadcast(Broadcast),
    /// A message: to be stored, then [acked](Session::ack).
    Message(Message),
    /// A message that came too late and was dropped; a receipt says so.
    Expired(MessageId),
    /// This side has said nothing for so long, on wire 1, and asks now whether the server is there.
    /// [`Event::Confirmed`] or the end follows.
    Pinged {
        /// How long.
        silence: Duration,
    },
    /// The server has handled all that was sent before the last ping.
    Confirmed,
    /// The server warns. The session goes on, unless the device was not let in yet.
    Warned {
        /// What the server says.
        reason: String,
    },
    /// The server breaks the session off; [`Event::Ended`] follows.
    Broken {
        /// What the server says.
        reason: String,
    },
    /// The server sends the device away; [`Event::Ended`] follows.
    Goaway(Goaway),
    /// To be stored, for [`protocol::wire0::Connect::cookie`] of the next session.
    Cookie(String),
    /// The session is over. Comes once, and last.
    Ended(EndReason),
}

/// A message that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Which.
    pub id: MessageId,
    /// For which app.
    pub app: AppId,
    /// How much it hurries.
    pub urgency: Urgency,
    /// How long it is worth showing, from when it came; unknown on wire 0.
    pub expires_in: Option<Duration>,
    /// What the app's helper gets.
    pub payload: Payload,
}

impl Options {
    /// A device as patient as deployed ones.
    pub fn new(connect: Connect) -> Options {
        Options { connect, exchange_timeout: EXCHANGE_TIMEOUT_DEFAULT, receipts: Vec::new() }
    }
}

impl From<protocol::wire0::Connect> for Connect {
    fn from(connect: protocol::wire0::Connect) -> Connect {
        Connect::Wire0(connect)
    }
}

impl From<protocol::wire1::Connect> for Connect {
    fn from(connect: protocol::wire1::Connect) -> Connect {
        Connect::Wire1(connect)
    }
}

impl Session {
    /// A session on a connection that stands at `now`. Fails if what the device says of itself does
    /// not fit a CONNECT.
    pub fn new(options: Options, now: Monotonic) -> Result<Session, OpenError> {
        let Options { connect, exchange_timeout, receipts } = options;
        let mut rim = Rim::default();
        let state = match connect {
            Connect::Wire0(connect) => {
                State::Wire0(wire0::Conversation::new(connect, exchange_timeout, &mut rim, now)?)
            }
            Connect::Wire1(connect) => {
                let conversation =
                    wire1::Conversation::new(connect, receipts, exchange_timeout, &mut rim, now)?;
                State::Wire1(Box::new(conversation))
            }
            Connect::Enrol(code) => State::Enrolment(Enrolment::new(code, exchange_timeout, &mut rim, now)),
        };
        Ok(Session { state, rim })
    }

    /// Takes plaintext from the server.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Monotonic) {
        if bytes.is_empty() {
            return;
        }
        let outcome = match &mut self.state {
            State::Wire0(conversation) => conversation.handle_bytes(bytes, &mut self.rim, now),
            State::Wire1(conversation) => conversation.handle_bytes(bytes, &mut self.rim, now),
            State::Enrolment(enrolment) => enrolment.handle_bytes(bytes, &mut self.rim),
            State::Ended(_) => Ok(()),
        };
        self.end_if_failed(outcome);
    }

    /// Lets time pass. Does nothing before [`Session::next_deadline`]; then pings, or takes the server
    /// for gone.
    pub fn handle_timeout(&mut self, now: Monotonic) {
        if self.next_deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        let outcome = match &mut self.state {
            State::Wire1(conversation) => conversation.handle_timeout(&mut self.rim, now),
            _ => Err(EndReason::Timeout),
        };
        self.end_if_failed(outcome);
    }

    /// Ends the session, whatever its state. The first reason stays. A server on wire 1 is told if the
    /// fault is its own.
    pub fn end(&mut self, reason: EndReason) {
        let last = match mem::replace(&mut self.state, State::Ended(None)) {
            State::Wire0(_) => None,
            State::Wire1(mut conversation) => {
                conversation.end(&reason, &mut self.rim);
                Some(conversation)
            }
            State::Enrolment(mut enrolment) => {
                enrolment.end(&reason, &mut self.rim);
                None
            }
            State::Ended(last) => {
                self.state = State::Ended(last);
                return;
            }
        };
        self.state = State::Ended(last);
        self.rim.tell(Event::Ended(reason));
    }

    /// Ends the session because the device wants it so; on wire 1 it takes its leave. What waits to be
    /// sent still goes.
    pub fn leave(&mut self) {
        self.end(EndReason::Shutdown);
    }

    /// Acks all that [`Session::poll_event`] has told: it is stored. After the end too, on wire 1, for then it
    /// is among [`Session::unconfirmed`].
    pub fn ack(&mut self) {
        match &mut self.state {
            State::Wire0(conversation) if self.rim.events.is_empty() => conversation.ack(&mut self.rim),
            State::Wire1(conversation) | State::Ended(Some(conversation)) => conversation.ack(),
            _ => {}
        }
    }

    /// Says, on wire 1, what became of a message: along with what is sent next, or, if the session is
    /// over, in the next one.
    pub fn receipt(&mut self, receipt: Receipt) {
        if let State::Wire1(conversation) | State::Ended(Some(conversation)) = &mut self.state {
            conversation.receipt(receipt);
        }
    }

    /// Wants, on wire 1, no less urgency than this from now on.
    pub fn want(&mut self, least: Urgency) {
        if let State::Wire1(conversation) = &mut self.state {
            conversation.want(least);
        }
    }

    /// Asks, on wire 1, for all that waits.
    pub fn flush(&mut self) {
        if let State::Wire1(conversation) = &mut self.state {
            conversation.flush();
        }
    }

    /// Stays silent, on wire 1, no longer than `keepalive` from now on: whole seconds, at least one, and
    /// cut to what the server grants. Says nothing if that changes nothing.
    pub fn keep_alive(&mut self, keepalive: Duration) {
        if let State::Wire1(conversation) = &mut self.state {
            conversation.keep_alive(keepalive);
        }
    }

    /// What the server may not know yet, for the next session.
    pub fn unconfirmed(&self) -> Unconfirmed {
        match &self.state {
            State::Wire1(conversation) | State::Ended(Some(conversation)) => conversation.unconfirmed(),
            State::Wire0(_) | State::Enrolment(_) | State::Ended(None) => Unconfirmed::default(),
        }
    }

    /// What is to be sent next, now.
    pub fn poll_transmit(&mut self, now: Monotonic) -> Option<Bytes> {
        if let State::Wire1(conversation) = &mut self.state {
            conversation.flush_out(&mut self.rim, now);
        }
        self.rim.outgoing.pop_front()
    }

    /// What the owner has to know next.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.rim.events.pop_front();
        if let (
            State::Wire1(conversation) | State::Ended(Some(conversation)),
            Some(Event::Message(_) | Event::Broadcast(_)),
        ) = (&mut self.state, &event)
        {
            conversation.told();
        }
        event
    }

    /// Whether [`Session::poll_event`] has something to tell.
    pub fn has_events(&self) -> bool {
        !self.rim.events.is_empty()
    }

    /// The time at which [`Session::handle_timeout`] has something to do.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        match &self.state {
            State::Wire0(conversation) => Some(conversation.next_deadline()),
            State::Wire1(conversation) => Some(conversation.next_deadline()),
            State::Enrolment(enrolment) => Some(enrolment.next_deadline()),
            State::Ended(_) => None,
        }
    }

    fn end_if_failed(&mut self, outcome: Result<(), EndReason>) {
        if let Err(reason) = outcome {
            self.end(reason);
        }
    }
}

impl Rim {
    fn send(&mut self, frame: Bytes) {
        self.outgoing.push_back(frame);
    }

    fn tell(&mut self, event: Event) {
        self.events.push_back(event);
    }
}
