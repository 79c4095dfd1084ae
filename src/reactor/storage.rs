//! The storage thread: owns the queue and its store, works off what has gathered, and tells the loops.
//! One write to the disk serves all that came while the last one ran. It has no sockets.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use super::api_loop::ToApi;
use super::clock::Clock;
use super::descriptors::API_CONNECTIONS_MAX;
use super::inbox::InboxSender;
use super::shard::ToShard;
use super::stats::Stats;
use crate::base::ShardId;
use crate::queue::{Answer, Command, Event};
use crate::store::{self, DurableQueue, Outcomes, Store, StoreError};

/// Commands of shards that may wait for the storage thread: a few batches. What is beyond waits with
/// the shards.
const SHARD_COMMANDS_MAX: usize = 1024;
/// A connection of the API has one command under way at most, so there is room for each of them.
const WAITING_COMMANDS_MAX: usize = SHARD_COMMANDS_MAX + API_CONNECTIONS_MAX;
/// The wall clock may be set while the thread waits by the other clock: look again after this.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A command for the queue, and who wants the answer.
pub(super) struct ToStorage {
    command: Command,
    asker: Asker,
}

enum Asker {
    Shard(ShardId),
    /// The API's name for the request.
    Api(Ticket),
}

/// The API loop's name for a request under way: the connection's key, and a number that no other
/// connection had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) key: usize,
    pub(super) number: u64,
}

/// A loop's way to the storage thread. It never waits.
#[derive(Clone)]
pub(super) struct StorageSender(Sender<ToStorage>);

/// The way to the storage thread and its end there.
pub(super) fn channel() -> (StorageSender, Receiver<ToStorage>) {
    let (sender, receiver) = bounded(WAITING_COMMANDS_MAX);
    (StorageSender(sender), receiver)
}

impl StorageSender {
    /// A shard's command. Comes back while the storage thread has enough; is dropped when it has
    /// stopped, for then the server stops.
    pub(super) fn try_send_from_shard(&self, shard: ShardId, command: Command) -> Result<(), Box<Command>> {
        if self.0.len() >= SHARD_COMMANDS_MAX {
            return Err(Box::new(command));
        }
        match self.0.try_send(ToStorage { command, asker: Asker::Shard(shard) }) {
            Err(TrySendError::Full(refused)) => Err(Box::new(refused.command)),
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
        }
    }

    /// An API request's command; says whether it was taken.
    pub(super) fn try_send_from_api(&self, ticket: Ticket, command: Command) -> bool {
        self.0.try_send(ToStorage { command, asker: Asker::Api(ticket) }).is_ok()
    }
}

/// The thread's state.
pub(super) struct Storage<S> {
    pub(super) queue: DurableQueue<S>,
    pub(super) commands: Receiver<ToStorage>,
    pub(super) shards: Vec<InboxSender<ToShard>>,
    pub(super) api: InboxSender<ToApi>,
    pub(super) stats: Arc<Stats>,
    pub(super) clock: Clock,
}

impl<S: Store> Storage<S> {
    /// Runs until every loop has stopped and all that they have asked for is done, or until the store
    /// fails: then the commands at hand have been refused.
    pub(super) fn run(mut self) -> Result<(), StoreError> {
        self.stats.queue.set(&self.queue.counts());
        while let Some((askers, commands)) = self.gather() {
            let outcomes = self.queue.handle(commands, self.clock.now(), &mut fill_with_randomness);
            self.stats.queue.set(&self.queue.counts());
            self.tell(askers, outcomes);
            if self.queue.failure().is_some() {
                break;
            }
        }
        self.queue.close().map(drop)
    }

    /// Waits for commands and takes those that are there; none at all when housekeeping is due.
    /// `None` when nobody can send any more.
    fn gather(&self) -> Option<(Vec<Asker>, Vec<Command>)> {
        let first = match self.wait_max() {
            Some(time) => self.commands.recv_timeout(time),
            None => self.commands.recv().map_err(RecvTimeoutError::from),
        };
        match first {
            Ok(first) => {
                let gathered = std::iter::once(first).chain(self.commands.try_iter());
                Some(store::gather(gathered.map(|asked| (asked.asker, asked.command))))
            }
            Err(RecvTimeoutError::Timeout) => Some((Vec::new(), Vec::new())),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    fn wait_max(&self) -> Option<Duration> {
        Some(self.queue.due_in(self.clock.now())?.min(WAIT_MAX))
    }

    fn tell(&self, askers: Vec<Asker>, outcomes: Outcomes) {
        assert_eq!(askers.len(), outcomes.answers.len(), "each command has one answer");
        let mut told = Told { shards: vec![false; self.shards.len()], api: false };
        for event in outcomes.events {
            self.tell_of(event, &mut told);
        }
        for (asker, answer) in askers.into_iter().zip(outcomes.answers) {
            self.answer(asker, answer, &mut told);
        }
        self.wake(&told);
    }

    fn tell_of(&self, event: Event, told: &mut Told) {
        match &event {
            Event::Queued { device, .. } | Event::Revoked { device } => {
                let home = device.home(self.shards.len());
                self.tell_shard(home, ToShard::Event(event), told);
            }
            Event::Channel(_) => {
                for index in 0..self.shards.len() {
                    self.tell_shard(ShardId(index), ToShard::Event(event.clone()), told);
                }
            }
        }
    }

    fn answer(&self, asker: Asker, answer: Answer, told: &mut Told) {
        match (asker, answer) {
            (Asker::Api(ticket), answer) => {
                self.api.send(ToApi { ticket, answer });
                told.api = true;
            }
            (Asker::Shard(shard), Answer::Page(page)) => self.tell_shard(shard, ToShard::Page(page), told),
            (Asker::Shard(shard), Answer::Admission(admission)) => {
                self.tell_shard(shard, ToShard::Admission(admission), told);
            }
            (Asker::Shard(shard), Answer::Enrolment(enrolment)) => {
                self.tell_shard(shard, ToShard::Enrolment(enrolment), told);
            }
            // Acks and receipts are answered by nothing. A refused question means that the server is about
            // to stop.
            (Asker::Shard(_), _) => {}
        }
    }

    fn tell_shard(&self, shard: ShardId, what: ToShard, told: &mut Told) {
        self.shards[shard.0].send(what);
        told.shards[shard.0] = true;
    }

    /// Each loop is woken once a batch.
    fn wake(&self, told: &Told) {
        for (shard, _) in self.shards.iter().zip(&told.shards).filter(|(_, told)| **told) {
            shard.wake();
        }
        if told.api {
            self.api.wake();
        }
    }
}

/// Which loops have something in their inbox.
struct Told {
    shards: Vec<bool>,
    api: bool,
}

fn fill_with_randomness(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system has random numbers");
}
