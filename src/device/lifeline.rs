//! A device's life over many connections, on wire 1: what it says of itself at each, how long it stays silent
//! on each network, and when it comes back. Time and randomness come in as arguments; no clock, no socket.
//!
//! What it knows of the path to its server:
//!
//! ```text
//!  Sound ── PING ──▶ Tried ── PONG: so long a silence survives ──▶ Sound
//!                      │ the session ends, and the server does not say why
//!                      ▼
//!                   Suspect ── let in right after: so long a silence is lost ──▶ Sound
//!                      │
//!                      └── not reached, or not at once: the network was gone ──▶ Sound
//!
//!  Sound ── PING, long overdue: the device slept ──▶ Overslept ── PONG: survives; ended: says nothing ──▶ Sound
//!
//!  any ── another network, an end that the server explains ──▶ Sound
//! ```

use std::mem;
use std::time::Duration;

use super::keepalive::{Learner, Observation};
use super::reconnect::Backoff;
use crate::base::{Monotonic, Urgency};
use crate::protocol::wire1::{Connect, Goaway, LEVELS_MAX, Reason, Receipt};
use crate::session::EndReason;
use crate::session::device::{Broadcast, Event, Options, RECEIPTS_MAX, Session, Unconfirmed};

/// A server that lets the device in so long after a PONG failed to come was there all the while, and so was
/// the network. Time for a first back-off and for a radio that has to wake.
const RIGHT_AFTER: Duration = Duration::from_secs(60);

/// A machine that is awake says PING much sooner after it is due. Later than this it slept, and the server
/// may have given the device up meanwhile, whatever the NATs did.
const LATE_MAX: Duration = Duration::from_secs(2);

/// Keeps a device reachable.
///
/// Connect with [`Lifeline::options`]. Pass each event of the session to [`Lifeline::handle_event`], once what
/// it brings is stored, and the last one, [`Event::Ended`], to [`Lifeline::ended`]. Where no session came
/// about, call [`Lifeline::unreachable`]. The last two say how long to wait before the next connection.
#[derive(Debug)]
pub struct Lifeline {
    /// What the device says of itself, with the levels that it has reached by now, and with the longest
    /// silence that it wants.
    connect: Connect,
    unconfirmed: Unconfirmed,
    /// How the server explained the end of the session.
    goaway: Option<Goaway>,
    network: String,
    learner: Learner,
    backoff: Backoff,
    path: Path,
}

/// The path to the server, under the diagram above.
#[derive(Clone, Copy, Debug)]
enum Path {
    Sound,
    /// PONG is due after this silence.
    Tried(Duration),
    /// The same, but the silence was longer than announced: the server may have given the device up.
    Overslept(Duration),
    Suspect {
        silence: Duration,
        since: Monotonic,
    },
}

/// How long to stay away, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// How long from now.
    pub duration: Duration,
    /// Why.
    pub cause: Cause,
}

/// Why a device is not connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The server sent it away, for this reason.
    SentAway(Reason),
    /// The session ended without a word from the server.
    Lost,
    /// No connection came about.
    Unreachable,
}

impl Lifeline {
    /// The life of a device that says this of itself, on this network; what it has learnt in earlier lives
    /// is in `learner`. It never stays silent for longer than `connect.keepalive`.
    pub fn new(mut connect: Connect, learner: Learner, network: &str) -> Lifeline {
        let stored = mem::take(&mut connect.stored);
        Lifeline {
            connect,
            unconfirmed: Unconfirmed { stored, receipts: Vec::new() },
            goaway: None,
            network: network.to_owned(),
            learner,
            backoff: Backoff::default(),
            path: Path::Sound,
        }
    }

    /// What to connect with now.
    pub fn options(&self) -> Options {
        let Unconfirmed { stored, receipts } = self.unconfirmed.clone();
        let connect = Connect { keepalive: self.silence(), stored, ..self.connect.clone() };
        Options { receipts, ..Options::new(connect.into()) }
    }

    /// Takes note of what the session told, and tells it how long it may stay silent from then on, which
    /// it may have to say to the server.
    pub fn handle_event(&mut self, event: &Event, session: &mut Session, now: Monotonic) {
        match event {
            Event::Connected { .. } => {
                self.let_in(now);
                session.keep_alive(self.silence());
            }
            Event::Pinged { silence } if *silence > self.silence() + LATE_MAX => {
                self.path = Path::Overslept(*silence);
            }
            Event::Pinged { silence } => self.path = Path::Tried(*silence),
            Event::Confirmed => {
                self.confirmed();
                session.keep_alive(self.silence());
            }
            Event::Message(_) | Event::Expired(_) => self.backoff.proved(),
            Event::Broadcast(news) => {
                self.backoff.proved();
                self.follow(news);
            }
            Event::Goaway(goaway) => self.goaway = Some(*goaway),
            _ => {}
        }
    }

    /// The session has ended for this reason. `random` lies in 0..1.
    pub fn ended(&mut self, reason: &EndReason, session: &Session, now: Monotonic, random: f64) -> Wait {
        self.unconfirmed = session.unconfirmed();
        self.path = self.path.ended(reason, now);
        match self.goaway.take() {
            Some(goaway) => Wait {
                duration: self.backoff.sent_away(&goaway, random),
                cause: Cause::SentAway(goaway.reason),
            },
            None => Wait { duration: self.backoff.failed(random), cause: Cause::Lost },
        }
    }

    /// No connection came about. `random` lies in 0..1.
    pub fn unreachable(&mut self, random: f64) -> Wait {
        self.path = Path::Sound;
        Wait { duration: self.backoff.failed(random), cause: Cause::Unreachable }
    }

    /// The device is on another network now, where other silences survive, and a wait that
    /// [was not asked for by the server](Cause) may be cut short.
    pub fn move_to(&mut self, network: &str) {
        self.network = network.to_owned();
        self.path = Path::Sound;
        self.backoff = Backoff::default();
    }

    /// The least urgency that the device wants from its next CONNECT on; an open session is told by
    /// [`Session::want`].
    pub fn want(&mut self, least: Urgency) {
        self.connect.least = least;
    }

    /// What became of a message, for the next session to say: an open one is told by [`Session::receipt`].
    pub fn receipt(&mut self, receipt: Receipt) {
        let receipts = &mut self.unconfirmed.receipts;
        if receipts.len() == RECEIPTS_MAX {
            receipts.remove(0);
        }
        receipts.push(receipt);
    }

    /// What has been learnt, for a later life.
    pub fn learner(&self) -> &Learner {
        &self.learner
    }

    /// How long the device stays silent now on its network.
    pub fn silence(&self) -> Duration {
        self.learner.silence(&self.network, self.connect.keepalive)
    }

    /// Whether it will stay at that unless the network changes.
    pub fn is_settled(&self) -> bool {
        self.learner.is_settled(&self.network)
    }

    fn let_in(&mut self, now: Monotonic) {
        if let Path::Suspect { silence, since } = mem::replace(&mut self.path, Path::Sound)
            && now.since(since) <= RIGHT_AFTER
        {
            self.learner.observe(&self.network, Observation::Lost(silence));
        }
    }

    fn confirmed(&mut self) {
        self.backoff.proved();
        if let Path::Tried(silence) | Path::Overslept(silence) = mem::replace(&mut self.path, Path::Sound) {
            self.learner.observe(&self.network, Observation::Survived(silence));
        }
    }

    /// Stands where the news leads to. A server that makes up channels must not make a CONNECT that no
    /// server takes.
    fn follow(&mut self, news: &Broadcast) {
        let levels = &mut self.connect.levels;
        if levels.len() < LEVELS_MAX || levels.contains_key(&news.channel) {
            levels.insert(news.channel, news.level);
        }
    }
}

impl Path {
    /// What is thought of it when a session over it has ended.
    fn ended(self, reason: &EndReason, now: Monotonic) -> Path {
        match (self, reason) {
            (Path::Tried(silence), EndReason::Timeout | EndReason::Eof | EndReason::Transport(_)) => {
                Path::Suspect { silence, since: now }
            }
            _ => Path::Sound,
        }
    }
}

impl Cause {
    /// One word for it: what the registry calls a server's reason, `lost` or `unreachable`.
    pub fn name(self) -> &'static str {
        match self {
            Cause::SentAway(reason) => reason.name(),
            Cause::Lost => "lost",
            Cause::Unreachable => "unreachable",
        }
    }
}

#[cfg(test)]
mod tests;
