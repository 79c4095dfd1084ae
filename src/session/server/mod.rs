//! The server's side of one conversation, on either wire. It knows what may be sent when and until when
//! what is due; what is delivered, and to whom else, is its owner's business.
//!
//! ```text
//!                 ┌──0x00──▶ wire 0: AwaitConnect … ┐
//!  AwaitVersion ──┤                                 ├── end, a deadline missed, what was not due ──▶ Ended
//!                 └──0x01──▶ wire 1: AwaitConnect … ┘                                              Event::Ended
//! ```
//!
//! The owner sees one interface and no wire, but for [`Session::wire`], by which it shares frames of
//! broadcasts among sessions.

mod wire0;
mod wire1;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::EndReason;
use crate::base::{
    AppId, ChannelId, CodeSecret, DeviceId, Level, MessageId, Monotonic, Now, Payload, Urgency, Wall,
};
use crate::protocol::wire1::{Enrolled, Reason, Receipt};
use crate::protocol::{self, Wire};

/// What the sessions of a server have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long after the last completed exchange a ping is due, on wire 0.
    pub ping_interval: Duration,
    /// How long a device may take for CONNECT (from accept) and for each answer, and how late it may
    /// be with a sign of life.
    pub exchange_timeout: Duration,
    /// The longest silence that a device on wire 1 is granted; at least a second.
    pub keepalive_max: Duration,
}

/// One session. The owner feeds it what happens (`handle_*`) and tells it what to do (`accept`,
/// `deliver`, …), and after each of these takes out all that [`Session::poll_transmit`] and
/// [`Session::poll_event`] have, and notes [`Session::next_deadline`]. An idle session holds no buffer.
#[derive(Debug)]
pub struct Session {
    state: State,
    rim: Rim,
}

#[derive(Debug)]
enum State {
    AwaitVersion { deadline: Monotonic },
    Wire0(wire0::Conversation),
    Wire1(wire1::Conversation),
    Ended { untold: Option<EndReason> },
}

/// What a conversation is given, and where its words go.
#[derive(Debug)]
struct Rim {
    options: Arc<Options>,
    /// None while there are none, as in each session that waits.
    words: Option<Box<Words>>,
}

/// What the owner has not taken out.
#[derive(Debug, Default)]
struct Words {
    outgoing: VecDeque<Bytes>,
    events: VecDeque<Event>,
}

/// What the owner has to know.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A device has introduced itself: it waits for [`Session::accept`] or [`Session::refuse`].
    Connect(Box<Introduction>),
    /// Somebody would like to become a device, by this code, and waits for [`Session::enrol`] or
    /// [`Session::refuse`].
    Enrol(CodeSecret),
    /// The device has stored the so many oldest deliveries in flight.
    Acked(usize),
    /// The least urgency that the device wants from now on.
    Least(Urgency),
    /// The device wants all that waits, whatever its urgency.
    Flush,
    /// What became of a message.
    Receipt(Receipt),
    /// The session is over. Comes once, and last; what [`Session::poll_transmit`] still has is to be sent.
    Ended(EndReason),
}

/// How a server stops, as devices on wire 1 are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It will be back here.
    Restart,
    /// Others serve its devices from now on: they ask for the list of hosts again.
    Drain,
}

/// What a device says of itself, on either wire.
#[derive(Clone, PartialEq, Eq)]
pub struct Introduction {
    /// Who it is.
    pub device: DeviceId,
    /// What proves it; empty if nothing does.
    pub credential: Vec<u8>,
    /// The image it runs, `<channel>/<model>`, `?` for what it keeps to itself.
    pub image: String,
    /// How far it has followed each channel. One that is missing stands at level 0.
    pub levels: BTreeMap<ChannelId, Level>,
    /// The least urgency it wants.
    pub least: Urgency,
    /// Messages that it has stored and whose ack may have been lost.
    pub stored: Vec<MessageId>,
}

/// A message to deliver.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Which.
    pub id: MessageId,
    /// For which app.
    pub app: &'a AppId,
    /// When it is no longer worth showing.
    pub expires: Wall,
    /// How much it hurries.
    pub urgency: Urgency,
    /// What the app's helper gets.
    pub payload: &'a Payload,
}

impl Introduction {
    /// A device that says no more than who it is.
    pub fn new(device: DeviceId) -> Introduction {
        Introduction {
            device,
            credential: Vec::new(),
            image: "?/?".into(),
            levels: BTreeMap::new(),
            least: Urgency::VeryLow,
            stored: Vec::new(),
        }
    }
}

/// Leaves the credential out.
impl fmt::Debug for Introduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introduction")
            .field("device", &self.device)
            .field("image", &self.image)
            .field("levels", &self.levels)
            .field("least", &self.least)
            .field("stored", &self.stored)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// A session on a connection that was accepted at `now`.
    pub fn new(now: Monotonic, options: &Arc<Options>) -> Session {
        Session {
            state: State::AwaitVersion { deadline: now + options.exchange_timeout },
            rim: Rim { options: Arc::clone(options), words: None },
        }
    }

    /// Takes plaintext from the device.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Monotonic) {
        let bytes = match self.state {
            State::AwaitVersion { deadline } => {
                let Some((&version, rest)) = bytes.split_first() else { return };
                self.begin(version, deadline);
                rest
            }
            _ => bytes,
        };
        let outcome = match &mut self.state {
            State::Wire0(conversation) => conversation.handle_bytes(bytes, &mut self.rim, now),
            State::Wire1(conversation) => conversation.handle_bytes(bytes, &mut self.rim, now),
            State::AwaitVersion { .. } | State::Ended { .. } => Ok(()),
        };
        self.end_if_failed(outcome);
    }

    fn begin(&mut self, version: u8, deadline: Monotonic) {
        match version {
            protocol::wire0::VERSION => self.state = State::Wire0(wire0::Conversation::new(deadline)),
            protocol::wire1::VERSION => self.state = State::Wire1(wire1::Conversation::new(deadline)),
            other => self.end(EndReason::UnknownVersion(other)),
        }
    }

    /// Lets time pass. Does nothing before [`Session::next_deadline`]; then pings, or gives up on the device.
    pub fn handle_timeout(&mut self, now: Monotonic) {
        if self.next_deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        let outcome = match &mut self.state {
            State::Wire0(conversation) => conversation.handle_timeout(&mut self.rim, now),
            State::Wire1(conversation) => Err(conversation.lateness()),
            _ => Err(EndReason::Timeout),
        };
        self.end_if_failed(outcome);
    }

    /// Ends the session, whatever its state: the connection failed, or the owner wants it so. The
    /// first reason stays. A device on wire 1 is told, if it can still hear.
    pub fn end(&mut self, reason: EndReason) {
        if let State::Wire1(_) = self.state {
            wire1::say_goodbye(&reason, &mut self.rim);
        }
        self.finish(reason);
    }

    /// Ends the session because the server stops. Those on wire 1 are asked to come back over `spread`.
    pub fn shut_down(&mut self, stop: Stop, spread: Duration) {
        if let State::Wire1(_) = self.state {
            wire1::say_stop(stop, spread, &mut self.rim);
        }
        self.finish(EndReason::Shutdown);
    }

    /// Lets in the device that [`Event::Connect`] introduced.
    ///
    /// # Panics
    /// If none waits for it.
    pub fn accept(&mut self, now: Now) {
        match &mut self.state {
            State::Wire0(conversation) => conversation.accept(&mut self.rim, now.monotonic),
            State::Wire1(conversation) => conversation.accept(&mut self.rim, now),
            _ => panic!("accept follows Event::Connect"),
        }
    }

    /// Tells the one whom [`Event::Enrol`] announced which device it is now. It has to connect anew.
    ///
    /// # Panics
    /// If none waits for it.
    pub fn enrol(&mut self, enrolled: Enrolled, now: Monotonic) {
        match &mut self.state {
            State::Wire1(conversation) => conversation.enrol(enrolled, &mut self.rim, now),
            _ => panic!("enrol follows Event::Enrol"),
        }
    }

    /// Turns the device away, telling it the reason, such as [`Reason::HostMismatch`]. On wire 0 one that is
    /// [`Reason::Unauthorized`] is told as far as it can hear; then it may be in the middle of an exchange.
    ///
    /// # Panics
    /// On wire 0, for another reason, if the device neither waits for [`Session::accept`] nor is idle.
    pub fn refuse(&mut self, reason: Reason) {
        match &mut self.state {
            State::Wire0(conversation) => {
                conversation.refuse(reason, &mut self.rim);
                self.finish(EndReason::Refused(reason));
            }
            _ => self.end(EndReason::Refused(reason)),
        }
    }

    /// Sends a frame of wire 0 that devices do not answer: CONNWARN or SETPARAMS.
    ///
    /// # Panics
    /// If the session is not one of wire 0 that is idle.
    pub fn tell(&mut self, frame: Bytes) {
        assert!(self.wire() == Some(Wire::Zero) && self.room() > 0, "frames are sent from idle");
        self.rim.send(frame);
    }

    /// How many more messages, at most, [`Session::deliver`] would take now. Zero until the device is let in.
    pub fn room(&self) -> usize {
        match &self.state {
            State::Wire0(conversation) if conversation.is_idle() && self.rim.is_empty() => usize::MAX,
            State::Wire1(conversation) => conversation.room(),
            _ => 0,
        }
    }

    /// Whether at least half of the window is free, in deliveries and in bytes: as much as a page of messages
    /// should find.
    pub fn has_room_for_page(&self) -> bool {
        match &self.state {
            State::Wire1(conversation) => conversation.has_room_for_page(),
            _ => self.room() > 0,
        }
    }

    /// How many deliveries it holds in flight at most; what [`Session::room`] is when none is.
    pub fn window(&self) -> usize {
        match &self.state {
            State::Wire1(conversation) => conversation.window(),
            _ => usize::MAX,
        }
    }

    /// Delivers as many of the first messages as there is room for, and says how many. Each is
    /// completed by [`Event::Acked`], in this order. At least one is taken if there is room and one is given.
    pub fn deliver<'a>(&mut self, messages: impl IntoIterator<Item = Message<'a>>, now: Now) -> usize {
        if self.room() == 0 {
            return 0;
        }
        match &mut self.state {
            State::Wire0(conversation) => conversation.deliver(messages, &mut self.rim, now.monotonic),
            State::Wire1(conversation) => conversation.deliver(messages, &mut self.rim, now),
            _ => 0,
        }
    }

    /// Delivers a BROADCAST frame of this session's [wire](Session::wire), as one delivery.
    ///
    /// # Panics
    /// If there is no [room](Session::room).
    pub fn deliver_broadcast(&mut self, frame: Bytes, now: Monotonic) {
        assert!(self.room() > 0, "a delivery needs room");
        match &mut self.state {
            State::Wire0(conversation) => conversation.begin(frame, 1, &mut self.rim, now),
            State::Wire1(conversation) => conversation.deliver_broadcast(frame, &mut self.rim, now),
            _ => {}
        }
    }

    /// What is to be sent next.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.rim.take(|words| words.outgoing.pop_front())
    }

    /// What the owner has to know next.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.rim.take(|words| words.events.pop_front());
        event.or_else(|| match &mut self.state {
            State::Ended { untold } => untold.take().map(Event::Ended),
            _ => None,
        })
    }

    /// What is spoken; none before the device has said so, and after the end.
    pub fn wire(&self) -> Option<Wire> {
        match self.state {
            State::Wire0(_) => Some(Wire::Zero),
            State::Wire1(_) => Some(Wire::One),
            State::AwaitVersion { .. } | State::Ended { .. } => None,
        }
    }

    /// The time at which [`Session::handle_timeout`] has something to do.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        match &self.state {
            State::AwaitVersion { deadline } => Some(*deadline),
            State::Wire0(conversation) => Some(conversation.next_deadline()),
            State::Wire1(conversation) => Some(conversation.next_deadline()),
            State::Ended { .. } => None,
        }
    }

    fn end_if_failed(&mut self, outcome: Result<(), EndReason>) {
        if let Err(reason) = outcome {
            self.end(reason);
        }
    }

    fn finish(&mut self, reason: EndReason) {
        if matches!(self.state, State::Ended { .. }) {
            return;
        }
        // A device that is gone before the owner has heard of it need not be announced.
        if let Some(words) = &mut self.rim.words {
            words.events.retain(|event| !matches!(event, Event::Connect(_) | Event::Enrol(_)));
        }
        self.state = State::Ended { untold: Some(reason) };
    }

    #[cfg(test)]
    fn buffered_bytes(&self) -> usize {
        let rim = self.rim.words.as_ref().map_or(0, |_| size_of::<Words>());
        match &self.state {
            State::Wire0(conversation) => rim + conversation.buffered_bytes(),
            State::Wire1(conversation) => rim + conversation.buffered_bytes(),
            _ => rim,
        }
    }
}

impl Rim {
    fn send(&mut self, frame: Bytes) {
        self.words.get_or_insert_default().outgoing.push_back(frame);
    }

    fn tell(&mut self, event: Event) {
        self.words.get_or_insert_default().events.push_back(event);
    }

    /// Takes something out; the last leaves nothing behind.
    fn take<T>(&mut self, take: impl FnOnce(&mut Words) -> Option<T>) -> Option<T> {
        let taken = take(self.words.as_mut()?);
        if self.is_empty() {
            self.words = None;
        }
        taken
    }

    fn is_empty(&self) -> bool {
        let is_empty = |words: &Words| words.outgoing.is_empty() && words.events.is_empty();
        self.words.as_deref().is_none_or(is_empty)
    }
}
