//! Joins shards, queue and devices as the reactor's threads do, one step at a time and without any.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use lomiri_push::base::{DeviceId, MessageId, Monotonic, Now, Seq, SessionId, ShardId, Wall};
use lomiri_push::broker::{Action, Broker, Options, SessionKey};
use lomiri_push::queue::{Answer, Command, Counts, Event, JournalRow, Key, Limits, Place};
use lomiri_push::session::{EndReason, server};
use lomiri_push::store::{DurableQueue, Fault, Memory};

use crate::device::{Connection, Device};
use crate::tap::{Passed, Tap};

pub const PING_INTERVAL: Duration = Duration::from_secs(300);
pub const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(30);
const SHARDS: usize = 3;
/// 2026-01-01, so that no expiry is near the beginning of time.
const START: Wall = Wall(1_767_225_600_000);

pub struct World {
    pub now: Now,
    pub devices: BTreeMap<String, Device>,
    shards: Vec<Broker>,
    queue: DurableQueue<Memory>,
    limits: Limits,
    commands: VecDeque<(Option<usize>, Command)>,
    /// How many commands shards have had for the queue.
    pub shard_commands: usize,
    /// All connections that the server knows of.
    taps: BTreeMap<(usize, SessionKey), Tap>,
    log: Vec<Entry>,
    /// All messages that devices ever acked.
    acked: BTreeSet<Seq>,
    /// How many receipts the server has heard since it started.
    pub receipts_heard: u64,
    keys: u32,
    sessions: u64,
    randomness: u64,
}

/// What passed over a connection.
pub struct Entry {
    pub connection: u64,
    pub device: String,
    pub at: Wall,
    pub passed: Passed,
}

impl World {
    pub fn new() -> World {
        World::with_limits(Limits::default())
    }

    pub fn with_limits(limits: Limits) -> World {
        let now = Now { wall: START, monotonic: Monotonic::default() };
        let queue = DurableQueue::open(Memory::new(), limits, now).expect("an empty store");
        let mut world = World {
            now,
            devices: BTreeMap::new(),
            shards: Vec::new(),
            queue,
            limits,
            commands: VecDeque::new(),
            shard_commands: 0,
            taps: BTreeMap::new(),
            log: Vec::new(),
            acked: BTreeSet::new(),
            receipts_heard: 0,
            keys: 0,
            sessions: 0,
            randomness: 0,
        };
        world.start_shards();
        world
    }

    pub fn device(&mut self, name: &str) -> &mut Device {
        self.devices.entry(name.into()).or_insert_with(|| Device::new(name))
    }

    /// The device opens a connection, which some shard accepts. One it had is forgotten: the server
    /// does not hear of its end.
    pub fn connect(&mut self, name: &str) {
        let shard = self.sessions as usize % SHARDS;
        let key = self.next_key();
        self.sessions += 1;
        let (number, now) = (self.sessions, self.now);
        self.taps.insert((shard, key), Tap::new(number, name));
        self.device(name).connect(number, shard, key, now.monotonic);
        self.shards[shard].handle_accepted(key, SessionId(number), now);
        self.run();
    }

    /// The device's connection ends, and the server hears of it.
    pub fn disconnect(&mut self, name: &str) {
        self.hang_up(name);
        self.run();
    }

    fn hang_up(&mut self, name: &str) {
        if let Some((shard, key)) = self.address(name) {
            self.device(name).forget_connection();
            self.shards[shard].handle_end(key, EndReason::Eof, self.now);
        }
    }

    /// The device's connection as the server names it.
    fn address(&mut self, name: &str) -> Option<(usize, SessionKey)> {
        self.device(name).connection.as_ref().map(|connection| (connection.shard, connection.key))
    }

    /// So many bytes move on the device's line, stalled or not.
    pub fn trickle(&mut self, name: &str, up_bytes: usize, down_bytes: usize) {
        if let Some(connection) = &mut self.device(name).connection {
            let (up, down) = (connection.take_up(up_bytes), connection.take_down(down_bytes));
            self.hear(name, &up);
            let now = self.now.monotonic;
            self.device(name).handle_bytes(&down, now);
        }
        self.run();
    }

    /// Bytes that the device's software would not send.
    pub fn inject(&mut self, name: &str, bytes: &[u8]) {
        let (shard, key) = self.address(name).expect("connected");
        self.shards[shard].handle_bytes(key, bytes, self.now);
        self.run();
    }

    /// An app server's command, answered when it is durable.
    pub fn ask(&mut self, command: Command) -> Answer {
        self.ask_all(vec![command]).pop().expect("one answer")
    }

    /// Commands that came together, and share a batch.
    pub fn ask_all(&mut self, commands: Vec<Command>) -> Vec<Answer> {
        self.run();
        let commands: Vec<_> = commands.into_iter().map(|command| (None, command)).collect();
        let answers = self.commit(commands);
        self.run();
        answers
    }

    /// Lets time pass, from deadline to deadline.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.next_deadline().filter(|next| *next <= end.monotonic) {
            self.now = self.now + next.since(self.now.monotonic);
            self.serve_deadlines();
        }
        self.now = end;
        self.serve_deadlines();
    }

    /// The server's machine goes down and comes up again, with what was durable.
    pub fn crash(&mut self) {
        let mut store = self.queue.store_mut().clone();
        store.restart();
        self.start(store);
        self.devices.values_mut().for_each(Device::handle_crash);
    }

    /// The server is stopped and started again.
    pub fn restart(&mut self) {
        let now = self.now;
        self.shards.iter_mut().for_each(|shard| shard.shutdown(server::Stop::Restart, now));
        self.run();
        let none = DurableQueue::open(Memory::new(), self.limits, now).expect("an empty store");
        let store = mem::replace(&mut self.queue, none).close().expect("the store has not failed");
        self.start(store);
    }

    fn start(&mut self, store: Memory) {
        self.queue = DurableQueue::open(store, self.limits, self.now).expect("an intact store");
        self.commands.clear();
        self.taps.clear();
        self.receipts_heard = 0;
        self.start_shards();
    }

    /// The next batch meets a fault. The server that hears of it should be [crashed](World::crash).
    pub fn fail_next(&mut self, fault: Fault) {
        self.queue.store_mut().fail_next(fault);
    }

    pub fn has_failed(&self) -> bool {
        self.queue.failure().is_some()
    }

    /// What is pending and registered, all acks written.
    pub fn counts(&mut self) -> Counts {
        self.pass(Duration::from_secs(60));
        self.queue.counts()
    }

    pub fn registered(&self) -> u64 {
        self.shards.iter().map(|shard| shard.counts().registered).sum()
    }

    pub fn sessions(&self) -> u64 {
        self.shards.iter().map(|shard| shard.counts().sessions).sum()
    }

    /// How many receipts the server has counted since it started.
    pub fn receipts_counted(&self) -> u64 {
        self.shards.iter().flat_map(|shard| shard.counts().receipts).sum()
    }

    /// What has passed over all connections since this was last asked.
    pub fn take_log(&mut self) -> Vec<Entry> {
        mem::take(&mut self.log)
    }

    fn start_shards(&mut self) {
        let session = server::Options {
            ping_interval: PING_INTERVAL,
            exchange_timeout: EXCHANGE_TIMEOUT,
            keepalive_max: Duration::from_secs(7_200),
        };
        let session = Arc::new(session);
        let start = |shard| {
            let options = Options {
                shard: ShardId(shard),
                shards: SHARDS,
                is_auth_required: false,
                api_url: "".into(),
                session: session.clone(),
            };
            Broker::new(options, self.queue.channel())
        };
        self.shards = (0..SHARDS).map(start).collect();
    }

    fn next_key(&mut self) -> SessionKey {
        self.keys += 1;
        SessionKey(self.keys)
    }

    /// Moves bytes, actions and commands until nobody has anything to do.
    pub fn run(&mut self) {
        loop {
            let moved = self.move_from_devices() | self.move_from_shards();
            let commands: Vec<_> = self.commands.drain(..).collect();
            if commands.is_empty() && !moved {
                return;
            }
            if !commands.is_empty() {
                self.commit(commands);
            }
        }
    }

    fn move_from_devices(&mut self) -> bool {
        let names: Vec<String> = self.devices.keys().cloned().collect();
        names.iter().fold(false, |moved, name| self.move_from_device(name) | moved)
    }

    /// Moves what is on a device's line, both ways, and its end.
    fn move_from_device(&mut self, name: &str) -> bool {
        let now = self.now.monotonic;
        let device = self.device(name);
        device.send(now);
        let (is_over, is_stalled) = (device.is_over(), device.is_stalled);
        let Some(connection) = &mut device.connection else { return false };
        if is_stalled {
            if is_over {
                device.forget_connection();
            }
            return false;
        }
        let (up, down) = (connection.take_up(usize::MAX), connection.take_down(usize::MAX));
        let is_closing = connection.is_closing;
        self.hear(name, &up);
        let device = self.device(name);
        device.handle_bytes(&down, now);
        if is_closing {
            device.handle_close();
        } else if is_over {
            self.hang_up(name);
        }
        is_over || is_closing || !up.is_empty() || !down.is_empty()
    }

    fn move_from_shards(&mut self) -> bool {
        let mut moved = false;
        for shard in 0..SHARDS {
            if self.shards[shard].has_work() {
                self.shards[shard].work(self.now);
                moved = true;
            }
            while let Some(action) = self.shards[shard].poll_action() {
                self.act(shard, action);
                moved = true;
            }
        }
        moved
    }

    fn act(&mut self, shard: usize, action: Action) {
        let now = self.now;
        match action {
            Action::Send(key, bytes) => {
                self.tapped(shard, key, |tap| tap.told(&bytes));
                if let Some(connection) = self.other_end(shard, key) {
                    connection.down.extend_from_slice(&bytes);
                }
            }
            Action::Close(key, _, reason) => {
                self.tapped(shard, key, |tap| vec![tap.closed(reason)]);
                if let Some(connection) = self.other_end(shard, key) {
                    connection.is_closing = true;
                }
                self.taps.remove(&(shard, key));
            }
            Action::Move(key, ShardId(home), traveller) => {
                let new_key = self.next_key();
                if let Some(connection) = self.other_end(shard, key) {
                    (connection.shard, connection.key) = (home, new_key);
                }
                let tap = self.taps.remove(&(shard, key)).expect("the server knows it");
                self.taps.insert((home, new_key), tap);
                self.shards[home].handle_arrival(new_key, traveller, now);
            }
            Action::Command(command) => {
                if let Command::Acked { device, seqs } = &command {
                    let is_acked = seqs.iter().all(|seq| self.acked.contains(seq));
                    assert!(is_acked, "{device} has not acked all of {seqs:?}");
                }
                self.shard_commands += 1;
                self.commands.push_back((Some(shard), command));
            }
        }
    }

    /// The device's end of a connection that the server has, unless it has given it up.
    fn other_end(&mut self, shard: usize, key: SessionKey) -> Option<&mut Connection> {
        let tap = self.taps.get(&(shard, key))?;
        let connection = self.devices.get_mut(&tap.device)?.connection.as_mut()?;
        (connection.number == tap.connection).then_some(connection)
    }

    /// Bytes of the device reach the server.
    fn hear(&mut self, name: &str, bytes: &[u8]) {
        let Some((shard, key)) = self.address(name) else { return };
        if !bytes.is_empty() {
            self.tapped(shard, key, |tap| tap.heard(bytes));
            self.shards[shard].handle_bytes(key, bytes, self.now);
        }
    }

    /// Notes what the tap of a connection makes of what passes.
    fn tapped(&mut self, shard: usize, key: SessionKey, read: impl FnOnce(&mut Tap) -> Vec<Passed>) {
        let Some(tap) = self.taps.get_mut(&(shard, key)) else { return };
        for passed in read(tap) {
            match &passed {
                Passed::Message { id, .. } => {
                    let is_stored = is_stored(self.queue.store_mut(), Place::single(id.seq()));
                    assert!(is_stored, "{id} was sent, and is not on disk");
                }
                Passed::Acked(ids) => self.acked.extend(ids.iter().map(MessageId::seq)),
                Passed::Receipt(_) => self.receipts_heard += 1,
                _ => {}
            }
            let (connection, device) = (tap.connection, tap.device.clone());
            self.log.push(Entry { connection, device, at: self.now.wall, passed });
        }
    }

    /// One turn of the storage thread: answers pages to their shards, and returns the others.
    fn commit(&mut self, commands: Vec<(Option<usize>, Command)>) -> Vec<Answer> {
        let (origins, commands): (Vec<_>, Vec<_>) = commands.into_iter().unzip();
        let randomness = &mut self.randomness;
        let outcomes = self.queue.handle(commands, self.now, &mut |bytes| {
            *randomness += 1;
            bytes.fill(0);
            bytes[..8].copy_from_slice(&randomness.to_be_bytes());
        });
        let mut answers = Vec::new();
        for (origin, answer) in origins.into_iter().zip(outcomes.answers) {
            match (origin, answer) {
                (Some(shard), Answer::Page(page)) => self.shards[shard].handle_page(&page, self.now),
                (Some(_), _) => {}
                (None, answer) => answers.push(answer),
            }
        }
        outcomes.events.into_iter().for_each(|event| self.tell(event));
        answers
    }

    fn tell(&mut self, event: Event) {
        match &event {
            Event::Queued { device, .. } | Event::Revoked { device } => {
                let ShardId(home) = home(device);
                self.shards[home].handle_event(event, self.now);
            }
            Event::Channel(_) => {
                for shard in &mut self.shards {
                    shard.handle_event(event.clone(), self.now);
                }
            }
        }
    }

    fn next_deadline(&self) -> Option<Monotonic> {
        let of_shards = self.shards.iter().filter_map(Broker::next_deadline);
        let of_devices = self.devices.values().filter_map(Device::next_deadline);
        let of_queue = self.queue.due_in(self.now).map(|time| self.now.monotonic + time);
        of_shards.chain(of_devices).chain(of_queue).min().map(|next| next.max(self.now.monotonic))
    }

    fn serve_deadlines(&mut self) {
        let now = self.now;
        self.shards.iter_mut().for_each(|shard| shard.handle_timeout(now));
        self.devices.values_mut().for_each(|device| device.handle_timeout(now.monotonic));
        if self.queue.due_in(now).is_some_and(|time| time.is_zero()) {
            self.commit(Vec::new());
        }
        self.run();
    }
}

/// Whether a message lies in the store: in a row of its own, or in one of the journal.
fn is_stored(store: &mut Memory, place: Place) -> bool {
    let is_in = |(key, value): (&Vec<u8>, &Vec<u8>)| match Key::decode(key) {
        Ok(key @ Key::Journal(_)) => {
            let row = JournalRow::decode(key, value).expect("a row of ours");
            row.entries.iter().any(|&(entry, value)| entry == place && value.is_some())
        }
        key => key == Ok(Key::Message(place)),
    };
    store.rows_mut().iter().any(is_in)
}

fn home(device: &DeviceId) -> ShardId {
    device.home(SHARDS)
}
