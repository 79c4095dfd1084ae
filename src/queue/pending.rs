//! The index of what is pending, in memory: per device in order of arrival, and by expiry. It holds
//! no payload and writes no row.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included};

use crate::base::{Seq, Urgency, Wall};

use super::names::{AppKey, DeviceKey};

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

/// All pending messages. One ordered map serves every device: what is pending for one of them is a
/// range, so that a device with one message costs no collection of its own.
#[derive(Default)]
pub(super) struct PendingIndex {
    messages: BTreeMap<(DeviceKey, Seq), Pending>,
    expiry: BTreeSet<(Wall, DeviceKey, Seq)>,
    bytes: u64,
}

impl PendingIndex {
    /// The index of messages that are all known at once. Its nodes are full, where messages that come
    /// one after the other leave them half empty: a million take 75 MB, not 125.
    pub fn of_all(messages: Vec<((DeviceKey, Seq), Pending)>) -> PendingIndex {
        let expiry = messages.iter().map(|&((device, seq), ref pending)| (pending.expires, device, seq));
        PendingIndex {
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

    pub fn contains(&self, device: DeviceKey, seq: Seq) -> bool {
        self.messages.contains_key(&(device, seq))
    }

    pub fn insert(&mut self, device: DeviceKey, seq: Seq, pending: Pending) {
        self.bytes += u64::from(pending.size);
        self.expiry.insert((pending.expires, device, seq));
        let before = self.messages.insert((device, seq), pending);
        assert!(before.is_none(), "a seq is given once");
    }

    pub fn remove(&mut self, device: DeviceKey, seq: Seq) -> Option<Pending> {
        let gone = self.messages.remove(&(device, seq))?;
        self.expiry.remove(&(gone.expires, device, seq));
        self.bytes -= u64::from(gone.size);
        Some(gone)
    }

    /// What is pending for `device` after `after`, in order of arrival, expired ones included.
    pub fn after(&self, device: DeviceKey, after: Seq) -> impl DoubleEndedIterator<Item = (Seq, &Pending)> {
        self.messages
            .range((Excluded((device, after)), Included((device, Seq(u64::MAX)))))
            .map(|(&(_, seq), pending)| (seq, pending))
    }

    /// The message that expires first, and when.
    pub fn first_to_expire(&self) -> Option<(Wall, DeviceKey, Seq)> {
        self.expiry.first().copied()
    }
}
