//! The journal: the messages of the last turns stand together in a few rows. Most are acked soon and never get
//! a row of their own; one that stays gets it when its place in the journal is needed again. It knows when
//! rows come and go, and nothing of what they mean.
//!
//! ```text
//! number   41          42          43          44
//!          m   m   m   m   m   m   m   m   m   -41 m   m       m: a message; -41: one of row 41 has gone
//!          └─ oldest                           └─ newest, written with the batch that brings its messages
//! ```
//!
//! Rows go in their order alone, so that what one says of an earlier one is there as long as that one. The
//! oldest goes when none of its messages is left. When there are [`ROWS_MAX`] it makes room for the next one if
//! few of its messages are left, or if the next one says that some have gone: what is left of it gets rows of its
//! own. Else messages that come get theirs at once, but for those of every few batches: where devices are away the
//! journal saves nothing, and would write everything twice. A store's batches are atomic, so that a crash
//! finds each message in one place.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use crate::queue::{Batch, JournalRow, Key, Place};

/// Rows of the journal. With [`ROW_BYTES_MAX`] they bound what it takes, 3 MB of disk and 4 to 8 of memory, and
/// how long a message may take to be acked without a row of its own: most of a second where 10,000 of 300 bytes
/// come in each.
const ROWS_MAX: usize = 512;
/// Bytes of a row's entries. Rows may be as large as those of the largest messages, and no larger: see
/// [`MESSAGE_BYTES_MAX`](crate::queue::MESSAGE_BYTES_MAX).
const ROW_BYTES_MAX: usize = crate::queue::MESSAGE_BYTES_MAX;
/// Bytes of a message's row that is larger than the journal takes: it might be written twice, and saves little.
const VALUE_BYTES_MAX: usize = 1 << 10;

/// Of so many batches one moves a row of messages that stay out of a full journal, whatever it costs: so the
/// journal is of use again soon after devices have come back, and writes little twice while they are away.
const SETTLING_EVERY: u64 = 4;

/// The messages that stand in the journal. None of them is read from the store.
#[derive(Debug)]
pub(super) struct Journal {
    messages: BTreeMap<Place, Message>,
    /// By number, without a gap.
    rows: VecDeque<Row>,
    /// The number of the oldest row, or of the next one if there is none.
    first: u64,
    /// Slots that no row has. They name rows in the store: few keys, so that their rows lie together there.
    free: BTreeSet<u16>,
}

#[derive(Debug)]
struct Message {
    /// The number of the row that it stands in.
    row: u64,
    value: Vec<u8>,
}

#[derive(Debug)]
struct Row {
    slot: u16,
    /// The messages that it names, held or not.
    places: Vec<Place>,
    /// How many of those that it brought are still held.
    left: usize,
}

/// Rows to write.
type Puts = Vec<(Key, Vec<u8>)>;

impl Journal {
    /// An empty one, whose next row has this number.
    pub fn starting_at(first: u64) -> Journal {
        let slots = 0..u16::try_from(ROWS_MAX).expect("there are few");
        Journal { messages: BTreeMap::new(), rows: VecDeque::new(), first, free: slots.collect() }
    }

    /// The value of a message's row, if that stands in the journal.
    pub fn read(&self, place: Place) -> Option<&[u8]> {
        self.messages.get(&place).map(|message| &message.value[..])
    }

    /// The messages that stand in it.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        self.messages.keys().copied()
    }

    /// The batch that writes to the store what this one would, by way of the journal. Every batch comes through
    /// here, and what is returned is applied in the same order.
    pub fn pack(&mut self, batch: Batch) -> Batch {
        let mut packed = Batch { number: batch.number, ..Batch::default() };
        let mut come = self.take_in(batch.puts, &mut packed.puts);
        let mut gone = self.take_out(batch.deletes, &mut packed.deletes);
        let mut freed = self.drop_spent();
        // What has gone together with its row, or before it had one, need not be told.
        gone.retain(|(_, row)| self.numbers().contains(row));
        come.retain(|place| self.messages.contains_key(place));
        let changed = gone.into_iter().map(|(place, _)| place).chain(come);
        let mut may_settle = batch.number.is_multiple_of(SETTLING_EVERY);
        for places in self.by_row(changed) {
            if self.rows.len() < ROWS_MAX {
                packed.puts.push(self.write_row(places));
            } else if may_settle || self.must_settle_for(&places) || self.is_little_left_of_oldest() {
                may_settle = false;
                freed.extend(self.settle_oldest(&mut packed.puts));
                packed.puts.push(self.write_row(places));
            } else {
                self.settle(places, &mut packed.puts);
            }
        }
        packed.deletes.extend(freed.into_iter().filter(|slot| self.free.contains(slot)).map(Key::Journal));
        packed
    }

    /// Of its rows.
    fn numbers(&self) -> Range<u64> {
        self.first..self.first + self.rows.len() as u64
    }

    /// Takes messages, as yet without a row; all else is left as it is.
    fn take_in(&mut self, puts: Puts, others: &mut Puts) -> Vec<Place> {
        let row = self.numbers().end;
        let mut come = Vec::new();
        for (key, value) in puts {
            match key {
                Key::Message(place) if value.len() <= VALUE_BYTES_MAX => {
                    self.messages.insert(place, Message { row, value });
                    come.push(place);
                }
                _ => others.push((key, value)),
            }
        }
        come
    }

    /// Lets messages go, and says from which row; all else is left as it is.
    fn take_out(&mut self, deletes: Vec<Key>, others: &mut Vec<Key>) -> Vec<(Place, u64)> {
        let mut gone = Vec::new();
        for key in deletes {
            match self.remove(key) {
                Some(removed) => gone.push(removed),
                None => others.push(key),
            }
        }
        gone
    }

    fn remove(&mut self, key: Key) -> Option<(Place, u64)> {
        let Key::Message(place) = key else { return None };
        let number = self.messages.remove(&place)?.row;
        let at = (number - self.first) as usize;
        if let Some(row) = self.rows.get_mut(at) {
            row.left -= 1;
        }
        Some((place, number))
    }

    /// Drops the oldest rows of which nothing is left, and gives their slots.
    fn drop_spent(&mut self) -> Vec<u16> {
        let mut freed = Vec::new();
        while self.rows.front().is_some_and(|oldest| oldest.left == 0) {
            freed.extend(self.drop_oldest().map(|spent| spent.slot));
        }
        freed
    }

    fn drop_oldest(&mut self) -> Option<Row> {
        let oldest = self.rows.pop_front()?;
        self.first += 1;
        self.free.insert(oldest.slot);
        Some(oldest)
    }

    /// Drops the oldest row, gives what is left of it rows of its own, and says its slot.
    fn settle_oldest(&mut self, puts: &mut Puts) -> Option<u16> {
        let oldest = self.drop_oldest()?;
        self.settle(oldest.places, puts);
        Some(oldest.slot)
    }

    /// Those of the messages that are held get rows of their own.
    fn settle(&mut self, places: Vec<Place>, puts: &mut Puts) {
        for place in places {
            if let Some(message) = self.messages.remove(&place) {
                puts.push((Key::Message(place), message.value));
            }
        }
    }

    /// Whether some of them have gone: an earlier row holds them, so that the journal must say so.
    fn must_settle_for(&self, places: &[Place]) -> bool {
        places.iter().any(|place| !self.messages.contains_key(place))
    }

    /// Whether it is cheap to move.
    fn is_little_left_of_oldest(&self) -> bool {
        self.rows.front().is_some_and(|oldest| 2 * oldest.left <= oldest.places.len())
    }

    /// What has changed, in as few rows as hold it.
    fn by_row(&self, changed: impl Iterator<Item = Place>) -> Vec<Vec<Place>> {
        let mut rows: Vec<Vec<Place>> = Vec::new();
        let mut room = 0;
        for place in changed {
            let bytes = JournalRow::entry_bytes(self.read(place));
            match rows.last_mut().filter(|_| bytes <= room) {
                Some(row) => row.push(place),
                None => {
                    rows.push(vec![place]);
                    room = ROW_BYTES_MAX;
                }
            }
            room -= bytes;
        }
        rows
    }

    /// The next row: messages that are held have come with it, the others have gone.
    fn write_row(&mut self, places: Vec<Place>) -> (Key, Vec<u8>) {
        let slot = self.free.pop_first().expect("there are no more rows than slots");
        let (key, number) = (Key::Journal(slot), self.numbers().end);
        let entries = places.iter().map(|&place| (place, self.read(place))).collect();
        let value = JournalRow { number, entries }.encode(key);
        let mut left = 0;
        for place in &places {
            if let Some(message) = self.messages.get_mut(place) {
                message.row = number;
                left += 1;
            }
        }
        self.rows.push_back(Row { slot, places, left });
        (key, value)
    }

    /// Takes the next row back in, as it was written; `None` if it is not the next one, or none that a journal
    /// would have written.
    pub fn restore_row(&mut self, slot: u16, row: JournalRow) -> Option<()> {
        let number = self.numbers().end;
        if row.number != number || !self.free.remove(&slot) {
            return None;
        }
        let places = row.entries.iter().map(|&(place, _)| place).collect();
        self.rows.push_back(Row { slot, places, left: 0 });
        for (place, value) in row.entries {
            match value {
                Some(value) => self.restore_message(place, Message { row: number, value: value.to_vec() })?,
                // Of a row that there is no more, if it is not held.
                None => drop(self.remove(Key::Message(place))),
            }
        }
        Some(())
    }

    fn restore_message(&mut self, place: Place, message: Message) -> Option<()> {
        self.rows.back_mut()?.left += 1;
        self.messages.insert(place, message).is_none().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Seq;
    use crate::queue::RestoreError;
    use crate::store::replay::Replay;
    use crate::store::{Memory, Store as _};

    type Rows = Vec<(Vec<u8>, Vec<u8>)>;

    /// The same batches, one store with the journal and one without.
    struct Both {
        journal: Journal,
        store: Memory,
        plain: Memory,
        batches: u64,
        next_seq: u64,
        held: Vec<Place>,
    }

    impl Both {
        fn new() -> Both {
            let (journal, store, plain) = (Journal::starting_at(0), Memory::new(), Memory::new());
            Both { journal, store, plain, batches: 0, next_seq: 1, held: Vec::new() }
        }

        /// New messages with values of so many bytes, and some go. Whoever opens one of the stores then finds
        /// the same as in the other.
        fn turn(&mut self, values: &[usize], gone: Vec<Place>) {
            let mut puts = vec![(Key::Head, self.batches.to_be_bytes().to_vec())];
            for &bytes in values {
                let place = Place { seq: Seq(self.next_seq / 2), copy: (self.next_seq % 2) as u16 };
                puts.push((Key::Message(place), vec![self.next_seq as u8; bytes]));
                self.held.push(place);
                self.next_seq += 1;
            }
            let goes: BTreeSet<&Place> = gone.iter().collect();
            self.held.retain(|place| !goes.contains(place));
            self.batches += 1;
            let deletes = gone.into_iter().map(Key::Message).collect();
            let batch = Batch { number: self.batches, puts, deletes };
            self.plain.apply(&batch).expect("it works");
            self.store.apply(&self.journal.pack(batch)).expect("it works");
            let (rows, _) = replayed(&self.store).expect("rows of a journal");
            assert!(
                rows == self.plain.rows_mut().clone().into_iter().collect::<Rows>(),
                "the same rows in the same order"
            );
        }

        fn restart(&mut self) {
            self.journal = replayed(&self.store).expect("rows of a journal").1;
        }

        /// How many rows the journal has in the store, and how many messages have one of their own.
        fn stored(&mut self) -> (usize, usize) {
            let kind = |kind| self.store.clone().rows_mut().keys().filter(|key| key[0] == kind).count();
            (kind(b'j'), kind(b'm'))
        }
    }

    fn replayed(store: &Memory) -> Result<(Rows, Journal), RestoreError> {
        let (mut replay, mut rows) = (Replay::new(), Rows::new());
        let mut result = Ok(());
        let scanned = store.scan(&mut |key, value| {
            result = replay.add(key, value, &mut |key, value| {
                rows.push((key.to_vec(), value.to_vec()));
                Ok(())
            });
            result
        });
        result?;
        scanned.expect("memory does not fail");
        let journal = replay.finish(&mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            Ok(())
        })?;
        Ok((rows, journal))
    }

    #[test]
    fn a_message_that_is_acked_soon_never_has_a_row_of_its_own_and_leaves_none() {
        let mut both = Both::new();
        let mut last = Vec::new();
        for _ in 0..100 {
            both.turn(&[300; 64], std::mem::take(&mut last));
            last = both.held.clone();
            assert_eq!(both.stored(), (4, 0), "64 messages of 300 bytes in rows of 6 KiB");
        }
        both.turn(&[], last);
        assert_eq!(both.stored(), (0, 0));
    }

    #[test]
    fn a_message_that_stays_gets_its_row_when_the_journal_is_full() {
        let mut both = Both::new();
        both.turn(&[300], Vec::new());
        for turns in 2..=ROWS_MAX {
            let newest = both.held[1..].to_vec();
            both.turn(&[300], newest);
            assert_eq!(both.stored(), (turns, 0), "the oldest is in the way of all rows");
        }
        for others in 1..SETTLING_EVERY as usize {
            both.turn(&[300], Vec::new());
            assert_eq!(both.stored(), (ROWS_MAX, others), "who comes has no room");
        }
        both.turn(&[300], Vec::new());
        assert_eq!(both.stored(), (ROWS_MAX, SETTLING_EVERY as usize), "but in this batch");
        both.turn(&[], Vec::new());
        assert_eq!(both.stored(), (2, SETTLING_EVERY as usize), "and those behind the oldest are let go");
    }

    #[test]
    fn a_message_larger_than_the_journal_takes_has_its_row_at_once() {
        let mut both = Both::new();
        both.turn(&[VALUE_BYTES_MAX, VALUE_BYTES_MAX + 1], Vec::new());
        assert_eq!(both.stored(), (1, 1));
    }

    #[test]
    fn a_message_that_goes_with_the_batch_that_brings_it_leaves_no_trace() {
        let mut both = Both::new();
        both.turn(&[300], vec![Place { seq: Seq(0), copy: 1 }]);
        assert_eq!(both.stored(), (0, 0));
    }

    #[test]
    fn a_batch_larger_than_the_journal_is_written_whole() {
        let mut both = Both::new();
        both.turn(&[300; 3], Vec::new());
        both.turn(&[VALUE_BYTES_MAX; 5 * ROWS_MAX + 11], Vec::new());
        assert_eq!(both.stored(), (ROWS_MAX, 5 + 5 + 5 + 1), "five in a row, and four rows too many");
        let all = both.held.clone();
        both.turn(&[1], all);
        assert_eq!(both.stored(), (1, 0));
    }

    #[test]
    fn whatever_comes_and_goes_the_rows_are_those_of_a_store_without_a_journal() {
        let mut full = 0;
        for seed in 0..3 {
            let mut state = seed;
            let mut below = |bound: usize| {
                state = u64::wrapping_mul(state, 6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as usize % bound
            };
            let mut both = Both::new();
            for _ in 0..60 {
                let values: Vec<usize> = (0..below(300)).map(|_| 1 + below(VALUE_BYTES_MAX + 100)).collect();
                let percent_going = [1, 10, 60][seed as usize % 3];
                let mut gone = both.held.clone();
                gone.retain(|_| below(100) < percent_going);
                let dropped_at_once = Place { seq: Seq(both.next_seq / 2), copy: (both.next_seq % 2) as u16 };
                if !values.is_empty() && below(2) == 0 {
                    gone.push(dropped_at_once);
                }
                both.turn(&values, gone);
                full += usize::from(both.journal.rows.len() == ROWS_MAX);
                if below(4) == 0 {
                    both.restart();
                }
            }
        }
        assert!(full > 10, "the journal was full in {full} turns");
    }

    fn row(slot: u16, number: u64, place: Place) -> (Key, Vec<u8>) {
        let key = Key::Journal(slot);
        (key, JournalRow { number, entries: vec![(place, Some(b"value"))] }.encode(key))
    }

    #[test]
    fn rows_that_no_journal_has_written_are_a_contradiction() {
        let mut both = Both::new();
        (0..3).for_each(|_| both.turn(&[300], Vec::new()));
        let with = |(key, value): (Key, Vec<u8>)| {
            let mut store = both.store.clone();
            store.rows_mut().insert(key.encode().into_vec(), value);
            replayed(&store).map(drop)
        };
        let (held, new) = (both.held[0], Place::single(Seq(1_000)));
        assert_eq!(with(row(3, 3, new)), Ok(()));
        for (what, row) in [
            ("a number given twice", row(3, 2, new)),
            ("a number left out", row(3, 4, new)),
            ("a slot that there is none", row(ROWS_MAX as u16, 3, new)),
            ("a message in two rows of the journal", row(3, 3, held)),
            ("a message in the journal and in a row of its own", (Key::Message(held), b"value".to_vec())),
            ("another message in place of one", row(0, 1, new)),
        ] {
            assert_eq!(with(row), Err(RestoreError::Contradiction), "{what}");
        }
        let mut alone = Memory::new();
        let (key, value) = row(0, u64::MAX, new);
        alone.rows_mut().insert(key.encode().into_vec(), value);
        assert_eq!(
            replayed(&alone).map(drop),
            Err(RestoreError::Contradiction),
            "a number that ends the count"
        );
    }
}
