//! A server after its handshake with a peer that then says what it likes.

use std::sync::{Arc, LazyLock, Mutex};

use lomiri_push::tls::{Certificates, RecordError, ServerOptions, Status, Tls, TlsError, server_config};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, KeyLog, ServerConfig, SignatureScheme};

use super::direction::{ALERT, APPLICATION_DATA, Direction, FRONT, HANDSHAKE, Inner, Suite, suites};

/// The rest of a message that both refuse, but not at the same byte, comes in so many records at most.
const RECORDS_TO_REFUSAL_MAX: usize = 5;
/// A longer record is refused by its header; rustls allows as much in TLS 1.2.
const RECORD_BYTES_MAX: usize = 5 + (1 << 14) + 2_048;
const FATAL: u8 = 2;
/// What a device may send before its Finished, for old middleboxes (RFC 8446, section D.4).
const CHANGE_CIPHER_SPEC: [u8; 6] = [20, 3, 3, 0, 1, 1];

/// With our record layer, and with rustls'.
static SERVERS: LazyLock<[Arc<ServerConfig>; 2]> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(["push.example".to_owned()]).expect("a valid name");
    let key = made.signing_key.serialize_pem();
    let certificates = Certificates::new(made.cert.pem().as_bytes(), key.as_bytes()).expect("just made");
    [true, false]
        .map(|slim| server_config(&certificates, &ServerOptions { slim, ..ServerOptions::default() }))
});
static DEVICES: LazyLock<[ClientConfig; 3]> = LazyLock::new(|| suites().map(device));

fn device(suite: Suite) -> ClientConfig {
    let (cipher_suites, kx_groups) = (vec![suite.rustls], vec![kx_group::X25519]);
    let provider = CryptoProvider { cipher_suites, kx_groups, ..default_provider() };
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("a suite for it")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Believing))
        .with_no_client_auth()
}

/// The server, and what only its peer can do.
pub struct Peer {
    server: Tls,
    up: Direction,
    down: Direction,
    /// What is said, but not fed yet.
    said: Vec<u8>,
    /// The record that was sealed last.
    last: Vec<u8>,
    /// What was fed from the last record on that was not whole; it shows where records begin.
    front: Vec<u8>,
    has_odd_header: bool,
    is_first_record: bool,
    /// Our record layer has refused something, of which the peer is told. rustls does not always tell.
    must_tell: bool,
    written: Vec<u8>,
    pub plaintext: Vec<u8>,
    out: Vec<u8>,
}

impl Peer {
    /// All of the handshake is done but that the peer's last flight waits to be fed.
    pub fn new(is_slim: bool, suite: u8, piece: usize) -> Peer {
        let which = usize::from(suite) % suites().len();
        let secrets = Arc::new(Secrets::default());
        let mut config = DEVICES[which].clone();
        config.key_log = secrets.clone();
        let name = ServerName::try_from("push.example").expect("a valid name");
        let mut device = ClientConnection::new(Arc::new(config), name).expect("a good configuration");
        let mut server = Tls::accept(&SERVERS[usize::from(!is_slim)]).expect("a good configuration");
        let (mut hello, mut out) = (said_by(&mut device), Vec::new());
        for piece in hello.chunks_mut(16 + piece) {
            server.read(piece, &mut Vec::new(), &mut out).expect("a good hello");
        }
        device.read_tls(&mut &out[..]).expect("memory");
        device.process_new_packets().expect("a good server");
        let [up, down] = secrets.take().map(|secret| Direction::new(suites()[which], secret));
        Peer {
            server,
            up,
            down,
            said: said_by(&mut device),
            last: Vec::new(),
            front: Vec::new(),
            has_odd_header: false,
            is_first_record: true,
            must_tell: false,
            written: Vec::new(),
            plaintext: Vec::new(),
            out: Vec::new(),
        }
    }

    pub fn say(&mut self, bytes: &[u8]) {
        self.said.extend_from_slice(bytes);
    }

    pub fn seal(&mut self, inner: &Inner) {
        self.last = self.up.seal(inner);
        self.said.extend_from_slice(&self.last);
    }

    pub fn update_key(&mut self) {
        self.up.update();
    }

    pub fn flip(&mut self, place: usize, bit: u8) {
        if !self.said.is_empty() {
            let place = place % self.said.len();
            self.said[place] ^= 1 << bit;
        }
    }

    /// So many bytes at the end get lost.
    pub fn cut(&mut self, bytes: usize) {
        let rest = self.said.len().saturating_sub(bytes);
        self.said.truncate(rest);
    }

    pub fn replay(&mut self) {
        self.said.extend_from_slice(&self.last);
    }

    /// A record gets lost, as far as the server can see.
    pub fn lose_one(&mut self) {
        self.up.sequence += 1;
    }

    /// Whether the server could write.
    pub fn write(&mut self, bytes: usize) -> bool {
        let plaintext: Vec<u8> = (self.written.len()..).take(bytes).map(|at| at as u8).collect();
        let is_written = self.server.write(&plaintext, &mut self.out).is_ok();
        if is_written {
            self.written.extend(plaintext);
        }
        is_written
    }

    pub fn close(&mut self) {
        self.server.close(&mut self.out);
    }

    pub fn is_handshaking(&self) -> bool {
        self.server.is_handshaking()
    }

    /// All that was said, in pieces; one byte at least.
    pub fn take_said(&mut self, piece: usize) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.said).chunks(piece.max(1)).map(<[u8]>::to_vec).collect()
    }

    pub fn read(&mut self, bytes: &mut [u8]) -> Result<Status, TlsError> {
        self.watch_headers(bytes);
        let read = self.server.read(bytes, &mut self.plaintext, &mut self.out);
        if let Err(error) = &read {
            let has_heard = matches!(error, TlsError::Record(RecordError::AlertReceived(_)));
            self.must_tell = matches!(error, TlsError::Record(_)) && !has_heard;
            self.assert_over();
        }
        read
    }

    fn watch_headers(&mut self, bytes: &[u8]) {
        self.front.extend_from_slice(bytes);
        while !self.front.is_empty() {
            let is_expected = FRONT.iter().zip(&self.front).all(|(front, byte)| front == byte);
            let is_handshakes = self.is_first_record && self.front.starts_with(&CHANGE_CIPHER_SPEC);
            self.has_odd_header |= !is_expected && !is_handshakes;
            let Some([_, _, _, high, low]) = self.front.first_chunk() else { return };
            let length = 5 + usize::from(u16::from_be_bytes([*high, *low]));
            if self.front.len() < length {
                return;
            }
            self.is_first_record = false;
            self.front.drain(..length);
        }
    }

    /// Some record that was fed did not begin as records do.
    pub fn has_odd_header(&self) -> bool {
        self.has_odd_header
    }

    /// The other one has refused at the front of a record or message what this one refuses when it is whole.
    pub fn assert_refuses_in_the_end(&mut self, because: &TlsError) {
        let plaintext = self.plaintext.len();
        let whole = match self.front.first_chunk() {
            Some([_, _, _, high, low]) => 5 + usize::from(u16::from_be_bytes([*high, *low])),
            None => RECORD_BYTES_MAX,
        };
        let mut rest = if self.front.is_empty() { Vec::new() } else { vec![0; whole - self.front.len()] };
        for _ in 0..=RECORDS_TO_REFUSAL_MAX {
            if self.read(&mut rest).is_err() {
                assert_eq!(self.plaintext.len(), plaintext, "this came after what the other one refused");
                return;
            }
            rest = self.up.seal(&Inner::new(HANDSHAKE, &[1; 1 << 14], 0));
        }
        panic!("the other one has refused this: {because}");
    }

    /// Nothing more is taken, and nothing more is said.
    fn assert_over(&mut self) {
        let said = self.out.len();
        let mut more = self.up.seal(&Inner::new(APPLICATION_DATA, b"more", 0));
        self.server.read(&mut more, &mut self.plaintext, &mut self.out).expect("ignored");
        assert!(matches!(self.server.write(b"more", &mut self.out), Err(TlsError::Over)));
        self.server.close(&mut self.out);
        assert_eq!(self.out.len(), said, "it says more after its last alert");
    }

    /// What the server has said is what it wrote, under one number after the other; and why it failed, if it did.
    pub fn assert_decipherable(mut self) {
        let (out, mut heard, mut alert) = (std::mem::take(&mut self.out), Vec::new(), None);
        let mut rest = &out[..];
        while !rest.is_empty() {
            assert_eq!(alert, None, "nothing follows an alert");
            let inner = self.down.open(&mut rest);
            match inner.meaning() {
                (APPLICATION_DATA, content) => heard.extend_from_slice(content),
                (HANDSHAKE, content) => {
                    assert_eq!(content, [24, 0, 0, 1, 0]);
                    self.down.update();
                }
                (ALERT, content) => alert = Some(content.to_vec()),
                (kind, _) => panic!("a record of type {kind}"),
            }
        }
        assert!(heard == self.written, "the server wrote something else");
        if self.must_tell {
            assert_eq!(alert.expect("it says why").first(), Some(&FATAL));
        }
    }
}

fn said_by(device: &mut ClientConnection) -> Vec<u8> {
    let mut said = Vec::new();
    while device.wants_write() {
        device.write_tls(&mut said).expect("memory");
    }
    said
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

/// Believes whatever a server shows, for that is no part of this.
#[derive(Debug)]
struct Believing;

impl ServerCertVerifier for Believing {
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
