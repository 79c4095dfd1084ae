//! Guessing what proves who one is. That guesses are counted and guessers not heard stands in
//! `tests/server/peers.rs`, for this machine's own addresses, as here, are not limited.

use lomiri_push::base::{CodeSecret, Credential};
use lomiri_push::protocol::wire1::DeviceFrame;

use super::phone::{Phone, frame, opening_with};
use super::victim::{MIB, REQUIRED, Victim};

const GUESSES: u8 = 200;
const BOUND: u64 = 3 * MIB;

#[test]
fn guessed_credentials_let_nobody_in() {
    let victim = Victim::with(REQUIRED);
    for guess in 0..GUESSES {
        let mut eve = Phone::connect(victim.devices, &victim.trust);
        eve.write(&opening_with("carol", &format!("Bearer {}", Credential::new([guess; 32]).reveal())));
        let said = String::from_utf8_lossy(&eve.read_to_end()).into_owned();
        assert!(said.contains("unauthorized") && !said.contains("connack"), "{said}");
    }
    victim.assert_grown_by_at_most(BOUND);
}

#[test]
fn guessed_codes_enrol_nobody() {
    let victim = Victim::with(REQUIRED);
    for guess in 0..GUESSES {
        let mut eve = Phone::connect(victim.devices, &victim.trust);
        eve.write(&frame(&DeviceFrame::Enrol(CodeSecret([guess; 16]))));
        let said = eve.read_to_end();
        assert!(said.len() < 32, "shorter than any credential: {said:?}");
    }
    victim.assert_grown_by_at_most(BOUND);
}

#[test]
fn guessed_operator_keys_open_nothing() {
    let victim = Victim::with(REQUIRED);
    let status = |path: &str, key: &str| {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: push\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n"
        );
        victim.ask(&head)[9..12].to_owned()
    };
    for guess in 0..GUESSES {
        let key = Credential::new([guess; 32]).reveal();
        assert_eq!(status("/v1/devices", &key), "401");
        assert_eq!(status("/stats", &key), "401");
    }
    victim.assert_grown_by_at_most(BOUND);
    let key = victim.file("data/operator-key");
    assert_eq!(status("/v1/devices", key.trim()), "200");
}
