//! Takes down the two traffic secrets of one handshake, which rustls tells nobody but a log of keys. With them a
//! connection can update its keys (RFC 8446, section 7.2) when rustls is no longer there.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::KeyLog;
use zeroize::Zeroizing;

/// What rustls calls them, as all programs do that log keys.
const DEVICES: &str = "CLIENT_TRAFFIC_SECRET_0";
const SERVERS: &str = "SERVER_TRAFFIC_SECRET_0";

/// The secrets of one connection. Nothing is written anywhere.
#[derive(Default)]
pub(in crate::tls) struct Capture(Mutex<Secrets>);

/// As far as the handshake has come; empty before.
#[derive(Default)]
pub(super) struct Secrets {
    pub(super) device: Zeroizing<Vec<u8>>,
    pub(super) server: Zeroizing<Vec<u8>>,
}

impl Capture {
    /// What there is, once.
    pub(super) fn take(&self) -> Secrets {
        std::mem::take(&mut *self.secrets())
    }

    fn secrets(&self) -> MutexGuard<'_, Secrets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyLog for Capture {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        let secret = Zeroizing::new(secret.to_vec());
        match label {
            DEVICES => self.secrets().device = secret,
            SERVERS => self.secrets().server = secret,
            _ => {}
        }
    }

    fn will_log(&self, label: &str) -> bool {
        [DEVICES, SERVERS].contains(&label)
    }
}

/// Tells nothing that is secret.
impl std::fmt::Debug for Capture {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Capture").finish_non_exhaustive()
    }
}
