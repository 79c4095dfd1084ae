//! Takes a row apart from its front; `None` as soon as something is missing or malformed.

use std::str::FromStr;

use crate::base::Wall;

pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(taken)
    }

    pub fn take_u8(&mut self) -> Option<u8> {
        self.take().map(|&[byte]| byte)
    }

    pub fn take_u16(&mut self) -> Option<u16> {
        self.take().map(|bytes| u16::from_be_bytes(*bytes))
    }

    pub fn take_u64(&mut self) -> Option<u64> {
        self.take().map(|bytes| u64::from_be_bytes(*bytes))
    }

    pub fn take_wall(&mut self) -> Option<Wall> {
        self.take_u64().map(Wall)
    }

    pub fn take_bytes(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn take_text(&mut self, bytes: usize) -> Option<&'a str> {
        std::str::from_utf8(self.take_bytes(bytes)?).ok()
    }

    /// An id behind a length of one byte.
    pub fn take_id<Id: FromStr>(&mut self) -> Option<Id> {
        let bytes = self.take_u8()?;
        self.take_text(bytes.into())?.parse().ok()
    }

    /// The same, where no text at all is no id.
    pub fn take_id_if_any<Id: FromStr>(&mut self) -> Option<Option<Id>> {
        if self.0.first() == Some(&0) {
            return self.take_u8().map(|_| None);
        }
        self.take_id().map(Some)
    }

    pub fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}
