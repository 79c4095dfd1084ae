//! The keys of one direction of a connection (RFC 8446, sections 5.2, 5.3, 7.2 and 7.3): from the traffic secret,
//! one record after the other. It knows records' bytes, not what they are for.

use std::fmt;

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{self, KeyType, Prk};
use rustls::{CipherSuite, ConnectionTrafficSecrets};
use zeroize::{Zeroize, Zeroizing};

use super::error::RecordError;

/// The longest traffic secret: a digest of SHA-384.
const SECRET_BYTES_MAX: usize = 48;
/// The longest key: of AES-256 and ChaCha20.
const KEY_BYTES_MAX: usize = 32;
const IV_BYTES: usize = 12;
/// Both ciphers' tags.
const TAG_BYTES: usize = 16;
/// What a record is beside its ciphertext: type, version, length.
pub(in crate::tls) const HEADER_BYTES: usize = 5;
/// The longest plaintext in a record (RFC 8446, section 5.1).
pub(super) const PLAINTEXT_BYTES_MAX: usize = 1 << 14;
/// The longest ciphertext in a record (RFC 8446, section 5.2).
const CIPHERTEXT_BYTES_MAX: usize = PLAINTEXT_BYTES_MAX + 256;
/// What an enciphered record says that it is, whatever is in it, and the version that it bears for old middleboxes.
pub(super) const APPLICATION_DATA: u8 = 23;
const LEGACY_VERSION: [u8; 2] = [3, 3];

/// The algorithms that both sides have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suite {
    Aes128GcmSha256,
    Aes256GcmSha384,
    ChaCha20Poly1305Sha256,
}

impl Suite {
    /// `None` for those of TLS 1.2.
    pub(super) fn of(suite: CipherSuite) -> Option<Suite> {
        match suite {
            CipherSuite::TLS13_AES_128_GCM_SHA256 => Some(Suite::Aes128GcmSha256),
            CipherSuite::TLS13_AES_256_GCM_SHA384 => Some(Suite::Aes256GcmSha384),
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => Some(Suite::ChaCha20Poly1305Sha256),
            _ => None,
        }
    }

    fn aead(self) -> &'static aead::Algorithm {
        match self {
            Suite::Aes128GcmSha256 => &aead::AES_128_GCM,
            Suite::Aes256GcmSha384 => &aead::AES_256_GCM,
            Suite::ChaCha20Poly1305Sha256 => &aead::CHACHA20_POLY1305,
        }
    }

    fn hkdf(self) -> hkdf::Algorithm {
        match self {
            Suite::Aes128GcmSha256 | Suite::ChaCha20Poly1305Sha256 => hkdf::HKDF_SHA256,
            Suite::Aes256GcmSha384 => hkdf::HKDF_SHA384,
        }
    }

    fn secret_bytes(self) -> usize {
        match self {
            Suite::Aes128GcmSha256 | Suite::ChaCha20Poly1305Sha256 => 32,
            Suite::Aes256GcmSha384 => SECRET_BYTES_MAX,
        }
    }
}

/// The secret, the IV that it expands to, and the key where that fits into what the longest secret takes anyway. It
/// does for AES-128, on which nearly all agree; for the others it is expanded anew each time.
const KEPT_BYTES: usize = SECRET_BYTES_MAX + IV_BYTES;

/// What one direction keeps between its records. It is never copied: a number that is used twice under one key
/// gives the plaintext away.
pub(super) struct Direction {
    kept: [u8; KEPT_BYTES],
    /// Of the next record under this secret, as it goes into the nonce. A `u64` would be aligned, and make a
    /// connection larger.
    sequence: [u8; 8],
    suite: Suite,
}

impl Direction {
    /// `None` if `secret` is not one of `suite`'s.
    pub(super) fn new(suite: Suite, secret: &[u8], sequence: u64) -> Option<Direction> {
        if secret.len() != suite.secret_bytes() {
            return None;
        }
        let mut direction = Direction { kept: [0; KEPT_BYTES], sequence: sequence.to_be_bytes(), suite };
        direction.kept[..secret.len()].copy_from_slice(secret);
        direction.expand();
        Some(direction)
    }

    /// The secret, the IV, and the key if it is kept.
    fn parts(&self) -> (&[u8], &[u8; IV_BYTES], Option<&[u8]>) {
        let (secret, rest) = self.kept.split_at(self.suite.secret_bytes());
        let (iv, key) = rest.split_first_chunk().expect("the longest secret leaves as much");
        (secret, iv, (key.len() == self.suite.aead().key_len()).then_some(key))
    }

    /// Makes the rest of what is kept from the secret.
    fn expand(&mut self) {
        let (secret, rest) = self.kept.split_at_mut(self.suite.secret_bytes());
        let secret = Prk::new_less_safe(self.suite.hkdf(), secret);
        let (iv, key) = rest.split_at_mut(IV_BYTES);
        expand(&secret, b"iv", iv);
        if key.len() == self.suite.aead().key_len() {
            expand(&secret, b"key", key);
        }
    }

    /// Lends out the key.
    fn with_key<T>(&self, take: impl FnOnce(&[u8]) -> T) -> T {
        let (secret, _, key) = self.parts();
        if let Some(key) = key {
            return take(key);
        }
        let mut key = Zeroizing::new([0; KEY_BYTES_MAX]);
        let key = &mut key[..self.suite.aead().key_len()];
        expand(&Prk::new_less_safe(self.suite.hkdf(), secret), b"key", key);
        take(key)
    }

    /// Whether its keys are these, which rustls has computed from the same secret.
    pub(super) fn has_keys(&self, expected: &ConnectionTrafficSecrets) -> bool {
        let (suite, key, iv) = match expected {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (Suite::Aes128GcmSha256, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (Suite::Aes256GcmSha384, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                (Suite::ChaCha20Poly1305Sha256, key, iv)
            }
            _ => return false,
        };
        let (_, our_iv, _) = self.parts();
        suite == self.suite && our_iv == iv.as_ref() && self.with_key(|ours| ours == key.as_ref())
    }

    /// What seals or opens the next records. The cipher's own tables are made anew each time, for an idle
    /// direction is to be small.
    pub(super) fn cipher(&mut self) -> Cipher<'_> {
        let key = self.cipher_key();
        Cipher { direction: self, key }
    }

    fn cipher_key(&self) -> LessSafeKey {
        let key = self.with_key(|key| UnboundKey::new(self.suite.aead(), key));
        LessSafeKey::new(key.expect("it has its algorithm's length"))
    }

    fn sequence(&self) -> u64 {
        u64::from_be_bytes(self.sequence)
    }

    #[cfg(test)]
    pub(super) fn pretend_records(&mut self, records: u64) {
        self.sequence = records.to_be_bytes();
    }
}

impl Drop for Direction {
    fn drop(&mut self) {
        self.kept.zeroize();
    }
}

/// Tells nothing that is secret.
impl fmt::Debug for Direction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Direction")
            .field("suite", &self.suite)
            .field("sequence", &self.sequence())
            .finish_non_exhaustive()
    }
}

/// A direction at work, for as long as some records are sealed or opened.
pub(super) struct Cipher<'a> {
    direction: &'a mut Direction,
    key: LessSafeKey,
}

impl Cipher<'_> {
    /// Appends a record with `content`, at most [`PLAINTEXT_BYTES_MAX`] of type `kind`, to `out`.
    pub(super) fn seal(&mut self, kind: u8, content: &[u8], out: &mut Vec<u8>) {
        let length = content.len() + 1 + TAG_BYTES;
        let header = header(length);
        out.reserve(HEADER_BYTES + length);
        out.extend_from_slice(&header);
        let begin = out.len();
        out.extend_from_slice(content);
        out.push(kind);
        let (nonce, aad) = (self.next_nonce(), Aad::from(header));
        let tag = self.key.seal_in_place_separate_tag(nonce, aad, &mut out[begin..]);
        out.extend_from_slice(tag.expect("a record is far shorter than a cipher's limit").as_ref());
    }

    /// Deciphers a whole record in place: its type and its content.
    pub(super) fn open<'r>(&mut self, record: &'r mut [u8]) -> Result<(u8, &'r [u8]), RecordError> {
        let (header, ciphertext) = record.split_at_mut(HEADER_BYTES);
        let (nonce, aad) = (self.next_nonce(), Aad::from(&*header));
        let inner = self.key.open_in_place(nonce, aad, ciphertext);
        let inner: &[u8] = inner.map_err(|_| RecordError::BadRecordMac)?;
        // Behind the content stand its type, and zeros that hide its length.
        let end = inner.iter().rposition(|byte| *byte != 0).ok_or(RecordError::UnexpectedMessage)?;
        if inner.len() > PLAINTEXT_BYTES_MAX + 1 {
            return Err(RecordError::RecordOverflow);
        }
        Ok((inner[end], &inner[..end]))
    }

    /// How many records have gone under this key.
    pub(super) fn records(&self) -> u64 {
        self.direction.sequence()
    }

    /// From here on the direction has its next secret (RFC 8446, section 7.2).
    pub(super) fn update(&mut self) {
        let Direction { kept, sequence, suite } = self.direction;
        let secret = &mut kept[..suite.secret_bytes()];
        let current = Prk::new_less_safe(suite.hkdf(), secret);
        expand(&current, b"traffic upd", secret);
        *sequence = [0; 8];
        self.direction.expand();
        self.key = self.direction.cipher_key();
    }

    /// The number goes with the record, whether or not that can be opened.
    fn next_nonce(&mut self) -> Nonce {
        let (_, iv, _) = self.direction.parts();
        let (mut nonce, number) = (*iv, self.direction.sequence);
        nonce[IV_BYTES - number.len()..].iter_mut().zip(number).for_each(|(byte, number)| *byte ^= number);
        self.direction.sequence = (self.direction.sequence() + 1).to_be_bytes();
        Nonce::assume_unique_for_key(nonce)
    }
}

fn header(length: usize) -> [u8; HEADER_BYTES] {
    let [high, low] = (length as u16).to_be_bytes();
    [APPLICATION_DATA, LEGACY_VERSION[0], LEGACY_VERSION[1], high, low]
}

/// The length of the record at the front, with its header; `None` while the header is not whole. After the
/// handshake each record is enciphered.
pub(super) fn record_bytes(front: &[u8]) -> Result<Option<usize>, RecordError> {
    if front.first().is_some_and(|kind| *kind != APPLICATION_DATA) {
        return Err(RecordError::UnexpectedMessage);
    }
    let Some(&[_, major, _, high, low]) = front.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    match usize::from(u16::from_be_bytes([high, low])) {
        _ if major != LEGACY_VERSION[0] => Err(RecordError::Decode),
        length if length > CIPHERTEXT_BYTES_MAX => Err(RecordError::RecordOverflow),
        length => Ok(Some(HEADER_BYTES + length)),
    }
}

/// HKDF-Expand-Label with an empty context (RFC 8446, section 7.1).
fn expand(secret: &Prk, label: &[u8], out: &mut [u8]) {
    let length = (out.len() as u16).to_be_bytes();
    let label_length = [(PREFIX.len() + label.len()) as u8];
    let info = [&length[..], &label_length, PREFIX, label, &[0]];
    let expanded = secret.expand(&info, Bytes(out.len())).and_then(|okm| okm.fill(out));
    expanded.expect("far shorter than the longest output");
}

const PREFIX: &[u8] = b"tls13 ";

struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
        (0..hex.len()).step_by(2).map(byte).collect()
    }

    /// RFC 8448, section 3: the server's keys for application data.
    #[test]
    fn keys_are_those_of_the_standard_trace() {
        let secret = bytes("a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643");
        let direction = Direction::new(Suite::Aes128GcmSha256, &secret, 0).expect("32 bytes");
        let (_, iv, key) = direction.parts();
        assert_eq!(key, Some(&bytes("9f02283b6c9c07efc26bb9f2ac92e356")[..]));
        assert_eq!(iv, &bytes("cf782b88dd83549aadf1e984")[..]);
    }

    #[test]
    fn a_secret_of_another_suite_is_none() {
        assert!(Direction::new(Suite::Aes128GcmSha256, &[1; 48], 0).is_none());
        assert!(Direction::new(Suite::Aes256GcmSha384, &[1; 32], 0).is_none());
    }
}
