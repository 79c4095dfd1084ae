//! The index of what is pending, in memory: per device in order of arrival, and by expiry. It holds
//! no payload and writes no row.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included};

use crate::base::{Seq, Urgency, Wall};

use super::names::{AppKey, DeviceKey, NameKey};
use super::rows::Place;

/// What the index knows of one message: 32 bytes, and 16 of key.
#[derive(Debug)]
pub(super) struct Pending {
    pub expires: Wall,
    pub app: AppKey,
    /// Bytes of its row.
    pub size: u16,
    pub urgency: Urgency,
    pub tag: Option<Box<str>>,
}

/// What a new message must know of every other of its app.
#[derive(Clone, Copy, Debug)]
pub(super) struct Brief {
    pub copy: u16,
    pub urgency: Urgency,
    pub expires: Wall,
}

/// A message on a device, and the number of its copy there.
pub(super) type PendingKey = (DeviceKey, Seq, u16);

impl Pending {
    fn brief(&self, copy: u16) -> Brief {
        Brief { copy, urgency: self.urgency, expires: self.expires }
    }
}

/// All pending messages. One ordered map serves every device: what is pending for one of them is a
/// range, so that a device with one message costs no collection of its own.
#[derive(Default)]
pub(super) struct PendingIndex {
    messages: BTreeMap<PendingKey, Pending>,
    /// The same by app, so that a new message walks over those of its own app alone, and mostly without a look
    /// at each in `messages`.
    by_app: BTreeMap<(DeviceKey, AppKey, Seq), Brief>,
    /// How many there are for each device, by the slot of its key: slots are dense.
    counts: Vec<u32>,
    expiry: BTreeSet<(Wall, DeviceKey, Seq)>,
    bytes: u64,
}

impl PendingIndex {
    /// The index of messages that are all known at once. Its nodes are full, where messages that come
    /// one after the other leave them half empty.
    pub fn of_all(messages: Vec<(PendingKey, Pending)>) -> PendingIndex {
        let expiry = messages.iter().map(|&((device, seq, _), ref pending)| (pending.expires, device, seq));
        let by_app = messages
            .iter()
            .map(|&((device, seq, copy), ref pending)| ((device, pending.app, seq), pending.brief(copy)));
        let mut counts = Vec::new();
        messages.iter().for_each(|((device, ..), _)| count_up(&mut counts, *device));
        PendingIndex {
            by_app: by_app.collect(),
            counts,
            bytes: messages.iter().map(|(_, pending)| u64::from(pending.size)).sum(),
            expiry: expiry.collect(),
            messages: messages.into_iter().collect(),
        }
    }

    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Bytes of all rows.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The copy that is pending for this device, if one is.
    pub fn copy(&self, device: DeviceKey, seq: Seq) -> Option<u16> {
        let copies = (device, seq, 0)..=(device, seq, u16::MAX);
        self.messages.range(copies).next().map(|(&(_, _, copy), _)| copy)
    }

    pub fn contains(&self, device: DeviceKey, seq: Seq) -> bool {
        self.copy(device, seq).is_some()
    }

    pub fn insert(&mut self, key: PendingKey, pending: Pending) {
        let (device, seq, copy) = key;
        self.bytes += u64::from(pending.size);
        self.expiry.insert((pending.expires, device, seq));
        self.by_app.insert((device, pending.app, seq), pending.brief(copy));
        count_up(&mut self.counts, device);
        let before = self.messages.insert(key, pending);
        assert!(before.is_none(), "a seq is given once");
    }

    /// Takes a message out, with its place in the store.
    pub fn remove(&mut self, device: DeviceKey, seq: Seq) -> Option<(Place, Pending)> {
        let copy = self.copy(device, seq)?;
        let gone = self.messages.remove(&(device, seq, copy))?;
        self.expiry.remove(&(gone.expires, device, seq));
        self.by_app.remove(&(device, gone.app, seq));
        self.counts[device.slot()] -= 1;
        self.bytes -= u64::from(gone.size);
        Some((Place { seq, copy }, gone))
    }

    /// The oldest message that is pending for `device`.
    pub fn first(&self, device: DeviceKey) -> Option<Seq> {
        self.after(device, Seq(0)).next().map(|(place, _)| place.seq)
    }

    /// How many are pending for `device`, expired ones included.
    pub fn count(&self, device: DeviceKey) -> usize {
        self.counts.get(device.slot()).map_or(0, |&count| count as usize)
    }

    /// What is pending for one app on `device`, in order of arrival, expired ones included.
    pub fn of_app(&self, device: DeviceKey, app: AppKey) -> impl Iterator<Item = (Place, Brief)> {
        let all = (device, app, Seq(0))..=(device, app, Seq(u64::MAX));
        self.by_app.range(all).map(|(&(_, _, seq), &brief)| (Place { seq, copy: brief.copy }, brief))
    }

    /// All that is known of the message at `place`, which is pending for `device`.
    pub fn at(&self, device: DeviceKey, place: Place) -> &Pending {
        &self.messages[&(device, place.seq, place.copy)]
    }

    /// What is pending for `device` after `after`, in order of arrival, expired ones included.
    pub fn after(&self, device: DeviceKey, after: Seq) -> impl DoubleEndedIterator<Item = (Place, &Pending)> {
        self.messages
            .range((Excluded((device, after, u16::MAX)), Included((device, Seq(u64::MAX), u16::MAX))))
            .map(|(&(_, seq, copy), pending)| (Place { seq, copy }, pending))
    }

    /// The message that expires first, and when.
    pub fn first_to_expire(&self) -> Option<(Wall, DeviceKey, Seq)> {
        self.expiry.first().copied()
    }
}

fn count_up(counts: &mut Vec<u32>, device: DeviceKey) {
    let slot = device.slot();
    if slot >= counts.len() {
        counts.resize(slot + 1, 0);
    }
    counts[slot] += 1;
}
