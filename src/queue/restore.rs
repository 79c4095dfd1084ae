//! A queue from its rows, each of them checked, and none missed without a word.

use std::sync::Arc;

use crate::base::{Level, Payload, Seq, Token};

use super::command::Broadcast;
use super::limits::Limits;
use super::names::DeviceKey;
use super::pending::{Pending, PendingIndex};
use super::rows::{BroadcastRow, Census, Head, Key, MessageRow, RegistrationRow, Row, RowError};
use super::state::Queue;

/// Why rows are not those that a queue has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// One of them cannot be read.
    #[error("a row is damaged: {0}")]
    Row(#[from] RowError),
    /// There are rows, but the head is not among them.
    #[error("the head row is missing among {0} rows")]
    NoHead(u64),
    /// The head counts other rows than there are.
    #[error("{found} rows where {written} were written, or others than those")]
    Census {
        /// How many the head counts.
        written: u64,
        /// How many there are.
        found: u64,
    },
    /// Rows contradict one another, though each was written by a queue.
    #[error("rows contradict one another")]
    Contradiction,
}

/// Takes a queue's rows, each once, in the order of their keys; then makes the queue of them.
pub struct Restore {
    queue: Queue,
    messages: Vec<((DeviceKey, Seq), Pending)>,
    head: Option<Head>,
    found: Census,
}

impl Restore {
    /// Starts with no row.
    pub fn new(limits: Limits) -> Restore {
        Restore { queue: Queue::new(limits), messages: Vec::new(), head: None, found: Census::default() }
    }

    /// Takes one row.
    pub fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), RestoreError> {
        let row = Row::decode(key, value)?;
        if !matches!(row, Row::Head(_)) {
            self.found.add(Key::decode(key)?);
        }
        match row {
            Row::Head(head) => self.head = Some(head),
            Row::Broadcast(_, level, row) => self.add_broadcast(level, &row),
            Row::Message(row) => self.add_message(&row, value.len()),
            Row::Registration(token, row) => self.add_registration(token, &row)?,
        }
        Ok(())
    }

    fn add_broadcast(&mut self, level: Level, row: &BroadcastRow) {
        let payload = Payload::from_stored(row.payload.to_vec().into());
        self.queue.channel.live.push(Arc::new(Broadcast { level, expires: row.expires, payload }));
    }

    fn add_message(&mut self, row: &MessageRow, size: usize) {
        let message = self.queue.hold_message(row, size);
        self.messages.push(message);
    }

    fn add_registration(&mut self, token: Token, row: &RegistrationRow) -> Result<(), RestoreError> {
        let is_new = self.queue.hold_registration(row, token);
        is_new.then_some(()).ok_or(RestoreError::Contradiction)
    }

    /// The queue as it was when the last of its batches was written.
    pub fn finish(mut self) -> Result<Queue, RestoreError> {
        let head = match self.head {
            Some(head) => head,
            None if self.found == Census::default() => return Ok(self.queue),
            None => return Err(RestoreError::NoHead(self.found.rows)),
        };
        if head.census != self.found {
            return Err(RestoreError::Census { written: head.census.rows, found: self.found.rows });
        }
        self.queue.pending = PendingIndex::of_all(self.messages);
        self.queue.head = head;
        self.queue.channel.top = head.top;
        Ok(self.queue)
    }
}
