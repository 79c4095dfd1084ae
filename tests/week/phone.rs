//! A phone that runs this service, as far as its battery goes: the real lifeline, session, learner and back-off,
//! driven as `device::link` drives them, on a machine that sleeps whenever nothing keeps it awake.
//!
//! ```text
//!  Offline ──▶ Waiting, asleep or awake ──▶ Dialing, awake ──▶ Connected: awake from PING to PONG
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use lomiri_push::base::{MessageId, Monotonic};
use lomiri_push::device::keepalive::Learner;
use lomiri_push::device::lifeline::{Cause, Lifeline, Wait};
use lomiri_push::device::link::CONNECT_TIMEOUT_DEFAULT;
use lomiri_push::device::reconnect::{AWAKE_WAIT_MAX, WAKE_APART_MIN};
use lomiri_push::protocol::wire1::Connect;
use lomiri_push::session::EndReason;
use lomiri_push::session::device::{Event, Session};
use lomiri_push::tls::ROTATION;

use super::Carried;
use super::dice::Dice;
use super::figures::{Figures, Handshake, Wake, measured};
use super::server::Server;
use super::trip::Network;

pub struct Phone {
    lifeline: Lifeline,
    server: Server,
    is_server_up: bool,
    network: Option<Network>,
    state: State,
    /// When to connect.
    next_at: Monotonic,
    /// Whether the server wants that wait, on whatever network.
    is_sent_away: bool,
    /// Until when it has a ticket.
    ticket_until: Option<Monotonic>,
    woken_at: Option<Monotonic>,
    /// What is on its way, since when.
    posted: BTreeMap<MessageId, Monotonic>,
    dice: Dice,
    figures: Figures,
}

enum State {
    Offline,
    Waiting { until: Monotonic, is_awake: bool },
    Dialing { until: Monotonic },
    Connected(Box<Live>),
}

/// A connection.
struct Live {
    session: Session,
    network: Network,
    is_let_in: bool,
    awaits_pong: bool,
    /// When something last passed.
    passed: Monotonic,
    is_forgotten: bool,
    /// What is under way, a record each.
    up: Vec<Bytes>,
    down: Vec<Vec<u8>>,
    /// The bytes of records that have passed since the phone was last done with everything.
    told: Vec<usize>,
}

impl Phone {
    pub fn new(dice: Dice) -> Phone {
        let connect = Connect {
            credential: vec![7; 32],
            image: "ubports-touch/20.04/stable/fairphone-4".into(),
            ..Connect::new("R3J8q0Yt5mWc1Zk2bXv7Lw".parse().expect("a device id"), Duration::from_secs(7_200))
        };
        Phone {
            lifeline: Lifeline::new(connect, Learner::default(), ""),
            server: Server::new(),
            is_server_up: true,
            network: None,
            state: State::Offline,
            next_at: Monotonic::default(),
            is_sent_away: false,
            ticket_until: None,
            woken_at: None,
            posted: BTreeMap::new(),
            dice,
            figures: Figures::default(),
        }
    }

    fn is_awake(&self) -> bool {
        match &self.state {
            State::Offline => false,
            State::Waiting { is_awake, .. } => *is_awake,
            State::Dialing { .. } => true,
            State::Connected(live) => live.awaits_pong,
        }
    }

    fn woken(&mut self, why: Wake, now: Monotonic) {
        if !self.is_awake() && self.woken_at != Some(now) {
            self.figures.woken(why);
        }
        self.woken_at = Some(now);
    }

    fn take_state(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Offline)
    }

    fn dial(&mut self, network: Network, now: Monotonic) {
        if !network.passes {
            self.state = State::Dialing { until: now + CONNECT_TIMEOUT_DEFAULT };
        } else if !self.is_server_up {
            self.unreachable(now);
        } else {
            let session = Session::new(self.lifeline.options(), now).expect("a short CONNECT");
            self.work(Box::new(Live::new(session, network, now)), now);
        }
    }

    /// Does all that there is to do on a connection.
    fn work(&mut self, mut live: Box<Live>, now: Monotonic) {
        loop {
            while let Some(event) = live.session.poll_event() {
                match event {
                    Event::Ended(reason) => return self.ended(&reason, &mut live, now),
                    event => self.note(&event, &mut live, now),
                }
            }
            if !live.exchange(&mut self.server, now) {
                break;
            }
        }
        live.count(&mut self.figures);
        self.state = State::Connected(live);
    }

    fn note(&mut self, event: &Event, live: &mut Live, now: Monotonic) {
        match event {
            Event::Connected { .. } => self.let_in(live, now),
            Event::Pinged { .. } => live.awaits_pong = true,
            Event::Confirmed => {
                live.awaits_pong = false;
                self.figures.keepalives += 1;
            }
            Event::Message(message) => {
                // One that came before, and whose ack was lost, is dropped by its id.
                if let Some(posted) = self.posted.remove(&message.id) {
                    self.figures.came(now.since(posted));
                }
                live.session.ack();
            }
            _ => {}
        }
        self.lifeline.handle_event(event, &mut live.session, now);
    }

    fn let_in(&mut self, live: &mut Live, now: Monotonic) {
        live.is_let_in = true;
        self.is_sent_away = false;
        match self.ticket_until.replace(now + ROTATION).is_some_and(|until| now <= until) {
            true => self.figures.connected(Handshake::Resumed, measured::WIRE1_CONNECT_RESUMED),
            false => self.figures.connected(Handshake::Full, measured::WIRE1_CONNECT_FULL),
        }
    }

    fn ended(&mut self, reason: &EndReason, live: &mut Live, now: Monotonic) {
        live.count(&mut self.figures);
        let unheard: usize = live.up.iter().map(Bytes::len).sum();
        if unheard > 0 {
            self.figures.unanswered(unheard);
        }
        let wait = self.lifeline.ended(reason, &live.session, now, self.dice.part());
        self.figures.lost += usize::from(wait.cause == Cause::Lost);
        self.wait(wait, now);
    }

    fn unreachable(&mut self, now: Monotonic) {
        self.figures.unreachable();
        let wait = self.lifeline.unreachable(self.dice.part());
        self.wait(wait, now);
    }

    fn wait(&mut self, wait: Wait, now: Monotonic) {
        self.next_at = now + wait.duration;
        self.is_sent_away = matches!(wait.cause, Cause::SentAway(_));
        let is_awake = wait.duration <= AWAKE_WAIT_MAX;
        let until = if is_awake { self.next_at } else { self.next_at.max(now + WAKE_APART_MIN) };
        self.state = State::Waiting { until, is_awake };
    }

    /// It is on another network now, or on none, and not connected.
    fn arrive(&mut self, now: Monotonic) {
        let Some(network) = self.network else { return };
        self.lifeline.move_to(network.name);
        if self.is_sent_away && now < self.next_at {
            let until = self.next_at.max(now + WAKE_APART_MIN);
            self.state = State::Waiting { until, is_awake: false };
        } else {
            self.dial(network, now);
        }
    }

    /// The same network passes everything again, or nothing any more; nobody tells the phone.
    fn turn(&mut self, network: Network, now: Monotonic) {
        match self.take_state() {
            State::Connected(mut live) => {
                live.network = network;
                if network.passes && !live.down.is_empty() {
                    self.state = State::Connected(live);
                    self.hear(now);
                } else {
                    self.work(live, now);
                }
            }
            State::Dialing { .. } if network.passes => self.dial(network, now),
            state => self.state = state,
        }
    }

    /// Something is there to be heard.
    fn hear(&mut self, now: Monotonic) {
        self.woken(Wake::Radio, now);
        if let State::Connected(live) = self.take_state() {
            self.work(live, now);
        }
    }

    /// The server says this, unasked.
    fn told(&mut self, bytes: Vec<u8>, now: Monotonic) {
        let State::Connected(live) = &mut self.state else { return };
        if bytes.is_empty() || live.is_lost(now) {
            return;
        }
        live.down.push(bytes);
        if live.network.passes {
            self.hear(now);
        }
    }
}

impl Carried for Phone {
    fn move_to(&mut self, network: Option<Network>, now: Monotonic) {
        let before = std::mem::replace(&mut self.network, network);
        if let (Some(before), Some(network)) = (before, network)
            && before.name == network.name
        {
            return self.turn(network, now);
        }
        self.woken(Wake::Network, now);
        match self.take_state() {
            State::Connected(mut live) => {
                live.session.leave();
                // What the wait would be does not matter: the network decides when to connect again.
                self.lifeline.ended(&EndReason::Shutdown, &live.session, now, 0.0);
            }
            State::Dialing { .. } => self.figures.unreachable(),
            State::Offline | State::Waiting { .. } => {}
        }
        self.arrive(now);
    }

    fn post(&mut self, message: MessageId, now: Monotonic) {
        self.posted.insert(message, now);
        let bytes = self.server.post(message);
        self.told(bytes, now);
    }

    fn stop_server(&mut self, now: Monotonic) {
        self.is_server_up = false;
        let bytes = self.server.stop();
        self.told(bytes, now);
    }

    fn start_server(&mut self) {
        self.is_server_up = true;
    }

    fn next_deadline(&self) -> Option<Monotonic> {
        match &self.state {
            State::Offline => None,
            State::Waiting { until, .. } | State::Dialing { until } => Some(*until),
            State::Connected(live) => live.session.next_deadline(),
        }
    }

    fn handle_timeout(&mut self, now: Monotonic) {
        self.woken(Wake::Timer, now);
        match self.take_state() {
            State::Offline => {}
            State::Waiting { .. } => self.dial(self.network.expect("who waits to connect has one"), now),
            State::Dialing { .. } => self.unreachable(now),
            State::Connected(mut live) => {
                live.session.handle_timeout(now);
                self.work(live, now);
            }
        }
    }

    fn into_figures(self) -> Figures {
        self.figures.sum_up()
    }
}

impl Live {
    fn new(session: Session, network: Network, now: Monotonic) -> Live {
        Live {
            session,
            network,
            is_let_in: false,
            awaits_pong: false,
            passed: now,
            is_forgotten: false,
            up: Vec::new(),
            down: Vec::new(),
            told: Vec::new(),
        }
    }

    /// Whether its NAT has forgotten it.
    fn is_lost(&mut self, now: Monotonic) -> bool {
        self.is_forgotten |= now.since(self.passed) > self.network.nat_timeout;
        self.is_forgotten
    }

    /// Lets pass what is under way, if anything passes. Whether anything did.
    fn exchange(&mut self, server: &mut Server, now: Monotonic) -> bool {
        while let Some(bytes) = self.session.poll_transmit(now) {
            self.up.push(bytes);
        }
        let is_quiet = self.up.is_empty() && self.down.is_empty();
        if is_quiet || !self.network.passes || self.is_lost(now) {
            return false;
        }
        self.passed = now;
        for record in std::mem::take(&mut self.up) {
            self.told.extend(self.is_let_in.then_some(record.len()));
            self.down.extend(server.hear(&record));
        }
        for record in std::mem::take(&mut self.down) {
            // The first one is CONNACK, which counts as a part of connecting.
            let is_connack = !std::mem::replace(&mut self.is_let_in, true);
            self.told.extend((!is_connack).then_some(record.len()));
            self.session.handle_bytes(&record, now);
        }
        true
    }

    fn count(&mut self, figures: &mut Figures) {
        figures.exchanged(&std::mem::take(&mut self.told));
    }
}
