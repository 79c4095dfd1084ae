//! One shard of the server, without sockets: its sessions, their deadlines, what is in flight. It
//! decides which session sends what when, and knows neither TLS nor threads nor the disk.

mod broadcasts;
mod delivery;
#[cfg(test)]
mod tests;
mod wheel;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use log::info;

use self::broadcasts::{Broadcasts, Next};
use self::delivery::{Delivery, InFlight};
use self::wheel::Wheel;
use crate::base::{ChannelId, DeviceId, Monotonic, Now, SessionId, ShardId};
use crate::protocol::wire0::{Connect, encode_notifications};
use crate::queue::{Channel, Command, Event, Page, PendingMessage};
use crate::session::EndReason;
use crate::session::server::{self, Session};

/// How many sessions one call of [`Broker::work`] looks at: some milliseconds of work, so that a
/// broadcast to all devices leaves room for everything else between its parts.
const FAN_OUT_SESSIONS_MAX: usize = 256;
/// How many deadlines one call of [`Broker::handle_timeout`] serves, for the same reason.
const DEADLINES_MAX: usize = 1024;

/// How the sessions of a shard behave.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which shard this is.
    pub shard: ShardId,
    /// How many there are.
    pub shards: usize,
    /// The timing of each session.
    pub session: Arc<server::Options>,
}

/// The reactor's number for a connection, given to its session too: small and dense. It is free
/// again after [`Action::Close`] or [`Action::Move`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(pub u32);

/// What the broker wants done.
#[derive(Debug)]
pub enum Action {
    /// Send these bytes on this connection.
    Send(SessionKey, Bytes),
    /// Send what is there for this connection, then close it: its session has ended.
    Close(SessionKey, SessionId, EndReason),
    /// The device is at home on another shard: hand the connection and its session over.
    Move(SessionKey, ShardId, Traveller),
    /// For the queue. A `Fetch` is answered by [`Broker::handle_page`], an `Acked` not at all.
    Command(Command),
}

/// A session on its way to its home shard.
#[derive(Debug)]
pub struct Traveller {
    id: SessionId,
    session: Session,
    connect: Box<Connect>,
}

impl Traveller {
    /// The session's number in the log.
    pub fn session_id(&self) -> SessionId {
        self.id
    }
}

/// What a shard has done and holds, for `/stats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sessions now, registered or not.
    pub sessions: u64,
    /// Devices registered now.
    pub registered: u64,
    /// Messages that devices have acked.
    pub delivered: u64,
    /// Exchanges of broadcasts that devices have acked.
    pub broadcasts_delivered: u64,
}

/// The sessions of one shard.
///
/// Give it one input by a `handle_*`, then drain [`Broker::poll_action`]; call
/// [`Broker::handle_timeout`] at [`Broker::next_deadline`], and [`Broker::work`] in each turn while
/// [`Broker::has_work`].
#[derive(Debug)]
pub struct Broker {
    options: Options,
    slots: Vec<Option<Slot>>,
    registered: HashMap<DeviceId, SessionKey>,
    deadlines: Wheel,
    broadcasts: Broadcasts,
    /// The first slot that has not been looked at since the channel last changed.
    fan_out: usize,
    actions: VecDeque<Action>,
    counts: Counts,
}

#[derive(Debug)]
struct Slot {
    id: SessionId,
    session: Session,
    /// Once the device is registered.
    delivery: Option<Box<Delivery>>,
}

impl Broker {
    /// A shard without sessions. `channel` is the system channel as the queue has it.
    pub fn new(options: Options, channel: Arc<Channel>) -> Broker {
        Broker {
            options,
            slots: Vec::new(),
            registered: HashMap::new(),
            deadlines: Wheel::new(),
            broadcasts: Broadcasts::new(&channel),
            fan_out: 0,
            actions: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// A connection was accepted. Its deadline runs from here, the TLS handshake included.
    pub fn handle_accepted(&mut self, key: SessionKey, id: SessionId, now: Now) {
        let session = Session::new(now.monotonic, &self.options.session);
        self.insert(key, Slot { id, session, delivery: None });
        self.settle(key, now);
    }

    /// The device has sent these bytes.
    pub fn handle_bytes(&mut self, key: SessionKey, bytes: &[u8], now: Now) {
        self.with_session(key, now, |session| session.handle_bytes(bytes, now.monotonic));
    }

    /// The connection is gone, or must go.
    pub fn handle_end(&mut self, key: SessionKey, reason: EndReason, now: Now) {
        self.with_session(key, now, |session| session.end(reason));
    }

    /// A connection has moved here, its device's home.
    pub fn handle_arrival(&mut self, key: SessionKey, traveller: Traveller, now: Now) {
        let Traveller { id, session, connect } = traveller;
        self.insert(key, Slot { id, session, delivery: None });
        self.register(key, *connect, now);
        self.settle(key, now);
    }

    /// The queue answers a `Fetch`. The session that asked may be gone, or in a ping: then what the
    /// page holds is asked for again.
    pub fn handle_page(&mut self, page: &Page, now: Now) {
        let Some(key) = self.key_of(&page.device) else { return };
        let Some((id, session, delivery)) = registered(&mut self.slots, key) else { return };
        if id != page.session {
            return;
        }
        delivery.page_came(page);
        if session.is_idle() {
            deliver_page(session, delivery, page, now);
        }
        self.settle(key, now);
    }

    /// The queue has changed, and the change is durable.
    pub fn handle_event(&mut self, event: Event, now: Now) {
        match event {
            Event::Queued { device, message } => self.queued(&device, &message, now),
            Event::Channel(channel) => {
                self.broadcasts = Broadcasts::new(&channel);
                self.fan_out = 0;
            }
        }
    }

    /// Serves deadlines that have passed, up to a bound: look at [`Broker::next_deadline`] again.
    pub fn handle_timeout(&mut self, now: Now) {
        for _ in 0..DEADLINES_MAX {
            let Some(key) = self.deadlines.expire(now.monotonic) else { return };
            self.with_session(SessionKey(key), now, |session| session.handle_timeout(now.monotonic));
        }
    }

    /// When to call [`Broker::handle_timeout`].
    pub fn next_deadline(&self) -> Option<Monotonic> {
        self.deadlines.next()
    }

    /// Whether a broadcast is still on its way to the sessions.
    pub fn has_work(&self) -> bool {
        self.fan_out < self.slots.len()
    }

    /// Takes a broadcast to some more sessions.
    pub fn work(&mut self, now: Now) {
        let end = self.slots.len().min(self.fan_out + FAN_OUT_SESSIONS_MAX);
        let part = self.fan_out..end;
        self.fan_out = end;
        for index in part {
            self.settle(SessionKey(index as u32), now);
        }
    }

    /// Ends all sessions.
    pub fn shutdown(&mut self, now: Now) {
        for index in 0..self.slots.len() {
            self.handle_end(SessionKey(index as u32), EndReason::Shutdown, now);
        }
    }

    /// What is to be done next. Drain it after each input.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What the shard has done and holds.
    pub fn counts(&self) -> Counts {
        Counts { registered: self.registered.len() as u64, ..self.counts }
    }

    fn insert(&mut self, key: SessionKey, slot: Slot) {
        let index = key.0 as usize;
        if index >= self.slots.len() {
            let has_work = self.has_work();
            self.slots.resize_with(index + 1, || None);
            if !has_work {
                self.fan_out = self.slots.len();
            }
        }
        let earlier = self.slots[index].replace(slot);
        assert!(earlier.is_none(), "the reactor gave key {index} to two connections");
        self.counts.sessions += 1;
    }

    fn slot(&mut self, key: SessionKey) -> Option<&mut Slot> {
        self.slots.get_mut(key.0 as usize)?.as_mut()
    }

    fn key_of(&self, device: &DeviceId) -> Option<SessionKey> {
        self.registered.get(device).copied()
    }

    fn with_session(&mut self, key: SessionKey, now: Now, input: impl FnOnce(&mut Session)) {
        if let Some(slot) = self.slot(key) {
            input(&mut slot.session);
            self.settle(key, now);
        }
    }

    /// Takes a session to where it waits again: its events are served, what can be sent is begun,
    /// its bytes are on their way, and its deadline is set.
    fn settle(&mut self, key: SessionKey, now: Now) {
        loop {
            self.transmit(key);
            let Some(slot) = self.slot(key) else { return };
            match slot.session.poll_event() {
                Some(server::Event::Connect(connect)) => self.connect(key, connect, now),
                Some(server::Event::Acked) => self.acked(key),
                Some(server::Event::Ended(reason)) => return self.remove(key, reason),
                None if !self.begin_next(key, now) => break,
                None => {}
            }
        }
        self.set_deadline(key);
    }

    fn transmit(&mut self, key: SessionKey) {
        while let Some(bytes) = self.slot(key).and_then(|slot| slot.session.poll_transmit()) {
            self.actions.push_back(Action::Send(key, bytes));
        }
    }

    fn set_deadline(&mut self, key: SessionKey) {
        match self.slot(key).and_then(|slot| slot.session.next_deadline()) {
            Some(deadline) => self.deadlines.set(key.0, deadline),
            None => self.deadlines.cancel(key.0),
        }
    }

    /// A device has said who it is: it is registered here, or moves to its home.
    fn connect(&mut self, key: SessionKey, connect: Box<Connect>, now: Now) {
        let home = connect.device_id.home(self.options.shards);
        if home == self.options.shard {
            return self.register(key, *connect, now);
        }
        let Some(Slot { id, session, .. }) = self.take(key) else { return };
        self.actions.push_back(Action::Move(key, home, Traveller { id, session, connect }));
    }

    /// The device's session from now on is this one; an earlier one ends.
    fn register(&mut self, key: SessionKey, connect: Connect, now: Now) {
        let image = connect.image().into();
        let Connect { device_id: device, levels, .. } = connect;
        if let Some(earlier) = self.registered.insert(device.clone(), key) {
            self.handle_end(earlier, EndReason::Terminated, now);
        }
        let level = levels.get(&ChannelId::SYSTEM).copied().unwrap_or_default();
        let slot = self.slot(key).expect("its session has just been served");
        info!("session({}) registered {device}", slot.id);
        slot.session.accept(now.monotonic);
        slot.delivery = Some(Box::new(Delivery::new(device, image, level)));
    }

    /// The session is over: its bytes so far are still sent.
    fn remove(&mut self, key: SessionKey, reason: EndReason) {
        let Some(Slot { id, delivery, .. }) = self.take(key) else { return };
        if let Some(Delivery { device, .. }) = delivery.as_deref()
            && self.key_of(device) == Some(key)
        {
            self.registered.remove(device);
        }
        self.actions.push_back(Action::Close(key, id, reason));
    }

    fn take(&mut self, key: SessionKey) -> Option<Slot> {
        self.deadlines.cancel(key.0);
        let slot = self.slots.get_mut(key.0 as usize)?.take()?;
        self.counts.sessions -= 1;
        Some(slot)
    }

    /// The exchange has been completed: the device has what was in flight.
    fn acked(&mut self, key: SessionKey) {
        let Some(delivery) = self.slot(key).and_then(|slot| slot.delivery.as_deref_mut()) else { return };
        match delivery.acked() {
            InFlight::Nothing => {}
            InFlight::Broadcasts(_) => self.counts.broadcasts_delivered += 1,
            InFlight::Messages(seqs) => {
                let device = delivery.device.clone();
                self.counts.delivered += seqs.len() as u64;
                self.actions.push_back(Action::Command(Command::Acked { device, seqs }));
            }
        }
    }

    /// Begins what an idle session is owed, broadcasts first: an exchange, or a question to the
    /// queue. Says whether an exchange has begun.
    fn begin_next(&mut self, key: SessionKey, now: Now) -> bool {
        let Some((id, session, delivery)) = registered(&mut self.slots, key) else { return false };
        if !session.is_idle() || delivery.awaits_page() {
            return false;
        }
        match self.broadcasts.next(delivery.level, &delivery.image, now.wall) {
            Next::UpToDate(level) => delivery.level = level,
            Next::Frame { frame, reached } => {
                delivery.sent_broadcasts(reached);
                session.deliver(frame, now.monotonic);
                return true;
            }
        }
        if !delivery.is_current() {
            let (device, after) = (delivery.device.clone(), delivery.ask());
            self.actions.push_back(Action::Command(Command::Fetch { device, session: id, after }));
        }
        false
    }

    /// A message that has just been written goes out from memory if its device has had all before
    /// it and nothing is in flight; else it is asked for in its turn.
    fn queued(&mut self, device: &DeviceId, message: &PendingMessage, now: Now) {
        let Some(key) = self.key_of(device) else { return };
        let Some((_, session, delivery)) = registered(&mut self.slots, key) else { return };
        let seq = message.id.seq();
        if session.is_idle() && delivery.is_current() && delivery.sent_to() < seq {
            deliver(session, delivery, &[message], now);
            delivery.passed(seq);
        } else {
            delivery.queued(seq);
        }
        self.settle(key, now);
    }
}

/// What there is of a registered device.
fn registered(
    slots: &mut [Option<Slot>],
    key: SessionKey,
) -> Option<(SessionId, &mut Session, &mut Delivery)> {
    let Slot { id, session, delivery } = slots.get_mut(key.0 as usize)?.as_mut()?;
    Some((*id, session, delivery.as_deref_mut()?))
}

/// Begins the exchange with as many of `messages` as share a frame, if any of them is live. Says
/// whether that was all of them.
fn deliver(session: &mut Session, delivery: &mut Delivery, messages: &[&PendingMessage], now: Now) -> bool {
    let live: Vec<&&PendingMessage> = messages.iter().filter(|message| message.expires > now.wall).collect();
    let Some(part) = encode_notifications(live.iter().map(|m| (&m.app, m.id, &m.payload))) else {
        return true;
    };
    delivery.sent(live[..part.count].iter().map(|message| message.id.seq()).collect());
    session.deliver(part.frame, now.monotonic);
    part.count == live.len()
}

fn deliver_page(session: &mut Session, delivery: &mut Delivery, page: &Page, now: Now) {
    let messages: Vec<&PendingMessage> = page.messages.iter().map(Arc::as_ref).collect();
    if deliver(session, delivery, &messages, now) {
        let last = page.messages.last().filter(|_| page.more);
        delivery.passed(last.map_or(page.newest, |message| message.id.seq()));
    }
}
