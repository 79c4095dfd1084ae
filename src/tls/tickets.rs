//! Tickets by which devices resume: what the server would have to remember of each is sealed and given
//! to the device to keep. Reads no clock and no file: its owner rotates the keys and stores them.
//!
//! ```text
//!  ticket: nonce (12) │ rustls' state of the session, sealed with AES-256-GCM-SIV │ tag (16)
//!
//!  key:    fresh ── a day ──▶ seals no more, opens ── a day ──▶ gone
//! ```
//! Where the server stood still in between, its owner may come to rotate up to a day late.
//! Nonces are random, and one that came twice would show no more than that two tickets are alike.
//! Whoever resumes is shown no certificate, so the present one is sealed in: a new one ends all tickets.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use rustls::ProtocolVersion;
use rustls::server::ProducesTickets;
use serde::{Deserialize, Serialize};

use super::certificates::Certificates;
use crate::base::{Random, Wall};

/// For how long a key seals tickets, and then opens them for as long again: shorter would cost full
/// handshakes of devices that are away for a night, longer keeps a secret that could be stolen.
pub const ROTATION: Duration = Duration::from_secs(24 * 3600);
/// What tickets say of their life, in seconds. One that was sealed last of all is opened that long.
const LIFETIME_SECONDS: u32 = ROTATION.as_secs() as u32;
/// Bytes of a key of AES-256.
const KEY_BYTES: usize = 32;

/// The keys of tickets, to be stored between runs of the server.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketKeys {
    /// Seals and opens.
    current: TicketKey,
    /// Opens what it sealed the day before.
    previous: Option<TicketKey>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TicketKey {
    /// When it was made, in milliseconds since 1970.
    made: u64,
    /// In base64.
    secret: String,
}

impl TicketKeys {
    /// A first key, made `now`.
    pub fn new(now: Wall, random: &mut Random) -> TicketKeys {
        TicketKeys { current: TicketKey::new(now, random), previous: None }
    }

    /// The keys that JSON text holds. None if it is damaged: then tickets are no loss, and a first key
    /// does as well.
    pub fn from_json(text: &[u8]) -> Option<TicketKeys> {
        let keys: TicketKeys = serde_json::from_slice(text).ok()?;
        let are_good = keys.all().all(|key| key.sealer().is_some());
        are_good.then_some(keys)
    }

    /// What [`TicketKeys::from_json`] reads. It is secret.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain text and numbers")
    }

    /// Whether the current key has sealed for its time.
    pub fn are_due(&self, now: Wall) -> bool {
        now - Wall(self.current.made) >= ROTATION
    }

    /// Whether the current key was made after `now`: by a clock that was wrong, unless this one is. Nobody
    /// knows then how old it is.
    pub fn are_from_after(&self, now: Wall) -> bool {
        self.current.made > now.0
    }

    /// A fresh key in front, and behind it the one before, unless its last ticket has expired long since.
    pub fn rotated(&self, now: Wall, random: &mut Random) -> TicketKeys {
        let is_of_use = now - Wall(self.current.made) < 2 * ROTATION;
        let previous = is_of_use.then(|| self.current.clone());
        TicketKeys { current: TicketKey::new(now, random), previous }
    }

    fn all(&self) -> impl Iterator<Item = &TicketKey> {
        [&self.current].into_iter().chain(&self.previous)
    }

    fn sealers(&self) -> Vec<RandomizedNonceKey> {
        self.all().filter_map(TicketKey::sealer).collect()
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKeys(…)")
    }
}

impl TicketKey {
    fn new(now: Wall, random: &mut Random) -> TicketKey {
        let mut secret = [0; KEY_BYTES];
        random(&mut secret);
        TicketKey { made: now.0, secret: BASE64_STANDARD.encode(secret) }
    }

    fn sealer(&self) -> Option<RandomizedNonceKey> {
        let secret = BASE64_STANDARD.decode(&self.secret).ok()?;
        RandomizedNonceKey::new(&AES_256_GCM_SIV, &secret).ok()
    }
}

/// Seals and opens tickets. Handshakes use it; a rotation changes it.
#[derive(Debug)]
pub struct Tickets {
    /// The current key first.
    sealers: RwLock<Vec<RandomizedNonceKey>>,
    certificates: Arc<Certificates>,
}

impl Tickets {
    /// Tickets under `keys`, good as long as `certificates` show what they show now.
    pub fn new(keys: &TicketKeys, certificates: Arc<Certificates>) -> Arc<Tickets> {
        Arc::new(Tickets { sealers: RwLock::new(keys.sealers()), certificates })
    }

    /// From now on these keys count.
    pub fn use_keys(&self, keys: &TicketKeys) {
        *self.sealers.write().unwrap_or_else(PoisonError::into_inner) = keys.sealers();
    }

    fn with_sealers<T>(&self, f: impl FnOnce(&[RandomizedNonceKey]) -> Option<T>) -> Option<T> {
        f(&self.sealers.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn certificate(&self) -> Aad<[u8; 32]> {
        Aad::from(self.certificates.fingerprint())
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME_SECONDS
    }

    /// None for TLS 1.2, which resumes without a fresh exchange of keys: a ticket key that was stolen
    /// would open what had been recorded.
    fn encrypt(&self, state: &[u8]) -> Option<Vec<u8>> {
        if version(state)? != ProtocolVersion::TLSv1_3 {
            return None;
        }
        let mut sealed = state.to_vec();
        let nonce = self.with_sealers(|sealers| {
            sealers.first()?.seal_in_place_append_tag(self.certificate(), &mut sealed).ok()
        })?;
        Some([&nonce.as_ref()[..], &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = ticket.split_first_chunk::<NONCE_LEN>()?;
        self.with_sealers(|sealers| {
            sealers.iter().find_map(|sealer| {
                let (nonce, mut sealed) = (Nonce::assume_unique_for_key(*nonce), sealed.to_vec());
                sealer.open_in_place(nonce, self.certificate(), &mut sealed).ok().map(|state| state.to_vec())
            })
        })
    }
}

/// The TLS version in rustls' state of a session, which stands behind the server's name, if any.
fn version(state: &[u8]) -> Option<ProtocolVersion> {
    let (has_name, rest) = state.split_first()?;
    let name_bytes = if *has_name == 0 { 0 } else { 1 + usize::from(*rest.first()?) };
    let [high, low] = *rest.get(name_bytes..)?.first_chunk()?;
    Some(u16::from_be_bytes([high, low]).into())
}
