//! The device's side of wire 1 (spec: The device's session). It paces the conversation: it pings when it
//! has said nothing for as long as it announced, and sends what can wait along with what cannot.
//!
//! ```text
//!  new (version, CONNECT) ──▶ AwaitConnack ──CONNACK──▶ Open
//!                                          Connected
//!  Open:  MESSAGE, BROADCAST ──▶ events ── told, then ack ──▶ ACK, with the next bytes
//!         silent for the keepalive ──▶ PING, Pinged
//!         PONG ──▶ Confirmed: what was sent before its PING has arrived
//!
//!  any ── GOAWAY, no PONG in time ──▶ ended        what was not due ──▶ BYE, ended
//! ```

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use super::{Event, Message, Rim};
use crate::base::{AppId, MessageId, Monotonic, Urgency};
use crate::protocol::wire1::{
    self, APPS_MAX, AppNumber, Connack, Connect, DeviceFrame, Outcome, ProtocolError, Reason, Receipt,
    SERVER_BODY_BYTES_MAX, STORED_MAX, ServerFrame, split_frame,
};
use crate::session::EndReason;

/// Most receipts that are kept for a server to hear: some days of a busy phone without network. The
/// oldest are dropped first; nobody waits for them.
pub const RECEIPTS_MAX: usize = 256;

/// What the server may not have heard, for the next session to say again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unconfirmed {
    /// Messages that were acked; at most [`STORED_MAX`].
    pub stored: Vec<MessageId>,
    /// Receipts; at most [`RECEIPTS_MAX`].
    pub receipts: Vec<Receipt>,
}

#[derive(Debug)]
pub(super) struct Conversation {
    exchange_timeout: Duration,
    /// How long this side may stay silent, as it announced.
    keepalive: Duration,
    window: usize,
    state: State,
    /// The front of a frame whose rest has not come.
    partial: Vec<u8>,
    /// Frames that are to be sent.
    outgoing: Vec<u8>,
    stored: Log<MessageId, STORED_MAX>,
    receipts: Log<Receipt, RECEIPTS_MAX>,
    /// The time of the last input.
    now: Monotonic,
}

#[derive(Debug)]
enum State {
    AwaitConnack { deadline: Monotonic, wishes: Wishes },
    Open(Box<Open>),
}

/// What the owner wants that CONNECT has not said: to be said once the device is let in.
#[derive(Debug, Default)]
struct Wishes {
    least: Option<Urgency>,
    keepalive: Option<Duration>,
    wants_all: bool,
}

#[derive(Debug)]
struct Open {
    /// When CONNACK came: where expiry is counted from.
    connacked: Monotonic,
    keepalive_max: Duration,
    /// When this side last said something, or would have but for the PONG that it waits for.
    silent_since: Monotonic,
    /// When the answer to the last PING is overdue.
    pong_by: Option<Monotonic>,
    apps: [Option<AppId>; APPS_MAX],
    /// Deliveries that are not acked, oldest first.
    unacked: VecDeque<Delivery>,
}

/// A delivery on its way to its ack.
#[derive(Debug)]
struct Delivery {
    /// None for a broadcast: a device's levels say what it has.
    id: Option<MessageId>,
    progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// The owner has not taken it out.
    Untold,
    /// The owner has it.
    Told,
    /// It is stored, or dropped for good.
    Settled,
}

/// What is kept until the server has surely heard it, oldest first.
#[derive(Debug)]
struct Log<T, const MAX: usize> {
    entries: VecDeque<T>,
    /// So many of the first were sent.
    sent: usize,
    /// So many of the first were sent before the last PING.
    pinged: usize,
}

impl Conversation {
    /// Opens the conversation. Fails if what the device says of itself does not keep to the limits.
    pub fn new(
        connect: Connect,
        receipts: Vec<Receipt>,
        exchange_timeout: Duration,
        rim: &mut Rim,
        now: Monotonic,
    ) -> Result<Conversation, ProtocolError> {
        let (keepalive, window) = (connect.keepalive, connect.window);
        let stored = Log::new(connect.stored.clone(), connect.stored.len());
        let mut opening = vec![wire1::VERSION];
        DeviceFrame::Connect(Box::new(connect)).encode(&mut opening)?;
        rim.send(opening.into());
        Ok(Conversation {
            exchange_timeout,
            keepalive,
            window,
            state: State::AwaitConnack { deadline: now + exchange_timeout, wishes: Wishes::default() },
            partial: Vec::new(),
            outgoing: Vec::new(),
            stored,
            receipts: Log::new(receipts, 0),
            now,
        })
    }

    pub fn handle_bytes(&mut self, bytes: &[u8], rim: &mut Rim, now: Monotonic) -> Result<(), EndReason> {
        self.now = now;
        let mut gathered = mem::take(&mut self.partial);
        gathered.extend_from_slice(bytes);
        let mut used = 0;
        while let Some((raw, frame_bytes)) = split_frame(&gathered[used..], SERVER_BODY_BYTES_MAX)? {
            if let Some(frame) = ServerFrame::decode(raw)? {
                self.handle_frame(frame, rim)?;
            }
            used += frame_bytes;
        }
        gathered.drain(..used);
        self.partial = gathered;
        Ok(())
    }

    /// The deadline has passed: it is time for a PING, or the server is gone.
    pub fn handle_timeout(&mut self, rim: &mut Rim, now: Monotonic) -> Result<(), EndReason> {
        self.now = now;
        match &mut self.state {
            State::Open(open) if open.pong_by.is_none_or(|by| now < by) => {
                let silence = now.since(mem::replace(&mut open.silent_since, now));
                if open.pong_by.is_none() {
                    open.pong_by = Some(now + self.exchange_timeout);
                    self.stored.ping();
                    self.receipts.ping();
                    self.say(&DeviceFrame::Ping);
                    rim.tell(Event::Pinged { silence });
                }
                Ok(())
            }
            _ => Err(EndReason::Timeout),
        }
    }

    /// The last words.
    pub fn end(&mut self, reason: &EndReason, rim: &mut Rim) {
        let bye = match reason {
            EndReason::Frame(error) => error.reason(),
            EndReason::Shutdown => Reason::Closing,
            EndReason::Timeout => Reason::Timeout,
            _ => return,
        };
        // Behind BYE nothing is read.
        self.say_acks();
        self.say_receipts();
        self.say(&DeviceFrame::Bye(bye));
        rim.send(mem::take(&mut self.outgoing).into());
    }

    /// The owner has taken out the oldest delivery that it had not.
    pub fn told(&mut self) {
        if let State::Open(open) = &mut self.state {
            open.advance_one(Progress::Untold, Progress::Told);
        }
    }

    /// All that was told is stored.
    pub fn ack(&mut self) {
        if let State::Open(open) = &mut self.state {
            while open.advance_one(Progress::Told, Progress::Settled) {}
        }
    }

    pub fn receipt(&mut self, receipt: Receipt) {
        self.receipts.push(receipt);
    }

    pub fn want(&mut self, least: Urgency) {
        match &mut self.state {
            State::AwaitConnack { wishes, .. } => wishes.least = Some(least),
            State::Open(_) => self.say(&DeviceFrame::Urgency(least)),
        }
    }

    pub fn flush(&mut self) {
        match &mut self.state {
            State::AwaitConnack { wishes, .. } => wishes.wants_all = true,
            State::Open(_) => self.say(&DeviceFrame::Flush),
        }
    }

    pub fn keep_alive(&mut self, keepalive: Duration) {
        let keepalive_max = match &mut self.state {
            State::AwaitConnack { wishes, .. } => return wishes.keepalive = Some(keepalive),
            State::Open(open) => open.keepalive_max,
        };
        let keepalive = keepalive.clamp(Duration::from_secs(1), keepalive_max);
        if keepalive != self.keepalive {
            self.keepalive = keepalive;
            self.say(&DeviceFrame::Keepalive(keepalive));
        }
    }

    /// What the server may not have heard, acks that were not sent included.
    pub fn unconfirmed(&self) -> Unconfirmed {
        let mut stored: Vec<MessageId> = self.stored.entries.iter().copied().collect();
        if let State::Open(open) = &self.state {
            stored.extend(open.settled_ids());
        }
        Unconfirmed {
            stored: stored.split_off(stored.len().saturating_sub(STORED_MAX)),
            receipts: self.receipts.entries.iter().copied().collect(),
        }
    }

    pub fn next_deadline(&self) -> Monotonic {
        match &self.state {
            State::AwaitConnack { deadline, .. } => *deadline,
            State::Open(open) => {
                let ping_due = open.silent_since + self.keepalive;
                open.pong_by.map_or(ping_due, |by| by.min(ping_due))
            }
        }
    }

    /// Gathers what is to be sent: all acks in one, and receipts if anything else goes.
    pub fn flush_out(&mut self, rim: &mut Rim, now: Monotonic) {
        self.say_acks();
        if self.outgoing.is_empty() {
            return;
        }
        self.say_receipts();
        if let State::Open(open) = &mut self.state {
            open.silent_since = now;
        }
        rim.send(mem::take(&mut self.outgoing).into());
    }

    fn say_acks(&mut self) {
        let State::Open(open) = &mut self.state else { return };
        let settled = open.take_settled();
        if !settled.is_empty() {
            settled.iter().flatten().for_each(|id| self.stored.push_sent(*id));
            self.say(&DeviceFrame::Ack(settled.len() as u64));
        }
    }

    fn say_receipts(&mut self) {
        let State::Open(_) = self.state else { return };
        for receipt in self.receipts.take_unsent() {
            self.say(&DeviceFrame::Receipt(receipt));
        }
    }

    fn say(&mut self, frame: &DeviceFrame) {
        frame.encode(&mut self.outgoing).expect("only a CONNECT can break a limit");
    }

    fn handle_frame(&mut self, frame: ServerFrame, rim: &mut Rim) -> Result<(), EndReason> {
        match (&mut self.state, frame) {
            (_, ServerFrame::Goaway(goaway)) => {
                rim.tell(Event::Goaway(goaway));
                Err(EndReason::SentAway(goaway.reason))
            }
            (State::AwaitConnack { wishes, .. }, ServerFrame::Connack(connack)) => {
                let wishes = mem::take(wishes);
                self.open(connack, rim);
                self.wish(wishes);
                Ok(())
            }
            (State::AwaitConnack { .. }, frame) => Err(ProtocolError::Unexpected(frame.name()).into()),
            (State::Open(_), frame) => self.handle_open(frame, rim).map_err(EndReason::from),
        }
    }

    fn open(&mut self, connack: Connack, rim: &mut Rim) {
        self.keepalive = self.keepalive.min(connack.keepalive_max);
        self.window = self.window.min(connack.window);
        self.state = State::Open(Box::new(Open {
            connacked: self.now,
            keepalive_max: connack.keepalive_max,
            silent_since: self.now,
            pong_by: None,
            apps: Default::default(),
            unacked: VecDeque::new(),
        }));
        rim.tell(Event::Connected { interval: self.keepalive });
    }

    fn wish(&mut self, Wishes { least, keepalive, wants_all }: Wishes) {
        keepalive.into_iter().for_each(|keepalive| self.keep_alive(keepalive));
        least.into_iter().for_each(|least| self.want(least));
        if wants_all {
            self.flush();
        }
    }

    fn handle_open(&mut self, frame: ServerFrame, rim: &mut Rim) -> Result<(), ProtocolError> {
        let State::Open(open) = &mut self.state else { return Ok(()) };
        match frame {
            ServerFrame::Pong => {
                if open.pong_by.take().is_none() {
                    return Err(ProtocolError::Unexpected("PONG"));
                }
                self.stored.confirm();
                self.receipts.confirm();
                rim.tell(Event::Confirmed);
            }
            ServerFrame::App(number, app) => open.apps[number.index()] = Some(app),
            ServerFrame::Message(message) => self.take_message(message, rim)?,
            ServerFrame::Broadcast(broadcast) => {
                open.take(None, Progress::Untold, self.window)?;
                rim.tell(Event::Broadcast(broadcast));
            }
            ServerFrame::Connack(_) | ServerFrame::Enrolled(_) => {
                return Err(ProtocolError::Unexpected(frame.name()));
            }
            ServerFrame::Goaway(_) => {}
        }
        Ok(())
    }

    /// Takes a message in; one that came too late is dropped, acked and receipted as such.
    fn take_message(&mut self, message: wire1::Message, rim: &mut Rim) -> Result<(), ProtocolError> {
        let State::Open(open) = &mut self.state else { return Ok(()) };
        let wire1::Message { app, urgency, expires, id, payload } = message;
        let app = open.app(app)?;
        let left = expires.saturating_sub(self.now.since(open.connacked));
        let is_late = left.is_zero();
        open.take(Some(id), if is_late { Progress::Settled } else { Progress::Untold }, self.window)?;
        if is_late {
            self.receipts.push(Receipt { message: id, outcome: Outcome::Expired });
            rim.tell(Event::Expired(id));
        } else {
            rim.tell(Event::Message(Message { id, app, urgency, expires_in: Some(left), payload }));
        }
        Ok(())
    }
}

impl Open {
    fn app(&self, number: AppNumber) -> Result<AppId, ProtocolError> {
        let known = self.apps[number.index()].clone();
        known.ok_or(ProtocolError::Violation("a message under a number that no APP has named"))
    }

    fn take(
        &mut self,
        id: Option<MessageId>,
        progress: Progress,
        window: usize,
    ) -> Result<(), ProtocolError> {
        if self.unacked.len() >= window {
            return Err(ProtocolError::Violation("more deliveries than the window allows"));
        }
        self.unacked.push_back(Delivery { id, progress });
        Ok(())
    }

    /// What is stored, and not yet acked.
    fn settled_ids(&self) -> impl Iterator<Item = MessageId> {
        let settled = self.unacked.iter().filter(|delivery| delivery.progress == Progress::Settled);
        settled.filter_map(|delivery| delivery.id)
    }

    /// The oldest deliveries that may be acked.
    fn take_settled(&mut self) -> Vec<Option<MessageId>> {
        let settled = self.unacked.iter().take_while(|one| one.progress == Progress::Settled).count();
        self.unacked.drain(..settled).map(|delivery| delivery.id).collect()
    }

    /// Moves the oldest delivery that stands at `from` on; whether there was one.
    fn advance_one(&mut self, from: Progress, to: Progress) -> bool {
        let oldest = self.unacked.iter_mut().find(|delivery| delivery.progress == from);
        oldest.map(|delivery| delivery.progress = to).is_some()
    }
}

impl<T: Clone, const MAX: usize> Log<T, MAX> {
    /// A log of which so many of the first are sent.
    fn new(entries: Vec<T>, sent: usize) -> Log<T, MAX> {
        let mut log = Log { entries: VecDeque::new(), sent: 0, pinged: 0 };
        entries.into_iter().for_each(|entry| log.push(entry));
        log.sent = sent.min(log.entries.len());
        log
    }

    fn push(&mut self, entry: T) {
        if self.entries.len() == MAX {
            self.entries.pop_front();
            self.sent = self.sent.saturating_sub(1);
            self.pinged = self.pinged.saturating_sub(1);
        }
        self.entries.push_back(entry);
    }

    /// Adds what is being sent right now; only for a log of which all is sent.
    fn push_sent(&mut self, entry: T) {
        self.push(entry);
        self.sent = self.entries.len();
    }

    fn take_unsent(&mut self) -> Vec<T> {
        let unsent = self.entries.range(self.sent..).cloned().collect();
        self.sent = self.entries.len();
        unsent
    }

    /// A PING is said behind all that was sent.
    fn ping(&mut self) {
        self.pinged = self.sent;
    }

    /// Its PONG has come.
    fn confirm(&mut self) {
        self.entries.drain(..self.pinged);
        self.sent -= self.pinged;
        self.pinged = 0;
    }
}
