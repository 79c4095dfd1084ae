//! The handshake that goes before the records. Nothing in it is drawn, agreed or signed, so that it is the same each
//! time: a device's part is taken down once, and played to every server that comes after, at a small part of the cost.
//! What rustls and our record layer do with its secrets is as always.

use std::sync::{Arc, LazyLock, Mutex};

use lomiri_push::tls::Tls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{ActiveKeyExchange, CryptoProvider, GetRandomFailed, SecureRandom};
use rustls::crypto::{SharedSecret, SupportedKxGroup};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, KeyLog, NamedGroup, ServerConfig};
use rustls::{SignatureAlgorithm, SignatureScheme};

use super::direction::{Suite, suites};

/// A server with our record layer, and one with rustls'.
static SERVERS: LazyLock<[Arc<ServerConfig>; 2]> = LazyLock::new(|| [true, false].map(server));
static HANDSHAKES: LazyLock<[Handshake; 3]> = LazyLock::new(|| suites().map(Handshake::take_down));

/// Of one suite.
pub struct Handshake {
    pub suite: Suite,
    hello: Vec<u8>,
    /// What a server answers.
    flight: Vec<u8>,
    /// What the device says last.
    pub finish: Vec<u8>,
    /// The traffic secrets of the device and of the server.
    pub secrets: [Vec<u8>; 2],
}

impl Handshake {
    pub fn of(suite: u8) -> &'static Handshake {
        &HANDSHAKES[usize::from(suite) % HANDSHAKES.len()]
    }

    fn take_down(suite: Suite) -> Handshake {
        let secrets = Arc::new(Secrets::default());
        let name = ServerName::try_from("push.example").expect("a valid name");
        let mut device = ClientConnection::new(device(suite, &secrets), name).expect("a good configuration");
        let hello = said_by(&mut device);
        let (_, flight) = accept(false, &hello, hello.len());
        device.read_tls(&mut &flight[..]).expect("memory");
        device.process_new_packets().expect("a good server");
        let finish = said_by(&mut device);
        Handshake { suite, hello, flight, finish, secrets: secrets.take() }
    }

    /// A server for which only the device's last flight is missing. The hello comes in pieces of so many bytes.
    pub fn begin(&self, is_slim: bool, piece: usize) -> Tls {
        let (server, flight) = accept(is_slim, &self.hello, piece);
        assert!(flight == self.flight, "the same each time");
        server
    }
}

fn accept(is_slim: bool, hello: &[u8], piece: usize) -> (Tls, Vec<u8>) {
    let mut server = Tls::accept(&SERVERS[usize::from(!is_slim)]).expect("a good configuration");
    let (mut hello, mut flight) = (hello.to_vec(), Vec::new());
    for piece in hello.chunks_mut(piece) {
        server.read(piece, &mut Vec::new(), &mut flight).expect("a good hello");
    }
    (server, flight)
}

fn said_by(device: &mut ClientConnection) -> Vec<u8> {
    let mut said = Vec::new();
    while device.wants_write() {
        device.write_tls(&mut said).expect("memory");
    }
    said
}

fn server(is_slim: bool) -> Arc<ServerConfig> {
    let certified = CertifiedKey::new(vec![CertificateDer::from_slice(b"one")], Arc::new(Fixed));
    let mut config = ServerConfig::builder_with_provider(provider(&suites()))
        .with_protocol_versions(&[&TLS13])
        .expect("suites for it")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.send_tls13_tickets = 0;
    config.enable_secret_extraction = is_slim;
    Arc::new(config)
}

fn device(suite: Suite, secrets: &Arc<Secrets>) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(provider(&[suite]))
        .with_protocol_versions(&[&TLS13])
        .expect("a suite for it")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Fixed))
        .with_no_client_auth();
    config.key_log = secrets.clone();
    Arc::new(config)
}

fn provider(suites: &[Suite]) -> Arc<CryptoProvider> {
    let cipher_suites = suites.iter().map(|suite| suite.rustls).collect();
    let provider = default_provider();
    Arc::new(CryptoProvider { cipher_suites, kx_groups: vec![&Fixed], secure_random: &Fixed, ..provider })
}

/// Of the device and of the server.
#[derive(Debug, Default)]
struct Secrets(Mutex<[Vec<u8>; 2]>);

impl Secrets {
    fn take(&self) -> [Vec<u8>; 2] {
        std::mem::take(&mut self.0.lock().expect("nobody panics with it"))
    }
}

impl KeyLog for Secrets {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        let labels = ["CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"];
        if let Some(which) = labels.iter().position(|known| *known == label) {
            self.0.lock().expect("nobody panics with it")[which] = secret.to_vec();
        }
    }
}

/// The same "random" bytes, "public" keys, secrets and signatures, whoever asks; all are believed.
#[derive(Debug)]
struct Fixed;

const BYTES: [u8; 32] = [7; 32];

impl SecureRandom for Fixed {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        bytes.fill(BYTES[0]);
        Ok(())
    }
}

impl SupportedKxGroup for Fixed {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, rustls::Error> {
        Ok(Box::new(Fixed))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

impl ActiveKeyExchange for Fixed {
    fn complete(self: Box<Self>, _peer: &[u8]) -> Result<SharedSecret, rustls::Error> {
        Ok(SharedSecret::from(&BYTES[..]))
    }

    fn pub_key(&self) -> &[u8] {
        &BYTES
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

impl SigningKey for Fixed {
    fn choose_scheme(&self, _offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        Some(Box::new(Fixed))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Fixed {
    fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Ok(BYTES.to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

impl ServerCertVerifier for Fixed {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
