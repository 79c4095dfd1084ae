//! What one address may do, and what others notice of it. All of 127.0.0.0/8 is this machine, so that a
//! test has addresses enough.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use lomiri_push::queue::Rate;
use lomiri_push::reactor::PeerOptions;
use socket2::{Domain, Socket, Type};

use super::device::{Device, Secured, opening};
use super::rig::{PATIENCE, Rig};

const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

fn limits() -> PeerOptions {
    PeerOptions {
        handshakes_per_address_max: 3,
        failures: Rate { per_minute: 1, burst: 3 },
        exempt: vec!["127.0.0.1".parse().expect("a network")],
        ..PeerOptions::default()
    }
}

fn connect_from(address: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((address, 0)).into()).expect("this machine's address");
    socket.connect(&to.into()).expect("it listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a valid timeout");
    socket.into()
}

fn is_closed(mut socket: TcpStream) -> bool {
    match socket.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn one_address_has_so_many_handshakes_at_once_and_others_theirs() {
    for shards in [1, 3] {
        let rig = Rig::start_with(|options| {
            options.peers = limits();
            options.shards = shards;
        });
        let devices = rig.addresses.devices;
        let mut silent: Vec<TcpStream> = (0..3).map(|_| connect_from(STRANGER, devices)).collect();
        rig.await_counter("accepted", 3);
        assert!(is_closed(connect_from(STRANGER, devices)));
        let _others = [Device::connect(&rig, "carol"), over(&rig, OTHER, "bob")];

        // Who is served is no handshake any more.
        let first = silent.pop().expect("there are three");
        let _dave = Device::over(Secured::over(first, &rig.trust), "dave");
        let _eve = over(&rig, STRANGER, "eve");
        drop(silent);
        rig.await_counter("connections", 4);
        let _frank = over(&rig, STRANGER, "frank");
    }
}

fn over(rig: &Rig, from: Ipv4Addr, name: &str) -> Device {
    Device::over(Secured::over(connect_from(from, rig.addresses.devices), &rig.trust), name)
}

#[test]
fn the_api_has_so_many_silent_callers_from_one_address() {
    let rig = Rig::start_with(|options| options.peers = limits());
    let silent: Vec<TcpStream> = (0..3).map(|_| connect_from(STRANGER, rig.addresses.http)).collect();
    assert!(is_closed(connect_from(STRANGER, rig.addresses.http)));
    assert_eq!(rig.get("/healthz").0, 200);
    drop(silent);
}

#[test]
fn handshakes_that_lead_nowhere_leave_those_in_peace_who_are_connected() {
    let rig = Rig::start_with(|options| options.peers.handshakes_max = 2);
    let mut carol = Device::connect(&rig, "carol");
    let mut waiting: Vec<TcpStream> = (0..3).map(|_| connect_from(STRANGER, rig.addresses.devices)).collect();
    rig.await_counter("accepted", 3);
    rig.notify("carol", "1");
    assert_eq!(carol.next_payloads(), ["1"]);
    carol.ack();
    rig.await_counter("pending", 0);
    assert_eq!(rig.counter("accepted"), 3, "accepting pauses");

    let third = waiting.pop().expect("there are three");
    drop(waiting);
    Device::over(Secured::over(third, &rig.trust), "bob");
}

#[test]
fn who_waits_takes_the_place_of_a_handshake_that_is_long_silent() {
    for shards in [1, 3] {
        let rig = Rig::start_with(|options| {
            options.peers.handshakes_max = 2;
            options.session.exchange_timeout = Duration::from_secs(3_600);
            options.shards = shards;
        });
        let silent = [(); 2].map(|()| connect_from(STRANGER, rig.addresses.devices));
        rig.await_counter("accepted", 2);
        let _carol = Device::connect(&rig, "carol");
        let [first, _] = silent;
        assert!(is_closed(first), "the longest silent goes");
    }
}

#[test]
fn who_guesses_credentials_is_closed_at_once_after_some_and_others_are_heard() {
    let rig = Rig::start_with(|options| {
        options.peers = limits();
        options.is_auth_required = true;
    });
    let heard = |from: Ipv4Addr| {
        let mut secured = Secured::over(connect_from(from, rig.addresses.devices), &rig.trust);
        secured.write(&opening("carol"));
        let said = secured.read_to_end();
        assert!(String::from_utf8_lossy(&said).contains("unauthorized"));
    };
    (0..3).for_each(|_| heard(STRANGER));
    assert!(is_closed(connect_from(STRANGER, rig.addresses.devices)));
    heard(OTHER);
    (0..5).for_each(|_| heard(Ipv4Addr::LOCALHOST));
}

/// What the API answers to a request for `/stats` from there.
fn ask_for_stats(rig: &Rig, from: Ipv4Addr, fields: &str) -> String {
    let mut socket = connect_from(from, rig.addresses.http);
    let request = format!("GET /stats HTTP/1.1\r\nHost: push\r\n{fields}Connection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).expect("the server reads");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("the server answers");
    answer
}

const WRONG: &str = "Authorization: Basic b3BzOndyb25n\r\n";
const RIGHT: &str = "Authorization: Basic b3BzOnNlY3JldA==\r\n";

#[test]
fn who_guesses_passwords_is_told_to_wait_and_is_not_told_whether_the_next_is_right() {
    let rig = Rig::start_with(|options| options.peers = limits());
    for _ in 0..3 {
        assert!(ask_for_stats(&rig, STRANGER, WRONG).starts_with("HTTP/1.1 401"));
    }
    for fields in [WRONG, RIGHT] {
        let answer = ask_for_stats(&rig, STRANGER, fields);
        assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("\r\nRetry-After: "), "{answer}");
    }
    assert!(ask_for_stats(&rig, OTHER, RIGHT).starts_with("HTTP/1.1 200"));
}

#[test]
fn behind_a_trusted_proxy_each_address_has_its_own_failures() {
    let rig = Rig::start_with(|options| {
        let trusted_proxies = vec!["127.0.0.2".parse().expect("a network")];
        options.peers = PeerOptions { trusted_proxies, ..limits() };
    });
    let from = |address: &str, fields: &str| {
        ask_for_stats(&rig, STRANGER, &format!("X-Forwarded-For: 198.51.100.1, {address}\r\n{fields}"))
    };
    for _ in 0..3 {
        assert!(from("203.0.113.1", WRONG).starts_with("HTTP/1.1 401"));
    }
    assert!(from("203.0.113.1", RIGHT).starts_with("HTTP/1.1 429"));
    assert!(from("203.0.113.2", RIGHT).starts_with("HTTP/1.1 200"));

    // Nobody else is believed.
    for number in 0..3 {
        let spoofed = format!("X-Forwarded-For: 203.0.113.{number}\r\n{WRONG}");
        assert!(ask_for_stats(&rig, OTHER, &spoofed).starts_with("HTTP/1.1 401"));
    }
    let spoofed = format!("X-Forwarded-For: 203.0.113.9\r\n{RIGHT}");
    assert!(ask_for_stats(&rig, OTHER, &spoofed).starts_with("HTTP/1.1 429"));
}
