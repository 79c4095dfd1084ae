//! What the queue holds, and how its changes become batches. What it makes of each command stands in
//! `decide`; how it comes back from its rows, in `restore`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::base::{AppId, ChannelId, DeviceId, Digest, Monotonic, Now, Seq, Token, UserId, Wall};

use super::answer::{Broadcast, Channel, Event, PendingMessage, Status};
use super::enrolments::{Codes, Enrolments};
use super::fates::{Change, Fates};
use super::leaving::Leaving;
use super::limits::Limits;
use super::names::{AppKey, DeviceKey, Names, UserKey};
use super::pending::PendingIndex;
use super::rates::Buckets;
use super::registrations::Registrations;
use super::rows::{Batch, Head, Key, Place};

/// Messages that one turn lets expire: when very many expire at once, commands are still served in
/// between.
pub(super) const EXPIRED_PER_TURN_MAX: usize = 1_000;
/// How long acks and expiry wait for a batch to ride along with, at most. What a crash takes of them
/// is delivered again, and dropped by the device.
const RIDE_MAX: Duration = Duration::from_secs(1);
/// How many of them wait, and how many rows one batch deletes, at most, so that it stays quick.
const RIDERS_MAX: usize = 4_096;
/// Bytes of rows that one batch deletes, at most. A store writes anew what lies around a deleted row
/// before it gives any room back, so without this bound acks alone could fill a disk at its floor.
/// Devices that drained a queue of 93 MB, its messages of 6 KB, took 52 MB in batches of
/// [`RIDERS_MAX`], and take 3 MB with this.
const DELETED_BYTES_MAX: usize = 1 << 20;
/// About what the row of a code takes, in bytes.
const CODE_ROW_BYTES: usize = 100;

/// How far the system's clock may stand behind the last time stored before one of the two must be
/// wrong: ordinary corrections of a clock are smaller.
const CLOCK_LAG_MAX: Duration = Duration::from_secs(5 * 60);

/// All that is pending, registered and broadcast. Pure: it is told the time, the free space and the
/// random bytes, and says which rows to write.
///
/// It runs in turns. In each, call in this order:
/// 1. [`begin`](Queue::begin) with the time;
/// 2. [`decide`](Queue::decide) for each command: later ones see what earlier ones changed;
/// 3. [`take_batch`](Queue::take_batch), until it returns none: write each, durably;
/// 4. only then answer what was decided, and tell [`take_events`](Queue::take_events).
///
/// If the batch cannot be written the queue is ahead of its rows: use it no more, and restore
/// another one from the rows.
pub struct Queue {
    pub(super) limits: Limits,
    pub(super) devices: Names<DeviceId, DeviceKey>,
    pub(super) apps: Names<AppId, AppKey>,
    pub(super) users: Names<UserId, UserKey>,
    pub(super) pending: PendingIndex,
    pub(super) registrations: Registrations,
    pub(super) enrolments: Enrolments,
    pub(super) leaving: Leaving,
    pub(super) codes: Codes,
    /// Apps for which only who has their key may post, and its digest.
    pub(super) bound_apps: BTreeMap<AppId, Digest>,
    pub(super) fates: Fates,
    pub(super) by_token: Buckets<Token>,
    pub(super) by_app: Buckets<AppId>,
    pub(super) by_user: Buckets<UserId>,
    pub(super) channel: Channel,
    pub(super) head: Head,
    /// The time that counts: the system's, or the last one stored if that is later.
    pub(super) now: Wall,
    /// The system's time.
    pub(super) clock: Wall,
    /// What rates are counted by: it goes on while the wall clock stands still because it was set back.
    pub(super) monotonic: Monotonic,
    pub(super) free_disk_bytes: u64,
    gathered: Gathered,
}

/// What has changed since the last batch was taken.
#[derive(Default)]
struct Gathered {
    puts: Vec<(Key, Vec<u8>)>,
    /// Tracked messages whose rows are to be written as they then stand, each once. Many changes come to one
    /// message together: the acks of a user's devices.
    tracked: BTreeSet<Seq>,
    /// Rows that go with the next batch, however many they are.
    deletes_at_once: Vec<Key>,
    /// Rows that go with the next batch that has room for them.
    deletes: VecDeque<Deleted>,
    deleted_bytes: usize,
    /// Whether an answer stands on these changes.
    promised: bool,
    /// Since when changes have waited that no answer stands on.
    riding_since: Option<Wall>,
    queued: Vec<Queued>,
    revoked: Vec<DeviceId>,
    channel_changed: bool,
}

/// A message that no store has yet.
struct Queued {
    device: DeviceKey,
    copy: u16,
    message: Arc<PendingMessage>,
}

/// A row that goes.
struct Deleted {
    key: Key,
    bytes: usize,
}

/// How much there is, for statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pending messages; of revoked devices too, until they are taken away.
    pub messages: usize,
    /// Bytes of their rows.
    pub bytes: u64,
    /// Devices that are enrolled, or for which something is registered, pending or tracked.
    pub devices: usize,
    /// Apps of which something is registered, pending or tracked on any device.
    pub apps: usize,
    /// Registrations: apps on devices.
    pub registrations: usize,
    /// Devices that are enrolled.
    pub enrolled: usize,
    /// Messages whose fate is kept.
    pub tracked: usize,
}

impl Queue {
    /// An empty queue.
    pub fn new(limits: Limits) -> Queue {
        Queue {
            limits,
            devices: Names::new(),
            apps: Names::new(),
            users: Names::new(),
            pending: PendingIndex::default(),
            registrations: Registrations::default(),
            enrolments: Enrolments::default(),
            leaving: Leaving::default(),
            codes: Codes::default(),
            bound_apps: BTreeMap::new(),
            fates: Fates::default(),
            by_token: Buckets::new(),
            by_app: Buckets::new(),
            by_user: Buckets::new(),
            channel: Channel::default(),
            head: Head { next_seq: Seq(1), ..Head::default() },
            now: Wall::default(),
            clock: Wall::default(),
            monotonic: Monotonic::default(),
            free_disk_bytes: u64::MAX,
            gathered: Gathered::default(),
        }
    }

    /// Starts a turn at `now`, with so many bytes free on the store's disk. The wall clock counts as
    /// no earlier than the last one stored: a board that boots in 1970 revives nothing. Some of what
    /// has expired goes now, and of what is stored of those who leave; call again at [`next_deadline`](Queue::next_deadline) for more.
    pub fn begin(&mut self, now: Now, free_disk_bytes: u64) {
        self.clock = now.wall;
        self.now = now.wall.max(self.head.wall);
        self.monotonic = now.monotonic;
        self.free_disk_bytes = free_disk_bytes;
        self.expire_messages();
        self.expire_broadcasts();
        self.expire_codes();
        self.forget_fates();
        self.leaving.rows_left = self.limits.taken_away_per_turn_max.max(1);
        self.take_away();
    }

    /// Before the first turn: takes `now` as right, though a later time was stored. Written with the
    /// next batch.
    pub fn trust_clock(&mut self, now: Wall) {
        if now < self.head.wall {
            self.head.wall = now;
            self.promise();
        }
    }

    /// How far the system's clock is behind the time that counts, if by so much that one of the two
    /// must be wrong. Which one, only a person can tell.
    pub fn clock_lag(&self) -> Option<Duration> {
        let lag = self.now - self.clock;
        (lag > CLOCK_LAG_MAX).then_some(lag)
    }

    fn expire_messages(&mut self) {
        for _ in 0..EXPIRED_PER_TURN_MAX {
            match self.pending.first_to_expire() {
                Some((expires, seq, device)) if expires <= self.now => {
                    self.drop_message(device, seq, Change::Dropped(Status::Expired));
                }
                _ => return,
            }
        }
    }

    /// Devices are told of a broadcast's end by its expiry alone, so this changes nothing for them.
    fn expire_broadcasts(&mut self) {
        let now = self.now;
        for gone in self.channel.live.extract_if(.., |broadcast| broadcast.expires <= now).collect::<Vec<_>>()
        {
            self.erase(Key::Broadcast(ChannelId::SYSTEM, gone.level), gone.payload.len());
        }
    }

    fn expire_codes(&mut self) {
        while let Some((expires, secret)) = self.codes.first_to_expire() {
            if expires > self.now {
                return;
            }
            self.drop_code(&secret);
        }
    }

    /// A code can no longer be used. No answer waits for that.
    pub(super) fn drop_code(&mut self, secret: &Digest) {
        if let Some(row) = self.forget_code(secret) {
            self.erase(row, CODE_ROW_BYTES);
        }
    }

    /// The same, but that its row stays.
    pub(super) fn forget_code(&mut self, secret: &Digest) -> Option<Key> {
        let gone = self.codes.remove(secret)?;
        self.users.release(gone.user);
        Some(Key::Code(*secret))
    }

    /// When to begin a turn even without a command: something expires, or has waited long enough
    /// for a batch to ride along with. In the past if there is work left over from this turn.
    pub fn next_deadline(&self) -> Option<Wall> {
        let message = self.pending.first_to_expire().map(|(expires, _, _)| expires);
        let code = self.codes.first_to_expire().map(|(expires, _)| expires);
        let fate = self.fates.first_to_go().map(|(until, _)| until);
        let ride = self.gathered.riding_since.map(|since| since + RIDE_MAX);
        let leaving = (!self.leaving.is_empty()).then_some(Wall::default());
        [message, code, fate, ride, leaving].into_iter().flatten().min()
    }

    /// The rows to write now, the promised ones first; `None` if no answer of this turn stands on a
    /// change that is still to be written, and the acks and expiries gathered can wait for a batch to
    /// ride along with.
    pub fn take_batch(&mut self) -> Option<Batch> {
        let waited = self.gathered.riding_since.is_some_and(|since| since + RIDE_MAX <= self.now);
        if self.gathered.promised || waited || self.gathered.is_full() { self.take_any() } else { None }
    }

    /// The rows to write at the end, with all that waits; `None` if nothing has changed, or is left.
    pub fn take_any(&mut self) -> Option<Batch> {
        if self.gathered.is_empty() {
            return None;
        }
        let deletes = self.take_deletes();
        let mut puts = std::mem::take(&mut self.gathered.puts);
        puts.extend(self.take_tracked());
        self.head.batch += 1;
        self.head.wall = self.now;
        self.head.top = self.channel.top;
        puts.push((Key::Head, self.head.encode()));
        if self.gathered.deletes.is_empty() {
            self.gathered.promised = false;
            self.gathered.riding_since = None;
        }
        Some(Batch { number: self.head.batch, puts, deletes })
    }

    /// No later than the row of a message goes: a crash must not leave it told as queued.
    fn take_tracked(&mut self) -> Vec<(Key, Vec<u8>)> {
        let changed = std::mem::take(&mut self.gathered.tracked);
        let rows = changed.into_iter().filter_map(|seq| Some((Key::Tracked(seq), self.tracked_row(seq)?)));
        rows.map(|(key, row)| (key, row.encode())).collect()
    }

    /// What goes at once, and as much else as one batch deletes; a row of any size goes. The head counts
    /// rows until they are taken.
    fn take_deletes(&mut self) -> Vec<Key> {
        let mut keys = std::mem::take(&mut self.gathered.deletes_at_once);
        keys.extend(self.take_riders());
        keys.iter().for_each(|&key| self.head.census.remove(key));
        keys
    }

    fn take_riders(&mut self) -> Vec<Key> {
        let mut bytes = 0;
        let fits = |deleted: &&Deleted| {
            let is_first = bytes == 0;
            bytes += deleted.bytes;
            is_first || bytes <= DELETED_BYTES_MAX
        };
        let count = self.gathered.deletes.iter().take(RIDERS_MAX).take_while(fits).count();
        let gone: Vec<Deleted> = self.gathered.deletes.drain(..count).collect();
        self.gathered.deleted_bytes -= gone.iter().map(|deleted| deleted.bytes).sum::<usize>();
        gone.into_iter().map(|deleted| deleted.key).collect()
    }

    /// What the shards are to be told of the batch just written. A message that the same batch
    /// dropped again is not among it.
    pub fn take_events(&mut self) -> Vec<Event> {
        let revoked = std::mem::take(&mut self.gathered.revoked);
        let queued = std::mem::take(&mut self.gathered.queued);
        let mut events = Vec::with_capacity(revoked.len() + queued.len());
        events.extend(revoked.into_iter().map(|device| Event::Revoked { device }));
        let pending = queued
            .into_iter()
            .filter(|queued| self.pending.contains(queued.device, queued.message.id.seq()))
            .map(|Queued { device, message, .. }| (self.devices.name(device), message))
            .filter(|(device, _)| !self.leaving.has_device(device))
            .map(|(device, message)| Event::Queued { device: device.clone(), message });
        events.extend(pending);
        if std::mem::take(&mut self.gathered.channel_changed) {
            events.push(Event::Channel(self.channel()));
        }
        events
    }

    /// The system channel as it stands.
    pub fn channel(&self) -> Arc<Channel> {
        Arc::new(Channel { top: self.channel.top, live: self.channel.live.clone() })
    }

    /// How much there is.
    pub fn counts(&self) -> Counts {
        Counts {
            messages: self.pending.len(),
            bytes: self.pending.bytes(),
            devices: self.devices.len(),
            apps: self.apps.len(),
            registrations: self.registrations.len(),
            enrolled: self.enrolments.len(),
            tracked: self.fates.len(),
        }
    }

    /// The number of the last batch taken: how many the store was ever given.
    pub fn batches(&self) -> u64 {
        self.head.batch
    }

    /// A device of which something is known. One that was revoked is nobody's address any more, though not all
    /// that is stored of it is gone.
    pub(super) fn device(&self, device: &DeviceId) -> Option<DeviceKey> {
        self.devices.find(device).filter(|_| !self.leaving.has_device(device))
    }

    /// Whether another row may go in this turn of what is stored of those who leave; it counts then.
    pub(super) fn may_take_away(&mut self) -> bool {
        self.gathered.deleted_bytes < DELETED_BYTES_MAX / 2 && self.leaving.take_one()
    }

    /// Where this message stands in the store, if it is pending for the device.
    pub fn place(&self, device: &DeviceId, seq: Seq) -> Option<Place> {
        let copy = self.pending.copy(self.device(device)?, seq)?;
        Some(Place { seq, copy })
    }

    /// A message that was queued since the last batch was taken: no store has it yet.
    pub fn queued(&self, place: Place) -> Option<&Arc<PendingMessage>> {
        let is_it = |queued: &&Queued| queued.message.id.seq() == place.seq && queued.copy == place.copy;
        self.gathered.queued.iter().rev().find(is_it).map(|queued| &queued.message)
    }

    /// The same app id, as everything pending or registered for the app shares it: sessions and messages
    /// in flight then hold one text, however many they are. It goes with the last that refers to it.
    pub fn shared_app(&self, app: AppId) -> AppId {
        self.apps.find(&app).map_or(app, |key| self.apps.name(key).clone())
    }

    /// Takes a message from the index, and its row with the next batch, for this reason. No answer
    /// waits for that.
    pub(super) fn drop_message(&mut self, device: DeviceKey, seq: Seq, why: Change) {
        self.note(device, seq, why);
        if let Some((place, gone)) = self.pending.remove(device, seq) {
            self.devices.release(device);
            self.apps.release(gone.app);
            self.erase(Key::Message(place), gone.size as usize);
        }
    }

    pub(super) fn announce_message(&mut self, device: DeviceKey, copy: u16, message: Arc<PendingMessage>) {
        self.gathered.queued.push(Queued { device, copy, message });
    }

    pub(super) fn announce_revoked(&mut self, device: DeviceId) {
        self.gathered.revoked.push(device);
    }

    pub(super) fn announce_broadcast(&mut self, broadcast: Arc<Broadcast>) {
        self.channel.top = broadcast.level;
        self.channel.live.push(broadcast);
        self.gathered.channel_changed = true;
    }

    /// A new row, on which an answer stands.
    pub(super) fn put(&mut self, key: Key, value: Vec<u8>) {
        self.head.census.add(key);
        self.gathered.puts.push((key, value));
        self.promise();
    }

    /// A new row under a key that may have been used before. If that row still waits to go it is
    /// overwritten instead.
    pub(super) fn put_again(&mut self, key: Key, value: Vec<u8>) {
        let Some(at) = self.gathered.deletes.iter().position(|deleted| deleted.key == key) else {
            return self.put(key, value);
        };
        let deleted = self.gathered.deletes.remove(at).expect("just found");
        self.gathered.deleted_bytes -= deleted.bytes;
        self.put_over(key, value);
    }

    /// Another value for a row that is there, on which an answer stands.
    pub(super) fn put_over(&mut self, key: Key, value: Vec<u8>) {
        self.gathered.puts.push((key, value));
        self.promise();
    }

    /// A new row for a tracked message that is held, on which an answer stands.
    pub(super) fn put_tracked(&mut self, seq: Seq) {
        self.head.census.add(Key::Tracked(seq));
        self.gathered.tracked.insert(seq);
        self.promise();
    }

    /// A tracked message has changed. No answer waits for its row.
    pub(super) fn put_tracked_again(&mut self, seq: Seq) {
        self.gathered.tracked.insert(seq);
        self.gathered.riding_since.get_or_insert(self.now);
    }

    /// A row of so many bytes goes, with the next batch that has room for it.
    pub(super) fn erase(&mut self, key: Key, bytes: usize) {
        self.gathered.deletes.push_back(Deleted { key, bytes });
        self.gathered.deleted_bytes += bytes;
        self.gathered.riding_since.get_or_insert(self.now);
    }

    /// A small row goes with the batch that brings what this turn puts. Else a crash between two batches
    /// could leave it beside what has taken its place.
    pub(super) fn erase_at_once(&mut self, key: Key) {
        self.gathered.deletes_at_once.push(key);
        self.promise();
    }

    /// An answer of this turn stands on what has changed.
    pub(super) fn promise(&mut self) {
        self.gathered.promised = true;
    }
}

impl Gathered {
    fn is_full(&self) -> bool {
        self.deletes.len() >= RIDERS_MAX
            || self.deleted_bytes >= DELETED_BYTES_MAX
            || self.tracked.len() >= RIDERS_MAX
    }

    fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.tracked.is_empty() && self.deletes.is_empty() && !self.promised
    }
}
