//! The API loop: moves bytes between sockets and their HTTP conversations, requests to the storage
//! thread and answers back. What a request means it does not know.
//!
//! ```text
//!                   ┌── answer taken ──┐
//!   accepted ──> Open ── request ──> Waiting
//!                 │ last answer written
//!                 ▼
//!              ShutDown (our side; the caller's is read until its end or a bound) ──> dropped
//! ```

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use log::debug;
use mio::{Events, Poll};

use super::acceptor::{Accepted, Acceptor};
use super::connection::{Connection, Fault, LINGER, Received, Scratch};
use super::connections::{Connections, Entry};
use super::descriptors::API_CONNECTIONS_MAX;
use super::inbox::Inbox;
use super::links::Links;
use super::peers::{Door, Handshake};
use super::storage::Ticket;
use crate::api::{self, Conversation, Line, Memory, Reply, Request, State};
use crate::base::{Monotonic, Now};
use crate::queue::Answer;
use crate::tls::{ServerConfig, Tls};

/// Items that may wait in the inbox: more than there can be requests under way, so that the storage
/// thread never waits here.
pub(super) const INBOX_ITEMS_MAX: usize = 2 * API_CONNECTIONS_MAX;
/// Connections accepted in one turn, and read of those that have said nothing yet, so that those that
/// are there are served in between: a handshake over HTTPS takes some 0.2 ms.
const ACCEPTS_PER_TURN: usize = 8;
const NEWCOMERS_PER_TURN: usize = 8;
/// Answers written and requests passed on for one connection in one turn. Who asks for much at once, and may
/// have a thousand short requests in one buffer, gets the rest in the turns that follow.
const STEPS_PER_TURN: usize = 32;
/// Callers that are kept. The last slot is for the next one, who takes the place of the longest idle.
const CALLERS_MAX: usize = API_CONNECTIONS_MAX - 1;
/// How long an answer may lie there untaken while others want the place: all but the slowest take theirs
/// sooner, and who takes none at all must not hold a place for the whole time that writing may take.
const UNTAKEN_MAX: Duration = Duration::from_secs(1);
/// Reads of one connection in one turn: a request and its body as a rule come in one.
const READS_PER_TURN: usize = 4;
/// Events taken from the selector at once: all callers' news, so that nobody is taken for idle whose
/// request is there.
const EVENTS_PER_TURN: usize = 2 * API_CONNECTIONS_MAX;

/// The queue's answer to a request.
pub(super) struct ToApi {
    pub(super) ticket: Ticket,
    pub(super) answer: Answer,
}

/// What the loop is made of.
pub(super) struct Parts {
    pub(super) poll: Poll,
    pub(super) acceptor: Acceptor,
    /// For HTTPS.
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) options: Arc<api::Options>,
    /// How long a caller may take to take an answer.
    pub(super) write_timeout: Duration,
    pub(super) inbox: Inbox<ToApi>,
    pub(super) links: Links,
}

/// The loop's state.
pub(super) struct ApiLoop {
    poll: Poll,
    /// Gone when the server stops.
    acceptor: Option<Acceptor>,
    tls: Option<Arc<ServerConfig>>,
    options: Arc<api::Options>,
    /// What all callers' requests share.
    memory: Memory,
    write_timeout: Duration,
    inbox: Inbox<ToApi>,
    links: Links,
    callers: Connections<Caller>,
    callers_so_far: u64,
    /// When the server stops, how long requests under way may take.
    stop_at: Option<Monotonic>,
    scratch: Scratch,
}

/// An app server, a device that registers, or the operator.
struct Caller {
    conversation: Conversation,
    /// No other caller has it.
    number: u64,
    phase: Phase,
    /// Until it has said something.
    handshake: Option<Handshake>,
    /// When it came, last sent something, or was last sent something.
    active_at: Monotonic,
    /// The socket has something that the conversation did not want yet.
    has_unread: bool,
    /// The conversation has more to say than one turn takes.
    is_unfinished: bool,
    /// When an answer that the socket has not taken must be gone.
    write_until: Option<Monotonic>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// The queue has a command of this caller.
    Waiting,
    /// The last answer is written, and our side is shut down.
    ShutDown,
}

impl Caller {
    fn next_deadline(&self) -> Option<Monotonic> {
        [self.conversation.next_deadline(), self.write_until].into_iter().flatten().min()
    }
}

impl ApiLoop {
    pub(super) fn new(parts: Parts) -> ApiLoop {
        let Parts { poll, acceptor, tls, options, write_timeout, inbox, links } = parts;
        ApiLoop {
            poll,
            acceptor: Some(acceptor),
            tls,
            options,
            memory: Memory::default(),
            write_timeout,
            inbox,
            links,
            callers: Connections::new(),
            callers_so_far: 0,
            stop_at: None,
            scratch: Scratch::new(),
        }
    }

    /// Runs until the server stops and the requests under way are answered, or time is up.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        while self.acceptor.is_some() || !self.callers.is_empty() {
            let timeout = self.timeout();
            match self.inbox.wait(&mut self.poll, &mut events, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => self.turn(&events),
            }
        }
        Ok(())
    }

    /// How long there is nothing to do; `None` for ever.
    fn timeout(&self) -> Option<Duration> {
        let accepts = self.acceptor.as_ref().is_some_and(Acceptor::has_work);
        if accepts || self.callers.has_ready() || !self.inbox.is_empty() {
            return Some(Duration::ZERO);
        }
        let accept = self.acceptor.as_ref().and_then(Acceptor::next_deadline);
        // There are few enough callers to look at all of them.
        let callers = self.callers.iter().filter_map(|(_, entry)| entry.owner.next_deadline()).min();
        let room = self.one_too_many().map(|(_, at)| at);
        let next = [accept, self.stop_at, callers, room].into_iter().flatten().min()?;
        Some(next.since(self.links.clock.now().monotonic))
    }

    /// One turn: a bounded part of everything there is to do.
    fn turn(&mut self, events: &Events) {
        let now = self.links.clock.now();
        self.take_answers(now);
        for event in events {
            if let Some(key) = self.callers.take_event(event, &mut self.acceptor) {
                self.flush(key, now);
            }
        }
        for key in self.callers.take_ready(NEWCOMERS_PER_TURN) {
            self.read(key, now);
        }
        self.accept(now);
        self.take_timeouts(now);
        if self.links.control.is_stopping() {
            self.stop(now);
        }
        self.links.stats.api.connections.set(self.callers.len() as u64);
    }

    /// Those that are there now. Some callers ask the next at once, and the storage thread is quick: waiting
    /// for no more to come, two of them could keep all others waiting.
    fn take_answers(&mut self, now: Now) {
        for _ in 0..self.inbox.len() {
            let Some(ToApi { ticket, answer }) = self.inbox.take() else { return };
            self.take_answer(ticket, answer, now);
        }
    }

    /// The caller may be gone, and its key another's.
    fn take_answer(&mut self, ticket: Ticket, answer: Answer, now: Now) {
        let Some(entry) = self.callers.get_mut(ticket.key) else { return };
        if entry.owner.number == ticket.number {
            entry.owner.phase = Phase::Open;
            entry.owner.conversation.handle_reply(Reply::Queue(answer), now);
            self.advance(ticket.key, now);
        }
    }

    fn flush(&mut self, key: usize, now: Now) {
        let Some(entry) = self.callers.get_mut(key) else { return };
        if !entry.connection.has_unsent() {
            return;
        }
        match entry.connection.flush() {
            Ok(()) => self.advance(key, now),
            Err(_) => self.drop_caller(key),
        }
    }

    /// Finishes what was said before, or reads a bounded part, as long as the conversation wants more.
    fn read(&mut self, key: usize, now: Now) {
        for _ in 0..READS_PER_TURN {
            let Some(entry) = self.callers.get_mut(key) else { return };
            if entry.owner.is_unfinished {
                entry.owner.has_unread = true;
                return self.advance(key, now);
            }
            if entry.connection.has_unsent() || !entry.owner.conversation.wants_bytes() {
                entry.owner.has_unread = true;
                return;
            }
            let received = entry.connection.receive(&mut self.scratch);
            if !self.scratch.plaintext.is_empty() {
                entry.owner.handshake = None;
                entry.welcome();
                entry.owner.active_at = now.monotonic;
                entry.owner.conversation.handle_bytes(&self.scratch.plaintext, now);
            }
            match received {
                Received::More => self.advance(key, now),
                Received::Drained => return self.advance(key, now),
                Received::Closed => {
                    entry.owner.conversation.handle_end(now);
                    return self.advance(key, now);
                }
                Received::Failed(_) => return self.drop_caller(key),
            }
        }
        self.callers.mark_ready(key);
    }

    /// Takes a conversation as far as it goes, until it waits for the caller, for the queue, or for
    /// the socket; or as far as one turn takes it.
    fn advance(&mut self, key: usize, now: Now) {
        for _ in 0..STEPS_PER_TURN {
            match self.step(key, now) {
                Ok(true) => {}
                Ok(false) => return self.settle(key, now),
                Err(_) => return self.drop_caller(key),
            }
        }
        if let Some(entry) = self.callers.get_mut(key) {
            entry.owner.is_unfinished = true;
            self.callers.mark_ready(key);
        }
    }

    /// Writes one answer or passes one request on; says whether there was one.
    fn step(&mut self, key: usize, now: Now) -> Result<bool, Fault> {
        let Some(entry) = self.callers.get_mut(key) else { return Ok(false) };
        if entry.connection.has_unsent() {
            return Ok(false);
        }
        if let Some(bytes) = entry.owner.conversation.poll_transmit(now) {
            entry.owner.active_at = now.monotonic;
            entry.connection.send([&bytes[..]], &mut self.scratch)?;
            return Ok(true);
        }
        let Some(request) = entry.owner.conversation.poll_request() else { return Ok(false) };
        self.pass_on(key, request, now);
        Ok(true)
    }

    fn pass_on(&mut self, key: usize, request: Request, now: Now) {
        let Links { stats, storage, .. } = &self.links;
        let caller = &mut self.callers.get_mut(key).expect("it has just asked").owner;
        stats.api.requests.add_one();
        match request {
            Request::Stats => caller.conversation.handle_reply(Reply::Stats(stats.read()), now),
            Request::Queue(command) => {
                if storage.try_send_from_api(Ticket { key, number: caller.number }, command) {
                    caller.phase = Phase::Waiting;
                } else {
                    stats.api.busy.add_one();
                    caller.conversation.handle_reply(Reply::Busy, now);
                }
            }
        }
    }

    /// Does to the socket what the conversation's state wants, once all is written.
    fn settle(&mut self, key: usize, now: Now) {
        let Some(entry) = self.callers.get_mut(key) else { return };
        entry.owner.is_unfinished = false;
        if entry.connection.has_unsent() {
            entry.owner.write_until.get_or_insert(now.monotonic + self.write_timeout);
            return;
        }
        entry.owner.write_until = None;
        match entry.owner.conversation.state() {
            State::Open => {}
            State::ShutdownWrite if entry.owner.phase == Phase::ShutDown => {}
            State::ShutdownWrite => {
                entry.owner.phase = Phase::ShutDown;
                // A caller that is gone by now is found out by the next read.
                let _ = entry.connection.close();
                entry.connection.shut_down_writing();
            }
            State::Finished => return self.drop_caller(key),
        }
        if std::mem::take(&mut entry.owner.has_unread) {
            self.callers.mark_ready(key);
        }
    }

    fn drop_caller(&mut self, key: usize) {
        if let Some(mut entry) = self.callers.remove(key) {
            // Without it a caller over TLS could not tell an end from a cut.
            let _ = entry.connection.close();
        }
    }

    fn accept(&mut self, now: Now) {
        self.make_room(now.monotonic);
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(acceptor) = &mut self.acceptor else { return };
            let Some(accepted) = acceptor.accept(now.monotonic) else { return };
            self.begin(accepted, now);
            self.make_room(now.monotonic);
        }
    }

    /// A crowd that connects and says nothing, or takes no answers, must not keep others out: who has
    /// been idle the longest goes, unless it was active in this very turn and so may have more to say in
    /// the next.
    fn make_room(&mut self, now: Monotonic) {
        if let Some((key, at)) = self.one_too_many()
            && at < now
        {
            self.drop_caller(key);
        }
    }

    /// The caller who is to go first and when, if all slots are taken. None if the queue works for all of
    /// them: then the next caller waits.
    fn one_too_many(&self) -> Option<(usize, Monotonic)> {
        if self.callers.len() <= CALLERS_MAX {
            return None;
        }
        let may_go = self.callers.iter().filter_map(|(key, entry)| Some((key, may_go_at(entry)?)));
        may_go.min_by_key(|(_, at)| *at)
    }

    /// The handshake of TLS must come within the time of the first request.
    fn begin(&mut self, accepted: Accepted, now: Now) {
        let Accepted { socket, peer, slot, handshake } = accepted;
        let peers = self.links.peers.clone();
        let handshake = peers.enter(peer.ip(), handshake);
        if handshake.is_none() {
            return debug!("closed at once, as too much comes from there: {peer}");
        }
        let line = self.line(peer.ip());
        let door = Door { peers, address: peer.ip() };
        self.callers_so_far += 1;
        let caller = Caller {
            conversation: Conversation::new(self.options.clone(), line, now)
                .guarded_by(Box::new(door))
                .sharing(&self.memory),
            number: self.callers_so_far,
            phase: Phase::Open,
            handshake,
            active_at: now.monotonic,
            has_unread: false,
            is_unfinished: false,
            write_until: None,
        };
        // Should this fail, the caller sees the connection close.
        if let Ok(tls) = self.tls.as_ref().map(Tls::accept).transpose() {
            let connection = Connection::new(socket, tls, slot);
            let _ = self.callers.insert(connection, caller, self.poll.registry());
        }
    }

    /// Who may overhear what this peer says.
    fn line(&self, peer: IpAddr) -> Line {
        let (is_encrypted, is_local) = (self.tls.is_some(), peer.to_canonical().is_loopback());
        match (is_encrypted, is_local) {
            _ if self.links.peers.is_trusted_proxy(peer) => {
                Line::Proxied { is_private: is_encrypted || is_local }
            }
            (true, _) => Line::Private,
            (false, true) => Line::Local,
            (false, false) => Line::Exposed,
        }
    }

    fn take_timeouts(&mut self, now: Now) {
        let is_due = |caller: &Caller| caller.next_deadline().is_some_and(|at| at <= now.monotonic);
        let due: Vec<usize> =
            self.callers.iter().filter(|(_, entry)| is_due(&entry.owner)).map(|(key, _)| key).collect();
        for key in due {
            self.take_timeout(key, now);
        }
    }

    fn take_timeout(&mut self, key: usize, now: Now) {
        let Some(entry) = self.callers.get_mut(key) else { return };
        if entry.owner.write_until.is_some_and(|until| until <= now.monotonic) {
            return self.drop_caller(key);
        }
        entry.owner.conversation.handle_timeout(now);
        self.advance(key, now);
    }

    /// Accepts no more, and closes whom nothing is owed; all others when time is up.
    fn stop(&mut self, now: Now) {
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.close(self.poll.registry());
        }
        let stop_at = *self.stop_at.get_or_insert(now.monotonic + LINGER);
        for key in self.callers.keys() {
            let entry = self.callers.get_mut(key).expect("listed above");
            if !is_owed(entry) || stop_at <= now.monotonic {
                self.drop_caller(key);
            }
        }
    }
}

/// From when on this caller makes room for another; never while the queue has its command.
fn may_go_at(entry: &Entry<Caller>) -> Option<Monotonic> {
    let Caller { phase, active_at, .. } = entry.owner;
    match phase {
        Phase::Waiting => None,
        _ if entry.connection.has_unsent() => Some(active_at + UNTAKEN_MAX),
        _ => Some(active_at),
    }
}

/// Whether an answer is on its way to this caller, from the queue or to the socket.
fn is_owed(entry: &Entry<Caller>) -> bool {
    entry.owner.phase == Phase::Waiting || entry.connection.has_unsent()
}
