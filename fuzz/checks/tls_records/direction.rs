//! One direction of a connection of TLS 1.3, from its traffic secret: written for this check alone, from RFC 8446, so
//! that it shares no mistake with the library.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{aead, hmac};
use rustls::SupportedCipherSuite;
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};

/// Types of content.
pub const ALERT: u8 = 21;
pub const HANDSHAKE: u8 = 22;
pub const APPLICATION_DATA: u8 = 23;
/// What stands in front of each record, and its length.
pub const FRONT: [u8; 3] = [APPLICATION_DATA, 3, 3];
const HEADER_BYTES: usize = 5;
const TAG_BYTES: usize = 16;

/// What the two agree on.
#[derive(Clone, Copy)]
pub struct Suite {
    pub rustls: SupportedCipherSuite,
    aead: &'static aead::Algorithm,
    hmac: hmac::Algorithm,
}

/// All of them.
pub fn suites() -> [Suite; 3] {
    let suite = |rustls, aead, hmac| Suite { rustls, aead, hmac };
    [
        suite(TLS13_AES_128_GCM_SHA256, &AES_128_GCM, hmac::HMAC_SHA256),
        suite(TLS13_AES_256_GCM_SHA384, &AES_256_GCM, hmac::HMAC_SHA384),
        suite(TLS13_CHACHA20_POLY1305_SHA256, &CHACHA20_POLY1305, hmac::HMAC_SHA256),
    ]
}

/// TLSInnerPlaintext (RFC 8446, section 5.2), of any type and length.
pub struct Inner {
    pub bytes: Vec<u8>,
}

impl Inner {
    pub fn new(kind: u8, content: &[u8], padding: usize) -> Inner {
        Inner { bytes: [content, &[kind], &vec![0; padding]].concat() }
    }

    /// The type and content that a reader finds; type 0 if there is none.
    pub fn meaning(&self) -> (u8, &[u8]) {
        let end = self.bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        (self.bytes[end], &self.bytes[..end])
    }
}

pub struct Direction {
    suite: Suite,
    secret: Vec<u8>,
    key: LessSafeKey,
    iv: [u8; 12],
    /// Of the next record.
    pub sequence: u64,
}

impl Direction {
    pub fn new(suite: Suite, secret: Vec<u8>) -> Direction {
        let key = expand_label(suite, &secret, "key", suite.aead.key_len());
        let iv = expand_label(suite, &secret, "iv", 12).try_into().expect("12 bytes");
        let key = LessSafeKey::new(UnboundKey::new(suite.aead, &key).expect("its length"));
        Direction { suite, secret, key, iv, sequence: 0 }
    }

    pub fn update(&mut self) {
        let secret = expand_label(self.suite, &self.secret, "traffic upd", self.secret.len());
        *self = Direction::new(self.suite, secret);
    }

    pub fn seal(&mut self, inner: &Inner) -> Vec<u8> {
        let length = u16::try_from(inner.bytes.len() + TAG_BYTES).expect("a little too long at most");
        let header = [&FRONT[..], &length.to_be_bytes()].concat();
        let mut sealed = inner.bytes.clone();
        let nonce = self.next_nonce();
        self.key.seal_in_place_append_tag(nonce, Aad::from(&header), &mut sealed).expect("short");
        [header, sealed].concat()
    }

    /// The record at the front of `records`, which goes on behind it.
    pub fn open(&mut self, records: &mut &[u8]) -> Inner {
        let length = u16::from_be_bytes([records[3], records[4]]);
        let (record, rest) = records.split_at(HEADER_BYTES + usize::from(length));
        *records = rest;
        let (header, ciphertext) = record.split_at(HEADER_BYTES);
        assert_eq!(header[..FRONT.len()], FRONT);
        let (nonce, mut bytes) = (self.next_nonce(), ciphertext.to_vec());
        let opened = self.key.open_in_place(nonce, Aad::from(header), &mut bytes).expect("decipherable");
        Inner { bytes: opened.to_vec() }
    }

    /// Section 5.3.
    fn next_nonce(&mut self) -> Nonce {
        let number = u128::from(self.sequence).to_be_bytes();
        self.sequence += 1;
        Nonce::assume_unique_for_key(std::array::from_fn(|at| self.iv[at] ^ number[4 + at]))
    }
}

/// HKDF-Expand-Label without a context (section 7.1), of at most one digest (RFC 5869, section 2.3).
fn expand_label(suite: Suite, secret: &[u8], label: &str, bytes: usize) -> Vec<u8> {
    let label = format!("tls13 {label}");
    let info = [&[0, bytes as u8, label.len() as u8][..], label.as_bytes(), &[0, 1]].concat();
    hmac::sign(&hmac::Key::new(suite.hmac, secret), &info).as_ref()[..bytes].to_vec()
}
