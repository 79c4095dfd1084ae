//! A simulated device: what the push service on a phone does, from its parts, with a disk that takes its
//! time and loses power, and a user who opens apps. It knows nothing of what it ought to get.

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use bytes::Bytes;
use lomiri_push::base::{
    AppId, ChannelId, CodeSecret, Credential, DeviceId, Level, MessageId, Monotonic, Now, Payload, Urgency,
};
use lomiri_push::device::keepalive::Learner;
use lomiri_push::device::lifeline::Lifeline;
use lomiri_push::device::reconnect::Backoff;
use lomiri_push::protocol::wire1::{Outcome, Receipt};
use lomiri_push::protocol::{Wire, wire0, wire1};
use lomiri_push::service::mailbox::{Entry, Mailbox, Origin, Stage, Taken, Write};
use lomiri_push::session::EndReason;
use lomiri_push::session::device::{Connect, Event, Options, Session};

use super::bug::{self, Bug};
use super::device_disk::DeviceDisk;
use super::dice::Dice;
use super::line::{Cargo, Network};
use super::profile::Profile;

pub const IMAGE: &str = "i/m";
/// For whom broadcasts are.
const SETTINGS: &str = "settings";

pub struct Device {
    pub identity: Identity,
    pub network: Network,
    pub disk: DeviceDisk,
    profile: Profile,
    mailbox: Mailbox,
    life: Life,
    learner: Learner,
    live: Option<Live>,
    storing: Option<Storing>,
    /// What was on its way to the disk when that failed.
    interrupted: Vec<Entry>,
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
    fresh: Vec<Entry>,
    popped: Vec<Entry>,
}

/// What happens on a device that the world takes note of.
pub enum Seen {
    /// It has become a device.
    Enrolled(DeviceId),
    /// Its code was refused, or it is no device any more.
    Refused,
    Connected,
    /// A message has come in, double or not; sent then at the earliest.
    Came {
        id: MessageId,
        app: AppId,
        payload: Payload,
        sent: Now,
    },
    /// A message came too late, and was dropped.
    Late(MessageId),
    /// Something is new in the mailbox, for good.
    Shown(Entry),
    /// It is in the mailbox at a start.
    Held(Entry),
    /// The user has seen it in the app.
    Opened(Entry),
    /// It stands here, for good.
    Level(Level),
    /// It gives up its connection.
    HungUp(u64),
}

impl Device {
    pub fn new(identity: Identity, network: Network, mut dice: Dice, bug: Option<Bug>) -> Device {
        let profile = Profile::draw(&mut dice);
        Device {
            identity,
            network,
            disk: DeviceDisk::default(),
            profile,
            mailbox: Mailbox::new(profile.bytes_per_app_max),
            life: Life::Wire0(Backoff::default()),
            learner: Learner::default(),
            live: None,
            storing: None,
            interrupted: Vec::new(),
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
        mem::take(&mut self.seen)
    }

    /// Starts, with what the disk has.
    pub fn boot(&mut self, now: Monotonic) {
        self.is_on = true;
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
        self.mailbox = Mailbox::restore(files, self.profile.bytes_per_app_max);
        // What is there of an interrupted write may be gone already, displaced by what was written with it.
        let held = self.interrupted.drain(..).filter(|entry| self.mailbox.knows(&entry.origin));
        self.seen.extend(held.chain(self.mailbox.entries().map(|(_, entry)| entry.clone())).map(Seen::Held));
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
        if let Some(Storing { writes, fresh, .. }) = self.storing.take() {
            self.interrupted = fresh;
            self.disk.lose_power(writes, &mut self.dice);
        }
        if let Life::Wire1(life) = &self.life {
            self.learner = life.learner().clone();
        }
        self.is_on = false;
        self.dial_at = None;
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
        self.mailbox.levels().clone()
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
        [session, storing, self.dial_at].into_iter().flatten().min()
    }

    /// Does what is due, and what it says then.
    pub fn work(&mut self, now: Monotonic) -> Vec<(u64, Bytes)> {
        if let Some(live) = &mut self.live {
            live.session.handle_timeout(now);
        }
        while self.is_on && self.step(now) {}
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

    /// Takes out all that the session tells, and begins to store it.
    fn gather(&mut self, now: Monotonic) -> bool {
        let mut storing = Storing::default();
        if let Some(live) = &mut self.live {
            storing.number = Some(live.number);
            let sent = live.sent.take();
            while let Some(event) = live.session.poll_event() {
                take(&event, sent, &mut self.mailbox, &mut storing, &mut self.seen);
                storing.events.push(event);
            }
        }
        self.begin_to_store(storing, now)
    }

    /// The user opens an app. False if the disk is busy.
    pub fn open_app(&mut self, app: &AppId, now: Monotonic) -> bool {
        if self.storing.is_some() || !self.is_on {
            return false;
        }
        let popped = self.mailbox.pop_all(app);
        self.begin_to_store(Storing { popped, ..Storing::default() }, now);
        true
    }

    fn begin_to_store(&mut self, mut storing: Storing, now: Monotonic) -> bool {
        storing.writes.extend(std::iter::from_fn(|| self.mailbox.poll_write()));
        let is_idle = storing.events.is_empty() && storing.writes.is_empty() && storing.popped.is_empty();
        let at_most = if self.dice.one_in(50) { 20 * self.profile.sync_ms } else { self.profile.sync_ms };
        let time = if storing.writes.is_empty() { Duration::ZERO } else { self.dice.millis(at_most) };
        storing.until = now + time;
        self.storing = Some(storing).filter(|_| !is_idle);
        !is_idle
    }

    fn stored(&mut self, storing: Storing, now: Monotonic) {
        let Storing { number, writes, events, fresh, popped, .. } = storing;
        if !self.disk.write(writes) {
            self.interrupted = fresh;
            return self.start_over(now);
        }
        self.mailbox.written();
        self.tell_level();
        for (entries, outcome) in [(fresh, Outcome::Shown), (popped, Outcome::Opened)] {
            entries.into_iter().for_each(|entry| self.tell(entry, outcome));
        }
        let Some(live) = self.live.as_mut().filter(|live| Some(live.number) == number) else { return };
        live.session.ack();
        events.into_iter().for_each(|event| self.handle_event(event, now));
    }

    /// The disk is full: the daemon begins anew, with what the disk has.
    fn start_over(&mut self, now: Monotonic) {
        self.hang_up();
        self.restore();
        self.live_anew();
        self.dial_at = Some(now + Duration::from_secs(10));
    }

    fn tell(&mut self, entry: Entry, outcome: Outcome) {
        if let (Origin::Message(message), Some(live)) = (entry.origin, &mut self.live) {
            live.session.receipt(Receipt { message, outcome });
        }
        self.seen.push(match outcome {
            Outcome::Opened => Seen::Opened(entry),
            _ => Seen::Shown(entry),
        });
    }

    fn tell_level(&mut self) {
        let level = self.mailbox.levels().get(&ChannelId::SYSTEM).copied().unwrap_or_default();
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

/// What the mailbox makes of it.
fn take(
    event: &Event,
    sent: Option<Now>,
    mailbox: &mut Mailbox,
    storing: &mut Storing,
    seen: &mut Vec<Seen>,
) {
    let entry = match event {
        Event::Message(message) => {
            let (id, app, payload) = (message.id, message.app.clone(), message.payload.clone());
            let came = |sent| Seen::Came { id, app: app.clone(), payload: payload.clone(), sent };
            seen.extend(sent.map(came));
            Entry { origin: Origin::Message(id), app, payload, stage: Stage::Ready }
        }
        Event::Broadcast(news) => {
            let app = SETTINGS.parse().expect("an app id");
            let nothing = || Payload::from_json(b"null").expect("JSON");
            let payload = news.payloads.last().cloned().unwrap_or_else(nothing);
            Entry { origin: Origin::Broadcast(news.channel, news.level), app, payload, stage: Stage::Ready }
        }
        _ => return,
    };
    if let Taken::New(_) = mailbox.take(entry.clone()) {
        storing.fresh.push(entry);
    }
}
