//! A whole world on virtual time: one server, its devices and what lies between them, moved from one event
//! to the next. What happens in it at random is in `script`; what ought to come of it in `model`.

use std::collections::BTreeMap;
use std::time::Duration;

use lomiri_push::base::{AppId, DeviceId, Monotonic, Now};
use lomiri_push::queue::{Answer, Command, Limits, Rate, Rates, Refusal, Sent};

use super::bug::Bug;
use super::device::{Device, Identity};
use super::dice::Dice;
use super::line::{Cargo, Connection, Network};
use super::mail::Mail;
use super::model::{Draft, Model, Moment, Owner, Sure};
use super::seen::Seen;
use super::server::{Effect, Server, ServerOptions};

const APPS: [&str; 3] = ["chatter", "mail", "alarm"];
/// A world in which so much happens at one moment has got stuck.
const TURNS_AT_ONCE_MAX: usize = 10_000;

pub struct World {
    pub now: Monotonic,
    pub dice: Dice,
    pub model: Model,
    pub server: Server,
    pub devices: Vec<Machine>,
    pub connections: BTreeMap<u64, Connection>,
    pub requests: BTreeMap<u64, Request>,
    pub bug: Option<Bug>,
    /// When the server starts again, if it is down.
    pub restart_at: Option<Monotonic>,
    /// A message that was refused for a while, and when it is to be posted again.
    pub retry: Option<(Monotonic, Draft)>,
    decided: BTreeMap<u64, Now>,
    /// The furthest that the server's clock was ever ahead of the right one.
    ahead_max: Duration,
    numbers: u64,
}

/// A device, and what the world knows of it.
pub struct Machine {
    pub device: Device,
    /// When it starts again, if it is off.
    pub boot_at: Option<Monotonic>,
    /// When it opened its last connection.
    dialled: Monotonic,
    /// Whether it needs a code to go on.
    pub needs_code: bool,
}

/// What somebody has asked the server for.
#[derive(Clone, Copy, Debug)]
pub enum Request {
    Post(usize),
    /// Several messages at once, numbered in a row.
    Posts {
        first: usize,
        count: usize,
    },
    /// The same request again, or another under its key.
    Again {
        number: usize,
        is_same: bool,
    },
    Query {
        number: usize,
        by: By,
        is_over: bool,
    },
    Broadcast(usize),
    Register {
        device: usize,
        app: usize,
    },
    Unregister {
        device: usize,
        app: usize,
    },
    Code(usize),
    Revoke(usize),
    Erase {
        user: usize,
    },
    RevokeToken {
        user: usize,
        app: usize,
    },
    Bind(usize),
    Unbind(usize),
}

/// What somebody shows to learn what became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Token,
    /// The app's key, which is surely the right one.
    AppKey,
    /// A key of somebody else's.
    OtherKey,
}

impl World {
    pub fn new(seed: u64, bug: Option<Bug>) -> World {
        let mut dice = Dice::new(seed);
        let rates = Rates {
            token: dice.of(&[None, Some(Rate { per_minute: 60, burst: 15 })]),
            app: dice.of(&[None, None, Some(Rate { per_minute: 40, burst: 30 })]),
            user: dice.of(&[None, None, Some(Rate { per_minute: 40, burst: 20 })]),
        };
        let limits = Limits { messages_per_app_max: dice.of(&[5, 20, 100]), rates, ..Limits::default() };
        let options = ServerOptions { limits, is_auth_required: !dice.one_in(4) };
        let apps = APPS.iter().map(|app| app.parse::<AppId>().expect("an app id")).collect();
        let server_dice = Dice::new(dice.next());
        let mut server = Server::new(options, bug, server_dice);
        server.clock_ahead = Duration::from_secs(24 * 3_600);
        World {
            now: Monotonic::default(),
            dice,
            model: Model::new(limits, apps, options.is_auth_required),
            server,
            devices: Vec::new(),
            connections: BTreeMap::new(),
            requests: BTreeMap::new(),
            bug,
            restart_at: None,
            retry: None,
            decided: BTreeMap::new(),
            ahead_max: Duration::ZERO,
            numbers: 0,
        }
    }

    /// A user gets one more device. Where devices are believed it has an id at once.
    pub fn add_device(&mut self, user: usize) {
        let index = self.devices.len();
        let is_auth_required = self.server.options.is_auth_required;
        let id: Option<DeviceId> =
            (!is_auth_required).then(|| format!("device-{index}").parse().expect("a device id"));
        let identity = id.clone().map_or(Identity::Nobody, |id| Identity::Known(id, None));
        let (network, dice) = (Network::draw(&mut self.dice), Dice::new(self.dice.next()));
        let device = Device::new(identity, network, dice, self.bug);
        let boot_at = Some(self.now + self.dice.millis(5_000));
        let needs_code = is_auth_required;
        self.devices.push(Machine { device, boot_at, dialled: self.now, needs_code });
        self.model.owners.push(Owner { user, id, ..Owner::default() });
    }

    fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Asks the server, if it is up.
    pub fn ask(&mut self, request: Request, command: Command) {
        if self.server.is_up() {
            let number = self.next_number();
            self.requests.insert(number, request);
            self.server.ask(number, command);
        }
    }

    /// Lets time pass, from one event to the next, until then or until something is wrong.
    pub fn run_until(&mut self, end: Monotonic) {
        let mut turns = 0;
        while self.model.complaints.is_empty() {
            let next = self.next_event().map_or(end, |next| next.max(self.now));
            if next > end {
                break;
            }
            turns = if next == self.now { turns + 1 } else { 0 };
            assert!(turns < TURNS_AT_ONCE_MAX, "the world stands still at {next:?}");
            self.now = next;
            self.turn();
            if next == end && self.next_event().is_none_or(|next| next > end) {
                break;
            }
        }
        self.now = end.max(self.now);
    }

    fn next_event(&self) -> Option<Monotonic> {
        let arrivals = self.connections.values().filter_map(Connection::next_arrival);
        let devices =
            self.devices.iter().flat_map(|machine| [machine.device.next_deadline(), machine.boot_at]);
        let server = [self.server.next_deadline(self.now), self.restart_at];
        arrivals.chain(devices.chain(server).flatten()).min()
    }

    fn turn(&mut self) {
        self.note_time();
        self.start_what_is_due();
        self.move_cargo();
        for index in 0..self.devices.len() {
            self.work_device(index);
        }
        self.server.work(self.now);
        self.drain_effects();
    }

    /// The latest time runs on though the server's clock is set back: what is under way then expires by it.
    fn note_time(&mut self) {
        let clock_ahead = self.server.clock_ahead;
        self.ahead_max = self.ahead_max.max(clock_ahead);
        self.model.latest = self.server.clock(self.now).wall + (self.ahead_max - clock_ahead);
    }

    fn start_what_is_due(&mut self) {
        if self.restart_at.take_if(|at| *at <= self.now).is_some() {
            self.server.start(self.now);
            self.model.started();
        }
        for machine in &mut self.devices {
            if machine.boot_at.take_if(|at| *at <= self.now).is_some() {
                machine.device.boot(self.now);
            }
        }
    }

    fn move_cargo(&mut self) {
        let numbers: Vec<u64> = self.connections.keys().copied().collect();
        for number in numbers {
            while let Some(Cargo { bytes, .. }) = self.arrived(number, |connection| &mut connection.up) {
                self.server.hear(number, bytes.as_ref(), self.now);
                self.drain_effects();
            }
            let device = self.connections[&number].device;
            while let Some(cargo) = self.arrived(number, |connection| &mut connection.down) {
                self.devices[device].device.hear(number, cargo, self.now);
            }
        }
        self.connections.retain(|_, connection| !connection.is_over());
    }

    fn arrived(
        &mut self,
        number: u64,
        pipe: impl Fn(&mut Connection) -> &mut super::line::Pipe,
    ) -> Option<Cargo> {
        pipe(self.connections.get_mut(&number)?).take(self.now)
    }

    fn work_device(&mut self, index: usize) {
        let machine = &mut self.devices[index];
        if machine.device.dial_at.is_some_and(|at| at <= self.now) {
            self.dial(index);
        }
        let said = self.devices[index].device.work(self.now);
        let clock = self.server.clock(self.now);
        for (number, bytes) in said {
            if let Some(connection) = self.connections.get_mut(&number) {
                connection.send_up(Some(bytes), clock);
            }
        }
        self.note_seen(index);
    }

    fn dial(&mut self, index: usize) {
        let machine = &mut self.devices[index];
        if matches!(machine.device.identity, Identity::Nobody) {
            machine.device.dial_at = None;
            return;
        }
        if !self.server.is_up() {
            return machine.device.unreachable(self.now);
        }
        let number = self.next_number();
        let machine = &mut self.devices[index];
        machine.dialled = self.now;
        machine.device.dial(number, self.now);
        self.connections.insert(number, Connection::new(index, machine.device.network, self.now));
        self.server.accept(number, self.now);
    }

    /// Takes note of what has happened on a device.
    pub fn note_seen(&mut self, index: usize) {
        for seen in self.devices[index].device.take_seen() {
            self.note(index, seen);
        }
    }

    fn note(&mut self, index: usize, seen: Seen) {
        let machine = &mut self.devices[index];
        match seen {
            Seen::Enrolled(id) => {
                machine.needs_code = false;
                self.model.owners[index].id = Some(id);
            }
            Seen::Refused if self.model.owners[index].id.is_none() => {
                machine.device.retire();
                machine.needs_code = true;
            }
            Seen::Refused => self.model.turned_away(index),
            Seen::Connected => self.model.let_in(index, machine.dialled),
            Seen::Came { id, app, payload, sent } => self.model.came(index, id, &app, &payload, sent),
            Seen::Late(id) => self.model.came_late(index, id),
            Seen::Level(level) => self.model.at_level(index, level.0),
            Seen::HungUp(number) => {
                let clock = self.server.clock(self.now);
                if let Some(connection) = self.connections.get_mut(&number) {
                    connection.hang_up(clock);
                }
            }
            Seen::News(Mail::News(number)) => self.model.news_came(index, number),
            seen => self.model.on_device(index, seen),
        }
    }

    /// Does what the server has done to the world.
    pub fn drain_effects(&mut self) {
        self.note_time();
        let clock = self.server.clock(self.now);
        while let Some(effect) = self.server.poll_effect() {
            match effect {
                Effect::Sent(number, bytes) => {
                    if let Some(connection) = self.connections.get_mut(&number) {
                        connection.send_down(Some(bytes), clock);
                    }
                }
                Effect::Closed(number) => {
                    if let Some(connection) = self.connections.get_mut(&number) {
                        connection.send_down(None, clock);
                    }
                }
                Effect::Decided(requests) => {
                    self.decided.extend(requests.into_iter().map(|request| (request, clock)));
                }
                Effect::Answered(number, answer) => self.answered(number, answer),
                Effect::Stopped => self.crash_server(false),
            }
        }
    }

    /// The server's process ends, or its machine: then nobody is told.
    pub fn crash_server(&mut self, has_power: bool) {
        self.server.crash();
        self.server_is_gone(has_power);
    }

    /// The server is stopped, and started again.
    pub fn stop_server(&mut self) {
        self.server.disk_mut().is_full = false;
        self.server.stop(self.now);
        self.drain_effects();
        self.server_is_gone(true);
    }

    fn server_is_gone(&mut self, is_told: bool) {
        let clock = self.server.clock(self.now);
        for connection in self.connections.values_mut() {
            match is_told {
                true => connection.send_down(None, clock),
                false => connection.die(),
            }
        }
        for (number, request) in std::mem::take(&mut self.requests) {
            let moment = self.moment(number);
            self.left_open(request, moment);
        }
        self.restart_at = Some(self.now + self.dice.millis(15_000));
    }

    fn moment(&mut self, request: u64) -> Moment {
        let decided = self.decided.remove(&request).unwrap_or(self.server.clock(self.now));
        Moment { clock: decided.wall, decided: decided.monotonic, at: self.now }
    }

    fn left_open(&mut self, request: Request, moment: Moment) {
        match request {
            Request::Post(number) => self.model.left_open(number, moment),
            Request::Posts { first, count } => {
                (first..first + count).for_each(|number| self.model.left_open(number, moment));
            }
            Request::Again { number, is_same: true } if self.model.posts[number].is_there == Sure::Maybe => {
                self.model.left_open(number, moment);
            }
            Request::Broadcast(number) => self.model.announced(number, Sure::Maybe),
            Request::Register { device, app } => self.model.may_be_registered(device, app),
            Request::Unregister { device, app } => self.model.unregistered(device, app, Sure::Maybe),
            Request::Revoke(device) => self.model.may_be_revoked(device),
            Request::Erase { user } => self.model.erased(user, None),
            Request::RevokeToken { user, app } => self.model.user_token_revoked(user, app, Sure::Maybe),
            Request::Bind(app) => self.model.may_be_bound(app),
            Request::Unbind(app) => self.model.unbound(app, Sure::Maybe),
            Request::Again { .. } | Request::Query { .. } | Request::Code(_) => {}
        }
    }

    fn answered(&mut self, number: u64, answer: Answer) {
        let Some(request) = self.requests.remove(&number) else { return };
        let moment = self.moment(number);
        match (request, answer) {
            (Request::Post(number), Answer::Done) => self.model.taken(number, None, moment),
            (Request::Post(number), Answer::Sent(sent)) => self.answered_posts(number, 1, sent, moment),
            (Request::Posts { first, count }, Answer::Sent(sent)) => {
                self.answered_posts(first, count, sent, moment);
            }
            (Request::Post(number), Answer::Refused(refusal)) => {
                self.refused_post(number, &refusal, moment);
            }
            (Request::Posts { first, count }, Answer::Refused(refusal)) => {
                (first..first + count).for_each(|number| self.refused_post(number, &refusal, moment));
            }
            (Request::Again { number, is_same }, Answer::Sent(mut sent)) => {
                self.answered_again(number, is_same, sent.remove(0), moment);
            }
            (Request::Query { number, is_over, by: By::Token | By::AppKey }, Answer::State(state)) => {
                self.model.state_told(number, &state, is_over);
            }
            (Request::Broadcast(number), Answer::Done) => self.model.announced(number, Sure::Yes),
            (Request::Broadcast(number), Answer::Refused(_)) => self.model.announced(number, Sure::No),
            (Request::Register { device, app }, Answer::Registered(tokens)) => {
                self.model.registered(device, app, tokens);
            }
            (Request::Unregister { device, app }, Answer::Done) => {
                self.model.unregistered(device, app, Sure::No);
            }
            (Request::Code(device), Answer::Code(code)) => {
                self.devices[device].device.take_code(code.secret, self.now);
            }
            (Request::Revoke(device), Answer::Done | Answer::Refused(Refusal::UnknownDevice)) => {
                self.model.revoked(device, moment.at);
            }
            (Request::Erase { user }, Answer::Done) => self.model.erased(user, Some(moment.at)),
            (Request::RevokeToken { user, app }, Answer::Done) => {
                self.model.user_token_revoked(user, app, Sure::No);
            }
            (Request::Bind(app), Answer::AppKey(key)) => self.model.bound(app, key),
            (Request::Unbind(app), Answer::Done) => self.model.unbound(app, Sure::Yes),
            (_, Answer::Refused(refusal)) => self.refused(request, &refusal),
            (request, answer) => self.model.complain(format!("{request:?} was answered by {answer:?}")),
        }
    }

    fn answered_posts(
        &mut self,
        first: usize,
        count: usize,
        answers: Vec<Result<Sent, Refusal>>,
        moment: Moment,
    ) {
        if answers.len() != count {
            return self.model.complain(format!("{count} messages got {} answers", answers.len()));
        }
        for (number, answer) in (first..).zip(answers) {
            match answer {
                Ok(sent) => self.model.taken(number, Some(&sent), moment),
                Err(refusal) => self.refused_post(number, &refusal, moment),
            }
        }
    }

    fn refused_post(&mut self, number: usize, refusal: &Refusal, moment: Moment) {
        self.model.refused(number, refusal, moment);
        if let Refusal::TooManyRequests { retry_after } = refusal {
            self.retry.get_or_insert((self.now + *retry_after, self.model.posts[number].draft.clone()));
        }
    }

    fn answered_again(
        &mut self,
        number: usize,
        is_same: bool,
        answer: Result<Sent, Refusal>,
        moment: Moment,
    ) {
        let was_there = self.model.posts[number].is_there == Sure::Yes;
        if let Ok(_) | Err(Refusal::AnotherRequest | Refusal::AppKeyNeeded) = answer {
            self.model.judged_by_key(number, !matches!(answer, Err(Refusal::AppKeyNeeded)));
        }
        match answer {
            Err(Refusal::AppKeyNeeded) => {}
            Ok(sent) if is_same => self.model.taken_again(number, &sent, moment),
            Err(Refusal::AnotherRequest) if !is_same => {}
            Err(_) if is_same && !was_there => self.model.refused_again(number, moment),
            Err(_) if self.model.posts[number].is_forgotten => {}
            other => {
                self.model.complain(format!("message {number}, posted again, was answered by {other:?}"))
            }
        }
    }

    /// A request that is no post was refused.
    fn refused(&mut self, request: Request, refusal: &Refusal) {
        let is_fair = match (request, refusal) {
            (_, Refusal::Unavailable) => self.model.is_troubled,
            (
                Request::Register { device, .. } | Request::Unregister { device, .. },
                Refusal::NotThisDevice,
            ) => self.model.owners[device].may_be_revoked,
            (Request::Query { by: By::OtherKey, .. }, Refusal::UnknownMessage) => true,
            (Request::Query { number, .. }, Refusal::UnknownMessage) => {
                let post = &self.model.posts[number];
                post.is_there != Sure::Yes
                    || post.is_forgotten
                    || self.model.behind(&post.draft).life != Sure::Yes
            }
            (Request::Erase { user }, Refusal::UnknownUser) => self.model.has_no_device(user),
            (Request::RevokeToken { user, app }, Refusal::UnknownToken) => {
                !self.model.has_user_token(user, app)
            }
            _ => false,
        };
        if !is_fair {
            self.model.complain(format!("{request:?} was refused: {refusal:?}"));
        }
    }
}
