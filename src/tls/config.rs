//! What both sides offer in a handshake. The server's order holds: what is cheapest for a small board
//! and a phone first, what old phones need last.

use std::sync::Arc;

use rustls::client::{Resumption, Tls12Resumption};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::pki_types::pem;
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ServerConfig, SupportedCipherSuite};

use super::certificates::Certificates;
use super::shared_tickets::SharedTickets;
use super::tickets::Tickets;
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

/// Of so many servers a device keeps tickets; it has one, or those that a list of hosts names.
const SERVERS_MAX: usize = 8;

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

/// What an operator may choose beside the certificate.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// Lets devices resume. Without it each of their connects is a full handshake.
    pub tickets: Option<Arc<Tickets>>,
    /// Takes X25519MLKEM768 from those who offer it.
    pub post_quantum: bool,
    /// Keeps of a connection of TLS 1.3 little more than its secrets once its handshake is over: records are then
    /// sealed and opened by our own record layer, not by rustls.
    pub slim: bool,
}

/// Which versions of TLS a device offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// TLS 1.2 and 1.3.
    #[default]
    Both,
    /// TLS 1.2 alone, as old phones do.
    Tls12,
    /// TLS 1.3 alone, as wire 1 wants it, in fewer bytes.
    Tls13,
}

/// By what a device resumes.
#[derive(Clone, Debug, Default)]
pub enum Resuming {
    /// By tickets of its own.
    #[default]
    Own,
    /// By tickets that all share who use this configuration.
    Shared(Arc<SharedTickets>),
    /// Not at all: each connect is a full handshake.
    Never,
}

/// What a device may choose beside its trust.
#[derive(Clone, Debug, Default)]
pub struct DeviceOptions {
    /// What it offers.
    pub versions: Versions,
    /// How it comes back.
    pub resuming: Resuming,
    /// Offers X25519MLKEM768 first.
    pub post_quantum: bool,
    /// Keeps little of a connection of TLS 1.3 once the server has sent something. For programs that hold very many.
    pub slim: bool,
}

/// What the server speaks: TLS 1.2 and 1.3 with `certificates`. It keeps nothing for those who have
/// gone; with tickets each connection of TLS 1.3 is given one, and none may send early data, which
/// could be replayed.
pub fn server_config(certificates: &Arc<Certificates>, options: &ServerOptions) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(provider_with(options.post_quantum))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .expect("the provider has suites for both versions")
        .with_no_client_auth()
        .with_cert_resolver(certificates.clone());
    config.ignore_client_order = true;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.enable_secret_extraction = options.slim;
    if let Some(tickets) = &options.tickets {
        config.ticketer = tickets.clone();
        config.send_tls13_tickets = 1;
    }
    Arc::new(config)
}

/// What a device speaks: TLS 1.3, and 1.2 where it may, servers believed as `trust` says. With TLS 1.3
/// it resumes, if it may, where the server gives tickets: it keeps them in memory, and uses each once.
pub fn device_config(trust: &Trust, options: DeviceOptions) -> Result<Arc<ClientConfig>, ConfigError> {
    let versions = match options.versions {
        Versions::Both => rustls::ALL_VERSIONS,
        Versions::Tls12 => &[&TLS12],
        Versions::Tls13 => &[&TLS13],
    };
    let provider = provider_with(options.post_quantum);
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .expect("the provider has suites for both versions")
        .dangerous()
        .with_custom_certificate_verifier(trust.verifier(&provider)?)
        .with_no_client_auth();
    config.enable_secret_extraction = options.slim;
    let resumption = match options.resuming {
        Resuming::Own => Resumption::in_memory_sessions(SERVERS_MAX),
        Resuming::Shared(tickets) => Resumption::store(tickets),
        Resuming::Never => Resumption::disabled(),
    };
    config.resumption = resumption.tls12_resumption(Tls12Resumption::Disabled);
    Ok(Arc::new(config))
}

/// The algorithms, from aws-lc-rs.
pub(super) fn provider() -> Arc<CryptoProvider> {
    provider_with(false)
}

/// X25519MLKEM768 makes a handshake 2.3 kB longer, so it is there for those who want it.
fn provider_with(post_quantum: bool) -> Arc<CryptoProvider> {
    let mut kx_groups = vec![kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
    if post_quantum {
        kx_groups.insert(0, kx_group::X25519MLKEM768);
    }
    Arc::new(CryptoProvider { cipher_suites: CIPHER_SUITES.to_vec(), kx_groups, ..default_provider() })
}
