//! Both sides of a TLS connection against each other, in memory.

mod resumption;
mod stock;

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, CertifiedKey, IsCa, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::kx_group;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::SingleCertAndKey;
use rustls::unbuffered::ConnectionState;
use rustls::{ProtocolVersion, SupportedProtocolVersion};

use super::certificates::certificates_in;
use super::config::provider;
use super::connection::Side;
use super::*;

struct Made {
    certificate: String,
    key: String,
}

/// A self-signed certificate for `name`, as `serve` makes it.
fn self_signed(name: &str) -> Made {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed([name.to_owned()]).expect("a valid name");
    Made { certificate: cert.pem(), key: signing_key.serialize_pem() }
}

impl Made {
    fn certificates(&self) -> Arc<Certificates> {
        Certificates::new(self.certificate.as_bytes(), self.key.as_bytes()).expect("made above")
    }

    fn trust(&self) -> Trust {
        Trust::CaPem(self.certificate.clone().into_bytes())
    }
}

/// One end, with what it has read and what waits to be sent.
struct End {
    tls: Tls,
    plaintext: Vec<u8>,
    out: Vec<u8>,
}

impl End {
    fn new(tls: Tls) -> End {
        End { tls, plaintext: Vec::new(), out: Vec::new() }
    }

    fn read(&mut self, ciphertext: &mut [u8]) -> Result<Status, TlsError> {
        self.tls.read(ciphertext, &mut self.plaintext, &mut self.out)
    }

    fn is_slim(&self) -> bool {
        matches!(self.tls.side, Side::Slim(_))
    }

    fn write(&mut self, plaintext: &[u8]) {
        self.tls.write(plaintext, &mut self.out).expect("the handshake is done");
    }

    /// Reads what `peer` wants to send, `bytes` at a time.
    fn read_from(&mut self, peer: &mut End, bytes: usize) -> Result<Status, TlsError> {
        let mut sent = std::mem::take(&mut peer.out);
        let mut status = self.read(&mut [])?;
        for chunk in sent.chunks_mut(bytes) {
            status = self.read(chunk)?;
        }
        Ok(status)
    }
}

/// Whose record layer each side has after the handshake: rustls', or our own.
#[derive(Clone, Copy, Debug)]
struct Sides {
    server_slim: bool,
    device_slim: bool,
}

impl Sides {
    const ALL: [Sides; 4] = [
        Sides { server_slim: false, device_slim: false },
        Sides { server_slim: true, device_slim: false },
        Sides { server_slim: false, device_slim: true },
        Sides { server_slim: true, device_slim: true },
    ];
}

struct Pair {
    server: End,
    device: End,
}

fn name() -> ServerName<'static> {
    ServerName::try_from("push.example.org").expect("a valid name")
}

impl Pair {
    fn new(server: &Arc<ServerConfig>, device: &Arc<ClientConfig>) -> Pair {
        Pair {
            server: End::new(Tls::accept(server).expect("a good configuration")),
            device: End::new(Tls::connect(device, name()).expect("a good configuration")),
        }
    }

    fn trusting() -> Pair {
        Pair::of(Sides { server_slim: false, device_slim: false })
    }

    /// Neither has said anything.
    fn of(sides: Sides) -> Pair {
        let Sides { server_slim, device_slim } = sides;
        let made = self_signed("push.example.org");
        let server = ServerOptions { slim: server_slim, ..ServerOptions::default() };
        let device = DeviceOptions { slim: device_slim, ..DeviceOptions::default() };
        Pair::new(
            &server_config(&made.certificates(), &server),
            &device_config(&made.trust(), device).expect("valid"),
        )
    }

    /// Both are what they will stay.
    fn settled(sides: Sides) -> Pair {
        let mut pair = Pair::of(sides);
        pair.shake(usize::MAX).expect("both agree");
        pair.exchange(usize::MAX);
        pair.server.plaintext.clear();
        pair.device.plaintext.clear();
        assert_eq!(pair.server.is_slim(), sides.server_slim);
        assert_eq!(pair.device.is_slim(), sides.device_slim);
        pair
    }

    fn connected() -> Pair {
        let mut pair = Pair::trusting();
        pair.shake(usize::MAX).expect("both agree");
        pair
    }

    fn shake(&mut self, bytes: usize) -> Result<(), TlsError> {
        self.shake_counting(bytes).map(drop)
    }

    /// Shakes hands in pieces of so many bytes; how many were sent in all.
    fn shake_counting(&mut self, bytes: usize) -> Result<usize, TlsError> {
        let mut sent = 0;
        self.device.read(&mut [])?;
        while !self.device.out.is_empty() {
            sent += self.device.out.len();
            self.server.read_from(&mut self.device, bytes)?;
            sent += self.server.out.len();
            self.device.read_from(&mut self.server, bytes)?;
        }
        assert!(!self.server.tls.is_handshaking() && !self.device.tls.is_handshaking());
        Ok(sent)
    }

    fn exchange(&mut self, bytes: usize) {
        self.server.write(b"ping");
        self.device.read_from(&mut self.server, bytes).expect("intact");
        self.device.write(b"pong");
        self.server.read_from(&mut self.device, bytes).expect("intact");
        assert_eq!((&self.device.plaintext[..], &self.server.plaintext[..]), (&b"ping"[..], &b"pong"[..]));
    }
}

/// A device as old as `version`.
fn device_of(version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    device_with(version, &Trust::Insecure)
}

fn device_with(version: &'static SupportedProtocolVersion, trust: &Trust) -> Arc<ClientConfig> {
    let trust = trust.verifier(&provider()).expect("nothing to go wrong");
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .expect("suites for both")
        .dangerous()
        .with_custom_certificate_verifier(trust)
        .with_no_client_auth();
    Arc::new(config)
}

#[test]
fn both_versions_carry_an_exchange_whatever_the_pieces() {
    let certificates = self_signed("push.example.org").certificates();
    for slim in [false, true] {
        let server = server_config(&certificates, &ServerOptions { slim, ..ServerOptions::default() });
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            for bytes in [1, 7, usize::MAX] {
                let mut pair = Pair::new(&server, &device_of(version));
                pair.shake(bytes).expect("both agree");
                pair.exchange(bytes);
                for end in [&pair.server, &pair.device] {
                    assert!(end.tls.partial.is_empty(), "an idle connection keeps no buffer");
                }
                assert_eq!(pair.server.is_slim(), slim && version.version == ProtocolVersion::TLSv1_3);
            }
        }
    }
}

#[test]
fn the_server_prefers_aes_128_and_x25519() {
    let pair = Pair::connected();
    let Side::Server(whole) = &pair.server.tls.side else { unreachable!("it accepted") };
    let connection = &whole.connection;
    assert_eq!(connection.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    let suite = connection.negotiated_cipher_suite().expect("agreed");
    assert_eq!(suite.suite(), rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
    let group = connection.negotiated_key_exchange_group().expect("agreed");
    assert_eq!(group.name(), rustls::NamedGroup::X25519);
}

#[test]
fn a_full_handshake_stays_small() {
    let mut pair = Pair::trusting();
    pair.device.read(&mut []).expect("a first flight");
    let up = pair.device.out.len();
    pair.server.read_from(&mut pair.device, usize::MAX).expect("agreed");
    let down = pair.server.out.len();
    pair.device.read_from(&mut pair.server, usize::MAX).expect("agreed");
    let finished = pair.device.out.len();
    pair.server.read_from(&mut pair.device, usize::MAX).expect("agreed");
    assert!(pair.server.out.is_empty(), "no ticket is sent");
    assert!(up + finished <= 400 && down <= 800, "{up} + {finished} up, {down} down");
}

#[test]
fn plaintext_right_behind_finished_comes_out() {
    for sides in Sides::ALL {
        for bytes in [1, 100, usize::MAX] {
            let mut pair = Pair::of(sides);
            pair.device.read(&mut []).expect("a first flight");
            pair.server.read_from(&mut pair.device, bytes).expect("agreed");
            pair.device.read_from(&mut pair.server, bytes).expect("agreed");
            pair.device.write(b"con");
            pair.device.write(b"nect");
            pair.server.read_from(&mut pair.device, bytes).expect("agreed");
            assert_eq!(pair.server.plaintext, b"connect", "{sides:?}");
        }
    }
}

/// Nothing forbids it, and a device that is to become slim has to bear it.
#[test]
fn a_server_may_change_its_key_before_its_first_word() {
    for bytes in [1, usize::MAX] {
        let mut pair = Pair::of(Sides { server_slim: false, device_slim: true });
        pair.shake(usize::MAX).expect("both agree");
        let Side::Server(whole) = &mut pair.server.tls.side else { unreachable!("it accepted") };
        let state = whole.connection.process_tls_records(&mut []).state.expect("it is open");
        let ConnectionState::WriteTraffic(traffic) = state else { unreachable!("it may write") };
        traffic.refresh_traffic_keys().expect("TLS 1.3");
        pair.exchange(bytes);
        assert!(!pair.device.is_slim());
    }
}

/// A message that asks for a key share of another group goes before the handshake.
#[test]
fn a_handshake_that_is_retried_becomes_slim_too() {
    let made = self_signed("push.example.org");
    let server = ServerOptions { slim: true, ..ServerOptions::default() };
    for bytes in [1, usize::MAX] {
        let kx_groups = vec![kx_group::X25519MLKEM768, kx_group::SECP256R1];
        let offering = CryptoProvider { kx_groups, ..(*provider()).clone() };
        let mut device = ClientConfig::builder_with_provider(Arc::new(offering))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("suites for it")
            .dangerous()
            .with_custom_certificate_verifier(made.trust().verifier(&provider()).expect("its own"))
            .with_no_client_auth();
        device.enable_secret_extraction = true;
        let mut pair = Pair::new(&server_config(&made.certificates(), &server), &Arc::new(device));
        pair.shake(bytes).expect("both agree");
        pair.exchange(bytes);
        assert!(pair.server.is_slim() && pair.device.is_slim());
    }
}

#[test]
fn large_writes_cross_in_many_records() {
    let large: Vec<u8> = (0..100_000u32).map(|number| number as u8).collect();
    for sides in Sides::ALL {
        let mut pair = Pair::settled(sides);
        for bytes in [1_000, 20_000, usize::MAX] {
            pair.server.write(&large);
            pair.device.read_from(&mut pair.server, bytes).expect("intact");
            assert!(std::mem::take(&mut pair.device.plaintext) == large, "{sides:?}");
            pair.device.write(&large);
            pair.server.read_from(&mut pair.device, bytes).expect("intact");
            assert!(std::mem::take(&mut pair.server.plaintext) == large, "{sides:?}");
        }
    }
}

#[test]
fn a_write_before_the_end_of_the_handshake_is_refused() {
    let mut pair = Pair::trusting();
    let refused = pair.server.tls.write(b"early", &mut pair.server.out);
    assert!(matches!(refused, Err(TlsError::Handshaking)));
    assert!(pair.server.out.is_empty());
}

#[test]
fn a_write_while_a_record_is_partial_loses_nothing() {
    for sides in Sides::ALL {
        let mut pair = Pair::settled(sides);
        pair.device.write(b"pong");
        let mut sent = std::mem::take(&mut pair.device.out);
        let (front, back) = sent.split_at_mut(9);
        pair.server.read(front).expect("intact");
        pair.server.write(b"ping");
        pair.server.read(back).expect("intact");
        assert_eq!(pair.server.plaintext, b"pong");
        pair.device.read_from(&mut pair.server, usize::MAX).expect("intact");
        assert_eq!(pair.device.plaintext, b"ping");
    }
}

#[test]
fn plaintext_that_no_read_brought_out_is_not_lost_in_silence() {
    let mut pair = Pair::connected();
    pair.device.write(b"pong");
    pair.server.tls.partial.set(std::mem::take(&mut pair.device.out));
    let failed = pair.server.tls.write(b"ping", &mut pair.server.out);
    assert!(matches!(failed, Err(TlsError::LeftBehind)), "{failed:?}");
    let over = pair.server.tls.write(b"ping", &mut pair.server.out);
    assert!(matches!(over, Err(TlsError::Over)), "{over:?}");
}

#[test]
fn garbage_is_an_error_and_answered_by_an_alert() {
    const ALERT: u8 = 21;
    for garbage in
        ["GET / HTTP/1.1\r\nHost: push\r\n\r\n", "\0{\"T\":\"connect\"}", "\x16\x03\x01\0\x04\x7f\0\0\0"]
    {
        let mut server = Pair::trusting().server;
        let mut bytes = garbage.as_bytes().to_vec();
        let error = server.read(&mut bytes).expect_err("not TLS");
        assert!(error.to_string().starts_with("TLS: "), "{error}");
        assert_eq!(server.out.first(), Some(&ALERT), "{garbage:?}");
    }
}

#[test]
fn a_damaged_record_is_answered_by_an_alert() {
    for sides in Sides::ALL {
        let mut pair = Pair::settled(sides);
        pair.device.write(b"pong");
        *pair.device.out.last_mut().expect("a record") ^= 1;
        let error = pair.server.read_from(&mut pair.device, usize::MAX).expect_err("damaged");
        assert!(error.to_string().starts_with("TLS: "), "{error}");
        assert!(pair.server.plaintext.is_empty());
        let error = pair.device.read_from(&mut pair.server, usize::MAX).expect_err("told so").to_string();
        let told = if sides.device_slim { "alert 20" } else { "BadRecordMac" };
        assert!(error.contains(told), "{sides:?}: {error}");
    }
}

/// A ClientHello in fragments of one byte is legal, and rustls remembers places in it.
#[test]
fn a_handshake_in_tiny_records_is_taken_or_refused_but_bounded() {
    let mut pair = Pair::trusting();
    pair.device.read(&mut []).expect("a first flight");
    let hello = std::mem::take(&mut pair.device.out);
    let (header, body) = hello.split_at(5);
    for byte in body {
        let mut record = [header[0], header[1], header[2], 0, 1, *byte];
        pair.server.read(&mut record).expect("legal");
    }
    assert!(!pair.server.out.is_empty(), "the server has answered");

    let mut server = Pair::trusting().server;
    let mut endless = vec![0x16, 3, 1, 0, 4, 1, 0, 0xff, 0xff];
    let error = loop {
        if let Err(error) = server.read(&mut endless) {
            break error;
        }
        endless = [&[0x16, 3, 1, 0x04, 0][..], &[0; 1024]].concat();
        assert!(server.tls.partial.len() <= 20_000);
    };
    assert!(matches!(error, TlsError::HandshakeTooLong), "{error}");
}

/// Whatever a peer flips or cuts, the answer is data or an error, never a panic.
#[test]
fn damaged_handshakes_never_panic() {
    let made = self_signed("push.example.org");
    let slim = ServerOptions { slim: true, ..ServerOptions::default() };
    let servers =
        [&ServerOptions::default(), &slim].map(|options| server_config(&made.certificates(), options));
    let device = device_config(&made.trust(), DeviceOptions { slim: true, ..DeviceOptions::default() });
    let device = device.expect("valid");
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    for round in 0..600 {
        let mut pair = Pair::new(&servers[round % 2], &device);
        pair.device.read(&mut []).expect("a first flight");
        let Pair { mut server, mut device } = pair;
        let (mut reader, mut writer) = (&mut server, &mut device);
        for _ in 0..6 {
            if !writer.out.is_empty() && random(2) == 0 {
                let place = random(writer.out.len());
                writer.out[place] ^= 1 << random(8);
            }
            let _ = reader.read_from(writer, 1 + random(400));
            let _ = reader.tls.write(b"ping", &mut reader.out);
            (reader, writer) = (writer, reader);
        }
    }
}

#[test]
fn either_side_can_close_and_nothing_comes_after() {
    Sides::ALL.into_iter().for_each(close_both_ways);
}

fn close_both_ways(sides: Sides) {
    let mut pair = Pair::settled(sides);
    pair.device.write(b"last");
    pair.device.tls.close(&mut pair.device.out);
    pair.device.out.extend(&[b'x'; 30_000]);
    let status = pair.server.read_from(&mut pair.device, usize::MAX).expect("orderly");
    assert_eq!(status, Status { peer_closed: true, only_tickets: false });
    assert_eq!(pair.server.plaintext, b"last");
    assert!(pair.server.tls.partial.is_empty());

    pair.server.write(b"goodbye");
    pair.server.tls.close(&mut pair.server.out);
    let mut other = Pair::settled(sides);
    other.server.write(b"goodbye");
    other.server.tls.close(&mut other.server.out);
    assert_eq!(pair.server.out.len(), other.server.out.len(), "closing answers a close");
    let status = other.device.read_from(&mut other.server, usize::MAX).expect("orderly");
    assert_eq!(status, Status { peer_closed: true, only_tickets: false });
    assert_eq!(other.device.plaintext, b"goodbye");
}

#[test]
fn garbage_after_the_own_end_is_ignored() {
    for sides in Sides::ALL {
        let mut pair = Pair::settled(sides);
        pair.server.tls.close(&mut pair.server.out);
        let sent = pair.server.out.len();
        let status = pair.server.read(&mut b"garbage".to_vec()).expect("ignored");
        assert_eq!(status, Status { peer_closed: false, only_tickets: false });
        pair.server.tls.close(&mut pair.server.out);
        assert_eq!(pair.server.out.len(), sent, "there is one close_notify");
        assert!(matches!(pair.server.tls.write(b"x", &mut pair.server.out), Err(TlsError::Over)));
    }
}

#[test]
fn closing_during_the_handshake_sends_nothing() {
    let mut pair = Pair::trusting();
    pair.server.tls.close(&mut pair.server.out);
    assert!(pair.server.out.is_empty());
}

#[test]
fn a_replaced_certificate_is_shown_to_new_connections_only() {
    let (old, new) = (self_signed("push.example.org"), self_signed("push.example.org"));
    let certificates = old.certificates();
    let server = server_config(&certificates, &ServerOptions::default());
    let device = device_config(&new.trust(), DeviceOptions::default()).expect("valid");

    let mut before =
        Pair::new(&server, &device_config(&old.trust(), DeviceOptions::default()).expect("valid"));
    before.shake(usize::MAX).expect("the old certificate holds");
    Pair::new(&server, &device).shake(usize::MAX).expect_err("the new one is not there yet");

    certificates.replace(new.certificate.as_bytes(), old.key.as_bytes()).expect_err("not its key");
    certificates.replace(new.certificate.as_bytes(), new.key.as_bytes()).expect("a good pair");
    Pair::new(&server, &device).shake(usize::MAX).expect("the new certificate holds");
    before.exchange(usize::MAX);
}

#[test]
fn a_device_believes_only_what_it_was_told_to() {
    let (named, other) = (self_signed("push.example.org"), self_signed("push.example.org"));
    let elsewhere = self_signed("elsewhere.example.org");
    let shake = |server: &Made, trust: Trust| {
        Pair::new(
            &server_config(&server.certificates(), &ServerOptions::default()),
            &device_config(&trust, DeviceOptions::default()).expect("valid"),
        )
        .shake(usize::MAX)
    };
    shake(&named, named.trust()).expect("named");
    shake(&named, other.trust()).expect_err("another one is named");
    shake(&elsewhere, elsewhere.trust()).expect_err("the name differs");
    shake(&elsewhere, Trust::Insecure).expect("anyone is believed");
}

#[test]
fn a_pinned_server_is_known_by_its_key_alone() {
    let (pinned, other) = (self_signed("elsewhere.example.org"), self_signed("push.example.org"));
    let device =
        device_config(&Trust::Pin(pinned.certificates().pin()), DeviceOptions::default()).expect("a pin");
    let shake = |made: &Made| {
        Pair::new(&server_config(&made.certificates(), &ServerOptions::default()), &device).shake(usize::MAX)
    };
    shake(&pinned).expect("whatever its name");
    shake(&renewed(&pinned)).expect("the key is the same");
    let error = shake(&other).expect_err("another key");
    assert!(matches!(error, TlsError::NotPinned), "{error}");
}

/// Another certificate with the same key.
fn renewed(made: &Made) -> Made {
    let key = KeyPair::from_pem(&made.key).expect("made above");
    let params = CertificateParams::new(["renewed.example.org".to_owned()]).expect("a valid name");
    Made { certificate: params.self_signed(&key).expect("valid").pem(), key: made.key.clone() }
}

/// Whoever has seen a certificate can show it; only its owner can sign with its key.
#[test]
fn a_pinned_certificate_without_its_key_is_not_believed() {
    let pinned = self_signed("push.example.org");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let trust = Trust::Pin(pinned.certificates().pin());
        let device = device_with(version, &trust);
        Pair::new(&server_config(&pinned.certificates(), &ServerOptions::default()), &device)
            .shake(usize::MAX)
            .expect("it has the key");
        let error = Pair::new(&showing_without_key(&pinned), &device).shake(usize::MAX);
        let error = error.expect_err("another key signed").to_string();
        assert!(error.contains("BadSignature"), "{error}");
    }
}

/// A server that shows a certificate that is not its own.
fn showing_without_key(shown: &Made) -> Arc<ServerConfig> {
    let chain = certificates_in(shown.certificate.as_bytes()).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(self_signed("push.example.org").key.as_bytes()).expect("PEM");
    let key = provider().key_provider.load_private_key(key).expect("a key");
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .expect("suites for both")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(rustls::sign::CertifiedKey::new(chain, key))));
    Arc::new(config)
}

/// `openssl req -x509` makes such ones.
#[test]
fn a_self_signed_authority_may_be_the_server_itself() {
    let made = |name: &str| {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a valid name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("P-256");
        Made { certificate: params.self_signed(&key).expect("valid").pem(), key: key.serialize_pem() }
    };
    for (name, holds) in [("push.example.org", true), ("elsewhere.example.org", false)] {
        let made = made(name);
        let device = device_config(&made.trust(), DeviceOptions::default()).expect("valid");
        let mut pair = Pair::new(&server_config(&made.certificates(), &ServerOptions::default()), &device);
        assert_eq!(pair.shake(usize::MAX).is_ok(), holds, "{name}");
    }
}

#[test]
fn a_certificate_from_a_named_authority_holds() {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("P-256")).expect("valid");
    let key = KeyPair::generate().expect("P-256");
    let params = CertificateParams::new(["push.example.org".to_owned()]).expect("a valid name");
    let certificate = params.signed_by(&key, &authority).expect("valid");
    let made = Made { certificate: certificate.pem(), key: key.serialize_pem() };
    let unreadable = b"a system's list may hold this".to_vec().into();
    let shake = |trust: Trust| {
        let device = device_config(&trust, DeviceOptions::default()).expect("valid");
        Pair::new(&server_config(&made.certificates(), &ServerOptions::default()), &device).shake(usize::MAX)
    };
    shake(Trust::CaPem(authority.pem().into_bytes())).expect("the chain holds");
    shake(Trust::Authorities(vec![unreadable, authority.der().clone()])).expect("the chain holds");
    let other = certificates_in(self_signed("push.example.org").certificate.as_bytes()).expect("made above");
    shake(Trust::Authorities(other)).expect_err("nobody vouches for it");
    device_config(&Trust::Authorities(Vec::new()), DeviceOptions::default()).expect_err("there is nobody");
}

#[test]
fn texts_that_are_no_certificates_are_refused() {
    let made = self_signed("push.example.org");
    let (certificate, key) = (made.certificate.as_bytes(), made.key.as_bytes());
    assert!(matches!(Certificates::new(b"", key), Err(ConfigError::NoCertificate)));
    assert!(matches!(Certificates::new(certificate, b""), Err(ConfigError::KeyPem(_))));
    let cut = &certificate[..certificate.len() / 2];
    assert!(matches!(Certificates::new(cut, key), Err(ConfigError::CertificatePem(_))));
    assert!(matches!(
        device_config(&Trust::CaPem(key.to_vec()), DeviceOptions::default()),
        Err(ConfigError::NoCertificate)
    ));
}
