//! The queue over a store: every answer given is on disk. It decides nothing about messages and
//! knows no engine.

use std::sync::Arc;
use std::time::Duration;

use crate::base::{DeviceId, MessageId, Now, Random, Seq, SessionId, format_duration};
use crate::queue::{
    Admission, Answer, Channel, Command, Counts, Decision, Event, Key, Limits, Page, PendingMessage, Place,
    Queue, Refusal, Restore, Wanted, read_message,
};

use super::journal::Journal;
use super::replay::Replay;
use super::{Store, StoreError};

/// A queue whose answers are promises. One thread owns it and feeds it with what has gathered: the
/// more commands a call brings, the cheaper each, since a call costs one write to the disk.
///
/// The first failure of the store is final ([`failure`](DurableQueue::failure)): memory is then ahead
/// of the disk, every command is refused, and the owner should stop the process. Opened again, the
/// queue stands where the disk does.
pub struct DurableQueue<S> {
    queue: Queue,
    journal: Journal,
    store: S,
    failure: Option<StoreError>,
    is_clock_behind: bool,
}

/// What a call of [`DurableQueue::handle`] leads to.
#[derive(Debug, Default)]
pub struct Outcomes {
    /// One for each command, in their order. [`Command::Acked`], [`Command::Stored`] and
    /// [`Command::Receipt`] have one too, for which nobody waits.
    pub answers: Vec<Answer>,
    /// What the shards are to be told. A message may be told here and stand in a page among the
    /// answers: pages are read last.
    pub events: Vec<Event>,
}

impl<S: Store> DurableQueue<S> {
    /// Reads the queue from its store, and checks that nothing is missing.
    pub fn open(store: S, limits: Limits, now: Now) -> Result<DurableQueue<S>, StoreError> {
        let (queue, journal) = restore(&store, limits)?;
        DurableQueue::start(queue, journal, store, now)
    }

    /// The same, for an operator who says that the clock is right: if the queue has stored a later
    /// time it forgets that, durably.
    pub fn open_trusting_clock(store: S, limits: Limits, now: Now) -> Result<DurableQueue<S>, StoreError> {
        let (mut queue, journal) = restore(&store, limits)?;
        queue.trust_clock(now.wall);
        let mut queue = DurableQueue::start(queue, journal, store, now)?;
        queue.write()?;
        Ok(queue)
    }

    fn start(queue: Queue, journal: Journal, store: S, now: Now) -> Result<DurableQueue<S>, StoreError> {
        let mut queue = DurableQueue { queue, journal, store, failure: None, is_clock_behind: false };
        queue.begin(now)?;
        Ok(queue)
    }

    fn begin(&mut self, now: Now) -> Result<(), StoreError> {
        self.queue.begin(now, self.store.free_disk_bytes()?);
        let lag = self.queue.clock_lag();
        if let Some(lag) = lag.filter(|_| !self.is_clock_behind) {
            let lag = format_duration(Duration::from_secs(lag.as_secs()));
            log::warn!(
                "this machine's clock is {lag} behind the last time stored in {}: messages that expire \
                 before that are refused until the clock is set; if it is right, start once with \
                 `serve --trust-clock`",
                self.store.file().display()
            );
        }
        self.is_clock_behind = lag.is_some();
        Ok(())
    }

    fn write(&mut self) -> Result<(), StoreError> {
        while let Some(batch) = self.queue.take_batch() {
            self.store.apply(&self.journal.pack(batch))?;
        }
        Ok(())
    }

    /// Decides the commands in their order, writes what they change, and answers. Without commands
    /// it does what is due: see [`due_in`](DurableQueue::due_in).
    pub fn handle(&mut self, commands: Vec<Command>, now: Now, random: &mut Random) -> Outcomes {
        let count = commands.len();
        if self.failure.is_none() {
            match self.turn(commands, now, random) {
                Ok(outcomes) => return outcomes,
                Err(error) => self.failure = Some(error),
            }
        }
        let refused = || Answer::Refused(Refusal::Unavailable);
        Outcomes { answers: std::iter::repeat_with(refused).take(count).collect(), events: Vec::new() }
    }

    fn turn(
        &mut self,
        commands: Vec<Command>,
        now: Now,
        random: &mut Random,
    ) -> Result<Outcomes, StoreError> {
        self.begin(now)?;
        self.queue.look_ahead(&commands);
        let mut decisions = Vec::with_capacity(commands.len());
        for command in commands {
            decisions.push(self.decide(command, random)?);
        }
        // Before the disk is waited for, while the processor still has at hand what they are made of.
        let events = self.queue.take_events();
        self.write()?;
        let answers =
            decisions.into_iter().map(|decision| self.answer(decision)).collect::<Result<_, _>>()?;
        Ok(Outcomes { answers, events })
    }

    /// What the queue cannot tell without its rows is read at once, for a later command of this turn
    /// may drop it.
    fn decide(&mut self, command: Command, random: &mut Random) -> Result<Decision, StoreError> {
        match self.queue.decide(command, random) {
            Decision::TooManyPending(newest) => {
                let payload = self.pending(newest)?.payload.clone();
                Ok(Decision::Answer(Answer::Refused(Refusal::TooManyPending(Some(payload)))))
            }
            Decision::Stored { device, ids } => {
                let seqs = self.pending_under(&device, &ids)?;
                Ok(self.queue.decide(Command::Acked { device, seqs }, random))
            }
            decision => Ok(decision),
        }
    }

    /// Which of these are pending for the device. A number alone proves nothing: the device may have
    /// it from a server whose data is lost.
    fn pending_under(&self, device: &DeviceId, ids: &[MessageId]) -> Result<Vec<Seq>, StoreError> {
        let mut seqs = Vec::new();
        for id in ids {
            if let Some(place) = self.queue.place(device, id.seq())
                && self.pending(place)?.id == *id
            {
                seqs.push(id.seq());
            }
        }
        Ok(seqs)
    }

    /// A pending message, of this turn or from the store.
    fn pending(&self, place: Place) -> Result<Arc<PendingMessage>, StoreError> {
        match self.queue.queued(place) {
            Some(message) => Ok(message.clone()),
            None => self.read(place).map(Arc::new),
        }
    }

    fn answer(&self, decision: Decision) -> Result<Answer, StoreError> {
        match decision {
            Decision::Answer(answer) => Ok(answer),
            Decision::Admit { device, session, credential } => {
                let is_admitted = self.queue.admits(&device, &credential);
                Ok(Answer::Admission(Admission { device, session, is_admitted }))
            }
            Decision::Fetch { device, session, wanted } => {
                self.page(device, session, wanted).map(Answer::Page)
            }
            Decision::TooManyPending(_) | Decision::Stored { .. } => {
                unreachable!("resolved when it was decided")
            }
        }
    }

    fn page(&self, device: DeviceId, session: SessionId, wanted: Wanted) -> Result<Page, StoreError> {
        let listing = self.queue.list(&device, wanted);
        let read = |&place: &Place| self.read(place).map(Arc::new);
        let messages = listing.places.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Page { device, session, messages, more: listing.more, newest: listing.newest })
    }

    /// A message that the index holds and no batch to come deletes.
    fn read(&self, place: Place) -> Result<PendingMessage, StoreError> {
        let Place { seq, copy } = place;
        let missing = || self.store.damaged(format!("message {}, copy {copy}, is missing", seq.0));
        let damaged = |error| self.store.damaged(format!("message {}, copy {copy}: {error}", seq.0));
        let message = match self.journal.read(place) {
            Some(value) => read_message(place, value),
            None => read_message(place, &self.store.read(Key::Message(place))?.ok_or_else(missing)?),
        }
        .map_err(damaged)?;
        Ok(PendingMessage { app: self.queue.shared_app(message.app), ..message })
    }

    /// How long after `now` to call [`handle`](DurableQueue::handle) even without commands: something expires,
    /// or acks have waited long enough to be written.
    pub fn due_in(&self, now: Now) -> Option<Duration> {
        if self.failure.is_some() { None } else { self.queue.due_in(now) }
    }

    /// The system channel as it stands; later changes come as [`Event::Channel`].
    pub fn channel(&self) -> Arc<Channel> {
        self.queue.channel()
    }

    /// How much there is. After a failure, how much memory believes in.
    pub fn counts(&self) -> Counts {
        self.queue.counts()
    }

    /// Why every command is refused, once it is so.
    pub fn failure(&self) -> Option<&StoreError> {
        self.failure.as_ref()
    }

    /// The store beneath.
    pub fn store_mut(&mut self) -> &mut S {
        &mut self.store
    }

    /// Writes the acks that still wait, and gives the store back. A queue that is just dropped
    /// delivers them again.
    pub fn close(mut self) -> Result<S, StoreError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        while let Some(batch) = self.queue.take_any() {
            self.store.apply(&self.journal.pack(batch))?;
        }
        Ok(self.store)
    }
}

fn restore(store: &impl Store, limits: Limits) -> Result<(Queue, Journal), StoreError> {
    let (mut restore, mut replay) = (Restore::new(limits), Replay::new());
    store.scan(&mut |key, value| replay.add(key, value, &mut |key, value| restore.add(key, value)))?;
    let journal = replay.finish(&mut |key, value| restore.add(key, value));
    let damaged = |error| store.damaged(error);
    let (journal, queue) = (journal.map_err(damaged)?, restore.finish().map_err(damaged)?);
    if queue.batches() < store.batches_written() {
        return Err(store.damaged(format!(
            "it ends at batch {}, though batch {} had been written",
            queue.batches(),
            store.batches_written()
        )));
    }
    Ok((queue, journal))
}
