//! A device loop: moves bytes between sockets and the broker of one shard, which decides everything
//! about sessions.
//!
//! ```text
//!   accepted ──> Open ── the broker closes ──> Closing ── flushed, broken or LINGER over ──> dropped
//!                 │ ▲
//!                 ▼ │ once, when CONNECT shows that the device is at home elsewhere
//!            another shard
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use log::{debug, warn};
use mio::{Events, Poll};

use super::acceptor::{Accepted, Acceptor};
use super::connection::{Connection, Fault, LINGER, Received, Scratch};
use super::connections::{Connections, Entry};
use super::inbox::{Inbox, InboxSender};
use super::links::Links;
use super::newcomers::{Newcomer, Newcomers};
use super::reminder::Reminder;
use super::stall::Stall;
use crate::base::{Monotonic, Now, SessionId, ShardId};
use crate::broker::{Action, Broker, SessionKey, Traveller};
use crate::protocol::wire1::Reason;
use crate::queue::{Admission, Command, Enrolment, Event, Page};
use crate::session::EndReason;
use crate::tls::{ServerConfig, Tls};

/// Items that may wait in a shard's inbox before the storage thread must wait: some batches' worth.
pub(super) const INBOX_ITEMS_MAX: usize = 4096;
/// Items taken from the inbox in one turn, so that devices are read in between.
const INBOX_ITEMS_PER_TURN: usize = 512;
/// Connections accepted in one turn, some 50 µs each, and newcomers read, whose handshakes take up to four
/// times that: together two milliseconds, the longest that messages wait for a crowd at the door.
const ACCEPTS_PER_TURN: usize = 8;
const NEWCOMERS_PER_TURN: usize = 8;
/// Reads of one connection in one turn. A device sends little, so one that wants more can wait.
const READS_PER_TURN: usize = 4;
/// Events taken from the selector at once: enough that asking for them costs each little, and few enough
/// that a turn of a crowd's acks takes less than a millisecond.
const EVENTS_PER_TURN: usize = 64;
/// Commands that may wait with a shard for the storage thread: the questions of a crowd that comes back
/// at once. Beyond it no device is read, so that nobody can pile up more by coming and going.
const BACKLOG_COMMANDS_MAX: usize = 32 * 1024;
/// How often the storage thread is tried again while it has enough to do.
const BACKLOG_RETRY: Duration = Duration::from_millis(2);

/// What other threads tell a shard.
pub(super) enum ToShard {
    /// The queue has changed.
    Event(Event),
    /// What was asked for.
    Page(Page),
    /// Who was asked about.
    Admission(Admission),
    /// What came of a code.
    Enrolment(Enrolment),
    /// A device that is at home here.
    Arrival(Box<Arrival>),
}

/// A connection on its way from one shard to another.
pub(super) struct Arrival {
    connection: Connection,
    traveller: Traveller,
    newcomer: Option<Newcomer>,
}

/// What a shard is made of.
pub(super) struct Parts {
    pub(super) id: ShardId,
    pub(super) poll: Poll,
    pub(super) acceptor: Acceptor,
    pub(super) tls: Arc<ServerConfig>,
    pub(super) broker: Broker,
    pub(super) inbox: Inbox<ToShard>,
    /// All shards, by id.
    pub(super) shards: Vec<InboxSender<ToShard>>,
    /// The number of the server's last session.
    pub(super) session_ids: Arc<AtomicU64>,
    pub(super) links: Links,
}

/// The loop's state.
pub(super) struct Shard {
    id: ShardId,
    poll: Poll,
    /// Gone when the server stops.
    acceptor: Option<Acceptor>,
    tls: Arc<ServerConfig>,
    broker: Broker,
    inbox: Inbox<ToShard>,
    shards: Vec<InboxSender<ToShard>>,
    session_ids: Arc<AtomicU64>,
    links: Links,
    connections: Connections<Phase>,
    newcomers: Newcomers,
    /// Connections that are to be closed and when at the latest, in that order. May name others.
    closing: VecDeque<(Monotonic, usize)>,
    /// Commands that the storage thread has no room for.
    backlog: VecDeque<Command>,
    /// Bytes that the broker sends on one connection, not written yet.
    outgoing: Option<(SessionKey, Vec<Bytes>)>,
    stall: Stall,
    /// When to say again that handshakes, or connections, have no room left.
    crowded: Reminder,
    full: Reminder,
    scratch: Scratch,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// The broker has a session under this key.
    Open,
    /// The session has ended; its last bytes are on their way, until then. Few close at a time: hence the box.
    Closing(Box<Monotonic>),
}

impl Shard {
    pub(super) fn new(parts: Parts) -> Shard {
        let Parts { id, poll, acceptor, tls, broker, inbox, shards, session_ids, links } = parts;
        Shard {
            id,
            poll,
            acceptor: Some(acceptor),
            tls,
            broker,
            inbox,
            shards,
            session_ids,
            links,
            connections: Connections::new(),
            newcomers: Newcomers::default(),
            closing: VecDeque::new(),
            backlog: VecDeque::new(),
            outgoing: None,
            stall: Stall::default(),
            crowded: Reminder::default(),
            full: Reminder::default(),
            scratch: Scratch::new(),
        }
    }

    /// Runs until the server stops, all connections are closed, and all acks are on their way.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        while self.acceptor.is_some() || !self.connections.is_empty() || !self.backlog.is_empty() {
            let timeout = self.timeout();
            match self.inbox.wait(&mut self.poll, &mut events, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => self.turn(&events),
            }
        }
        self.refuse_late_arrivals();
        Ok(())
    }

    /// How long there is nothing to do; `None` for ever.
    fn timeout(&self) -> Option<Duration> {
        if self.has_work() {
            return Some(Duration::ZERO);
        }
        let now = self.links.clock.now().monotonic;
        let retry = (!self.backlog.is_empty()).then(|| now + BACKLOG_RETRY);
        let accept = self.acceptor.as_ref().and_then(Acceptor::next_deadline);
        let close = self.closing.front().map(|(until, _)| *until);
        let session = self.broker.next_deadline().map(|deadline| self.stall.delayed(deadline));
        let room = self.one_too_many().map(|(_, at)| at);
        let next = [retry, accept, close, session, room].into_iter().flatten().min()?;
        Some(next.since(now))
    }

    fn has_work(&self) -> bool {
        self.broker.has_work()
            || !self.inbox.is_empty()
            || self.acceptor.as_ref().is_some_and(Acceptor::has_work)
            || (self.connections.has_ready() && self.may_read())
    }

    /// One turn: a bounded part of everything there is to do.
    fn turn(&mut self, events: &Events) {
        let now = self.links.clock.now();
        self.retry_backlog();
        self.take_inbox(now);
        for event in events {
            if let Some(key) = self.connections.take_event(event, &mut self.acceptor) {
                self.flush(key, now);
            }
        }
        self.read_ready(now);
        self.serve_deadlines(now);
        self.broker.work(now);
        self.act(now);
        self.accept(now);
        self.warn_if_full(now.monotonic);
        self.close_late(now.monotonic);
        if self.links.control.is_stopping() {
            self.stop(now);
        }
        self.links.stats.shard(self.id.0).set(self.connections.len(), &self.broker.counts());
    }

    /// Devices whose answers have come were read before, so that none of them is taken for late.
    fn serve_deadlines(&mut self, now: Now) {
        if let Some(deadline) = self.broker.next_deadline() {
            self.stall.notice(deadline, now.monotonic);
        }
        if self.stall.is_over(now.monotonic) {
            self.broker.handle_timeout(now);
            self.act(now);
        }
    }

    fn take_inbox(&mut self, now: Now) {
        for _ in 0..INBOX_ITEMS_PER_TURN {
            match self.inbox.take() {
                Some(ToShard::Event(event)) => self.broker.handle_event(event, now),
                Some(ToShard::Page(page)) => self.broker.handle_page(&page, now),
                Some(ToShard::Admission(admission)) => self.broker.handle_admission(&admission, now),
                Some(ToShard::Enrolment(enrolment)) => self.broker.handle_enrolment(enrolment, now),
                Some(ToShard::Arrival(arrival)) => self.take_in(*arrival, now),
                None => break,
            }
        }
        // Once for all, so that what one batch brings to a device leaves in one record.
        self.act(now);
    }

    fn flush(&mut self, key: usize, now: Now) {
        let Some(entry) = self.connections.get_mut(key) else { return };
        match (entry.connection.flush(), &entry.owner) {
            (Err(fault), _) => self.fail(key, &fault, now),
            (Ok(()), Phase::Closing(_)) if !entry.connection.has_unsent() => {
                self.connections.remove(key);
            }
            (Ok(()), _) => {}
        }
    }

    /// Whether there is room for the commands that may come of reading.
    fn may_read(&self) -> bool {
        self.backlog.len() < BACKLOG_COMMANDS_MAX
    }

    /// Reads a bounded part from each connection that has something.
    fn read_ready(&mut self, now: Now) {
        if !self.may_read() {
            return;
        }
        for key in self.connections.take_ready(NEWCOMERS_PER_TURN) {
            self.read(key, now);
        }
    }

    fn read(&mut self, key: usize, now: Now) {
        for _ in 0..READS_PER_TURN {
            // What was read before may have ended the session or moved the connection.
            let Some(entry) = self.connections.get_mut(key) else { return };
            if entry.owner != Phase::Open {
                return;
            }
            let received = entry.connection.receive(&mut self.scratch);
            let has_spoken = !self.scratch.plaintext.is_empty();
            if entry.is_newcomer() {
                self.newcomers.read(key, has_spoken, now.monotonic);
            }
            if has_spoken {
                self.broker.handle_bytes(session_key(key), &self.scratch.plaintext, now);
                self.act(now);
            }
            match received {
                Received::More => {}
                Received::Drained => return,
                Received::Closed => return self.fail(key, &Fault::Gone, now),
                Received::Failed(fault) => return self.fail(key, &fault, now),
            }
        }
        self.connections.mark_ready(key);
    }

    /// The connection cannot go on: its session ends, and if that is over already there is nothing to
    /// wait for.
    fn fail(&mut self, key: usize, fault: &Fault, now: Now) {
        let Some(entry) = self.connections.get_mut(key) else { return };
        match &entry.owner {
            Phase::Closing(_) => {
                self.connections.remove(key);
            }
            Phase::Open => {
                self.broker.handle_end(session_key(key), end_reason(fault), now);
                self.act(now);
            }
        }
    }

    /// Does what the broker wants done.
    fn act(&mut self, now: Now) {
        loop {
            match self.broker.poll_action() {
                Some(Action::Send(key, bytes)) => self.send(key, bytes, now),
                Some(Action::Close(key, id, reason)) => {
                    self.notice_failure(key, &reason, now.monotonic);
                    self.transmit(now);
                    self.close(key, id, &reason, now.monotonic);
                }
                Some(Action::Move(key, home, traveller)) => {
                    self.transmit(now);
                    self.hand_over(key, home, traveller);
                }
                Some(Action::Command(command)) => self.ask(command),
                None if self.outgoing.is_some() => self.transmit(now),
                None => return,
            }
        }
    }

    /// Frames that follow one another on a connection leave together.
    fn send(&mut self, key: SessionKey, bytes: Bytes, now: Now) {
        match &mut self.outgoing {
            Some((same, frames)) if *same == key => frames.push(bytes),
            _ => {
                self.transmit(now);
                self.outgoing = Some((key, vec![bytes]));
            }
        }
    }

    fn transmit(&mut self, now: Now) {
        let Some((SessionKey(key), frames)) = self.outgoing.take() else { return };
        let Some(entry) = self.connections.get_mut(key as usize) else { return };
        if entry.is_newcomer() {
            self.newcomers.leave(key as usize);
            entry.welcome();
        }
        let sent = entry.connection.send(frames.iter().map(|frame| &frame[..]), &mut self.scratch);
        if let Err(fault) = sent {
            self.broker.handle_end(SessionKey(key), end_reason(&fault), now);
        }
    }

    /// Whoever is turned away before he was let in has failed to prove who he is.
    fn notice_failure(&self, key: SessionKey, reason: &EndReason, now: Monotonic) {
        if let EndReason::Refused(Reason::Unauthorized) = reason
            && let Some(address) = self.newcomers.address(key.0 as usize)
        {
            self.links.peers.failed(address, now);
        }
    }

    fn close(&mut self, key: SessionKey, id: SessionId, reason: &EndReason, now: Monotonic) {
        log_end(id, reason);
        let key = key.0 as usize;
        self.newcomers.leave(key);
        let Some(entry) = self.connections.get_mut(key) else { return };
        if entry.connection.close().is_ok() && entry.connection.has_unsent() {
            let until = now + LINGER;
            entry.owner = Phase::Closing(Box::new(until));
            self.closing.push_back((until, key));
        } else {
            self.connections.remove(key);
        }
    }

    fn hand_over(&mut self, key: SessionKey, home: ShardId, traveller: Traveller) {
        let id = traveller.session_id();
        let newcomer = self.newcomers.leave(key.0 as usize);
        let Some(mut entry) = self.connections.remove(key.0 as usize) else { return };
        if let Err(error) = entry.connection.deregister(self.poll.registry()) {
            return log_end(id, &transport(&error));
        }
        let arrival = Box::new(Arrival { connection: entry.connection, traveller, newcomer });
        if let Err(told) = self.shards[home.0].try_send(ToShard::Arrival(arrival)) {
            log_end(id, &transport(&"its shard has no room"));
            if let ToShard::Arrival(mut arrival) = told {
                // Its tickets make its next handshake cheap. If they cannot be sent, it has none.
                let _ = arrival.connection.close();
            }
        }
    }

    fn take_in(&mut self, arrival: Arrival, now: Now) {
        let Arrival { connection, traveller, newcomer } = arrival;
        let id = traveller.session_id();
        let reads_no_more = connection.reads_no_more();
        match self.connections.insert(connection, Phase::Open, self.poll.registry()) {
            Ok(key) => {
                match newcomer {
                    Some(newcomer) => self.newcomers.take_in(key, newcomer),
                    None => self.connections.get_mut(key).into_iter().for_each(Entry::welcome),
                }
                self.broker.handle_arrival(session_key(key), traveller, now);
                // The shard that it came from has read its end already, and the socket tells of nothing.
                if reads_no_more {
                    self.connections.mark_ready(key);
                }
            }
            Err(error) => log_end(id, &transport(&error)),
        }
    }

    fn ask(&mut self, command: Command) {
        self.backlog.push_back(command);
        self.retry_backlog();
    }

    fn retry_backlog(&mut self) {
        while let Some(command) = self.backlog.pop_front() {
            if let Err(command) = self.links.storage.try_send_from_shard(self.id, command) {
                self.backlog.push_front(*command);
                return;
            }
        }
    }

    fn accept(&mut self, now: Now) {
        for _ in 0..ACCEPTS_PER_TURN {
            self.make_room(now);
            let Some(acceptor) = &mut self.acceptor else { return };
            let Some(accepted) = acceptor.accept(now.monotonic) else { return };
            self.begin(accepted, now);
        }
    }

    /// Who begins a handshake and says no more must not keep others out.
    fn make_room(&mut self, now: Now) {
        if let Some((key, at)) = self.one_too_many()
            && at <= now.monotonic
        {
            if self.crowded.is_due(now.monotonic) {
                warn!(
                    "all handshakes_max places are taken: who is silent for too long is sent away for others"
                );
            }
            self.broker.handle_end(session_key(key), EndReason::Timeout, now);
            self.act(now);
        }
    }

    /// One shard speaks for all.
    fn warn_if_full(&mut self, now: Monotonic) {
        if self.id == ShardId(0)
            && let Some(max) = self.acceptor.as_ref().and_then(Acceptor::is_full_with)
            && self.full.is_due(now)
        {
            warn!("all {max} places for devices are taken: more must wait (connections_max, ulimit -n)");
        }
    }

    /// The newcomer who is to go first and when, if handshakes have no room left and somebody may wait.
    fn one_too_many(&self) -> Option<(usize, Monotonic)> {
        let lacks_room = self.acceptor.as_ref().is_some_and(Acceptor::lacks_handshakes);
        let waits = |key| self.connections.is_ready(key);
        if lacks_room { self.newcomers.longest_silent(waits) } else { None }
    }

    fn begin(&mut self, accepted: Accepted, now: Now) {
        let Accepted { socket, peer, slot, handshake } = accepted;
        let peers = &self.links.peers;
        let is_heard = peers.wait(peer.ip(), now.monotonic).is_zero();
        let Some(handshake) = is_heard.then(|| peers.enter(peer.ip(), handshake)).flatten() else {
            return debug!("closed at once, as too much comes from there: {peer}");
        };
        let id = SessionId(self.session_ids.fetch_add(1, Ordering::Relaxed) + 1);
        debug!("session({id}) connected {peer}");
        self.links.stats.shard(self.id.0).connection_accepted();
        let inserted = Tls::accept(&self.tls).map_err(io::Error::other).and_then(|tls| {
            let connection = Connection::new(socket, Some(tls), slot);
            self.connections.insert(connection, Phase::Open, self.poll.registry())
        });
        match inserted {
            Ok(key) => {
                self.newcomers.enter(key, handshake, now.monotonic);
                self.broker.handle_accepted(session_key(key), id, now);
                self.act(now);
            }
            Err(error) => log_end(id, &transport(&error)),
        }
    }

    /// Drops connections whose peers have not taken their last bytes in time.
    fn close_late(&mut self, now: Monotonic) {
        while let Some(&(until, key)) = self.closing.front() {
            if until > now {
                return;
            }
            self.closing.pop_front();
            let is_late =
                |entry: &mut Entry<Phase>| matches!(&entry.owner, Phase::Closing(late) if **late == until);
            if self.connections.get_mut(key).is_some_and(is_late) {
                self.connections.remove(key);
            }
        }
    }

    /// Accepts no more and ends all sessions, those that arrive meanwhile too.
    fn stop(&mut self, now: Now) {
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.close(self.poll.registry());
        }
        self.broker.shutdown(self.links.control.stop(), now);
        self.act(now);
    }

    fn refuse_late_arrivals(&self) {
        while let Some(told) = self.inbox.take() {
            if let ToShard::Arrival(arrival) = told {
                log_end(arrival.traveller.session_id(), &EndReason::Shutdown);
            }
        }
    }
}

/// The broker's key for a connection is the loop's own: descriptors end long before 32 bits do.
fn session_key(key: usize) -> SessionKey {
    SessionKey(u32::try_from(key).expect("fewer connections than 2^32"))
}

fn log_end(id: SessionId, reason: &EndReason) {
    debug!("session({id}) ended with: {reason}");
}

fn end_reason(fault: &Fault) -> EndReason {
    match fault {
        Fault::Gone => EndReason::Eof,
        Fault::Tls(_) | Fault::Unread => transport(fault),
    }
}

fn transport(problem: &dyn fmt::Display) -> EndReason {
    EndReason::Transport(problem.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::super::connection::SELECTOR_BYTES;
    use super::*;

    /// Each device has one.
    #[test]
    fn what_a_loop_keeps_of_a_connection_is_small() {
        assert!(size_of::<Entry<Phase>>() <= 72 + SELECTOR_BYTES, "{}", size_of::<Entry<Phase>>());
    }
}
