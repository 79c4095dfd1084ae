//! What both sides offer in a handshake. The server's order holds: what is cheapest for a small board
//! and a phone first, what old phones need last.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::pki_types::pem;
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, ServerConfig, SupportedCipherSuite};

use super::certificates::Certificates;
use super::trust::Trust;

/// In the server's order. AES-128 is as safe as these connections need and the cheapest where the
/// processor knows AES. The TLS 1.2 ones are for old phones.
const CIPHER_SUITES: [SupportedCipherSuite; 9] = [
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
];

/// Why certificates, keys or trust cannot be used. The texts name no file: the caller knows it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The PEM text holds no certificate.
    #[error("no certificate in it")]
    NoCertificate,
    /// The PEM text of certificates is damaged.
    #[error("not certificates in PEM: {0}")]
    CertificatePem(pem::Error),
    /// The PEM text of the key is damaged or holds no private key.
    #[error("not a private key in PEM: {0}")]
    KeyPem(pem::Error),
    /// The certificate is damaged, or the key is not its key or of a kind that is not supported.
    #[error("the certificate or its key cannot be used: {0}")]
    Certificate(rustls::Error),
    /// None of the certificates to trust can be used.
    #[error("no certificate in it that could be trusted: {0}")]
    Trust(String),
}

/// What the server speaks: TLS 1.2 and 1.3 with `certificates`, no resumption. A ticket would cost
/// each connection bytes and buys little with a small certificate.
pub fn server_config(certificates: &Arc<Certificates>) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .expect("the provider has suites for both versions")
        .with_no_client_auth()
        .with_cert_resolver(certificates.clone());
    config.ignore_client_order = true;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Arc::new(config)
}

/// What a device speaks: TLS 1.2 and 1.3, no resumption, servers believed as `trust` says.
pub fn device_config(trust: &Trust) -> Result<Arc<ClientConfig>, ConfigError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .expect("the provider has suites for both versions")
        .dangerous()
        .with_custom_certificate_verifier(trust.verifier(&provider())?)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// The algorithms, from aws-lc-rs. X25519MLKEM768 stays out for its 2 kB in each connect.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: CIPHER_SUITES.to_vec(),
        kx_groups: vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
        ..default_provider()
    })
}
