//! Peers that break the rules, are silent, or are gone: each ends alone, in bounded time.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use super::device::{Device, Secured, opening};
use super::lines;
use super::rig::{PATIENCE, Rig};

/// How long an impatient server waits: a busy machine has shaken hands by then, also without a release build.
const IMPATIENCE: Duration = Duration::from_secs(1);
/// The first byte of a TLS alert.
const ALERT: u8 = 21;

fn impatient() -> Rig {
    lines::listen();
    Rig::start_with(|options| options.session.exchange_timeout = IMPATIENCE)
}

/// Sends `bytes` without TLS: what comes back until the end, and whose end it was.
fn answer_to(rig: &Rig, bytes: &[u8]) -> (Vec<u8>, SocketAddr) {
    let mut socket = TcpStream::connect(rig.addresses.devices).expect("it listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a valid timeout");
    socket.write_all(bytes).expect("the server reads");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).expect("the server closes");
    (answer, socket.local_addr().expect("connected"))
}

#[test]
fn what_is_not_tls_gets_an_alert_and_an_end() {
    lines::listen();
    let rig = Rig::start();
    let plain_wire_0 = opening("carol");
    for bytes in [&b"GET / HTTP/1.1\r\nHost: push\r\n\r\n"[..], &plain_wire_0, &[0xff; 5000]] {
        let (answer, peer) = answer_to(&rig, bytes);
        assert_eq!(answer.first(), Some(&ALERT));
        let reason = lines::end_of(peer);
        assert!(reason.starts_with("TLS: "), "{reason}");
    }
    rig.await_counter("sessions", 0);
}

#[test]
fn who_says_nothing_is_put_out() {
    let rig = impatient();
    let (answer, peer) = answer_to(&rig, b"");
    assert!(answer.is_empty());
    assert_eq!(lines::end_of(peer), "timeout");

    let mut shaken = Secured::connect(rig.addresses.devices, &rig.trust);
    assert!(shaken.read_to_end().is_empty());
    assert_eq!(lines::end_of(shaken.address()), "timeout");
}

#[test]
fn connect_may_come_a_byte_at_a_time() {
    let rig = Rig::start();
    let mut secured = Secured::connect(rig.addresses.devices, &rig.trust);
    let opening = opening("carol");
    for byte in &opening {
        secured.write(&[*byte]);
    }
    let mut answer = Vec::new();
    while answer.len() < 2 {
        answer.extend(secured.read().expect("CONNACK"));
    }
    assert!(answer[2..].starts_with(br#"{"T":"connack""#), "{}", answer.escape_ascii());
}

#[test]
fn a_connect_that_drips_must_still_come_in_time() {
    let rig = impatient();
    let mut secured = Secured::connect(rig.addresses.devices, &rig.trust);
    let peer = secured.address();
    secured.socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a valid timeout");
    for byte in opening("carol") {
        // While nothing comes, its patience is the pause between two bytes; then the server has closed.
        match secured.socket.peek(&mut [0]) {
            Err(_) => secured.write(&[byte]),
            Ok(_) => break,
        }
    }
    assert_eq!(lines::end_of(peer), "timeout");
}

#[test]
fn who_speaks_unasked_is_put_out() {
    lines::listen();
    let rig = Rig::start();
    let mut carol = Device::connect(&rig, "carol");
    carol.secured.write(b"\0\x0c{\"T\":\"ping\"}");
    carol.assert_ended();
    assert_eq!(lines::end_of(carol.secured.address()), "unsolicited data");
}

#[test]
fn a_device_that_goes_is_noticed_at_once_however_it_goes() {
    lines::listen();
    let rig = Rig::start();
    let goodbyes: [fn(&mut Secured); 3] = [
        |secured| secured.close(),
        |secured| secured.socket.shutdown(Shutdown::Write).expect("connected"),
        |secured| SockRef::from(&secured.socket).set_linger(Some(Duration::ZERO)).expect("a TCP socket"),
    ];
    for goodbye in goodbyes {
        let mut carol = Device::connect(&rig, "carol");
        let peer = carol.secured.address();
        goodbye(&mut carol.secured);
        drop(carol);
        assert_eq!(lines::end_of(peer), "EOF");
    }
    rig.await_counter("connections", 0);
}

#[test]
fn a_device_that_is_missed_in_an_exchange_ends_by_timeout() {
    lines::listen();
    let rig = Rig::start_with(|options| {
        options.session.ping_interval = Duration::from_millis(50);
        options.session.exchange_timeout = IMPATIENCE;
    });
    let mut secured = Secured::connect(rig.addresses.devices, &rig.trust);
    secured.write(&opening("carol"));
    let said = secured.read_to_end();
    assert!(said.ends_with(b"{\"T\":\"ping\"}"), "{}", said.escape_ascii());
    assert_eq!(lines::end_of(secured.address()), "timeout");
}

#[test]
fn a_device_that_never_acks_harms_only_itself() {
    let rig = impatient();
    let mut stubborn = Device::connect(&rig, "stubborn");
    let mut carol = Device::connect(&rig, "carol");
    for number in 0..80 {
        rig.notify("stubborn", &number.to_string());
    }
    rig.notify("carol", "1");
    assert_eq!(carol.next_payloads(), ["1"]);
    carol.ack();

    assert_eq!(stubborn.next_payloads(), ["0"]);
    stubborn.assert_ended();
    assert_eq!(lines::end_of(stubborn.secured.address()), "timeout");
    let mut reformed = Device::connect(&rig, "stubborn");
    let mut received = Vec::new();
    while received.len() < 80 {
        received.extend(reformed.next_payloads());
        reformed.ack();
    }
    assert_eq!(received, (0..80).map(|number| number.to_string()).collect::<Vec<_>>());
}

/// What the kernel does not take of one frame is all that the server keeps for it, and that goes with
/// the connection, though it is never taken.
#[test]
fn a_device_that_reads_nothing_ends_by_timeout_with_its_queue_intact() {
    const MESSAGES: usize = 100;
    let rig = impatient();
    let payload = format!("\"{}\"", "x".repeat(6_000));
    for _ in 0..MESSAGES {
        rig.notify("deaf", &payload);
    }
    let mut deaf = Secured::narrow(rig.addresses.devices, &rig.trust);
    deaf.write(&opening("deaf"));
    assert_eq!(lines::end_of(deaf.address()), "timeout");
    rig.await_counter("connections", 0);
    assert_eq!(rig.counter("pending"), MESSAGES as u64);
}
