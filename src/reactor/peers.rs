//! What one address may do to the server before anybody has proved who he is: so many handshakes at
//! once, so many failed authentications a minute. Reads no clock and no socket.
//!
//! Thousands of phones share one address of their carrier, so nothing is limited per address that a
//! phone does once it is in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::acceptor::Slot;
use super::network::Network;
use crate::api::Doorkeeper;
use crate::base::Monotonic;
use crate::queue::{Buckets, Rate};

/// Addresses whose failures are remembered: about a megabyte. Beyond that no more are noted until some
/// are forgotten: who has so many addresses is not stopped by a limit for each, and nobody else may suffer.
const FAILED_ADDRESSES_MAX: usize = 16 * 1024;

/// What is allowed of each address, and of all together.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerOptions {
    /// Most handshakes of devices at once: accepted, and not yet answered by the server. At least 1. Beyond it
    /// accepting pauses, and who is connected is served on.
    pub handshakes_max: usize,
    /// Most of them, and of callers of the API that have said nothing yet, from one address. At least 1.
    /// Beyond it a new connection from there is closed at once.
    pub handshakes_per_address_max: usize,
    /// How often authentication may fail from one address. Beyond it its new connections are closed at
    /// once, and the API answers 429 to its credentials.
    pub failures: Rate,
    /// Whom no limit per address concerns.
    pub exempt: Vec<Network>,
    /// Whose `X-Forwarded-For` and `X-Forwarded-Proto` the API believes. No limit per address concerns them
    /// either, but those for whom they speak.
    pub trusted_proxies: Vec<Network>,
}

impl Default for PeerOptions {
    /// - 1,024 handshakes hold 8 KiB each at most, together 8 MiB. A phone on a slow network takes half a
    ///   second, so that 2,000 get in each second: twice as many as a server that leaves sends back.
    /// - A quarter of them for an address lets 500 phones a second in behind a carrier's, 10,000 within 20
    ///   seconds, and leaves three quarters to others.
    /// - Nobody guesses one of 2^128 by trying faster, so the failures' rate bounds only what they cost. One
    ///   a second leaves a carrier's address, behind which some phones were revoked, open for all others.
    fn default() -> PeerOptions {
        PeerOptions {
            handshakes_max: 1_024,
            handshakes_per_address_max: 256,
            failures: Rate { per_minute: 60, burst: 120 },
            exempt: vec![Network::LOOPBACK_V4, Network::LOOPBACK_V6],
            trusted_proxies: Vec::new(),
        }
    }
}

/// Who shares limits: an IPv4 address, or a network of IPv6 as one customer has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Origin {
    V4(u32),
    /// The first 64 bits.
    V6(u64),
}

impl Origin {
    fn of(address: IpAddr) -> Origin {
        match address.to_canonical() {
            IpAddr::V4(address) => Origin::V4(address.into()),
            IpAddr::V6(address) => Origin::V6((u128::from(address) >> 64) as u64),
        }
    }
}

/// What is known of addresses, for all loops of a server. Its lock is held for a few steps, once a
/// connection and once a failure.
#[derive(Debug)]
pub(super) struct Peers {
    options: PeerOptions,
    known: Mutex<Known>,
}

/// Bounded: at most one entry for each handshake in flight, and [`FAILED_ADDRESSES_MAX`].
#[derive(Debug)]
struct Known {
    /// Never zero.
    handshakes: HashMap<Origin, usize>,
    failures: Buckets<Origin>,
}

/// A handshake in flight. It is over when this is dropped.
pub(super) struct Handshake {
    peers: Arc<Peers>,
    address: IpAddr,
    _slot: Slot,
}

impl Handshake {
    /// Whose it is.
    pub(super) fn address(&self) -> IpAddr {
        self.address
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.peers.leave(self.address);
    }
}

impl Peers {
    pub(super) fn new(options: PeerOptions) -> Arc<Peers> {
        let known = Known { handshakes: HashMap::new(), failures: Buckets::new() };
        Arc::new(Peers { options, known: Mutex::new(known) })
    }

    /// A connection has come from `address`. None if there are too many already: it is to be closed at once.
    pub(super) fn enter(self: &Arc<Peers>, address: IpAddr, slot: Slot) -> Option<Handshake> {
        if self.is_limited(address) {
            self.known().enter(Origin::of(address), self.options.handshakes_per_address_max)?;
        }
        Some(Handshake { peers: self.clone(), address, _slot: slot })
    }

    /// Somebody there has not proved who he says he is.
    pub(super) fn failed(&self, address: IpAddr, now: Monotonic) {
        if self.is_limited(address) {
            self.known().fail(Origin::of(address), self.options.failures, now);
        }
    }

    /// How long nobody there is listened to, in whole seconds; zero for who may try.
    pub(super) fn wait(&self, address: IpAddr, now: Monotonic) -> Duration {
        if !self.is_limited(address) {
            return Duration::ZERO;
        }
        let wait = self.known().wait(Origin::of(address), self.options.failures, now);
        Duration::from_secs(wait.as_millis().div_ceil(1_000) as u64)
    }

    /// Whether what this address says about others is believed.
    pub(super) fn is_trusted_proxy(&self, address: IpAddr) -> bool {
        self.options.trusted_proxies.iter().any(|network| network.contains(address))
    }

    /// For whom a request is made that came from `address`, with this `X-Forwarded-For`: each proxy has put
    /// the address that it saw at the end, so the last that is no proxy of ours is the last that is known.
    pub(super) fn forwarded_for(&self, address: IpAddr, header: Option<&str>) -> IpAddr {
        let mut seen = address;
        for told in header.unwrap_or_default().rsplit(',') {
            if !self.is_trusted_proxy(seen) {
                return seen;
            }
            let Some(before) = read_address(told.trim()) else { return seen };
            seen = before;
        }
        seen
    }

    fn is_limited(&self, address: IpAddr) -> bool {
        let is_exempt = self.options.exempt.iter().any(|network| network.contains(address));
        !is_exempt && !self.is_trusted_proxy(address)
    }

    fn leave(&self, address: IpAddr) {
        if self.is_limited(address) {
            self.known().leave(Origin::of(address));
        }
    }

    /// What a thread that panicked has left is intact: nothing here panics between two changes.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn enter(&mut self, origin: Origin, max: usize) -> Option<()> {
        let count = self.handshakes.get(&origin).copied().unwrap_or_default();
        if count >= max {
            return None;
        }
        self.handshakes.insert(origin, count + 1);
        Some(())
    }

    fn leave(&mut self, origin: Origin) {
        let count = self.handshakes.get_mut(&origin).expect("who leaves has entered");
        *count -= 1;
        if *count == 0 {
            self.handshakes.remove(&origin);
        }
    }

    fn wait(&self, origin: Origin, rate: Rate, now: Monotonic) -> Duration {
        self.failures.wait(&origin, rate, now.0)
    }

    fn fail(&mut self, origin: Origin, rate: Rate, now: Monotonic) {
        if self.failures.len() >= FAILED_ADDRESSES_MAX {
            self.failures.forget_full(now.0);
        }
        // Nothing is taken from an empty bucket, so that many who fail at once lock nobody out for longer.
        if self.failures.len() < FAILED_ADDRESSES_MAX && self.wait(origin, rate, now).is_zero() {
            self.failures.take(origin, rate, now.0);
        }
    }
}

/// The API's doorkeeper for one connection.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) peers: Arc<Peers>,
    /// Whose connection it is.
    pub(super) address: IpAddr,
}

impl Doorkeeper for Door {
    fn asker(&self, forwarded_for: Option<&str>) -> IpAddr {
        self.peers.forwarded_for(self.address, forwarded_for)
    }

    fn wait(&self, asker: IpAddr, now: Monotonic) -> Duration {
        self.peers.wait(asker, now)
    }

    fn failed(&self, asker: IpAddr, now: Monotonic) {
        self.peers.failed(asker, now);
    }
}

/// An address as proxies write it: some put the port behind it, and brackets around IPv6.
fn read_address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse().ok().map(|address: std::net::SocketAddr| address.ip());
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::super::acceptor::Slots;
    use super::*;

    const START: Monotonic = Monotonic(Duration::from_secs(1_000));

    fn address(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    fn peers() -> Arc<Peers> {
        Peers::new(PeerOptions {
            handshakes_per_address_max: 2,
            failures: Rate { per_minute: 60, burst: 3 },
            trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network")],
            ..PeerOptions::default()
        })
    }

    fn enter(peers: &Arc<Peers>, from: &str) -> Option<Handshake> {
        let slot = Slots::new(1).take().expect("one is free");
        peers.enter(address(from), slot)
    }

    #[test]
    fn an_address_has_so_many_handshakes_at_once() {
        let peers = peers();
        let first = enter(&peers, "192.0.2.1").expect("room");
        let _second = enter(&peers, "::ffff:192.0.2.1").expect("room");
        assert!(enter(&peers, "192.0.2.1").is_none());
        assert!(enter(&peers, "192.0.2.2").is_some(), "another address");
        drop(first);
        assert!(enter(&peers, "192.0.2.1").is_some());
    }

    #[test]
    fn what_is_over_leaves_nothing_behind() {
        let peers = peers();
        let handshakes = [enter(&peers, "192.0.2.1"), enter(&peers, "2001:db8::1")];
        assert_eq!(peers.known().handshakes.len(), 2);
        drop(handshakes);
        assert!(peers.known().handshakes.is_empty());
    }

    #[test]
    fn a_network_of_64_bits_counts_as_one() {
        let peers = peers();
        let _two = [enter(&peers, "2001:db8::1"), enter(&peers, "2001:db8::2")];
        assert!(enter(&peers, "2001:db8::3").is_none());
        assert!(enter(&peers, "2001:db8:0:1::1").is_some());
    }

    #[test]
    fn this_machine_and_the_proxies_are_not_limited() {
        let peers = peers();
        for from in ["127.0.0.1", "::1", "10.1.2.3"] {
            (0..10).for_each(|_| peers.failed(address(from), START));
            let entered: Vec<_> = (0..10).map(|_| enter(&peers, from)).collect();
            assert!(entered.iter().all(Option::is_some), "{from}");
        }
        assert!(peers.known().handshakes.is_empty() && peers.known().failures.is_empty());
    }

    #[test]
    fn who_fails_too_often_is_not_heard_for_a_while() {
        let peers = peers();
        let guesser = address("192.0.2.1");
        for _ in 0..3 {
            assert!(peers.wait(guesser, START).is_zero());
            peers.failed(guesser, START);
        }
        assert!(peers.wait(address("192.0.2.2"), START).is_zero());
        (0..100).for_each(|_| peers.failed(guesser, START));
        assert_eq!(peers.wait(guesser, START), Duration::from_secs(1), "whatever was under way meanwhile");
        assert!(peers.wait(guesser, START + Duration::from_secs(1)).is_zero());
    }

    #[test]
    fn failures_of_very_many_addresses_take_bounded_memory() {
        let peers = peers();
        let fail = |number: u32, now| peers.failed(IpAddr::V4(number.into()), now);
        for number in 0..2 * FAILED_ADDRESSES_MAX as u32 {
            fail(0xc000_0000 + number, START);
        }
        assert_eq!(peers.known().failures.len(), FAILED_ADDRESSES_MAX);
        fail(0xd000_0000, START + Duration::from_secs(60));
        assert_eq!(peers.known().failures.len(), 1, "the others are forgotten");
    }

    #[test]
    fn the_last_address_that_is_no_proxy_of_ours_counts() {
        let peers = peers();
        let cases = [
            ("192.0.2.1", Some("198.51.100.7"), "192.0.2.1"),
            ("10.0.0.1", None, "10.0.0.1"),
            ("10.0.0.1", Some("198.51.100.7"), "198.51.100.7"),
            ("10.0.0.1", Some("203.0.113.9, 198.51.100.7"), "198.51.100.7"),
            ("10.0.0.1", Some("203.0.113.9, 198.51.100.7,10.0.0.2"), "198.51.100.7"),
            ("10.0.0.1", Some("10.0.0.3"), "10.0.0.3"),
            ("10.0.0.1", Some("198.51.100.7:4711"), "198.51.100.7"),
            ("10.0.0.1", Some("[2001:db8::7]:4711"), "2001:db8::7"),
            ("10.0.0.1", Some("[2001:db8::7]"), "2001:db8::7"),
            ("10.0.0.1", Some("198.51.100.7, unknown"), "10.0.0.1"),
            ("10.0.0.1", Some(""), "10.0.0.1"),
        ];
        for (from, header, expected) in cases {
            assert_eq!(peers.forwarded_for(address(from), header), address(expected), "{from} {header:?}");
        }
    }
}
