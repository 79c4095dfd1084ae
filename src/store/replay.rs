//! Brings the journal back from a store's rows, and hands on the rows that its queue has written: what stands
//! in the journal comes where a row of its own would.

use std::collections::{BTreeMap, VecDeque};

use crate::queue::{JournalRow, Key, KeyBytes, Place, RestoreError};

use super::TakeRow;
use super::journal::Journal;

/// No journal has counted so far.
const NUMBER_MAX: u64 = 1 << 62;

/// Takes all rows of a store in the order of their keys, in which the journal's come before all messages.
pub(super) struct Replay {
    /// Rows of the journal by number: slot and value.
    rows: BTreeMap<u64, (u16, Vec<u8>)>,
    journal: Journal,
    /// Messages of the journal that are still to be handed on.
    left: VecDeque<(KeyBytes, Place)>,
}

impl Replay {
    /// Starts with no row.
    pub fn new() -> Replay {
        Replay { rows: BTreeMap::new(), journal: Journal::starting_at(0), left: VecDeque::new() }
    }

    /// Takes a row, and hands on what comes up to it.
    pub fn add(&mut self, key: &[u8], value: &[u8], take: &mut TakeRow) -> Result<(), RestoreError> {
        if let Ok(Key::Journal(slot)) = Key::decode(key) {
            return self.add_journal(slot, value);
        }
        self.restore_journal()?;
        self.hand_on(|message| message < key, take)?;
        if self.left.front().is_some_and(|(message, _)| message[..] == *key) {
            return Err(RestoreError::Contradiction);
        }
        take(key, value)
    }

    /// Hands on what is left, and gives the journal as it was after the last batch that was applied.
    pub fn finish(mut self, take: &mut TakeRow) -> Result<Journal, RestoreError> {
        self.restore_journal()?;
        self.hand_on(|_| true, take)?;
        Ok(self.journal)
    }

    fn add_journal(&mut self, slot: u16, value: &[u8]) -> Result<(), RestoreError> {
        let number = JournalRow::decode(Key::Journal(slot), value)?.number;
        let is_new = self.rows.insert(number, (slot, value.to_vec())).is_none();
        if is_new && number <= NUMBER_MAX { Ok(()) } else { Err(RestoreError::Contradiction) }
    }

    /// Once the journal's rows are all there.
    fn restore_journal(&mut self) -> Result<(), RestoreError> {
        let rows = std::mem::take(&mut self.rows);
        let Some(&first) = rows.keys().next() else { return Ok(()) };
        self.journal = Journal::starting_at(first);
        for (slot, value) in rows.into_values() {
            let row = JournalRow::decode(Key::Journal(slot), &value)?;
            self.journal.restore_row(slot, row).ok_or(RestoreError::Contradiction)?;
        }
        self.left = self.journal.places().map(|place| (Key::Message(place).encode(), place)).collect();
        Ok(())
    }

    fn hand_on(&mut self, is_due: impl Fn(&[u8]) -> bool, take: &mut TakeRow) -> Result<(), RestoreError> {
        while let Some((key, place)) = self.left.front().filter(|(key, _)| is_due(key)) {
            take(key, self.journal.read(*place).expect("it stands there"))?;
            self.left.pop_front();
        }
        Ok(())
    }
}
