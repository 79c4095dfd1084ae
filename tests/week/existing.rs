//! A model of a phone that runs the existing service, by what is known of it: it wakes and pings every five
//! minutes, whatever the network bears; shakes hands in full each time; speaks wire 0; and retries after
//! a second, doubling to about three minutes, with jitter. Where nothing is known it is believed to do as well
//! as can be: it connects at once on a new network, is never charged a wake-up for a retry, and sends nothing
//! twice.

use std::time::Duration;

use lomiri_push::base::{MessageId, Monotonic};

use super::Carried;
use super::dice::Dice;
use super::figures::{Figures, Handshake, Wake, measured};
use super::trip::Network;

const POLL_INTERVAL: Duration = Duration::from_secs(300);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(30);
const RETRY_MAX: Duration = Duration::from_secs(180);
/// A ping on wire 0: its length and its JSON, as the other side hears it.
const PING_BYTES: usize = 14;

pub struct Existing {
    network: Option<Network>,
    state: State,
    is_server_up: bool,
    next_poll: Monotonic,
    failures: u32,
    /// What waits on the server, since when.
    pending: Vec<Monotonic>,
    dice: Dice,
    figures: Figures,
}

#[derive(Clone, Copy)]
enum State {
    Offline,
    Waiting {
        until: Monotonic,
    },
    Dialing {
        until: Monotonic,
    },
    Connected {
        /// When something last passed.
        passed: Monotonic,
    },
}

impl Existing {
    pub fn new(dice: Dice) -> Existing {
        Existing {
            network: None,
            state: State::Offline,
            is_server_up: true,
            next_poll: Monotonic(POLL_INTERVAL),
            failures: 0,
            pending: Vec::new(),
            dice,
            figures: Figures::default(),
        }
    }

    fn dial(&mut self, now: Monotonic) {
        let Some(network) = self.network else { return };
        if !network.passes {
            self.state = State::Dialing { until: now + CONNECT_TIMEOUT };
        } else if !self.is_server_up {
            self.unreachable(now);
        } else {
            self.figures.connected(Handshake::Full, measured::WIRE0_CONNECT_FULL);
            self.failures = 0;
            self.state = State::Connected { passed: now };
            self.deliver(now);
        }
    }

    fn unreachable(&mut self, now: Monotonic) {
        self.figures.unreachable();
        self.retry(now);
    }

    fn retry(&mut self, from: Monotonic) {
        let bound = Duration::from_secs(1 << self.failures.min(8)).min(RETRY_MAX);
        self.failures += 1;
        self.state = State::Waiting { until: from + bound.mul_f64(0.5 + self.dice.part() / 2.0) };
    }

    /// Whether what is said on the connection arrives.
    fn is_sound(&self, passed: Monotonic, now: Monotonic) -> bool {
        self.network.is_some_and(|network| network.passes && now.since(passed) <= network.nat_timeout)
    }

    /// All that waits comes, if it can.
    fn deliver(&mut self, now: Monotonic) {
        let State::Connected { passed } = self.state else { return };
        if self.pending.is_empty() || !self.is_sound(passed, now) {
            return;
        }
        for posted in std::mem::take(&mut self.pending) {
            self.figures.passed(measured::WIRE0_MESSAGE, 2);
            self.figures.came(now.since(posted));
        }
        self.state = State::Connected { passed: now };
    }

    fn poll(&mut self, now: Monotonic) {
        self.figures.woken(Wake::Timer);
        self.next_poll = self.next_poll + POLL_INTERVAL;
        let State::Connected { passed } = self.state else { return };
        if self.is_sound(passed, now) {
            self.figures.keepalives += 1;
            self.figures.passed(measured::WIRE0_KEEPALIVE, 2);
            self.state = State::Connected { passed: now };
        } else {
            self.figures.unanswered(PING_BYTES);
            self.figures.lost += 1;
            self.retry(now + EXCHANGE_TIMEOUT);
        }
    }

    /// Something waits on the server, and may come at once.
    fn hear(&mut self, now: Monotonic) {
        let messages = self.figures.messages;
        self.deliver(now);
        if self.figures.messages > messages {
            self.figures.woken(Wake::Radio);
        }
    }
}

impl Carried for Existing {
    fn move_to(&mut self, network: Option<Network>, now: Monotonic) {
        let before = std::mem::replace(&mut self.network, network);
        if let (Some(before), Some(network)) = (before, network)
            && before.name == network.name
        {
            return match self.state {
                State::Dialing { .. } if network.passes => self.dial(now),
                _ => self.hear(now),
            };
        }
        self.figures.woken(Wake::Network);
        self.state = State::Offline;
        self.failures = 0;
        self.dial(now);
    }

    fn post(&mut self, _: MessageId, now: Monotonic) {
        self.pending.push(now);
        self.hear(now);
    }

    fn stop_server(&mut self, now: Monotonic) {
        self.is_server_up = false;
        if let State::Connected { passed } = self.state
            && self.is_sound(passed, now)
        {
            self.figures.woken(Wake::Radio);
            self.retry(now);
        }
    }

    fn start_server(&mut self) {
        self.is_server_up = true;
    }

    fn next_deadline(&self) -> Option<Monotonic> {
        let own = match self.state {
            State::Waiting { until } | State::Dialing { until } => Some(until),
            State::Offline | State::Connected { .. } => None,
        };
        [own, Some(self.next_poll)].into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, now: Monotonic) {
        if now >= self.next_poll {
            self.poll(now);
        }
        match self.state {
            State::Waiting { until } if now >= until => self.dial(now),
            State::Dialing { until } if now >= until => self.unreachable(now),
            _ => {}
        }
    }

    fn into_figures(self) -> Figures {
        self.figures.sum_up()
    }
}
