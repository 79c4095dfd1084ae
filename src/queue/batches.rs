//! How the queue's changes become batches: what is gathered in a turn, which of it an answer stands on, and
//! what rides along. What the changes are is decided elsewhere.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::base::{DeviceId, Monotonic, Seq};

use super::answer::{Broadcast, Event, PendingMessage};
use super::names::DeviceKey;
use super::rows::{Batch, Key, Place};
use super::state::Queue;

/// How long acks and expiry wait for a batch to ride along with, at most. What a crash takes of them
/// is delivered again, and dropped by the device.
const RIDE_MAX: Duration = Duration::from_secs(1);
/// How many of them wait, and how many rows one batch deletes, at most, so that it stays quick.
const RIDERS_MAX: usize = 4_096;
/// Bytes of the queue's rows that one batch deletes, at most. A store writes anew what lies around a deleted row
/// before it gives any room back, so without this bound acks alone could fill a disk at its floor.
/// Devices that drained a queue of 93 MB, its messages of 6 KB, took 52 MB in batches of
/// [`RIDERS_MAX`], and take 3 MB with this.
const DELETED_BYTES_MAX: usize = 1 << 20;

/// What has changed since the last batch was taken.
#[derive(Default)]
pub(super) struct Gathered {
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
    /// Since when changes have waited that no answer stands on: by the clock that nobody sets, for the time
    /// that counts for messages stands still while the wall clock is behind.
    riding_since: Option<Monotonic>,
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

impl Queue {
    /// The rows to write now, the promised ones first; `None` if no answer of this turn stands on a
    /// change that is still to be written, and the acks and expiries gathered can wait for a batch to
    /// ride along with.
    pub fn take_batch(&mut self) -> Option<Batch> {
        let waited = self.gathered.rides_until().is_some_and(|until| until <= self.monotonic);
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

    /// A message of this turn, as long as its event has not been taken: no store has it yet.
    pub fn queued(&self, place: Place) -> Option<&Arc<PendingMessage>> {
        let is_it = |queued: &&Queued| queued.message.id.seq() == place.seq && queued.copy == place.copy;
        self.gathered.queued.iter().rev().find(is_it).map(|queued| &queued.message)
    }

    /// What the shards are to be told of this turn, once it is written. A message that the same turn
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
        self.gathered.riding_since.get_or_insert(self.monotonic);
    }

    /// A row of so many bytes goes, with the next batch that has room for it.
    pub(super) fn erase(&mut self, key: Key, bytes: usize) {
        self.gathered.deletes.push_back(Deleted { key, bytes });
        self.gathered.deleted_bytes += bytes;
        self.gathered.riding_since.get_or_insert(self.monotonic);
    }

    /// The row of a tracked message goes; where it is still to be written, with the batch that was to bring it,
    /// for that one's head counts it already.
    pub(super) fn erase_tracked(&mut self, seq: Seq, bytes: usize) {
        if self.gathered.tracked.remove(&seq) {
            self.erase_at_once(Key::Tracked(seq));
        } else {
            self.erase(Key::Tracked(seq), bytes);
        }
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
    /// When the changes that no answer stands on are to be written, with a batch of their own if need be.
    pub fn rides_until(&self) -> Option<Monotonic> {
        self.riding_since.map(|since| since + RIDE_MAX)
    }

    /// Whether rows of those who leave may be added to what waits to go: half of a batch is kept for acks.
    pub fn has_room_for_deletes(&self) -> bool {
        self.deleted_bytes < DELETED_BYTES_MAX / 2
    }

    fn is_full(&self) -> bool {
        self.deletes.len() >= RIDERS_MAX
            || self.deleted_bytes >= DELETED_BYTES_MAX
            || self.tracked.len() >= RIDERS_MAX
    }

    fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.tracked.is_empty() && self.deletes.is_empty() && !self.promised
    }
}
