//! What has shaken hands with both servers, and then says what it likes, to both the same.

use super::direction::{APPLICATION_DATA, Direction, FRONT, Inner};
use super::handshake::Handshake;

/// A longer record is refused by its header; rustls allows as much in TLS 1.2.
const RECORD_BYTES_MAX: usize = 5 + (1 << 14) + 2_048;
/// What a device may send before its Finished, for old middleboxes (RFC 8446, section D.4).
const CHANGE_CIPHER_SPEC: [u8; 6] = [20, 3, 3, 0, 1, 1];

pub struct Peer {
    up: Direction,
    /// What is said, but not fed yet.
    said: Vec<u8>,
    /// The record that was sealed last.
    last: Vec<u8>,
    /// What was fed from the last record on that was not whole; it shows where records begin.
    front: Vec<u8>,
    has_odd_header: bool,
    is_first_record: bool,
}

impl Peer {
    /// Its last flight waits to be fed.
    pub fn new(handshake: &Handshake) -> Peer {
        let (said, last, front) = (handshake.finish.clone(), Vec::new(), Vec::new());
        let up = Direction::new(handshake.suite, handshake.secrets[0].clone());
        Peer { up, said, last, front, has_odd_header: false, is_first_record: true }
    }

    pub fn say(&mut self, bytes: &[u8]) {
        self.said.extend_from_slice(bytes);
    }

    pub fn seal(&mut self, inner: &Inner) {
        self.last = self.up.seal(inner);
        self.said.extend_from_slice(&self.last);
    }

    pub fn update_key(&mut self) {
        self.up.update();
    }

    pub fn flip(&mut self, place: usize, bit: u8) {
        if !self.said.is_empty() {
            let place = place % self.said.len();
            self.said[place] ^= 1 << bit;
        }
    }

    /// So many bytes at the end get lost.
    pub fn cut(&mut self, bytes: usize) {
        let rest = self.said.len().saturating_sub(bytes);
        self.said.truncate(rest);
    }

    pub fn replay(&mut self) {
        self.said.extend_from_slice(&self.last);
    }

    /// A record gets lost, as far as a server can see.
    pub fn lose_one(&mut self) {
        self.up.sequence += 1;
    }

    /// All that was said.
    pub fn take_said(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.said)
    }

    /// This is fed.
    pub fn watch_headers(&mut self, bytes: &[u8]) {
        self.front.extend_from_slice(bytes);
        while !self.front.is_empty() {
            let is_expected = FRONT.iter().zip(&self.front).all(|(front, byte)| front == byte);
            let is_handshakes = self.is_first_record && self.front.starts_with(&CHANGE_CIPHER_SPEC);
            self.has_odd_header |= !is_expected && !is_handshakes;
            let Some(length) = self.front_record_bytes() else { return };
            if self.front.len() < length {
                return;
            }
            self.is_first_record = false;
            self.front.drain(..length);
        }
    }

    fn front_record_bytes(&self) -> Option<usize> {
        let [_, _, _, high, low] = self.front.first_chunk()?;
        Some(5 + usize::from(u16::from_be_bytes([*high, *low])))
    }

    /// Some record that was fed did not begin as records do.
    pub fn has_odd_header(&self) -> bool {
        self.has_odd_header
    }

    /// What makes the record whole that has come in part.
    pub fn rest(&self) -> Vec<u8> {
        let whole = self.front_record_bytes().unwrap_or(RECORD_BYTES_MAX);
        if self.front.is_empty() { Vec::new() } else { vec![0; whole - self.front.len()] }
    }

    /// Data that a server takes unless it has refused something, or a message has come in part.
    pub fn late_data(&mut self) -> Vec<u8> {
        let sealed = self.up.seal(&Inner::new(APPLICATION_DATA, b"more", 0));
        self.up.sequence -= 1;
        sealed
    }
}
