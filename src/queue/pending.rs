//! The index of what is pending, in memory: per device in order of arrival, and by expiry. It holds
//! no payload and writes no row.

use std::collections::{BTreeSet, VecDeque};
use std::hint::black_box;

use crate::base::{Seq, Urgency, Wall};

use super::names::{AppKey, DeviceKey, NameKey};
use super::rows::Place;

/// What the index knows of one message.
#[derive(Debug)]
pub(super) struct Pending {
    pub expires: Wall,
    pub app: AppKey,
    /// Bytes of its row.
    pub size: u16,
    pub urgency: Urgency,
    pub tag: Option<Box<str>>,
}

/// A message on a device, and the number of its copy there.
pub(super) type PendingKey = (DeviceKey, Seq, u16);

/// All pending messages.
#[derive(Default)]
pub(super) struct PendingIndex {
    /// What is pending for each device, by the slot of its key: slots are dense. Most devices have none or few, and
    /// nearly all that comes and goes does so at an end; a message from within a device's limit of 10,000 moves
    /// half of them at most, in some 10 µs. Of a device without any, 32 bytes are left for the next that has its slot.
    devices: Vec<VecDeque<Held>>,
    /// The seq before the device: what is new then stands at the end of those that expire with it, near what came
    /// just before and goes soon, not anywhere in a tree that is larger than the processor's cache.
    expiry: BTreeSet<(Wall, Seq, DeviceKey)>,
    len: usize,
    bytes: u64,
}

/// One message in a device's line, where the oldest comes first.
struct Held {
    seq: Seq,
    copy: u16,
    pending: Pending,
}

impl Held {
    fn place(&self) -> Place {
        Place { seq: self.seq, copy: self.copy }
    }
}

impl PendingIndex {
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes of all rows.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn line(&self, device: DeviceKey) -> Option<&VecDeque<Held>> {
        self.devices.get(device.slot())
    }

    /// The copy that is pending for this device, if one is.
    pub fn copy(&self, device: DeviceKey, seq: Seq) -> Option<u16> {
        let line = self.line(device)?;
        let index = line.binary_search_by_key(&seq, |held| held.seq).ok()?;
        Some(line[index].copy)
    }

    pub fn contains(&self, device: DeviceKey, seq: Seq) -> bool {
        self.copy(device, seq).is_some()
    }

    pub fn insert(&mut self, key: PendingKey, pending: Pending) {
        let (device, seq, copy) = key;
        self.expiry.insert((pending.expires, seq, device));
        self.append(device, Held { seq, copy, pending });
    }

    /// Inserts one of many that are all known at once: call [`PendingIndex::index_expiry`] behind the last. False if the
    /// device has this message already.
    #[must_use]
    pub fn insert_restored(&mut self, (device, seq, copy): PendingKey, pending: Pending) -> bool {
        if self.line(device).and_then(VecDeque::back).is_some_and(|last| last.seq == seq) {
            return false;
        }
        self.append(device, Held { seq, copy, pending });
        true
    }

    fn append(&mut self, device: DeviceKey, held: Held) {
        let slot = device.slot();
        if slot >= self.devices.len() {
            self.devices.resize_with(slot + 1, VecDeque::new);
        }
        self.len += 1;
        self.bytes += u64::from(held.pending.size);
        let line = &mut self.devices[slot];
        assert!(
            line.back().is_none_or(|last| last.seq < held.seq),
            "seqs ascend, and so do the keys of rows"
        );
        if line.len() == line.capacity() {
            // It doubles, from one on: most have one or two, and by itself a deque would begin with four.
            line.reserve_exact(line.len().max(1));
        }
        line.push_back(held);
    }

    /// All at once makes full nodes, where messages that come one after the other leave them half empty.
    pub fn index_expiry(&mut self) {
        let expiry = self.devices.iter().enumerate().flat_map(|(slot, line)| {
            let device = DeviceKey::from_slot(slot);
            line.iter().map(move |held| (held.pending.expires, held.seq, device))
        });
        self.expiry = expiry.collect();
    }

    /// Takes a message out, with its place in the store.
    pub fn remove(&mut self, device: DeviceKey, seq: Seq) -> Option<(Place, Pending)> {
        let line = self.devices.get_mut(device.slot())?;
        let index = line.binary_search_by_key(&seq, |held| held.seq).ok()?;
        let gone = line.remove(index)?;
        // A line that was long gives its room back; by halves, so that this costs little for each that goes.
        if line.len() <= line.capacity() / 4 {
            line.shrink_to(2 * line.len());
        }
        self.expiry.remove(&(gone.pending.expires, seq, device));
        self.len -= 1;
        self.bytes -= u64::from(gone.pending.size);
        Some((gone.place(), gone.pending))
    }

    /// Reads what is pending for these devices, one step after the other for all of them, and makes nothing of it.
    pub fn visit(&self, devices: &[DeviceKey]) {
        let lines = devices.iter().filter_map(|&device| self.line(device));
        // Both ends of a line's head, which may lie in two of the cache's lines.
        black_box(lines.clone().fold(0, |seen, line| seen ^ line.len() ^ line.capacity()));
        black_box(lines.filter_map(VecDeque::back).fold(0, |seen, held| seen ^ held.seq.0));
    }

    /// The oldest message that is pending for `device`.
    pub fn first(&self, device: DeviceKey) -> Option<Seq> {
        Some(self.line(device)?.front()?.seq)
    }

    /// How many are pending for `device`, expired ones included.
    pub fn count(&self, device: DeviceKey) -> usize {
        self.line(device).map_or(0, VecDeque::len)
    }

    /// What is pending for one app on `device`, in order of arrival, expired ones included. Walks over those of other
    /// apps too.
    pub fn of_app(&self, device: DeviceKey, app: AppKey) -> impl Iterator<Item = (Place, &Pending)> {
        let of_app = move |held: &&Held| held.pending.app == app;
        self.line(device).into_iter().flatten().filter(of_app).map(|held| (held.place(), &held.pending))
    }

    /// What is pending for `device` after `after`, in order of arrival, expired ones included.
    pub fn after(&self, device: DeviceKey, after: Seq) -> impl DoubleEndedIterator<Item = (Place, &Pending)> {
        let line = self.line(device);
        let begin = line.map_or(0, |line| line.partition_point(|held| held.seq <= after));
        line.into_iter().flat_map(move |line| line.range(begin..)).map(|held| (held.place(), &held.pending))
    }

    /// The message that expires first, and when.
    pub fn first_to_expire(&self) -> Option<(Wall, Seq, DeviceKey)> {
        self.expiry.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending() -> Pending {
        Pending {
            expires: Wall(9),
            app: AppKey::from_slot(0),
            size: 100,
            urgency: Urgency::Normal,
            tag: None,
        }
    }

    /// A limit counts messages, so no room may stay behind those that have gone.
    #[test]
    fn a_line_gives_its_room_back_as_it_gets_shorter() {
        let (mut index, device) = (PendingIndex::default(), DeviceKey::from_slot(3));
        (1..=1_000).for_each(|seq| index.insert((device, Seq(seq), 0), pending()));
        for seq in 1..1_000 {
            index.remove(device, Seq(seq)).expect("it was put there");
            let line = &index.devices[3];
            assert!(line.capacity() <= 4 * line.len() + 4, "{} for {}", line.capacity(), line.len());
        }
        index.remove(device, Seq(1_000)).expect("it was put there");
        assert_eq!((index.devices[3].capacity(), index.len(), index.bytes()), (0, 0, 0));
        assert!(index.first_to_expire().is_none());
    }

    #[test]
    fn a_line_of_one_takes_room_for_a_second_and_no_more_and_keeps_it() {
        let (mut index, device) = (PendingIndex::default(), DeviceKey::from_slot(0));
        index.insert((device, Seq(1), 0), pending());
        assert_eq!(index.devices[0].capacity(), 1);
        for seq in 2..10 {
            index.insert((device, Seq(seq), 0), pending());
            assert_eq!(index.devices[0].capacity(), 2);
            index.remove(device, Seq(seq)).expect("it was put there");
            assert_eq!(index.devices[0].capacity(), 2);
        }
    }
}
