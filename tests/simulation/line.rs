//! The network between a device and the server, as TCP lets one see it: bytes come late, in order, or
//! not at all; a connection may be cut with or without a word.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use lomiri_push::base::{Monotonic, Now};

use super::dice::Dice;

/// What a device's network is like.
#[derive(Clone, Copy)]
pub struct Network {
    pub latency: Duration,
    pub bytes_per_second: u64,
    /// After so long a silence its NAT forgets a connection.
    pub nat_timeout: Duration,
    /// Whether the NAT tells a device that speaks on a connection that it has forgotten.
    pub nat_resets: bool,
}

impl Network {
    pub fn draw(dice: &mut Dice) -> Network {
        Network {
            latency: dice.millis(400),
            bytes_per_second: dice.of(&[2_000, 50_000, 1_000_000]),
            nat_timeout: Duration::from_secs(dice.of(&[45, 100, 300, 7_200])),
            nat_resets: dice.one_in(2),
        }
    }
}

/// One connection.
pub struct Connection {
    pub device: usize,
    pub up: Pipe,
    pub down: Pipe,
    network: Network,
    /// Nothing arrives any more, and nobody is told.
    is_dead: bool,
    used: Monotonic,
    /// Whether the device has given it up.
    is_left: bool,
}

/// One direction.
#[derive(Default)]
pub struct Pipe {
    cargo: VecDeque<Cargo>,
    last_arrival: Monotonic,
}

/// What arrives.
pub struct Cargo {
    pub at: Monotonic,
    /// When it was sent, by the clock of whoever sent it.
    pub sent: Now,
    /// None is the end.
    pub bytes: Option<Bytes>,
}

impl Connection {
    pub fn new(device: usize, network: Network, now: Monotonic) -> Connection {
        let (up, down) = (Pipe::default(), Pipe::default());
        Connection { device, up, down, network, is_dead: false, used: now, is_left: false }
    }

    /// The device sends.
    pub fn send_up(&mut self, bytes: Option<Bytes>, now: Now) {
        let is_forgotten = self.is_forgotten(now.monotonic);
        if is_forgotten && self.network.nat_resets && !self.is_dead {
            self.down.push(None, self.network, now);
        }
        self.is_dead |= is_forgotten;
        if !self.is_dead {
            self.used = now.monotonic;
            self.up.push(bytes, self.network, now);
        }
    }

    /// The device gives it up.
    pub fn hang_up(&mut self, now: Now) {
        self.send_up(None, now);
        self.is_left = true;
    }

    /// Whether nobody will hear of it any more.
    pub fn is_over(&self) -> bool {
        self.is_left && self.up.cargo.is_empty()
    }

    /// The server sends.
    pub fn send_down(&mut self, bytes: Option<Bytes>, now: Now) {
        if !self.is_dead && !self.is_forgotten(now.monotonic) {
            self.used = now.monotonic;
            self.down.push(bytes, self.network, now);
        }
    }

    fn is_forgotten(&self, now: Monotonic) -> bool {
        now.since(self.used) > self.network.nat_timeout
    }

    /// Nothing arrives any more, and nobody is told.
    pub fn die(&mut self) {
        self.is_dead = true;
        self.up.cargo.clear();
        self.down.cargo.clear();
    }

    /// Both sides learn at once that the connection is no more; what was under way is lost.
    pub fn reset(&mut self, now: Now) {
        self.die();
        self.up.push(None, self.network, now);
        self.down.push(None, self.network, now);
    }

    /// Nothing moves until then.
    pub fn stall(&mut self, until: Monotonic) {
        for pipe in [&mut self.up, &mut self.down] {
            pipe.last_arrival = pipe.last_arrival.max(until);
            pipe.cargo.iter_mut().for_each(|cargo| cargo.at = cargo.at.max(until));
        }
    }

    /// Whether nothing is on its way to the device.
    pub fn brings_nothing(&self) -> bool {
        self.down.cargo.is_empty()
    }

    pub fn next_arrival(&self) -> Option<Monotonic> {
        [&self.up, &self.down].into_iter().filter_map(Pipe::next_arrival).min()
    }
}

impl Pipe {
    /// What is sent in one go comes in two parts if it is long.
    fn push(&mut self, bytes: Option<Bytes>, network: Network, sent: Now) {
        let Some(bytes) = bytes else { return self.push_part(None, network, sent) };
        let half = bytes.len() / 2;
        if half > 50 {
            self.push_part(Some(bytes.slice(..half)), network, sent);
        }
        self.push_part(Some(bytes.slice(if half > 50 { half } else { 0 }..)), network, sent);
    }

    fn push_part(&mut self, bytes: Option<Bytes>, network: Network, sent: Now) {
        let length = bytes.as_ref().map_or(0, Bytes::len) as u64;
        let on_the_way = network.latency + Duration::from_millis(length * 1_000 / network.bytes_per_second);
        let at = (sent.monotonic + on_the_way).max(self.last_arrival);
        self.last_arrival = at;
        self.cargo.push_back(Cargo { at, sent, bytes });
    }

    fn next_arrival(&self) -> Option<Monotonic> {
        self.cargo.front().map(|cargo| cargo.at)
    }

    /// What has arrived by now.
    pub fn take(&mut self, now: Monotonic) -> Option<Cargo> {
        if self.next_arrival()? <= now { self.cargo.pop_front() } else { None }
    }
}
