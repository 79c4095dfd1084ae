//! A connection of TLS 1.3 after its handshake, in little more than its two traffic secrets: a record layer of our
//! own (RFC 8446, sections 5 and 6) in place of rustls', which keeps some kilobytes for each. It knows no handshake
//! and no certificate; those stay rustls'.
//!
//! ```text
//! record ─▶ opened ─▶ application data ─▶ plaintext
//!                  ├▶ KeyUpdate ─▶ the next key inward, and outward if asked
//!                  ├▶ close_notify ─▶ closed
//!                  └▶ anything else ─▶ an alert, and the end
//! ```

mod capture;
mod error;
mod keys;
mod messages;
#[cfg(test)]
mod tests;

use rustls::{CipherSuite, ExtractedSecrets};

pub(super) use capture::Capture;
pub use error::RecordError;
pub(super) use keys::HEADER_BYTES;
use keys::{APPLICATION_DATA, Cipher, Direction, PLAINTEXT_BYTES_MAX, Suite, record_bytes};
use messages::{Messages, OWN_KEY_UPDATE, Peer};

/// Other types of what is in a record (RFC 8446, section 5.1).
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
/// Levels and descriptions of alerts (RFC 8446, section 6).
const WARNING: u8 = 1;
const FATAL: u8 = 2;
const CLOSE_NOTIFY: u8 = 0;
const USER_CANCELED: u8 = 90;
/// So many records go under one key: half of what AES-GCM allows (RFC 8446, section 5.5).
const RECORDS_PER_KEY_MAX: u64 = 1 << 23;
/// So many records in a row may bring nothing: each costs us as much as one that does.
const FRUITLESS_MAX: u8 = 32;

/// Which side of a connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Server,
    Device,
}

/// A connection that has shaken hands.
///
/// Feed [`Slim::read`] whole records as they stand in the stream, and give it again what it has not used, with
/// more behind it. After an error, or a close either way, it must not be asked any more. It wipes its secrets when
/// it is dropped.
#[derive(Debug)]
pub(super) struct Slim {
    inward: Direction,
    outward: Direction,
    messages: Messages,
    /// How many records in a row have brought nothing.
    fruitless: u8,
    is_resumed: bool,
}

/// What a read has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// So many bytes at the front are done with.
    pub(super) used: usize,
    /// The peer says no more; what follows is nothing.
    pub(super) is_closed: bool,
}

impl Slim {
    /// Goes on where a handshake has ended, by the secrets that `capture` has taken down. `None` if they are not
    /// those that rustls works with, or if the suite is none of TLS 1.3.
    pub(super) fn new(
        role: Role,
        suite: CipherSuite,
        capture: &Capture,
        extracted: &ExtractedSecrets,
        is_resumed: bool,
    ) -> Option<Slim> {
        let (suite, secrets) = (Suite::of(suite)?, capture.take());
        let (outward, inward, peer) = match role {
            Role::Server => (&secrets.server, &secrets.device, Peer::Device),
            Role::Device => (&secrets.device, &secrets.server, Peer::Server),
        };
        let outward = Direction::new(suite, outward, extracted.tx.0)?;
        let inward = Direction::new(suite, inward, extracted.rx.0)?;
        let is_same = outward.has_keys(&extracted.tx.1) && inward.has_keys(&extracted.rx.1);
        let messages = Messages::of(peer);
        is_same.then_some(Slim { inward, outward, messages, fruitless: 0, is_resumed })
    }

    /// Whether the handshake resumed an earlier connection.
    pub(super) fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// Opens the whole records at the front of `incoming`, in place: appends what they bring to `plaintext`, and
    /// what must be sent to `out`, on error too.
    pub(super) fn read(
        &mut self,
        incoming: &mut [u8],
        plaintext: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<Progress, RecordError> {
        let read = self.open_all(incoming, plaintext, out);
        if let Some(description) = read.err().and_then(RecordError::alert) {
            self.outward.cipher().seal(ALERT, &[FATAL, description], out);
        }
        read
    }

    /// Seals `plaintext` into as many records as it takes, and appends them to `out`.
    pub(super) fn write(&mut self, plaintext: &[u8], out: &mut Vec<u8>) {
        let mut cipher = self.outward.cipher();
        for content in plaintext.chunks(PLAINTEXT_BYTES_MAX) {
            if cipher.records() >= RECORDS_PER_KEY_MAX {
                update_key(&mut cipher, out);
            }
            cipher.seal(APPLICATION_DATA, content, out);
        }
    }

    /// Says that nothing more comes.
    pub(super) fn close(&mut self, out: &mut Vec<u8>) {
        self.outward.cipher().seal(ALERT, &[WARNING, CLOSE_NOTIFY], out);
    }

    fn open_all(
        &mut self,
        incoming: &mut [u8],
        plaintext: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<Progress, RecordError> {
        let Slim { inward, outward, messages, fruitless, .. } = self;
        let (mut progress, mut is_update_owed) = (Progress { used: 0, is_closed: false }, false);
        if whole_record(incoming)?.is_none() {
            return Ok(progress);
        }
        let mut cipher = inward.cipher();
        while let Some(record) = whole_record(&mut incoming[progress.used..])? {
            progress.used += record.len();
            let (kind, content) = cipher.open(record)?;
            if kind != HANDSHAKE && !messages.is_between() {
                return Err(RecordError::UnexpectedMessage);
            }
            *fruitless = if kind == APPLICATION_DATA && !content.is_empty() { 0 } else { *fruitless + 1 };
            match (kind, content) {
                (APPLICATION_DATA, content) => plaintext.extend_from_slice(content),
                (HANDSHAKE, content) => {
                    if let Some(update) = messages.take(content)? {
                        cipher.update();
                        is_update_owed |= update.is_requested;
                    }
                }
                (ALERT, [WARNING | FATAL, CLOSE_NOTIFY]) => {
                    progress.is_closed = true;
                    break;
                }
                (ALERT, [WARNING, USER_CANCELED]) => {}
                (ALERT, [WARNING | FATAL, description]) => {
                    return Err(RecordError::AlertReceived(*description));
                }
                (ALERT, [_, _]) => return Err(RecordError::IllegalParameter),
                (ALERT, _) => return Err(RecordError::Decode),
                _ => return Err(RecordError::UnexpectedMessage),
            }
            if *fruitless > FRUITLESS_MAX {
                return Err(RecordError::Fruitless);
            }
        }
        // One answer does for several updates that came together (RFC 8446, section 4.6.3).
        if is_update_owed {
            update_key(&mut outward.cipher(), out);
        }
        Ok(progress)
    }
}

/// The record at the front; `None` while it is not whole.
fn whole_record(front: &mut [u8]) -> Result<Option<&mut [u8]>, RecordError> {
    Ok(record_bytes(front)?.and_then(|bytes| front.get_mut(..bytes)))
}

/// Tells the peer of this side's next key, and takes that.
fn update_key(cipher: &mut Cipher<'_>, out: &mut Vec<u8>) {
    cipher.seal(HANDSHAKE, &OWN_KEY_UPDATE, out);
    cipher.update();
}
