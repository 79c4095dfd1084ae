//! Whom a device believes: how it checks the certificate that a server shows.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::certificates::certificates_in;
use super::config::ConfigError;
use crate::base::Pin;

/// What rustls passes on when the certificate is not the pinned one.
pub(super) const NOT_PINNED: Error =
    Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);

/// Which servers a device talks to.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Those whose certificate is, or leads to, one in this PEM text.
    CaPem(Vec<u8>),
    /// Those whose certificate leads to one of these authorities, at least one of which must be usable.
    Authorities(Vec<CertificateDer<'static>>),
    /// The one that has this key and shows it in a certificate, whose names and dates do not matter then.
    Pin(Pin),
    /// Any: for tries on one's own machine. The connection is encrypted, but to whom is not known.
    Insecure,
}

impl Trust {
    pub(super) fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, ConfigError> {
        match self {
            Trust::CaPem(pem) => Ok(Arc::new(Named::new(certificates_in(pem)?, provider)?)),
            Trust::Authorities(certificates) => authorities(certificates, provider),
            Trust::Pin(pin) => Ok(Holder::of(Some(*pin), provider)),
            Trust::Insecure => Ok(Holder::of(None, provider)),
        }
    }
}

/// The pin of a certificate.
pub fn pin_of(certificate: &CertificateDer<'_>) -> Result<Pin, Error> {
    Ok(Pin::of(&ParsedCertificate::try_from(certificate)?.subject_public_key_info()))
}

/// Believes what leads to an authority. A system's list may hold some that cannot be read.
fn authorities(
    certificates: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, ConfigError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates.iter().cloned());
    let chains = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone()).build();
    chains.map(|chains| chains as _).map_err(|error| ConfigError::Trust(error.to_string()))
}

/// Believes certificates that lead to a named one, and the named ones themselves.
#[derive(Debug)]
struct Named {
    named: Vec<CertificateDer<'static>>,
    chains: Arc<WebPkiServerVerifier>,
}

impl Named {
    fn new(
        named: Vec<CertificateDer<'static>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Named, ConfigError> {
        let mut roots = RootCertStore::empty();
        for certificate in &named {
            roots.add(certificate.clone()).map_err(|error| ConfigError::Trust(error.to_string()))?;
        }
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|error| ConfigError::Trust(error.to_string()))?;
        Ok(Named { named, chains })
    }
}

impl ServerCertVerifier for Named {
    /// `openssl req -x509` marks a self-signed certificate as an authority's, which chains may not
    /// end in. webpki reports that (and nothing about names, dates or signatures) as `Other`: then a
    /// certificate that is itself named is good if it carries the server's name.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.chains.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            Err(Error::InvalidCertificate(CertificateError::Other(_))) if self.named.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// Believes whoever really holds the key of the certificate they show: any, or a pinned one.
#[derive(Debug)]
struct Holder {
    pin: Option<Pin>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Holder {
    fn of(pin: Option<Pin>, provider: &CryptoProvider) -> Arc<Holder> {
        Arc::new(Holder { pin, algorithms: provider.signature_verification_algorithms })
    }
}

impl ServerCertVerifier for Holder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.pin {
            Some(pin) if pin != pin_of(end_entity)? => Err(NOT_PINNED),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
