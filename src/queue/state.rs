//! What the queue holds, and its turns. What it makes of each command stands in `decide`, how its changes
//! become batches in `batches`, and how it comes back from its rows in `restore`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::{AppId, ChannelId, DeviceId, Digest, Monotonic, Now, Seq, Token, UserId, Wall};

use super::answer::{Channel, Status};
use super::batches::Gathered;
use super::enrolments::{Codes, Enrolments};
use super::fates::{Change, Fates};
use super::leaving::Leaving;
use super::limits::Limits;
use super::names::{AppKey, DeviceKey, Names, UserKey};
use super::pending::PendingIndex;
use super::rates::Buckets;
use super::registrations::Registrations;
use super::rows::{Head, Key, Place};

/// Messages that one turn lets expire: when very many expire at once, commands are still served in
/// between.
pub(super) const EXPIRED_PER_TURN_MAX: usize = 1_000;
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
/// 2. [`look_ahead`](Queue::look_ahead) at all commands, which makes many faster, and [`decide`](Queue::decide)
///    for each: later ones see what earlier ones changed;
/// 3. [`take_batch`](Queue::take_batch), until it returns none: write each, durably;
/// 4. only then answer what was decided, and tell [`take_events`](Queue::take_events), which may be taken
///    before.
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
    /// What rates are counted by, and how long acks wait: it goes on while the wall clock stands still because it was set back.
    pub(super) monotonic: Monotonic,
    pub(super) free_disk_bytes: u64,
    pub(super) gathered: Gathered,
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
    /// has expired goes now, and of what is stored of those who leave; call again when [due](Queue::due_in) for more.
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
            if let Some(row) = self.forget_code(&secret) {
                self.erase(row, CODE_ROW_BYTES);
            }
        }
    }

    /// A code can no longer be used. Its row stays; which that is.
    pub(super) fn forget_code(&mut self, secret: &Digest) -> Option<Key> {
        let gone = self.codes.remove(secret)?;
        self.users.release(gone.user);
        Some(Key::Code(*secret))
    }

    /// How long after `now` to begin a turn even without a command: something expires, or has waited long
    /// enough for a batch to ride along with. Zero if there is work left over from this turn.
    pub fn due_in(&self, now: Now) -> Option<Duration> {
        let message = self.pending.first_to_expire().map(|(expires, _, _)| expires);
        let code = self.codes.first_to_expire().map(|(expires, _)| expires);
        let fate = self.fates.first_to_go().map(|(until, _)| until);
        let expires_by = now.wall.max(self.head.wall);
        let time_to = |until: Wall| if until <= expires_by { Duration::ZERO } else { until - now.wall };
        let expiry = [message, code, fate].into_iter().flatten().min().map(time_to);
        let ride = self.gathered.rides_until().map(|until| until.since(now.monotonic));
        let leaving = (!self.leaving.is_empty()).then_some(Duration::ZERO);
        [expiry, ride, leaving].into_iter().flatten().min()
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
        self.gathered.has_room_for_deletes() && self.leaving.take_one()
    }

    /// Where this message stands in the store, if it is pending for the device.
    pub fn place(&self, device: &DeviceId, seq: Seq) -> Option<Place> {
        let copy = self.pending.copy(self.device(device)?, seq)?;
        Some(Place { seq, copy })
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
}
