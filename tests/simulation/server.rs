//! The simulated server: shards and the storage thread as the reactor joins them, over a disk that takes
//! its time. It knows connections by number, and no device.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lomiri_push::base::{Monotonic, Now, SessionId, ShardId, Wall};
use lomiri_push::broker::{Action, Broker, Options, SessionKey};
use lomiri_push::queue::{Answer, Command, Counts, Event, Limits};
use lomiri_push::session::{EndReason, server};
use lomiri_push::store::{self, DurableQueue, Outcomes};

use super::bug::{self, Bug};
use super::dice::Dice;
use super::server_disk::ServerDisk;

const SHARDS: usize = 3;
/// 2026-01-01.
const START: Wall = Wall(1_767_225_600_000);
/// How far a server with [`Bug::ExpiredDelivered`] is behind.
const BEHIND: Duration = Duration::from_secs(600);

pub struct Server {
    pub options: ServerOptions,
    /// None while it is down.
    running: Option<Running>,
    disk: ServerDisk,
    dice: Dice,
    /// How far its clock is ahead of the right one.
    pub clock_ahead: Duration,
    bug: Option<Bug>,
    effects: VecDeque<Effect>,
}

#[derive(Clone, Copy)]
pub struct ServerOptions {
    pub limits: Limits,
    pub is_auth_required: bool,
}

struct Running {
    shards: Vec<Broker>,
    queue: DurableQueue<ServerDisk>,
    /// Commands that wait for the storage thread.
    waiting: VecDeque<(Asker, Command)>,
    syncing: Option<Syncing>,
    keys: u32,
    by_number: BTreeMap<u64, (usize, SessionKey)>,
    by_key: BTreeMap<(usize, SessionKey), u64>,
}

/// A batch on its way to the disk, and what is to be told once it is there.
struct Syncing {
    until: Monotonic,
    askers: Vec<Asker>,
    outcomes: Outcomes,
}

enum Asker {
    Shard(usize),
    /// A request by number.
    App(u64),
}

/// What the world sees of the server.
pub enum Effect {
    Sent(u64, Bytes),
    Closed(u64),
    /// A request is answered; of what was decided in a batch, in order.
    Answered(u64, Answer),
    /// A turn of the queue began, for the requests in it.
    Decided(Vec<u64>),
    /// The store has failed: the server stops.
    Stopped,
}

impl Server {
    pub fn new(options: ServerOptions, bug: Option<Bug>, dice: Dice) -> Server {
        let disk = ServerDisk::default();
        let effects = VecDeque::new();
        let mut server =
            Server { options, running: None, disk, dice, clock_ahead: Duration::ZERO, bug, effects };
        server.start(Monotonic::default());
        server
    }

    /// What its clocks show.
    pub fn clock(&self, now: Monotonic) -> Now {
        Now { monotonic: now, wall: START + now.0 + self.clock_ahead }
    }

    /// What it believes they show.
    fn now(&self, now: Monotonic) -> Now {
        let mut clock = self.clock(now);
        if self.bug == Some(Bug::ExpiredDelivered) {
            clock.wall = Wall(clock.wall.0 - BEHIND.as_millis() as u64);
        }
        clock
    }

    pub fn is_up(&self) -> bool {
        self.running.is_some()
    }

    pub fn start(&mut self, now: Monotonic) {
        assert!(self.running.is_none(), "it is down");
        let disk = mem::take(&mut self.disk);
        let queue = DurableQueue::open(disk, self.options.limits, self.now(now)).expect("an intact database");
        let session = Arc::new(server::Options {
            ping_interval: Duration::from_secs(120),
            exchange_timeout: Duration::from_secs(30),
            keepalive_max: Duration::from_secs(7_200),
        });
        let shard = |shard| {
            let options = Options {
                shard: ShardId(shard),
                shards: SHARDS,
                is_auth_required: self.options.is_auth_required,
                api_url: "".into(),
                session: session.clone(),
            };
            Broker::new(options, queue.channel())
        };
        let shards = (0..SHARDS).map(shard).collect();
        self.running = Some(Running {
            shards,
            queue,
            waiting: VecDeque::new(),
            syncing: None,
            keys: 0,
            by_number: BTreeMap::new(),
            by_key: BTreeMap::new(),
        });
    }

    /// The machine loses power: of what was not synced, nobody knows how much is there.
    pub fn crash(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        let mut disk = mem::take(running.queue.store_mut());
        let kept = self.dice.below(disk.unsynced() + 1);
        disk.lose_power(kept);
        self.disk = disk;
        self.effects.clear();
    }

    /// It is stopped in good order: sessions end, and what the storage thread has is done.
    pub fn stop(&mut self, now: Monotonic) {
        let clock = self.now(now);
        let Some(running) = &mut self.running else { return };
        running.shards.iter_mut().for_each(|shard| shard.shutdown(server::Stop::Restart, clock));
        self.drain_shards(now);
        while self.finish_batch(now) | self.begin_batch(now) {}
        let Some(running) = self.running.take() else { return };
        self.disk = running.queue.close().expect("the store has not failed");
        self.disk.sync();
    }

    pub fn disk_mut(&mut self) -> &mut ServerDisk {
        match &mut self.running {
            Some(running) => running.queue.store_mut(),
            None => &mut self.disk,
        }
    }

    pub fn accept(&mut self, number: u64, now: Monotonic) {
        let clock = self.now(now);
        let Some(running) = &mut self.running else { return };
        let (shard, key) = (number as usize % SHARDS, running.next_key());
        running.name(number, shard, key);
        running.shards[shard].handle_accepted(key, SessionId(number), clock);
        self.drain_shards(now);
    }

    /// What a connection brings: bytes, or its end.
    pub fn hear(&mut self, number: u64, bytes: Option<&Bytes>, now: Monotonic) {
        let clock = self.now(now);
        let Some(running) = &mut self.running else { return };
        let Some(&(shard, key)) = running.by_number.get(&number) else { return };
        match bytes {
            Some(bytes) => running.shards[shard].handle_bytes(key, bytes, clock),
            None => running.shards[shard].handle_end(key, EndReason::Eof, clock),
        }
        self.drain_shards(now);
    }

    /// A request of an app server, a device or the operator.
    pub fn ask(&mut self, request: u64, mut command: Command) {
        if self.bug == Some(Bug::ReplaceKeepsBoth) {
            bug::forget_tags(&mut command);
        }
        if let Some(running) = &mut self.running {
            running.waiting.push_back((Asker::App(request), command));
        }
    }

    pub fn next_deadline(&self, now: Monotonic) -> Option<Monotonic> {
        let running = self.running.as_ref()?;
        let shards = running.shards.iter().filter_map(Broker::next_deadline);
        let storage = match &running.syncing {
            Some(syncing) => Some(syncing.until),
            None if !running.waiting.is_empty() => Some(now),
            None => running.queue.due_in(self.now(now)).map(|time| now + time),
        };
        shards.chain(storage).min()
    }

    /// Does what is due.
    pub fn work(&mut self, now: Monotonic) {
        let clock = self.now(now);
        if let Some(running) = &mut self.running {
            running.shards.iter_mut().for_each(|shard| shard.handle_timeout(clock));
        }
        self.drain_shards(now);
        let is_synced = self.running.as_ref().and_then(|running| running.syncing.as_ref());
        if is_synced.is_some_and(|syncing| syncing.until <= now) {
            self.finish_batch(now);
        }
        self.begin_batch(now);
    }

    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// How much there is; none while it is down.
    pub fn counts(&self) -> Option<Counts> {
        self.running.as_ref().map(|running| running.queue.counts())
    }

    /// Begins a batch if one may and there is something to do. Says whether it did.
    fn begin_batch(&mut self, now: Monotonic) -> bool {
        let clock = self.now(now);
        let until = now + self.draw_sync_time();
        let Some(running) = &mut self.running else { return false };
        let is_due = running.queue.due_in(clock).is_some_and(|time| time.is_zero());
        if running.syncing.is_some() || (running.waiting.is_empty() && !is_due) {
            return false;
        }
        let waiting = &mut running.waiting;
        let (askers, commands) = store::gather(std::iter::from_fn(|| waiting.pop_front()));
        let dice = &mut self.dice;
        let outcomes = running.queue.handle(commands, clock, &mut |bytes| dice.fill(bytes));
        if running.queue.failure().is_some() {
            self.effects.push_back(Effect::Stopped);
            return false;
        }
        self.effects.push_back(Effect::Decided(requests(&askers)));
        running.syncing = Some(Syncing { until, askers, outcomes });
        if self.bug == Some(Bug::AckBeforeCommit) {
            self.tell_early();
        }
        true
    }

    /// Milliseconds as a rule, and now and then what a busy disk takes.
    fn draw_sync_time(&mut self) -> Duration {
        let at_most = if self.dice.one_in(40) { 900 } else { 8 };
        self.dice.millis(at_most)
    }

    /// [`Bug::AckBeforeCommit`]: requests are answered now.
    fn tell_early(&mut self) {
        let syncing = self.running.as_mut().and_then(|running| running.syncing.as_mut()).expect("just begun");
        let (askers, answers) = (mem::take(&mut syncing.askers), mem::take(&mut syncing.outcomes.answers));
        for (asker, answer) in askers.into_iter().zip(answers) {
            match asker {
                Asker::App(request) => self.effects.push_back(Effect::Answered(request, answer)),
                asker => {
                    syncing.askers.push(asker);
                    syncing.outcomes.answers.push(answer);
                }
            }
        }
    }

    /// The batch is durable: all who asked are told. Says whether there was one.
    fn finish_batch(&mut self, now: Monotonic) -> bool {
        let clock = self.now(now);
        let Some(running) = &mut self.running else { return false };
        let Some(Syncing { askers, outcomes, .. }) = running.syncing.take() else { return false };
        running.queue.store_mut().sync();
        for event in outcomes.events {
            running.tell(event, clock);
        }
        for (asker, answer) in askers.into_iter().zip(outcomes.answers) {
            match (asker, answer) {
                (Asker::App(request), answer) => self.effects.push_back(Effect::Answered(request, answer)),
                (Asker::Shard(shard), answer) => running.answer(shard, answer, clock),
            }
        }
        self.drain_shards(now);
        true
    }

    fn drain_shards(&mut self, now: Monotonic) {
        let clock = self.now(now);
        let Some(running) = &mut self.running else { return };
        loop {
            let mut moved = false;
            for shard in 0..SHARDS {
                if running.shards[shard].has_work() {
                    running.shards[shard].work(clock);
                }
                while let Some(action) = running.shards[shard].poll_action() {
                    moved = true;
                    self.effects.extend(running.act(shard, action, clock));
                }
            }
            if !moved {
                return;
            }
        }
    }
}

impl Running {
    fn next_key(&mut self) -> SessionKey {
        self.keys += 1;
        SessionKey(self.keys)
    }

    fn name(&mut self, number: u64, shard: usize, key: SessionKey) {
        self.by_number.insert(number, (shard, key));
        self.by_key.insert((shard, key), number);
    }

    fn act(&mut self, shard: usize, action: Action, clock: Now) -> Option<Effect> {
        match action {
            Action::Send(key, bytes) => Some(Effect::Sent(self.by_key[&(shard, key)], bytes)),
            Action::Close(key, ..) => {
                let number = self.by_key.remove(&(shard, key)).expect("it was open");
                self.by_number.remove(&number);
                Some(Effect::Closed(number))
            }
            Action::Move(key, ShardId(home), traveller) => {
                let number = self.by_key.remove(&(shard, key)).expect("it was open");
                let key = self.next_key();
                self.name(number, home, key);
                self.shards[home].handle_arrival(key, traveller, clock);
                None
            }
            Action::Command(command) => {
                self.waiting.push_back((Asker::Shard(shard), command));
                None
            }
        }
    }

    fn tell(&mut self, event: Event, clock: Now) {
        match &event {
            Event::Queued { device, .. } | Event::Revoked { device } => {
                let ShardId(home) = device.home(SHARDS);
                self.shards[home].handle_event(event, clock);
            }
            Event::Channel(_) => {
                self.shards.iter_mut().for_each(|shard| shard.handle_event(event.clone(), clock));
            }
        }
    }

    fn answer(&mut self, shard: usize, answer: Answer, clock: Now) {
        let shard = &mut self.shards[shard];
        match answer {
            Answer::Page(page) => shard.handle_page(&page, clock),
            Answer::Admission(admission) => shard.handle_admission(&admission, clock),
            Answer::Enrolment(enrolment) => shard.handle_enrolment(enrolment, clock),
            _ => {}
        }
    }
}

fn requests(askers: &[Asker]) -> Vec<u64> {
    let number = |asker: &Asker| match asker {
        Asker::App(request) => Some(*request),
        Asker::Shard(_) => None,
    };
    askers.iter().filter_map(number).collect()
}
