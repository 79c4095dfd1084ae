//! Both record layers of the server against rustls as all others use it: with its own buffers.

use std::io::{Read as _, Write as _};

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::{AlertDescription, ClientConnection, Error, SupportedCipherSuite};

use super::*;

const SUITES: [SupportedCipherSuite; 3] =
    [TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256];

/// A stock device, and the server.
struct Stock {
    device: ClientConnection,
    server: End,
}

impl Stock {
    /// For each suite, with each of the server's record layers. `adjust` is the device's own business.
    fn each(adjust: impl Fn(&mut ClientConfig), case: impl Fn(Stock)) {
        let made = self_signed("push.example.org");
        for slim in [false, true] {
            let options = ServerOptions { slim, ..ServerOptions::default() };
            let server = server_config(&made.certificates(), &options);
            for suite in SUITES {
                let provider = CryptoProvider { cipher_suites: vec![suite], ..(*provider()).clone() };
                let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
                    .with_protocol_versions(&[&rustls::version::TLS13])
                    .expect("a suite for it")
                    .dangerous()
                    .with_custom_certificate_verifier(
                        made.trust().verifier(&super::provider()).expect("its own"),
                    )
                    .with_no_client_auth();
                adjust(&mut config);
                let device = ClientConnection::new(Arc::new(config), name()).expect("a good configuration");
                let server = End::new(Tls::accept(&server).expect("a good configuration"));
                let mut stock = Stock { device, server };
                stock.pump().expect("both agree");
                assert!(!stock.device.is_handshaking());
                assert_eq!(stock.server.is_slim(), slim);
                case(stock);
            }
        }
    }

    /// Carries what both want to send, until neither does.
    fn pump(&mut self) -> Result<(), TlsError> {
        while self.device.wants_write() || !self.server.out.is_empty() {
            let mut sent = Vec::new();
            while self.device.wants_write() {
                self.device.write_tls(&mut sent).expect("memory");
            }
            let read = self.server.read(&mut sent);
            self.hear().map_err(TlsError::Rustls)?;
            read?;
        }
        Ok(())
    }

    /// The device reads what the server wants to send.
    fn hear(&mut self) -> Result<(), Error> {
        let sent = std::mem::take(&mut self.server.out);
        let mut sent = &sent[..];
        while !sent.is_empty() {
            self.device.read_tls(&mut sent).expect("memory");
            self.device.process_new_packets()?;
        }
        Ok(())
    }

    fn say(&mut self, plaintext: &[u8]) {
        // In parts, for it buffers only so much.
        for part in plaintext.chunks(16_384) {
            self.device.writer().write_all(part).expect("it buffers");
            self.pump().expect("intact");
        }
    }

    fn heard(&mut self) -> Vec<u8> {
        let mut heard = Vec::new();
        // Not the end yet, which it calls an error.
        let _ = self.device.reader().read_to_end(&mut heard);
        heard
    }

    fn echo(&mut self, plaintext: &[u8]) {
        self.say(plaintext);
        assert!(std::mem::take(&mut self.server.plaintext) == plaintext);
        let mut echoed = Vec::new();
        // It lets only so much wait for its reader.
        for part in plaintext.chunks(16_384) {
            self.server.write(part);
            self.hear().expect("intact");
            echoed.extend(self.heard());
        }
        assert!(echoed == plaintext);
    }
}

#[test]
fn sizes_from_one_byte_to_many_records_are_echoed() {
    Stock::each(
        |_| {},
        |mut stock| {
            for bytes in [1, 100, 16_383, 16_384, 16_385, 100_000] {
                stock.echo(&vec![bytes as u8; bytes]);
            }
        },
    );
}

#[test]
fn records_of_one_byte_and_small_fragments_are_taken() {
    let small = |config: &mut ClientConfig| config.max_fragment_size = Some(32);
    Stock::each(small, |mut stock| {
        (0..300u32).for_each(|number| stock.say(&[number as u8]));
        assert!(stock.server.plaintext.iter().copied().eq((0..300u32).map(|number| number as u8)));
        stock.server.plaintext.clear();
        stock.echo(&[7; 5_000]);
    });
}

#[test]
fn keys_change_in_both_directions() {
    Stock::each(
        |_| {},
        |mut stock| {
            for _ in 0..5 {
                stock.device.refresh_traffic_keys().expect("TLS 1.3");
                stock.echo(b"under new keys");
                stock.device.refresh_traffic_keys().expect("TLS 1.3");
                stock.device.refresh_traffic_keys().expect("TLS 1.3");
                stock.pump().expect("agreed");
                stock.echo(b"and under newer ones");
            }
        },
    );
}

#[test]
fn a_flood_of_key_changes_ends_the_connection() {
    Stock::each(
        |_| {},
        |mut stock| {
            let flood = (0..100).find_map(|_| {
                stock.device.refresh_traffic_keys().expect("TLS 1.3");
                stock.pump().err()
            });
            flood.expect("it is bounded");
            assert!(matches!(stock.server.tls.write(b"x", &mut Vec::new()), Err(TlsError::Over)));
        },
    );
}

#[test]
fn a_damaged_record_is_answered_by_bad_record_mac() {
    Stock::each(
        |_| {},
        |mut stock| {
            stock.device.writer().write_all(b"damaged").expect("it buffers");
            let mut sent = Vec::new();
            stock.device.write_tls(&mut sent).expect("memory");
            sent[7] ^= 1;
            stock.server.read(&mut sent).expect_err("damaged");
            let told = stock.hear().expect_err("it is told");
            assert_eq!(told, Error::AlertReceived(AlertDescription::BadRecordMac));
        },
    );
}

#[test]
fn both_can_close() {
    Stock::each(
        |_| {},
        |mut stock| {
            stock.device.writer().write_all(b"last").expect("it buffers");
            stock.device.send_close_notify();
            stock.pump().expect("orderly");
            assert_eq!(stock.server.plaintext, b"last");
            assert!(stock.server.tls.reads_no_more());
            stock.server.write(b"goodbye");
            stock.server.tls.close(&mut stock.server.out);
            stock.hear().expect("orderly");
            let mut heard = Vec::new();
            stock.device.reader().read_to_end(&mut heard).expect("a clean end");
            assert_eq!(heard, b"goodbye");
        },
    );
}
