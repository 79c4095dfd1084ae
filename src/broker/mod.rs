//! One shard of the server, without sockets: its sessions, their deadlines, what is in flight. It
//! decides which session sends what when, and knows neither TLS nor threads nor the disk.

mod broadcasts;
mod delivery;
mod images;
#[cfg(test)]
mod tests;
mod wheel;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use log::{debug, info};

use self::broadcasts::{Broadcasts, Next};
use self::delivery::{Acked, Arrived, Delivery};
use self::images::Images;
pub use self::wheel::Wheel;
use crate::base::{ChannelId, CodeSecret, DeviceId, Monotonic, Now, SessionId, ShardId};
use crate::protocol::wire1::{Enrolled, Outcome, Reason, Receipt};
use crate::queue::{self, Admission, Channel, Command, Enrolment, Event, Page, PendingMessage, Refusal};
use crate::session::EndReason;
use crate::session::server::{self, Introduction, Message, Session, Stop};

/// How many sessions one call of [`Broker::work`] looks at: half a millisecond of work, so that a
/// broadcast to all devices leaves room for everything else between its parts.
const FAN_OUT_SESSIONS_MAX: usize = 64;
/// Over how long devices are spread that a server sends away: so many come back each second.
const RETURNS_PER_SECOND: u64 = 1_000;
/// How many deadlines one call of [`Broker::handle_timeout`] serves, so that those of many devices at once leave room
/// for everything else too.
pub const DEADLINES_MAX: usize = 1024;
/// How many deadlines one call of [`Broker::handle_timeout`] brings nearer beside: some 50 ns each.
pub const DEADLINE_MOVES_MAX: usize = 16 * 1024;

/// How the sessions of a shard behave.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which shard this is.
    pub shard: ShardId,
    /// How many there are.
    pub shards: usize,
    /// Whether a device must prove who it is before it is let in.
    pub is_auth_required: bool,
    /// The base URL of the HTTP API, as new devices are told it; may be empty.
    pub api_url: Arc<str>,
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
    /// For the queue. A `Fetch` is answered by [`Broker::handle_page`], an `Admit` by
    /// [`Broker::handle_admission`], an `Enrol` by [`Broker::handle_enrolment`], an `Acked`, a `Stored` or a
    /// `Receipt` not at all.
    Command(Command),
}

/// A session on its way to its home shard.
#[derive(Debug)]
pub struct Traveller {
    id: SessionId,
    session: Session,
    connect: Box<Introduction>,
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
    /// Receipts of devices, by the code of their outcome.
    pub receipts: [u64; Outcome::ALL.len()],
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
    /// Sessions that wait for the queue's word on who they are.
    waiting: HashMap<SessionId, SessionKey>,
    deadlines: Wheel,
    broadcasts: Broadcasts,
    images: Images,
    /// The first slot that has not been looked at since the channel last changed.
    fan_out: usize,
    actions: VecDeque<Action>,
    counts: Counts,
}

#[derive(Debug)]
struct Slot {
    id: SessionId,
    session: Session,
    /// While the queue is asked whether the device is who it says.
    introduction: Option<Box<Introduction>>,
    /// Once the device is registered.
    delivery: Option<Box<Delivery>>,
}

impl Slot {
    fn new(id: SessionId, session: Session) -> Slot {
        Slot { id, session, introduction: None, delivery: None }
    }
}

impl Broker {
    /// A shard without sessions. `channel` is the system channel as the queue has it.
    pub fn new(options: Options, channel: Arc<Channel>) -> Broker {
        Broker {
            options,
            slots: Vec::new(),
            registered: HashMap::new(),
            waiting: HashMap::new(),
            deadlines: Wheel::default(),
            broadcasts: Broadcasts::new(&channel),
            images: Images::default(),
            fan_out: 0,
            actions: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// A connection was accepted. Its deadline runs from here, the TLS handshake included.
    pub fn handle_accepted(&mut self, key: SessionKey, id: SessionId, now: Now) {
        let session = Session::new(now.monotonic, &self.options.session);
        self.insert(key, Slot::new(id, session));
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
        self.insert(key, Slot::new(id, session));
        self.take_in(key, connect, now);
        self.settle(key, now);
    }

    /// The queue answers an `Admit`. The session that asked may be gone.
    pub fn handle_admission(&mut self, admission: &Admission, now: Now) {
        let Some(key) = self.waiting.remove(&admission.session) else { return };
        let slot = self.slot(key).expect("a session that is gone does not wait");
        let introduction = slot.introduction.take().expect("it waits");
        if admission.is_admitted {
            self.register(key, *introduction, now);
        } else {
            info!("session({}) is not {}", slot.id, introduction.device);
            slot.session.refuse(Reason::Unauthorized);
        }
        self.settle(key, now);
    }

    /// The queue answers a `Fetch`. The session that asked may be gone, or have no room: then what the
    /// page holds is asked for again.
    pub fn handle_page(&mut self, page: &Page, now: Now) {
        let Some(key) = self.key_of(&page.device) else { return };
        let Some((id, session, delivery)) = registered(&mut self.slots, key) else { return };
        if id != page.session {
            return;
        }
        let arrived = delivery.page_came(page);
        deliver_page(session, delivery, &arrived, now);
        self.settle(key, now);
    }

    /// The queue answers an `Enrol`. The session that asked may be gone; then the code is used all the same.
    pub fn handle_enrolment(&mut self, enrolment: Enrolment, now: Now) {
        let Some(key) = self.waiting.remove(&enrolment.session) else { return };
        let api = self.options.api_url.to_string();
        let slot = self.slot(key).expect("a session that is gone does not wait");
        match enrolment.outcome {
            Ok(queue::Enrolled { device, credential }) => {
                info!("session({}) enrolled {device}", slot.id);
                slot.session.enrol(Enrolled { device, credential, api }, now.monotonic);
            }
            Err(Refusal::UnknownCode) => slot.session.refuse(Reason::Unauthorized),
            Err(_) => slot.session.refuse(Reason::Overloaded),
        }
        self.settle(key, now);
    }

    /// The queue has changed, and the change is durable.
    pub fn handle_event(&mut self, event: Event, now: Now) {
        match event {
            Event::Queued { device, message } => self.queued(&device, &message, now),
            Event::Revoked { device } => {
                if let Some(key) = self.key_of(&device) {
                    self.with_session(key, now, |session| session.refuse(Reason::Unauthorized));
                }
            }
            Event::Channel(channel) => {
                self.broadcasts = Broadcasts::new(&channel);
                self.fan_out = 0;
            }
        }
    }

    /// Serves deadlines that have passed, up to a bound: look at [`Broker::next_deadline`] again.
    pub fn handle_timeout(&mut self, now: Now) {
        let mut moves = DEADLINE_MOVES_MAX;
        for _ in 0..DEADLINES_MAX {
            let Some(key) = self.deadlines.expire(now.monotonic, &mut moves) else { return };
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

    /// Ends all sessions; devices that can be told are spread over the time after.
    pub fn shutdown(&mut self, stop: Stop, now: Now) {
        let devices = (self.registered.len() * self.options.shards) as u64;
        let spread = Duration::from_secs(devices / RETURNS_PER_SECOND);
        for index in 0..self.slots.len() {
            self.with_session(SessionKey(index as u32), now, |session| session.shut_down(stop, spread));
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
                Some(server::Event::Enrol(code)) => self.enrol(key, code),
                Some(server::Event::Acked(count)) => self.acked(key, count),
                Some(server::Event::Receipt(receipt)) => self.heard(key, receipt),
                Some(server::Event::Least(least)) => self.with_delivery(key, |delivery| delivery.want(least)),
                Some(server::Event::Flush) => self.with_delivery(key, Delivery::release),
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

    /// A device has said who it is: it is taken in here, or moves to its home.
    fn connect(&mut self, key: SessionKey, connect: Box<Introduction>, now: Now) {
        let home = connect.device.home(self.options.shards);
        if home == self.options.shard {
            return self.take_in(key, connect, now);
        }
        let Some(Slot { id, session, .. }) = self.take(key) else { return };
        self.actions.push_back(Action::Move(key, home, Traveller { id, session, connect }));
    }

    /// Whatever shard it came to: it is no device yet.
    fn enrol(&mut self, key: SessionKey, code: CodeSecret) {
        let session = self.slot(key).expect("its session has just been served").id;
        self.waiting.insert(session, key);
        self.actions.push_back(Action::Command(Command::Enrol { session, code }));
    }

    /// The device is at home here. Until it has proved who it is, nobody's session ends for it.
    fn take_in(&mut self, key: SessionKey, connect: Box<Introduction>, now: Now) {
        if !self.options.is_auth_required {
            return self.register(key, *connect, now);
        }
        let slot = self.slot(key).expect("its session has just been served");
        let (session, device) = (slot.id, connect.device.clone());
        let credential = connect.credential.clone();
        slot.introduction = Some(connect);
        self.waiting.insert(session, key);
        self.actions.push_back(Action::Command(Command::Admit { device, session, credential }));
    }

    /// The device's session from now on is this one; an earlier one ends.
    fn register(&mut self, key: SessionKey, connect: Introduction, now: Now) {
        let Introduction { device, image, levels, least, stored, .. } = connect;
        if let Some(earlier) = self.registered.insert(device.clone(), key) {
            self.handle_end(earlier, EndReason::Terminated, now);
        }
        let level = levels.get(&ChannelId::SYSTEM).copied().unwrap_or_default();
        let image = self.images.shared(&image);
        let slot = self.slot(key).expect("its session has just been served");
        debug!("session({}) registered {device}", slot.id);
        slot.session.accept(now);
        slot.delivery = Some(Box::new(Delivery::new(device.clone(), image, level, least)));
        // Before the first page is asked for, so that none of these is in it.
        if !stored.is_empty() {
            self.actions.push_back(Action::Command(Command::Stored { device, ids: stored }));
        }
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
        self.waiting.remove(&slot.id);
        self.counts.sessions -= 1;
        Some(slot)
    }

    fn with_delivery(&mut self, key: SessionKey, input: impl FnOnce(&mut Delivery)) {
        if let Some(delivery) = self.slot(key).and_then(|slot| slot.delivery.as_deref_mut()) {
            input(delivery);
        }
    }

    /// The device has stored the so many oldest deliveries.
    fn acked(&mut self, key: SessionKey, count: usize) {
        let Some(delivery) = self.slot(key).and_then(|slot| slot.delivery.as_deref_mut()) else { return };
        let Acked { messages: seqs, broadcasts } = delivery.acked(count);
        let device = delivery.device.clone();
        self.counts.broadcasts_delivered += broadcasts;
        self.counts.delivered += seqs.len() as u64;
        if !seqs.is_empty() {
            self.actions.push_back(Action::Command(Command::Acked { device, seqs }));
        }
    }

    /// The device says what became of a message.
    fn heard(&mut self, key: SessionKey, receipt: Receipt) {
        self.counts.receipts[usize::from(receipt.outcome.code())] += 1;
        if let Some(delivery) = self.slot(key).and_then(|slot| slot.delivery.as_deref()) {
            let device = delivery.device.clone();
            self.actions.push_back(Action::Command(Command::Receipt { device, receipt }));
        }
    }

    /// Begins what a session is owed and has room for, broadcasts first: a delivery, or a question to
    /// the queue. Says whether a delivery has begun.
    fn begin_next(&mut self, key: SessionKey, now: Now) -> bool {
        let Some((id, session, delivery)) = registered(&mut self.slots, key) else { return false };
        // Nothing is begun while a page is awaited, so that it finds the room that it was asked for.
        let (Some(wire), room) = (session.wire(), session.room()) else { return false };
        if room == 0 || delivery.awaits_page() {
            return false;
        }
        if delivery.may_send_broadcast() {
            match self.broadcasts.next(wire, delivery.level, &delivery.image, now.wall) {
                Next::UpToDate(level) => delivery.is_up_to_date(level),
                Next::Frame { frame, reached } => {
                    delivery.sent_broadcast(reached);
                    session.deliver_broadcast(frame, now.monotonic);
                    return true;
                }
            }
        }
        // Small pages would cost the storage thread more than a device gains that is slow to ack.
        if !delivery.is_current() && session.has_room_for_page() {
            let (device, least) = (delivery.device.clone(), delivery.least());
            let (after, messages_max) = (delivery.ask(), room);
            let fetch = Command::Fetch { device, session: id, after, least, messages_max };
            self.actions.push_back(Action::Command(fetch));
        }
        false
    }

    /// A message that has just been written goes out from memory if its device has had all before
    /// it and there is room; else it waits, or is asked for in its turn. One that has expired needs neither.
    fn queued(&mut self, device: &DeviceId, message: &PendingMessage, now: Now) {
        if message.expires <= now.wall {
            return;
        }
        let Some(key) = self.key_of(device) else { return };
        let Some((_, session, delivery)) = registered(&mut self.slots, key) else { return };
        let is_sent = delivery.may_send(message) && deliver(session, delivery, &[message], now) == 1;
        if !is_sent {
            delivery.queued(message);
        }
        self.settle(key, now);
    }
}

/// What there is of a registered device.
fn registered(
    slots: &mut [Option<Slot>],
    key: SessionKey,
) -> Option<(SessionId, &mut Session, &mut Delivery)> {
    let Slot { id, session, delivery, .. } = slots.get_mut(key.0 as usize)?.as_mut()?;
    Some((*id, session, delivery.as_deref_mut()?))
}

/// Delivers as many of the first of `messages`, all live, as there is room for, and says how many.
fn deliver(session: &mut Session, delivery: &mut Delivery, messages: &[&PendingMessage], now: Now) -> usize {
    let taken = session.deliver(messages.iter().map(|message| in_words_of_the_session(message)), now);
    messages[..taken].iter().for_each(|message| delivery.sent(message.id.seq()));
    taken
}

fn in_words_of_the_session(message: &PendingMessage) -> Message<'_> {
    let PendingMessage { id, app, expires, urgency, payload } = message;
    Message { id: *id, app, expires: *expires, urgency: *urgency, payload }
}

/// Delivers what is still live of a page. If that was all of it, the device has had the page.
fn deliver_page(session: &mut Session, delivery: &mut Delivery, arrived: &Arrived, now: Now) {
    let all = arrived.messages.iter().map(Arc::as_ref);
    let live: Vec<&PendingMessage> = all.filter(|message| message.expires > now.wall).collect();
    let is_whole = deliver(session, delivery, &live, now) == live.len();
    if let Some(seq) = arrived.passes.filter(|_| is_whole) {
        delivery.passed(seq);
    }
}
