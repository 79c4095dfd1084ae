//! A queue from its rows, each of them checked, and none missed without a word.

use std::sync::Arc;

use crate::base::{ChannelId, Level, Payload, Seq};

use super::answer::Broadcast;
use super::decide::Found;
use super::enrolments::OpenCode;
use super::limits::Limits;
use super::rows::{BroadcastRow, Census, Head, Key, MessageRow, Row, RowError};
use super::state::Queue;

/// Beyond this no number in a head can be one that a queue has counted to: one a nanosecond takes 146
/// years. Nor could a queue count on from there for ever.
const COUNT_MAX: u64 = 1 << 62;

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
    last_message: Option<Seq>,
    /// The latest of the messages whose fate is kept.
    last_tracked: Option<Seq>,
    head: Option<Head>,
    found: Census,
}

fn is_new(is_new: bool) -> Result<(), RestoreError> {
    if is_new { Ok(()) } else { Err(RestoreError::Contradiction) }
}

impl Restore {
    /// Starts with no row.
    pub fn new(limits: Limits) -> Restore {
        Restore {
            queue: Queue::new(limits),
            last_message: None,
            last_tracked: None,
            head: None,
            found: Census::default(),
        }
    }

    /// Takes one row.
    pub fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), RestoreError> {
        let row = Row::decode(key, value)?;
        if !matches!(row, Row::Head(_)) {
            self.found.add(Key::decode(key)?);
        }
        match row {
            Row::Head(head) => self.head = Some(head),
            // The store's own: the queue knows the messages in it alone.
            Row::Journal(_) => return Err(RestoreError::Contradiction),
            Row::Broadcast(channel, level, row) => self.add_broadcast(channel, level, &row)?,
            Row::Message(row) => self.add_message(&row, value.len())?,
            Row::Registration(token, row) => is_new(self.queue.hold_registration(&row, token))?,
            Row::UserToken(token, row) => is_new(self.queue.hold_user_token(&row, token))?,
            Row::BoundApp(row) => drop(self.queue.bound_apps.insert(row.app, row.key)),
            Row::Code(secret, row) => {
                let user = self.queue.users.hold(&row.user);
                self.queue.codes.insert(secret, OpenCode { user, expires: row.expires });
            }
            Row::Device(row) => match row.revoked {
                Some(since) => self.queue.hold_leaving_device(&row, since),
                None => self.queue.hold_device(&row),
            },
            Row::ErasedUser(row) => self.queue.hold_erased_user(&row.user),
            Row::Tracked(row) => {
                self.last_tracked = Some(row.id.seq());
                self.queue.hold_tracked(row);
            }
        }
        Ok(())
    }

    fn add_broadcast(
        &mut self,
        channel: ChannelId,
        level: Level,
        row: &BroadcastRow,
    ) -> Result<(), RestoreError> {
        if channel != ChannelId::SYSTEM || level < Level(1) {
            return Err(RestoreError::Contradiction);
        }
        let payload = Payload::from_stored(row.payload.to_vec().into());
        self.queue.channel.live.push(Arc::new(Broadcast { level, expires: row.expires, payload }));
        Ok(())
    }

    fn add_message(&mut self, row: &MessageRow, size: usize) -> Result<(), RestoreError> {
        let size = u16::try_from(size).map_err(|_| RowError::Body)?;
        let last = self.last_message.replace(row.id.seq());
        if last > self.last_message {
            return Err(RestoreError::Contradiction);
        }
        let (key, pending) = self.queue.hold_message(row, size, Found::default());
        // A device has one copy of a message, and the copies of a message follow one another.
        is_new(self.queue.pending.insert_restored(key, pending))
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
        if !self.agrees_with(&head) {
            return Err(RestoreError::Contradiction);
        }
        self.queue.pending.index_expiry();
        self.queue.head = head;
        self.queue.channel.top = head.top;
        self.queue.end_rights_of_leaving();
        Ok(self.queue)
    }

    /// Whether the head has counted all that there is, and can count on.
    fn agrees_with(&self, head: &Head) -> bool {
        let last_seq = self.last_message.max(self.last_tracked);
        let last_level = self.queue.channel.live.last().map(|broadcast| broadcast.level);
        let is_countable = |number: u64| number <= COUNT_MAX;
        last_seq.is_none_or(|last| last < head.next_seq)
            && last_level.is_none_or(|last| last <= head.top)
            && u64::try_from(head.top.0).is_ok_and(is_countable)
            && [head.batch, head.next_seq.0].into_iter().all(is_countable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{MessageId, Token, Urgency, Wall};
    use crate::queue::Place;
    use crate::queue::fates::Tracked;

    type Sealed = (Key, Vec<u8>);

    fn broadcast(channel: ChannelId, level: i64) -> Sealed {
        let key = Key::Broadcast(channel, Level(level));
        (key, BroadcastRow { expires: Wall(9), payload: b"{}" }.encode(key))
    }

    fn row(seq: u64, payload: &[u8]) -> MessageRow<'_> {
        MessageRow {
            id: MessageId::new(Seq(seq), [7; 8]),
            copy: 0,
            device: "carol".parse().expect("valid"),
            app: "chatter".parse().expect("valid"),
            expires: Wall(9),
            urgency: Urgency::Normal,
            tag: None,
            payload,
        }
    }

    fn tracked(seq: u64) -> Sealed {
        let row = Tracked {
            id: MessageId::new(Seq(seq), [7; 8]),
            app: "chatter".parse().expect("valid"),
            user: None,
            token: Token([7; 16]),
            sent: Wall(1),
            repeat: None,
            fates: Vec::new(),
        };
        (Key::Tracked(Seq(seq)), row.encode())
    }

    fn message(seq: u64, payload: &[u8]) -> Sealed {
        (Key::Message(Place::single(Seq(seq))), row(seq, payload).encode())
    }

    /// What comes of these rows beside a head that counts them.
    fn restore(rows: &[Sealed], head: Head) -> Result<(), RestoreError> {
        let mut restore = Restore::new(Limits::default());
        let mut census = Census::default();
        for (key, value) in rows {
            census.add(*key);
            restore.add(&key.encode(), value)?;
        }
        restore.add(&Key::Head.encode(), &Head { census, ..head }.encode())?;
        restore.finish().map(drop)
    }

    const HEAD: Head = Head {
        batch: 5,
        next_seq: Seq(3),
        wall: Wall(1),
        top: Level(2),
        census: Census { rows: 0, digest: 0 },
    };

    #[test]
    fn rows_that_the_head_has_counted_are_a_queue() {
        let rows =
            [broadcast(ChannelId::SYSTEM, 1), broadcast(ChannelId::SYSTEM, 2), message(2, b"{}"), tracked(2)];
        assert_eq!(restore(&rows, HEAD), Ok(()));
    }

    #[test]
    fn a_row_that_no_queue_writes_beside_this_head_is_a_contradiction() {
        let cases = [
            broadcast(ChannelId([1; 16]), 1),
            broadcast(ChannelId::SYSTEM, 0),
            broadcast(ChannelId::SYSTEM, -1),
            broadcast(ChannelId::SYSTEM, 3),
            message(3, b"{}"),
            tracked(3),
        ];
        for row in cases {
            let key = row.0;
            assert_eq!(restore(&[row], HEAD), Err(RestoreError::Contradiction), "{key:?}");
        }
    }

    #[test]
    fn two_copies_of_a_message_for_one_device_are_a_contradiction() {
        let second = Place { seq: Seq(2), copy: 1 };
        let copy = MessageRow { copy: 1, ..row(2, b"{}") };
        let rows = [message(2, b"{}"), (Key::Message(second), copy.encode())];
        assert_eq!(restore(&rows, HEAD), Err(RestoreError::Contradiction));
    }

    #[test]
    fn rows_out_of_order_are_no_queues() {
        let head = Head { next_seq: Seq(9), ..HEAD };
        let (first, second) = (message(1, b"1"), message(2, b"1"));
        assert_eq!(restore(&[first.clone(), second.clone()], head), Ok(()));
        assert_eq!(restore(&[second, first], head), Err(RestoreError::Contradiction));
    }

    #[test]
    fn a_head_that_could_not_count_on_is_a_contradiction() {
        let cases = [
            Head { batch: u64::MAX, ..HEAD },
            Head { next_seq: Seq(u64::MAX), ..HEAD },
            Head { top: Level(i64::MAX), ..HEAD },
            Head { top: Level(-1), ..HEAD },
        ];
        for head in cases {
            assert_eq!(restore(&[], head), Err(RestoreError::Contradiction), "{head:?}");
        }
    }

    #[test]
    fn a_row_longer_than_any_that_is_written_is_damaged() {
        let row = message(1, &[b'7'; 1 << 16]);
        assert_eq!(restore(&[row], HEAD), Err(RestoreError::Row(RowError::Body)));
    }
}
