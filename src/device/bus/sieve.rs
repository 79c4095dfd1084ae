//! What others on a bus may send, cut down to what our D-Bus library takes without ending the connection or filling
//! the memory. It knows the fixed part of a message's header, and nothing of what is in a message.
//!
//! A bus passes on what the specification says to ignore: types and flags of a message that nobody knows yet. The library
//! gives up the connection for them. And it reads messages of up to 128 MiB, many at once.
//!
//! ```text
//!            first byte of a message                16 bytes                     its end
//!  Greeting ─────────────────────────▶ Header ────────────────▶ Passing (n) ────────────▶ Header
//!                                                 └─ too large ─▶ … Skipping (n) ──┘
//! ```

use std::mem;

/// The fixed part of a header.
const HEADER_BYTES: usize = 16;
/// The longest other part that is let through. Names have 255 bytes at most, and so have the paths of all that is
/// served here.
const FIELDS_BYTES_MAX: usize = 16 * 1024;
/// The largest body that is let through: what a full mailbox of short messages takes in an answer.
const LET_THROUGH_BYTES_MAX: usize = 1024 * 1024;

const TYPES: std::ops::RangeInclusive<u8> = 1..=4;
/// A type that nobody here listens to.
const SIGNAL: u8 = 4;
/// The flags that the library knows.
const FLAGS: u8 = 0b111;

/// Cuts down the bytes of one connection, in the order in which they come.
#[derive(Debug)]
pub(super) struct Sieve {
    state: State,
}

#[derive(Debug)]
enum State {
    /// Lines of text come, before the first message. Whether the last byte ended one.
    Greeting { is_at_start: bool },
    /// The fixed part of a header comes; this much is there.
    Header(Vec<u8>),
    /// So many bytes are let through, and then so many are not.
    Body { passing: usize, skipping: usize },
}

impl Sieve {
    /// For a connection that has not said anything yet.
    pub(super) fn new() -> Sieve {
        Sieve { state: State::Greeting { is_at_start: true } }
    }

    /// Takes what has come, and adds to `out` what is let through.
    pub(super) fn take(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let taken = self.take_some(bytes, out);
            bytes = &bytes[taken..];
        }
    }

    /// How many bytes were taken: one at least, of a greeting perhaps none.
    fn take_some(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        match &mut self.state {
            // Only messages begin with the sign of their byte order.
            State::Greeting { is_at_start: true } if b"lB".contains(&bytes[0]) => {
                self.state = State::Header(Vec::new());
                0
            }
            State::Greeting { is_at_start } => {
                *is_at_start = bytes[0] == b'\n';
                out.push(bytes[0]);
                1
            }
            State::Header(header) => {
                let taken = bytes.len().min(HEADER_BYTES - header.len());
                header.extend(&bytes[..taken]);
                if header.len() == HEADER_BYTES {
                    self.state = judge(&mem::take(header), out);
                }
                taken
            }
            State::Body { passing, skipping } => {
                let passed = bytes.len().min(*passing);
                let skipped = (bytes.len() - passed).min(*skipping);
                out.extend(&bytes[..passed]);
                (*passing, *skipping) = (*passing - passed, *skipping - skipped);
                if (*passing, *skipping) == (0, 0) {
                    self.state = State::Header(Vec::new());
                }
                passed + skipped
            }
        }
    }
}

/// What becomes of a message with this header.
fn judge(header: &[u8], out: &mut Vec<u8>) -> State {
    let number = |at: usize| {
        let bytes = header[at..at + 4].try_into().expect("four");
        let number = if header[0] == b'l' { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
        number as usize
    };
    let (body, fields) = (number(4), number(12).next_multiple_of(8));
    if fields > FIELDS_BYTES_MAX {
        return body_or_next(0, fields + body);
    }
    let begin = out.len();
    out.extend(header);
    let passed = &mut out[begin..];
    if !TYPES.contains(&passed[1]) {
        passed[1] = SIGNAL;
    }
    passed[2] &= FLAGS;
    if body <= LET_THROUGH_BYTES_MAX {
        return body_or_next(fields + body, 0);
    }
    // Without its body it can still be refused.
    passed[4..8].fill(0);
    body_or_next(fields, body)
}

fn body_or_next(passing: usize, skipping: usize) -> State {
    match (passing, skipping) {
        (0, 0) => State::Header(Vec::new()),
        _ => State::Body { passing, skipping },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message with a header of `fields` bytes, and a body.
    fn message(kind: u8, flags: u8, fields: usize, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![b'l', kind, flags, 1];
        bytes.extend(u32::try_from(body.len()).expect("small").to_le_bytes());
        bytes.extend(7u32.to_le_bytes());
        bytes.extend(u32::try_from(fields).expect("small").to_le_bytes());
        bytes.resize(HEADER_BYTES + fields.next_multiple_of(8), b'f');
        bytes.extend(body);
        bytes
    }

    /// What is let through of these bytes, whichever pieces they come in.
    fn sieved(bytes: &[u8]) -> Vec<u8> {
        let in_pieces = |piece: usize| {
            let (mut sieve, mut out) = (Sieve::new(), Vec::new());
            bytes.chunks(piece).for_each(|piece| sieve.take(piece, &mut out));
            out
        };
        let whole = in_pieces(bytes.len());
        for piece in [1, 7, 16, 1000] {
            assert!(in_pieces(piece) == whole, "pieces of {piece}");
        }
        whole
    }

    #[test]
    fn a_greeting_and_what_can_be_dealt_with_pass_unchanged() {
        let greeting = b"OK 1234deadbeef\r\nAGREE_UNIX_FD\r\n".to_vec();
        let call = message(1, 1, 13, b"body");
        let empty = message(2, 0, 0, b"");
        let mut big_endian = message(4, 0, 8, b"");
        big_endian[0] = b'B';
        big_endian[12..16].reverse();
        let all = [greeting, call.clone(), empty, big_endian, call].concat();
        assert_eq!(sieved(&all), all);
    }

    #[test]
    fn a_type_that_nobody_knows_becomes_one_that_nobody_listens_to() {
        let next = message(1, 0, 8, b"next");
        for unknown in [0, 5, 255] {
            let sent = [message(unknown, 0, 8, b"odd"), next.clone()].concat();
            assert_eq!(sieved(&sent), [message(SIGNAL, 0, 8, b"odd"), next.clone()].concat());
        }
    }

    #[test]
    fn flags_that_nobody_knows_are_ignored() {
        assert_eq!(sieved(&message(1, 0xff, 8, b"")), message(1, FLAGS, 8, b""));
        assert_eq!(sieved(&message(1, 0x81, 8, b"")), message(1, 1, 8, b""));
    }

    #[test]
    fn a_body_beyond_the_limit_is_left_out_and_one_at_the_limit_is_not() {
        let next = message(1, 0, 8, b"next");
        let fits = message(1, 0, 8, &vec![b'x'; LET_THROUGH_BYTES_MAX]);
        assert!(sieved(&[fits.clone(), next.clone()].concat()) == [fits, next.clone()].concat());
        let large = message(1, 0, 8, &vec![b'x'; LET_THROUGH_BYTES_MAX + 1]);
        assert_eq!(sieved(&[large, next.clone()].concat()), [message(1, 0, 8, b""), next].concat());
    }

    #[test]
    fn a_header_beyond_the_limit_is_left_out_with_its_message() {
        let next = message(1, 0, 8, b"next");
        let large = message(1, 0, FIELDS_BYTES_MAX + 1, b"body");
        assert_eq!(sieved(&[large, next.clone()].concat()), next);
    }
}
