//! The server's certificate chain and key, which can be replaced while connections are open. Reads
//! PEM texts, not files.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::config::{ConfigError, provider};
use super::trust::pin_of;
use crate::base::Pin;

/// The certificate that new connections are shown. Handshakes read it; a renewal writes it.
pub struct Certificates {
    current: RwLock<Current>,
}

struct Current {
    key: Arc<CertifiedKey>,
    /// Of the server's own certificate.
    pin: Pin,
    /// SHA-256 of the server's own certificate.
    fingerprint: [u8; 32],
}

impl Certificates {
    /// From PEM texts: the chain with the server's own certificate first, and its private key
    /// (PKCS #8, PKCS #1 or SEC 1).
    pub fn new(chain_pem: &[u8], key_pem: &[u8]) -> Result<Arc<Certificates>, ConfigError> {
        let current = RwLock::new(current(chain_pem, key_pem)?);
        Ok(Arc::new(Certificates { current }))
    }

    /// The same, for connections that come from now on; those that are open keep theirs. On error
    /// nothing changes.
    pub fn replace(&self, chain_pem: &[u8], key_pem: &[u8]) -> Result<(), ConfigError> {
        let renewed = current(chain_pem, key_pem)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = renewed;
        Ok(())
    }

    /// By what the server is known that shows this to new connections.
    pub fn pin(&self) -> Pin {
        self.read(|current| current.pin)
    }

    /// SHA-256 of the server's own certificate, of those that new connections are shown.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        self.read(|current| current.fingerprint)
    }

    fn read<T>(&self, f: impl FnOnce(&Current) -> T) -> T {
        f(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.read(|current| current.key.clone()))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates(…)")
    }
}

fn current(chain_pem: &[u8], key_pem: &[u8]) -> Result<Current, ConfigError> {
    let chain = certificates_in(chain_pem)?;
    let pin = pin_of(&chain[0]).map_err(ConfigError::Certificate)?;
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest(&SHA256, &chain[0]).as_ref());
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(ConfigError::KeyPem)?;
    let key = CertifiedKey::from_der(chain, key, &provider()).map_err(ConfigError::Certificate)?;
    Ok(Current { key: Arc::new(key), pin, fingerprint })
}

/// All certificates in a PEM text, in order; at least one.
pub(super) fn certificates_in(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(certificates) if certificates.is_empty() => Err(ConfigError::NoCertificate),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(ConfigError::CertificatePem(error)),
    }
}
