//! What a peer may send after its handshake, to a server with our own record layer and to one with rustls': both must
//! take the same and refuse the same, bring out the same plaintext, and say what a peer can decipher. Neither panics.
//! The peer seals by itself (`tls_records/direction.rs`), whatever it likes.
//!
//! An input is a suite, the piece in which the handshake comes, and then operations, as [`Run::operate`] says. What
//! is said waits until it is fed, so that much may come at once, and behind the handshake's last message.
//!
//! Where they may differ, and why that is right, says [`Run::is_ours_to_refuse`]; and each has its own patience with
//! records that bring nothing, so that no more come than both have.

mod direction;
mod handshake;
mod peer;
mod server;

use lomiri_push::tls::{Status, TlsError};

use super::script::Script;
use direction::{ALERT, APPLICATION_DATA, HANDSHAKE, Inner};
use handshake::Handshake;
use peer::Peer;
use server::Server;

/// The most that both take: ours refuses one more in a row, rustls one more of a kind.
const FRUITLESS_MAX: u32 = 32;
/// rustls takes so many warnings from a connection.
const WARNINGS_MAX: u32 = 4;
/// What a run may seal or write, in bytes, and how many things may happen in it: enough for all limits.
const RUN_BYTES_MAX: usize = 150_000;
const OPERATIONS_MAX: usize = 200;
/// So many pieces come of what is fed at once: what is shorter may come byte by byte.
const PIECES_MAX: usize = 128;
/// The longest content, and somewhat more (RFC 8446, section 5.1).
const CONTENT_BYTES_MAX: usize = (1 << 14) + 2;

/// Panics unless all of this holds for `input`.
pub fn check(input: &[u8]) {
    let mut script = Script::new(input);
    let (suite, piece) = (script.byte(), script.byte());
    let mut run = Run::new(suite, piece.into());
    for _ in 0..OPERATIONS_MAX {
        if script.is_over() || run.is_over {
            break;
        }
        run.operate(&mut script);
    }
    run.feed(usize::MAX);
    run.slim.assert_decipherable();
    run.stock.assert_decipherable();
}

/// The same happens to both servers.
struct Run {
    peer: Peer,
    slim: Server,
    stock: Server,
    /// So many records in a row have brought nothing.
    fruitless: u32,
    warnings: u32,
    spent_bytes: usize,
    /// A record of the handshake's type without content is on its way.
    has_empty_fragment: bool,
    /// They have nothing more to take.
    is_over: bool,
}

impl Run {
    fn new(suite: u8, piece: usize) -> Run {
        let handshake = Handshake::of(suite);
        let [slim, stock] = [true, false].map(|is_slim| Server::new(is_slim, handshake, 16 + piece));
        let (peer, fruitless, warnings) = (Peer::new(handshake), 0, 0);
        let (spent_bytes, has_empty_fragment, is_over) = (0, false, false);
        Run { peer, slim, stock, fruitless, warnings, spent_bytes, has_empty_fragment, is_over }
    }

    fn operate(&mut self, script: &mut Script) {
        match script.byte() % 16 {
            0 => self.feed(script.number().into()),
            1 => {
                let bytes = script.byte();
                self.seal(&Inner::new(APPLICATION_DATA, script.bytes(bytes.into()), 0));
            }
            2 => {
                let (kind, fill) = (script.byte(), script.byte());
                let (bytes, padding) = (script.number().into(), script.number().into());
                self.seal_filled(kind, fill, bytes, padding);
            }
            3 => {
                let bytes = script.byte() % 16;
                self.seal(&Inner::new(HANDSHAKE, script.bytes(bytes.into()), 0));
            }
            4 => self.update_key(script.byte()),
            5 => self.seal(&Inner::new(ALERT, script.bytes(2), 0)),
            6 => {
                let bytes = script.byte() % 32;
                let raw = script.bytes(bytes.into());
                self.peer.say(raw);
            }
            7 => {
                let (place, bit) = (script.number().into(), script.byte() % 8);
                self.peer.flip(place, bit);
            }
            8 => self.peer.cut(script.number().into()),
            9 => self.peer.replay(),
            10 => self.write(script.number().into()),
            11 => {
                self.slim.close();
                self.stock.close();
            }
            12 => (0..script.byte() % 40).for_each(|_| self.seal(&Inner::new(APPLICATION_DATA, &[], 0))),
            13 => self.seal(&Inner::new(ALERT, &[1, 90], 0)),
            14 => self.seal(&Inner::new(script.byte(), script.bytes(2), script.byte().into())),
            _ => self.peer.lose_one(),
        }
    }

    fn seal_filled(&mut self, kind: u8, fill: u8, bytes: usize, padding: usize) {
        let bytes = bytes % (CONTENT_BYTES_MAX + 1);
        // Not more padding than makes a record too long by a little.
        let padding = padding % (CONTENT_BYTES_MAX + 1 - bytes);
        self.seal(&Inner::new(kind, &vec![fill; bytes], padding));
    }

    /// One that both have the patience for.
    fn seal(&mut self, inner: &Inner) {
        let (kind, content) = inner.meaning();
        let is_fruitless = kind != APPLICATION_DATA || content.is_empty();
        let is_warning = kind == ALERT && content.first() == Some(&1);
        let is_patience_over = is_fruitless && self.fruitless == FRUITLESS_MAX;
        self.spent_bytes += inner.bytes.len();
        let is_too_much = self.spent_bytes > RUN_BYTES_MAX;
        if is_patience_over || is_warning && self.warnings == WARNINGS_MAX || is_too_much {
            return;
        }
        self.fruitless = if is_fruitless { self.fruitless + 1 } else { 0 };
        self.warnings += u32::from(is_warning);
        self.has_empty_fragment |= kind == HANDSHAKE && content.is_empty();
        self.peer.seal(inner);
    }

    /// In up to two pieces; the peer's next key follows.
    fn update_key(&mut self, how: u8) {
        let message = [24, 0, 0, 1, how & 1];
        let cut = usize::from(how >> 1) % message.len();
        if self.fruitless + 2 > FRUITLESS_MAX {
            return;
        }
        let pieces = message.split_at(cut);
        for piece in [pieces.0, pieces.1].into_iter().filter(|piece| !piece.is_empty()) {
            self.seal(&Inner::new(HANDSHAKE, piece, 0));
        }
        self.peer.update_key();
    }

    fn write(&mut self, bytes: usize) {
        self.spent_bytes += bytes;
        if self.spent_bytes <= RUN_BYTES_MAX {
            let (slim, stock) = (self.slim.write(bytes), self.stock.write(bytes));
            assert_eq!(slim, stock, "a write of {bytes} bytes");
        }
    }

    /// What waits comes to both, in pieces of so many bytes, or somewhat longer ones.
    fn feed(&mut self, piece: usize) {
        let mut for_slim = self.peer.take_said();
        let mut for_stock = for_slim.clone();
        let piece = piece.max(for_slim.len().div_ceil(PIECES_MAX)).max(1);
        for (for_slim, for_stock) in for_slim.chunks_mut(piece).zip(for_stock.chunks_mut(piece)) {
            if self.is_over {
                return;
            }
            self.peer.watch_headers(for_slim);
            let slim = self.slim.read(for_slim, &mut self.peer);
            let stock = self.stock.read(for_stock, &mut self.peer);
            self.compare(slim, stock);
        }
    }

    fn compare(&mut self, slim: Result<Status, TlsError>, stock: Result<Status, TlsError>) {
        self.is_over = slim.is_err() || stock.is_err();
        if slim.is_err() && self.is_ours_to_refuse() {
            assert!(self.stock.plaintext.starts_with(&self.slim.plaintext), "other plaintext came out");
            return;
        }
        match (slim, stock) {
            (Ok(slim), Ok(stock)) => assert_eq!(slim, stock),
            (Err(_), Err(_)) => {}
            (Err(error), Ok(_)) => self.stock.assert_refuses_in_the_end(&mut self.peer, &error),
            (Ok(_), Err(error)) => self.slim.assert_refuses_in_the_end(&mut self.peer, &error),
        }
        assert_eq!(self.slim.is_handshaking(), self.stock.is_handshaking());
        assert!(self.slim.plaintext == self.stock.plaintext, "other plaintext came out");
        self.slim.plaintext.clear();
        self.stock.plaintext.clear();
    }

    /// RFC 8446 wants these refused, and rustls takes them:
    /// - A record with another header than that which a sender seals (sections 5.2: the header is what is
    ///   authenticated beside the ciphertext, and its type is always that of application data). rustls authenticates
    ///   the header that should be there.
    /// - A fragment of a handshake message that is empty (section 5.1).
    fn is_ours_to_refuse(&self) -> bool {
        self.peer.has_odd_header() || self.has_empty_fragment
    }
}
