//! A simulated device: the push service with its connections, and a disk that takes its time and loses power.
//! It knows nothing of what it ought to get.

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use bytes::Bytes;
use lomiri_push::base::{AppId, ChannelId, CodeSecret, Credential, DeviceId, Level, Monotonic, Now, Urgency};
use lomiri_push::device::keepalive::Learner;
use lomiri_push::device::lifeline::Lifeline;
use lomiri_push::device::reconnect::Backoff;
use lomiri_push::protocol::{Wire, wire0, wire1};
use lomiri_push::service::Command;
use lomiri_push::service::mailbox::Write;
use lomiri_push::session::EndReason;
use lomiri_push::session::device::{Connect, Event, Options, Session};

use super::around::Around;
use super::bug::{self, Bug};
use super::daemon::Daemon;
use super::device_disk::DeviceDisk;
use super::dice::Dice;
use super::line::{Cargo, Network};
use super::profile::Profile;
use super::seen::Seen;

pub const IMAGE: &str = "i/m";
/// A push service whose disk was full is started again after this.
const RESTART: Duration = Duration::from_secs(10);

pub struct Device {
    pub identity: Identity,
    pub network: Network,
    pub disk: DeviceDisk,
    profile: Profile,
    daemon: Daemon,
    life: Life,
    learner: Learner,
    live: Option<Live>,
    storing: Option<Storing>,
    /// When its push service starts again, if that has failed.
    restart_at: Option<Monotonic>,
    /// When it connects; none while it is connected, or off.
    pub dial_at: Option<Monotonic>,
    is_on: bool,
    dice: Dice,
    bug: Option<Bug>,
    seen: Vec<Seen>,
}

/// Who it is.
#[derive(Clone)]
pub enum Identity {
    /// Nobody, until it has traded this.
    Code(CodeSecret),
    /// A device, and what proves it where that is asked for.
    Known(DeviceId, Option<Credential>),
    /// Nobody any more: the server does not know it.
    Nobody,
}

enum Life {
    Wire0(Backoff),
    Wire1(Box<Lifeline>),
}

struct Live {
    number: u64,
    session: Session,
    is_enrolling: bool,
    /// When the server sent the oldest of what the session has not told, at the earliest.
    sent: Option<Now>,
    has_ended: bool,
}

/// What is on its way to the disk, and what it is for.
#[derive(Default)]
struct Storing {
    /// The connection that it came over.
    number: Option<u64>,
    until: Monotonic,
    writes: Vec<Write>,
    events: Vec<Event>,
}

impl Device {
    pub fn new(identity: Identity, network: Network, mut dice: Dice, bug: Option<Bug>) -> Device {
        let profile = Profile::draw(&mut dice);
        Device {
            identity,
            network,
            disk: DeviceDisk::default(),
            profile,
            daemon: Daemon::new(Around::new(Dice::new(dice.next())), profile.bytes_per_app_max),
            life: Life::Wire0(Backoff::default()),
            learner: Learner::default(),
            live: None,
            storing: None,
            restart_at: None,
            dial_at: None,
            is_on: false,
            dice,
            bug,
            seen: Vec::new(),
        }
    }

    pub fn is_on(&self) -> bool {
        self.is_on
    }

    pub fn take_seen(&mut self) -> Vec<Seen> {
        self.note();
        mem::take(&mut self.seen)
    }

    /// Takes over what has happened in the push service.
    fn note(&mut self) {
        self.seen.append(&mut self.daemon.seen);
    }

    /// Whether nothing goes on in its push service.
    pub fn is_idle(&self) -> bool {
        self.daemon.is_idle() && self.storing.is_none()
    }

    /// Starts, with what the disk has.
    pub fn boot(&mut self, now: Monotonic) {
        self.is_on = true;
        self.restart_at = None;
        self.restore();
        self.live_anew();
        self.dial_at = Some(now + self.dice.millis(2_000));
    }

    fn restore(&mut self) {
        let mut files = self.disk.files.clone();
        if self.bug == Some(Bug::ForgetSeenIds) {
            bug::forget_seen_ids(&mut files);
        }
        if self.bug == Some(Bug::LevelStepsBack) {
            bug::forget_levels(&mut files);
        }
        if self.bug == Some(Bug::ForgetShade) {
            bug::forget_shade(&mut files);
        }
        self.daemon.restore(files);
        self.tell_level();
    }

    fn live_anew(&mut self) {
        self.life = match (self.profile.wire, &self.identity) {
            (Wire::One, Identity::Known(..)) => {
                let learner = self.learner.clone();
                Life::Wire1(Box::new(Lifeline::new(self.wire1_connect(), learner, "home")))
            }
            _ => Life::Wire0(Backoff::default()),
        };
    }

    /// The power goes.
    pub fn lose_power(&mut self) {
        self.hang_up();
        self.daemon.end();
        self.daemon.around.lose_power();
        if let Some(Storing { writes, .. }) = self.storing.take() {
            self.disk.lose_power(writes, &mut self.dice);
        }
        if let Life::Wire1(life) = &self.life {
            self.learner = life.learner().clone();
        }
        self.is_on = false;
        (self.dial_at, self.restart_at) = (None, None);
    }

    /// It is on another network now.
    pub fn move_to(&mut self, network: Network, name: &str, now: Monotonic) {
        self.network = network;
        self.hang_up();
        if let Life::Wire1(life) = &mut self.life {
            life.move_to(name);
        }
        if self.is_on {
            self.dial_at = Some(now + self.dice.millis(3_000));
        }
    }

    fn hang_up(&mut self) {
        if let Some(live) = self.live.take() {
            self.seen.push(Seen::HungUp(live.number));
        }
    }

    /// The time has come to connect: what it says first.
    pub fn dial(&mut self, number: u64, now: Monotonic) {
        self.dial_at = None;
        self.hang_up();
        let session = Session::new(self.options(), now).expect("a short CONNECT");
        let is_enrolling = matches!(self.identity, Identity::Code(_));
        self.live = Some(Live { number, session, is_enrolling, sent: None, has_ended: false });
    }

    /// Nobody was there.
    pub fn unreachable(&mut self, now: Monotonic) {
        let random = self.dice.part();
        let wait = match &mut self.life {
            Life::Wire0(backoff) => backoff.failed(random),
            Life::Wire1(life) => life.unreachable(random).duration,
        };
        self.dial_at = Some(now + wait);
    }

    fn options(&self) -> Options {
        match (&self.identity, &self.life) {
            (Identity::Code(code), _) => Options::new(Connect::Enrol(*code)),
            (_, Life::Wire1(life)) => life.options(),
            (_, Life::Wire0(_)) => Options::new(Connect::Wire0(self.wire0_connect())),
        }
    }

    fn id(&self) -> (DeviceId, Option<&Credential>) {
        match &self.identity {
            Identity::Known(id, credential) => (id.clone(), credential.as_ref()),
            _ => unreachable!("nobody connects only by a code"),
        }
    }

    fn levels(&self) -> BTreeMap<ChannelId, Level> {
        self.daemon.levels().clone()
    }

    fn wire0_connect(&self) -> wire0::Connect {
        let (id, credential) = self.id();
        let bearer = credential.map(|credential| format!("Bearer {}", credential.reveal()));
        wire0::Connect {
            model: "m".into(),
            image_channel: "i".into(),
            levels: self.levels(),
            authorization: bearer.unwrap_or_default(),
            ..wire0::Connect::new(id)
        }
    }

    fn wire1_connect(&self) -> wire1::Connect {
        let (id, credential) = self.id();
        wire1::Connect {
            window: self.profile.window,
            least: self.profile.least,
            image: IMAGE.into(),
            levels: self.levels(),
            credential: credential.map_or(Vec::new(), |credential| credential.as_bytes().to_vec()),
            ..wire1::Connect::new(id, Duration::from_secs(7_200))
        }
    }

    /// Something arrives on one of its connections.
    pub fn hear(&mut self, number: u64, cargo: Cargo, now: Monotonic) {
        let Some(live) = self.live.as_mut().filter(|live| live.number == number) else { return };
        live.sent.get_or_insert(cargo.sent);
        match cargo.bytes {
            Some(bytes) => live.session.handle_bytes(&bytes, now),
            None => live.session.end(EndReason::Eof),
        }
    }

    pub fn next_deadline(&self) -> Option<Monotonic> {
        let session = self.live.as_ref().and_then(|live| live.session.next_deadline());
        let storing = self.storing.as_ref().map(|storing| storing.until);
        let around = self.daemon.around.next_due().filter(|_| self.is_working() && self.storing.is_none());
        [session, storing, around, self.restart_at, self.dial_at].into_iter().flatten().min()
    }

    /// Does what is due, and what it says then.
    pub fn work(&mut self, now: Monotonic) -> Vec<(u64, Bytes)> {
        if let Some(live) = &mut self.live {
            live.session.handle_timeout(now);
        }
        if self.restart_at.take_if(|at| *at <= now).is_some() {
            self.start_over(now);
        }
        while self.is_working() && self.step(now) {}
        let mut said = Vec::new();
        if let Some(live) = &mut self.live {
            while let Some(bytes) = live.session.poll_transmit(now) {
                said.push((live.number, bytes));
            }
        }
        self.close_if_ended();
        said
    }

    fn close_if_ended(&mut self) {
        if self.live.as_ref().is_some_and(|live| live.has_ended) {
            self.hang_up();
        }
    }

    /// Whether there was something to do.
    fn step(&mut self, now: Monotonic) -> bool {
        if let Some(storing) = self.storing.take_if(|storing| storing.until <= now) {
            self.stored(storing, now);
            return true;
        }
        self.storing.is_none() && self.gather(now)
    }

    fn is_working(&self) -> bool {
        self.is_on && self.restart_at.is_none()
    }

    /// Takes out all that the session tells and that happens around the service, and begins to store it.
    fn gather(&mut self, now: Monotonic) -> bool {
        let mut storing = Storing::default();
        if let Some(live) = &mut self.live {
            storing.number = Some(live.number);
            let sent = live.sent.take();
            storing.events.extend(std::iter::from_fn(|| live.session.poll_event()));
            if !storing.events.is_empty() {
                self.daemon.came(&storing.events, sent);
            }
        }
        self.daemon.hear(now);
        self.begin_to_store(storing, now)
    }

    /// An app is used.
    pub fn use_app(&mut self, app: &AppId, now: Monotonic) {
        if self.is_working() {
            self.daemon.around.use_app(app, now);
        }
    }

    /// The user opens an app.
    pub fn open_app(&mut self, app: &AppId, now: Monotonic) {
        if self.is_working() {
            self.daemon.around.pop(app, now);
        }
    }

    /// Whether there was anything to store.
    fn begin_to_store(&mut self, mut storing: Storing, now: Monotonic) -> bool {
        let Some(writes) = self.daemon.begin_to_write() else { return false };
        let at_most = if self.dice.one_in(50) { 20 * self.profile.sync_ms } else { self.profile.sync_ms };
        let time = if writes.is_empty() { Duration::ZERO } else { self.dice.millis(at_most) };
        (storing.writes, storing.until) = (writes, now + time);
        if self.bug == Some(Bug::WriteBehind) {
            self.follow(storing.number, now);
        }
        self.storing = Some(storing);
        true
    }

    fn stored(&mut self, storing: Storing, now: Monotonic) {
        let Storing { number, writes, events, .. } = storing;
        if !self.disk.write(writes) {
            return self.fail(now);
        }
        self.follow(number, now);
        self.tell_level();
        if self.live.as_ref().is_some_and(|live| Some(live.number) == number) {
            events.into_iter().for_each(|event| self.handle_event(event, now));
        }
    }

    /// Does all that may be done now that everything is durable; what came over this connection is acked.
    fn follow(&mut self, number: Option<u64>, now: Monotonic) {
        for command in self.daemon.written(now) {
            match (command, &mut self.live) {
                (Command::Stored, Some(live)) if Some(live.number) == number => live.session.ack(),
                (Command::Tell(receipt), Some(live)) => live.session.receipt(receipt),
                _ => {}
            }
        }
        self.note();
    }

    /// The disk is full: the daemon ends.
    fn fail(&mut self, now: Monotonic) {
        self.hang_up();
        self.daemon.end();
        self.dial_at = None;
        self.restart_at = Some(now + RESTART);
    }

    /// The daemon begins anew, with what the disk has.
    fn start_over(&mut self, now: Monotonic) {
        self.hang_up();
        self.restore();
        self.live_anew();
        self.dial_at = Some(now);
    }

    fn tell_level(&mut self) {
        let level = self.daemon.levels().get(&ChannelId::SYSTEM).copied().unwrap_or_default();
        self.seen.push(Seen::Level(level));
    }

    fn handle_event(&mut self, event: Event, now: Monotonic) {
        let Some(live) = &mut self.live else { return };
        match &mut self.life {
            Life::Wire1(life) => life.handle_event(&event, &mut live.session, now),
            Life::Wire0(backoff) if matches!(event, Event::Message(_) | Event::Broadcast(_)) => {
                backoff.proved();
            }
            Life::Wire0(_) => {}
        }
        match event {
            Event::Connected { .. } => self.seen.push(Seen::Connected),
            Event::Expired(id) => self.seen.push(Seen::Late(id)),
            Event::Warned { reason } if reason == "unauthorized" => self.seen.push(Seen::Refused),
            Event::Enrolled(enrolled) => {
                live.session.leave();
                self.seen.push(Seen::Enrolled(enrolled.device.clone()));
                self.identity = Identity::Known(enrolled.device, Some(enrolled.credential));
            }
            Event::Ended(reason) => self.ended(&reason, now),
            _ => {}
        }
    }

    fn ended(&mut self, reason: &EndReason, now: Monotonic) {
        let Some(live) = &mut self.live else { return };
        live.has_ended = true;
        let random = self.dice.part();
        let is_new = live.is_enrolling && matches!(self.identity, Identity::Known(..));
        let wait = match &mut self.life {
            Life::Wire1(life) => life.ended(reason, &live.session, now, random).duration,
            Life::Wire0(backoff) => backoff.failed(random),
        };
        if is_new {
            self.live_anew();
        }
        if matches!(reason, EndReason::SentAway(wire1::Reason::Unauthorized)) {
            self.seen.push(Seen::Refused);
        }
        self.dial_at = Some(now + wait);
    }

    /// It has no business with the server any more.
    pub fn retire(&mut self) {
        self.identity = Identity::Nobody;
        self.hang_up();
        self.dial_at = None;
    }

    /// It gets another code.
    pub fn take_code(&mut self, code: CodeSecret, now: Monotonic) {
        self.identity = Identity::Code(code);
        self.live_anew();
        self.dial_at = self.is_on.then(|| now + self.dice.millis(1_000));
    }

    /// From now on it wants all.
    pub fn want(&mut self, least: Urgency) {
        self.profile.least = least;
        if let Life::Wire1(life) = &mut self.life {
            life.want(least);
        }
        if let Some(live) = &mut self.live {
            live.session.want(least);
        }
    }
}
