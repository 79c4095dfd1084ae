//! A row of the journal: what the rows of many messages would hold, in one. It does not know which messages
//! stand in the journal, and for how long.

use crate::base::Seq;

use super::reader::Reader;
use super::{Key, Place, Row, RowError, seal_with};

/// Bytes of a body before its entries.
const NUMBER_BYTES: usize = 8;
/// Bytes of an entry before its value.
const ENTRY_BYTES: usize = 8 + 2 + 2;

/// A row of the journal, which says what has changed since the one before it.
#[derive(Debug, PartialEq)]
pub struct JournalRow<'a> {
    /// Counts the journal's rows in the order in which they were written. Their keys do not: slots are used again.
    pub number: u64,
    /// Messages that have come, each with the value that a row of its own would have: at least 1 byte, at most
    /// 65,535. Those without one stand in an earlier row, and have gone.
    pub entries: Vec<(Place, Option<&'a [u8]>)>,
}

impl<'a> JournalRow<'a> {
    /// Bytes that an entry with this value takes of a row.
    pub fn entry_bytes(value: Option<&[u8]>) -> usize {
        ENTRY_BYTES + value.unwrap_or_default().len()
    }

    /// The value of the row under this key.
    pub fn encode(&self, key: Key) -> Vec<u8> {
        let bytes: usize = self.entries.iter().map(|&(_, value)| JournalRow::entry_bytes(value)).sum();
        seal_with(key, NUMBER_BYTES + bytes, |body| {
            body.extend(self.number.to_be_bytes());
            self.entries.iter().for_each(|&(place, value)| put_entry(body, place, value.unwrap_or_default()));
        })
    }

    /// Reads and checks the value of the row under this key.
    pub fn decode(key: Key, value: &[u8]) -> Result<JournalRow<'_>, RowError> {
        match Row::decode(&key.encode(), value)? {
            Row::Journal(row) => Ok(row),
            _ => Err(RowError::Key),
        }
    }

    pub(super) fn read(reader: &mut Reader<'a>) -> Option<JournalRow<'a>> {
        let number = reader.take_u64()?;
        let mut entries = Vec::new();
        while !reader.is_empty() {
            let place = Place { seq: Seq(reader.take_u64()?), copy: reader.take_u16()? };
            let bytes = reader.take_u16()?;
            let value = reader.take_bytes(bytes.into())?;
            entries.push((place, (!value.is_empty()).then_some(value)));
        }
        Some(JournalRow { number, entries })
    }
}

fn put_entry(body: &mut Vec<u8>, place: Place, value: &[u8]) {
    let bytes = u16::try_from(value.len()).expect("rows are bounded by MESSAGE_BYTES_MAX");
    body.extend(place.seq.0.to_be_bytes());
    body.extend(place.copy.to_be_bytes());
    body.extend(bytes.to_be_bytes());
    body.extend_from_slice(value);
}
