//! What became of messages whose senders may ask for that, device by device, for as long as they may.
//! Reads no clock and writes no row.
//!
//! ```text
//!                      stored by the device            told by the device
//!  Queued ───────────────────────────────► Delivered ─────────────────► Shown ──► Opened
//!    │                                        ▲   │                       ▲
//!    │ expired, replaced, cleared, revoked    │   └──► Expired, Refused   │
//!    └──► that status ────────────────────────┴────────── (its ack was on the way)
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::base::{AppId, DeviceId, Digest, MessageId, Seq, Token, UserId, Wall};
use crate::protocol::wire1::Outcome;

use super::answer::Status;
use super::command::Repeat;
use super::names::{AppKey, DeviceKey, UserKey};
use super::shares::{Share, Shares};

/// A message whose fate is kept. Devices, apps and users stand in it by their keys, and by their ids in
/// rows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tracked<D = DeviceKey, A = AppKey, U = UserKey> {
    pub id: MessageId,
    pub app: A,
    /// Whose it was, if its devices were anybody's: it goes with them, though the devices went before.
    pub user: Option<U>,
    /// What it was posted to.
    pub token: Token,
    pub sent: Wall,
    /// By what its sender knows the request again.
    pub repeat: Option<Repeat>,
    pub fates: Vec<Fate<D>>,
}

/// A tracked message as its row has it.
pub(super) type TrackedRow = Tracked<DeviceId, AppId, UserId>;

/// What became of it on one device.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fate<D = DeviceKey> {
    pub device: D,
    pub status: Status,
    pub since: Wall,
    /// When the device had it.
    pub delivered: Option<Wall>,
}

/// Something that happens to a message on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The device has it in its mailbox.
    Stored,
    /// The device says what became of it then.
    Told(Outcome),
    /// It is no longer pending, for this reason.
    Dropped(Status),
}

impl<D> Fate<D> {
    pub fn new(device: D, status: Status, now: Wall) -> Fate<D> {
        Fate { device, status, since: now, delivered: None }
    }

    /// Takes the change in, and says whether anything is different now.
    pub fn note(&mut self, change: Change, now: Wall) -> bool {
        let before = (self.status, self.delivered);
        match change {
            Change::Dropped(status) if self.status == Status::Queued => self.status = status,
            Change::Dropped(_) => {}
            Change::Stored => self.store(now),
            Change::Told(outcome) => {
                self.store(now);
                self.hear(outcome);
            }
        }
        let is_new = before != (self.status, self.delivered);
        if before.0 != self.status {
            self.since = now;
        }
        is_new
    }

    /// It may have been dropped here while it, or its ack, was on the way.
    fn store(&mut self, now: Wall) {
        if self.delivered.is_none() {
            self.delivered = Some(now);
            self.status = Status::Delivered;
        }
    }

    fn hear(&mut self, outcome: Outcome) {
        self.status = match (outcome, self.status) {
            (Outcome::Opened, _) | (_, Status::Opened) => Status::Opened,
            (Outcome::Shown, _) | (_, Status::Shown) => Status::Shown,
            (Outcome::Expired, Status::Delivered) => Status::Expired,
            (Outcome::Refused, Status::Delivered) => Status::Refused,
            (_, status) => status,
        };
    }
}

impl Tracked {
    fn share(&self) -> Share {
        Share { is_keyed: self.repeat.is_some(), app: self.app }
    }
}

/// All tracked messages.
#[derive(Default)]
pub(super) struct Fates {
    tracked: BTreeMap<Seq, Tracked>,
    /// When each is to be forgotten.
    expiry: BTreeSet<(Wall, Seq)>,
    by_user: BTreeSet<(UserKey, Seq)>,
    shares: Shares,
    repeats: HashMap<(Token, Digest), Seq>,
}

impl Fates {
    pub fn len(&self) -> usize {
        self.tracked.len()
    }

    pub fn insert(&mut self, tracked: Tracked, until: Wall) {
        let seq = tracked.id.seq();
        if let Some(repeat) = &tracked.repeat {
            self.repeats.insert((tracked.token, repeat.key), seq);
        }
        self.expiry.insert((until, seq));
        self.shares.insert(tracked.share(), seq);
        self.by_user.extend(tracked.user.map(|user| (user, seq)));
        let before = self.tracked.insert(seq, tracked);
        assert!(before.is_none(), "a seq is given once");
    }

    pub fn get(&self, seq: Seq) -> Option<&Tracked> {
        self.tracked.get(&seq)
    }

    pub fn get_mut(&mut self, seq: Seq) -> Option<&mut Tracked> {
        self.tracked.get_mut(&seq)
    }

    /// The message that was posted to this token under this idempotency key.
    pub fn repeated(&self, token: Token, key: Digest) -> Option<Seq> {
        self.repeats.get(&(token, key)).copied()
    }

    /// Forgets it; `until` as it was when it was entered. After a crash a later message may be known under
    /// its idempotency key, and stays so.
    pub fn remove(&mut self, seq: Seq, until: Wall) -> Option<Tracked> {
        let gone = self.tracked.remove(&seq)?;
        self.expiry.remove(&(until, seq));
        self.shares.remove(gone.share(), seq);
        if let Some(user) = gone.user {
            self.by_user.remove(&(user, seq));
        }
        if let Some(request) = gone.repeat.map(|repeat| (gone.token, repeat.key))
            && self.repeats.get(&request) == Some(&seq)
        {
            self.repeats.remove(&request);
        }
        Some(gone)
    }

    /// What is to be forgotten if there are too many.
    pub fn first_to_yield(&self) -> Option<Seq> {
        self.shares.first_to_yield()
    }

    /// What is to be forgotten first, and when.
    pub fn first_to_go(&self) -> Option<(Wall, Seq)> {
        self.expiry.first().copied()
    }

    /// A user's oldest message.
    pub fn first_of_user(&self, user: UserKey) -> Option<Seq> {
        self.by_user.range((user, Seq(0))..=(user, Seq(u64::MAX))).next().map(|&(_, seq)| seq)
    }
}

impl Status {
    /// All, by the code that rows have.
    const ALL: [Status; 11] = [
        Status::Queued,
        Status::Delivered,
        Status::Shown,
        Status::Opened,
        Status::Expired,
        Status::Replaced,
        Status::Cleared,
        Status::Refused,
        Status::TooManyPending,
        Status::NoRoom,
        Status::Revoked,
    ];

    pub(super) fn code(self) -> u8 {
        let place = Status::ALL.iter().position(|&status| status == self);
        place.expect("all are listed") as u8
    }

    pub(super) fn from_code(code: u8) -> Option<Status> {
        Status::ALL.get(usize::from(code)).copied()
    }

    /// Whether a message with it was never pending for the device.
    pub(super) fn is_unqueued(self) -> bool {
        matches!(self, Status::TooManyPending | Status::NoRoom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::names::NameKey as _;

    fn after(changes: &[Change]) -> Fate<()> {
        let mut fate = Fate::new((), Status::Queued, Wall(1));
        for (at, &change) in (2..).zip(changes) {
            fate.note(change, Wall(at));
        }
        fate
    }

    #[test]
    fn what_the_device_tells_stands_over_what_the_server_thought() {
        use Change::{Dropped, Stored, Told};
        let cases: [(&[Change], Status, Option<u64>); 8] = [
            (&[Stored], Status::Delivered, Some(2)),
            (&[Stored, Dropped(Status::Expired)], Status::Delivered, Some(2)),
            (&[Dropped(Status::Replaced), Dropped(Status::Expired)], Status::Replaced, None),
            (&[Dropped(Status::Replaced), Stored], Status::Delivered, Some(3)),
            (&[Told(Outcome::Shown), Stored], Status::Shown, Some(2)),
            (&[Stored, Told(Outcome::Opened), Told(Outcome::Shown)], Status::Opened, Some(2)),
            (&[Stored, Told(Outcome::Expired)], Status::Expired, Some(2)),
            (&[Stored, Told(Outcome::Shown), Told(Outcome::Refused)], Status::Shown, Some(2)),
        ];
        for (changes, status, delivered) in cases {
            let fate = after(changes);
            assert_eq!((fate.status, fate.delivered), (status, delivered.map(Wall)), "{changes:?}");
        }
    }

    #[test]
    fn a_change_that_says_nothing_new_is_none() {
        let mut fate = after(&[Change::Stored]);
        assert!(!fate.note(Change::Stored, Wall(9)));
        assert!(fate.note(Change::Told(Outcome::Shown), Wall(10)));
        assert_eq!(fate.since, Wall(10));
    }

    #[test]
    fn a_forgotten_message_leaves_its_idempotency_key_to_a_later_one() {
        let (token, key) = (Token([1; 16]), Digest([2; 32]));
        let tracked = |seq| Tracked {
            id: MessageId::new(Seq(seq), [0; 8]),
            app: AppKey::from_slot(0),
            user: None,
            token,
            sent: Wall(seq),
            repeat: Some(Repeat { key, request: Digest([3; 32]) }),
            fates: Vec::new(),
        };
        let mut fates = Fates::default();
        fates.insert(tracked(1), Wall(10));
        fates.insert(tracked(2), Wall(20));
        fates.remove(Seq(1), Wall(10));
        assert_eq!(fates.repeated(token, key), Some(Seq(2)));
        fates.remove(Seq(2), Wall(20));
        assert!(fates.repeats.is_empty());
    }

    #[test]
    fn a_status_has_a_code() {
        for status in Status::ALL {
            assert_eq!(Status::from_code(status.code()), Some(status));
        }
        assert_eq!(Status::from_code(11), None);
    }
}
