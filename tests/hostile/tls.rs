//! Below TLS: what is no TLS, too much of it, or an older one.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use super::phone::{Phone, opening};
use super::victim::{HTTPS, MIB, Victim, connect};

/// A connection's TLS takes some KiB, and each of these closes before the next.
const BOUND: u64 = 3 * MIB;
/// First byte of a record: an alert, a handshake message.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// Whatever the server says to these bytes until it closes.
fn say(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut socket = connect(address);
    // It may close while we still talk.
    let _ = socket.write_all(bytes);
    let _ = socket.shutdown(std::net::Shutdown::Write);
    let mut said = Vec::new();
    let _ = socket.read_to_end(&mut said);
    said
}

/// Bytes as random as an xorshift makes them.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("one record").to_be_bytes();
    [&[kind, 3, 3][..], &length, payload].concat()
}

/// A hello of a peer that knows nothing newer than `version`.
fn old_hello(version: [u8; 2]) -> Vec<u8> {
    let suites = [0xc0, 0x13, 0x00, 0x2f, 0x00, 0x0a];
    let body = [&version[..], &[7; 32], &[0, 0, suites.len() as u8], &suites, &[1, 0]].concat();
    let message = [&[1, 0, 0, body.len() as u8][..], &body].concat();
    let mut record = record(HANDSHAKE, &message);
    record[1..3].copy_from_slice(&[3, 1]);
    record
}

#[test]
fn garbage_ends_the_connection_and_nothing_else() {
    let victim = Victim::with(HTTPS);
    for address in [victim.devices, victim.http] {
        for seed in 0..200 {
            let said = say(address, &noise(seed, 64 * 1024));
            assert!(said.first() != Some(&HANDSHAKE), "an answer to noise");
        }
    }
    victim.assert_grown_by_at_most(BOUND);
    Phone::connect(victim.devices, &victim.trust).introduce("bob");
}

#[test]
fn records_and_handshakes_that_are_too_long_are_not_gathered() {
    let victim = Victim::with(HTTPS);
    let too_long = [&[HANDSHAKE, 3, 3, 0xff, 0xff][..], &[0; 0xffff]].concat();
    // A hello of 16 MiB, in records that are in order.
    let endless: Vec<u8> = std::iter::once([&[1, 0xff, 0xff, 0xff][..], &[3; 16_000]].concat())
        .chain((0..512).map(|_| vec![3; 16_000]))
        .flat_map(|part| record(HANDSHAKE, &part))
        .collect();
    for address in [victim.devices, victim.http] {
        for bytes in [&too_long, &endless] {
            assert!(say(address, bytes).first() != Some(&HANDSHAKE));
        }
    }
    victim.assert_grown_by_at_most(BOUND);
    Phone::connect(victim.devices, &victim.trust).introduce("bob");
}

#[test]
fn who_knows_only_an_older_tls_gets_an_alert() {
    let victim = Victim::with(HTTPS);
    let sslv2 = [&[0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10][..], &[7; 37]].concat();
    let hellos = [old_hello([3, 0]), old_hello([3, 1]), old_hello([3, 2]), sslv2];
    for address in [victim.devices, victim.http] {
        for hello in &hellos {
            let first = say(address, hello).first().copied();
            assert!(matches!(first, None | Some(ALERT)), "{first:?} to {:?}", &hello[..11]);
        }
    }
    victim.assert_grown_by_at_most(BOUND);
    Phone::connect(victim.devices, &victim.trust).introduce("bob");
}

#[test]
fn nobody_negotiates_anew_within_a_connection() {
    let victim = Victim::start();
    let address = victim.devices.to_string();
    let s_client = Command::new("openssl")
        .args(["s_client", "-tls1_2", "-legacy_server_connect", "-connect", &address])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut s_client) = s_client else {
        assert!(std::env::var_os("LOMIRI_PUSH_REQUIRE_TOOLS").is_none(), "openssl is not installed");
        return eprintln!("stepping aside: openssl is not installed");
    };
    // A line `R` has it ask for another handshake.
    s_client.stdin.take().expect("piped").write_all(b"R\n").expect("it reads");
    let output = s_client.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("RENEGOTIATING"), "{said}");
    assert!(!output.status.success() && said.contains("no renegotiation"), "{said}");
    victim.assert_grown_by_at_most(BOUND);
    victim.assert_serves();
}

#[test]
fn what_was_recorded_of_a_connection_is_worth_nothing_on_another() {
    let victim = Victim::start();
    let mut carol = Phone::connect(victim.devices, &victim.trust);
    carol.introduce("carol");
    let recorded = carol.sent.clone();
    for _ in 0..100 {
        let said = say(victim.devices, &recorded);
        assert!(said.first() == Some(&HANDSHAKE), "the hello is good, and answered");
    }
    victim.assert_grown_by_at_most(BOUND);
    victim.notify("carol", "\"still here\"");
    carol.await_text("still here");
}

#[test]
fn a_second_connect_on_a_connection_ends_it() {
    let victim = Victim::start();
    for _ in 0..100 {
        let mut carol = Phone::connect(victim.devices, &victim.trust);
        carol.introduce("carol");
        carol.write(&opening("carol")[1..]);
        carol.read_to_end();
    }
    victim.assert_grown_by_at_most(BOUND);
    victim.assert_serves();
}
