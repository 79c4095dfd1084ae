//! The thread of a link.
//!
//! ```text
//!                    ┌────────────────── ended, sent away ──────────────────┐
//!                    ▼                                                      │
//!  Offline ──▶ Waiting for its time ──▶ Connecting ── let in ──▶ Connected ─┤
//!     ▲              ▲                      └── unreachable ──▶ Waiting     │
//!     │              └── another network: its time is now ──────────────────┤
//!     └── any, when the network is gone ────────────────────────────────────┘
//!
//!  any ── stop ──▶ the end, in order
//! ```

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use log::{debug, error, info};

use super::learnt::Learnt;
use super::line::Line;
use super::orders::{Order, Orders};
use super::plain_servers::PlainServers;
use super::servers::{NoServers, Servers};
use super::{LinkOptions, News};
use crate::base::Monotonic;
use crate::device::clock::{now, wall};
use crate::device::lifeline::{Cause, Wait};
use crate::device::network::Network;
use crate::device::power::{Power, WakeLock};
use crate::device::reconnect::{AWAKE_WAIT_MAX, WAKE_APART_MIN};
use crate::device::watch::{Until, Watch};
use crate::device::{ConnectError, Connection, Server};
use crate::protocol::wire1::{Goaway, Reason};
use crate::session::EndReason;
use crate::session::device::Event;

/// Does all that a link does.
pub(super) struct Keeper<N> {
    servers: Servers,
    line: Line,
    learnt: Learnt,
    plain_servers: PlainServers,
    connect_timeout: Duration,
    exchange_timeout: Duration,
    power: Power,
    watch: Arc<Watch>,
    orders: Orders,
    news: N,
    network: Network,
    is_stopping: bool,
    /// When to connect.
    next_at: Monotonic,
    /// Whether the server wants that wait, on whatever network.
    is_sent_away: bool,
    /// What keeps the machine awake for a short wait.
    awake: Option<WakeLock>,
}

/// Whether a connection is still the one that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Stay,
    Leave,
}

/// A connection, and what keeps the machine awake for it: from dialing to CONNACK, and from PING to PONG.
struct Live<'a> {
    connection: Connection,
    server: &'a Server,
    awake: Option<WakeLock>,
}

impl<N: FnMut(News)> Keeper<N> {
    pub fn new(options: LinkOptions, watch: Watch, orders: Orders, news: N) -> Keeper<N> {
        let LinkOptions { speech, servers, connect_timeout, exchange_timeout, folder, power } = options;
        let plain_servers = PlainServers::read(folder.as_deref());
        let learnt = Learnt::read(folder);
        Keeper {
            servers,
            line: Line::new(speech, learnt.learner().clone()),
            learnt,
            plain_servers,
            connect_timeout,
            exchange_timeout,
            power,
            watch: watch.into(),
            orders,
            news,
            network: Network::Offline,
            is_stopping: false,
            next_at: Monotonic::default(),
            is_sent_away: false,
            awake: None,
        }
    }

    /// Keeps connected until it is told to stop.
    pub fn run(mut self) {
        loop {
            self.take_orders(None);
            if self.is_stopping {
                return;
            }
            match self.network {
                Network::Offline => self.sleep(Until::default()),
                Network::On(_) if now() < self.next_at => {
                    let wake = Some(self.next_at.max(now() + WAKE_APART_MIN));
                    self.sleep(Until { late: Some(self.next_at), wake, ready: None });
                }
                Network::On(_) => self.connect(),
            }
        }
    }

    fn sleep(&mut self, until: Until<'_>) {
        if let Err(error) = self.watch.wait(until) {
            // Without its descriptors it would spin.
            error!("the link cannot wait and ends: {error}");
            self.is_stopping = true;
        }
    }

    /// Tries the servers one after the other, and stays with the first that answers.
    fn connect(&mut self) {
        let awake = self.awake.take().unwrap_or_else(|| self.power.hold());
        let servers = match self.servers.list(&self.watch) {
            Ok(servers) => servers,
            Err(NoServers::Called) => return,
            Err(NoServers::Unknown(problem)) => return self.unreachable(problem),
        };
        let mut problem = "no server is named".to_owned();
        for server in servers {
            let name = server.name.to_str();
            self.line.meet(&name, self.plain_servers.holds(&name, wall(now())));
            let options = self.line.options(self.exchange_timeout);
            match Connection::open_by(&server, options, self.connect_timeout, self.watch.clone()) {
                Ok(connection) => {
                    return self.stay(Live { connection, server: &server, awake: Some(awake) });
                }
                Err(ConnectError::Called { .. }) => return,
                Err(error) => problem = error.to_string(),
            }
        }
        self.servers.forget();
        self.unreachable(problem);
    }

    /// Takes what a connection brings until it ends or is not wanted any more.
    fn stay(&mut self, mut live: Live<'_>) {
        while self.take_orders(Some(&mut live.connection)) == Turn::Stay {
            let Some(event) = live.connection.next_event(None) else { continue };
            let mut events = vec![event];
            events.extend(std::iter::from_fn(|| live.connection.session().poll_event()));
            if !self.deliver(&events, &mut live.connection) {
                return self.give_up(live.connection);
            }
            for event in &events {
                match event {
                    Event::Ended(reason) => return self.ended(reason, live.connection),
                    event => self.note(event, &mut live),
                }
            }
        }
        self.leave(live.connection);
    }

    /// Hands on the messages and broadcasts among these events, and acks them when they are stored. False
    /// if they never will be.
    fn deliver(&mut self, events: &[Event], connection: &mut Connection) -> bool {
        let came = |event: &&Event| matches!(event, Event::Message(_) | Event::Broadcast(_));
        let events: Vec<Event> = events.iter().filter(came).cloned().collect();
        if events.is_empty() {
            return true;
        }
        let (stored, told) = sync_channel(1);
        (self.news)(News::Came { events, stored, awake: self.power.hold() });
        let is_stored = told.recv().is_ok();
        if is_stored {
            connection.ack();
        }
        is_stored
    }

    /// Takes note of an event that is not the last.
    fn note(&mut self, event: &Event, live: &mut Live<'_>) {
        let before = self.silence();
        self.line.handle_event(event, live.connection.session(), now());
        match event {
            Event::Connected { interval } => self.let_in(*interval, live),
            Event::Pinged { .. } => live.awake = Some(self.power.hold()),
            Event::Confirmed => {
                live.awake = None;
                self.tell_silence(before);
            }
            Event::Warned { reason } => info!("{} warns: {}", live.server.addr, reason.escape_debug()),
            Event::Broken { reason } => {
                info!("{} breaks off: {}", live.server.addr, reason.escape_debug());
                // The only reason there is says that this is not the server for this device.
                self.servers.forget();
            }
            Event::Goaway(Goaway { reason: Reason::HostMismatch | Reason::Drain, .. }) => {
                self.servers.forget();
            }
            _ => {}
        }
    }

    fn let_in(&mut self, interval: Duration, live: &mut Live<'_>) {
        live.awake = None;
        self.is_sent_away = false;
        let name = live.server.name.to_str();
        match self.line.finding() {
            Some(true) => self.plain_servers.note(&name, wall(now())),
            Some(false) => self.plain_servers.forget(&name),
            None => {}
        }
        (self.news)(News::Connected {
            server: live.server.addr.clone(),
            wire: self.line.wire(),
            interval,
            is_resumed: live.connection.is_resumed(),
        });
        self.tell_silence(None);
    }

    /// Tells how long the device is silent, unless it was so `before`.
    fn tell_silence(&mut self, before: Option<(Duration, bool)>) {
        let Some((silence, is_settled)) = self.silence().filter(|now| Some(*now) != before) else { return };
        (self.news)(News::Keepalive { silence, is_settled });
    }

    fn silence(&self) -> Option<(Duration, bool)> {
        self.line.lifeline().map(|lifeline| (lifeline.silence(), lifeline.is_settled()))
    }

    fn unreachable(&mut self, problem: String) {
        let wait = self.line.unreachable(random());
        self.wait(wait, problem);
    }

    fn ended(&mut self, reason: &EndReason, mut connection: Connection) {
        let wait = self.line.ended(reason, connection.session(), now(), random());
        connection.close();
        self.keep_learnt();
        self.wait(wait, reason.to_string());
    }

    /// What came cannot be stored: the server is to send it again, later.
    fn give_up(&mut self, connection: Connection) {
        debug!("what came is not stored; the server keeps it");
        self.ended(&EndReason::Shutdown, connection);
    }

    /// Leaves a connection that is not wanted any more, in order.
    fn leave(&mut self, mut connection: Connection) {
        // What the wait would be does not matter: the network decides when to connect again.
        self.line.ended(&EndReason::Shutdown, connection.session(), now(), 0.0);
        connection.close();
        self.keep_learnt();
        if !self.is_stopping {
            self.arrive();
        }
    }

    fn keep_learnt(&mut self) {
        if let Some(lifeline) = self.line.lifeline() {
            self.learnt.note(lifeline.learner());
        }
    }

    fn wait(&mut self, wait: Wait, problem: String) {
        self.next_at = now() + wait.duration;
        self.is_sent_away = matches!(wait.cause, Cause::SentAway(_));
        self.awake = (wait.duration <= AWAKE_WAIT_MAX).then(|| self.power.hold());
        (self.news)(News::Waiting { wait, problem });
    }

    /// Does what was ordered; whether `connection` is still wanted then.
    fn take_orders(&mut self, mut connection: Option<&mut Connection>) -> Turn {
        let before = self.network.clone();
        for order in self.orders.take(&self.watch) {
            match (order, &mut connection) {
                (Order::Tell(receipt), Some(connection)) => connection.session().receipt(receipt),
                (Order::Tell(receipt), None) => self.line.receipt(receipt),
                (Order::Want(least), connection) => {
                    self.line.want(least);
                    connection.iter_mut().for_each(|connection| connection.session().want(least));
                }
                (Order::Network(network), _) => self.network = network,
                (Order::Stop, _) => self.is_stopping = true,
            }
        }
        let has_moved = self.network != before;
        if has_moved && connection.is_none() {
            self.arrive();
        }
        if has_moved || self.is_stopping { Turn::Leave } else { Turn::Stay }
    }

    /// The device is somewhere else, or nowhere, and not connected.
    fn arrive(&mut self) {
        match &self.network {
            Network::Offline => {
                self.awake = None;
                (self.news)(News::Offline);
            }
            Network::On(name) => {
                self.line.move_to(name);
                let now = now();
                if !self.is_sent_away {
                    self.next_at = now;
                }
                (self.news)(News::Moved { wait: self.next_at.since(now) });
            }
        }
    }
}

/// Anything in 0..1.
fn random() -> f64 {
    let bits = getrandom::u64().expect("the system has random numbers");
    // As many bits as the fraction of an f64 holds.
    (bits >> 11) as f64 / (1u64 << 53) as f64
}
