//! An app server: one app on all devices. It registers, posts and unregisters at random, one request
//! at a time, and enters into the ledger what it asked and how that was answered.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use lomiri_push::device::state::State;
use serde_json::{Value, json};

use super::api::{Api, Reply, Unanswered, bearer};
use super::dice::Dice;
use super::ledger::{Outcome, Post};
use super::phone::IMAGE;
use super::registration::Registration;
use super::sendings::{Copy, Request, Sendings};
use super::shared::Shared;

/// What most messages are worth: longer than any run.
const LIFE: Duration = Duration::from_secs(24 * 3600);
/// What some are worth: they expire in this round or the next ones.
const SHORT_LIFE_MS: u64 = 1500;
/// What broadcasts are worth. The server takes 100 at a time that live.
const BROADCAST_LIFE: Duration = Duration::from_secs(4);
/// How many replace tags there are: few, so that they meet.
const TAGS: u64 = 3;
/// How much is put beside a payload's number, at most.
const PADDING_BYTES_MAX: u64 = 1500;

/// How often in a row a server may answer that it can take nothing: then its disk stays full.
const FAILURES_MAX: u32 = 10;

/// One request of `/v1` in so many is made again at once.
const REPEATS: u64 = 10;

pub struct AppServer {
    app: String,
    /// Whether it posts broadcasts too: one does, so that their order is known.
    is_operator: bool,
    lines: Vec<Line>,
    sendings: Sendings,
    dice: Dice,
}

/// The app on one device.
struct Line {
    device: String,
    user: String,
    /// Who the device is to the server.
    identity: State,
    registration: Registration,
    /// What the last registration brought for all devices of the user that have the app.
    user_token: Option<String>,
}

/// What a post says beside its address.
struct Shape {
    tag: Option<String>,
    clears: bool,
    expires: Timestamp,
}

/// One app server at work on one run of the server.
struct Work<'a> {
    api: &'a Api,
    shared: &'a Shared,
    app: &'a str,
}

impl AppServer {
    pub fn new(app: &str, is_operator: bool, dice: Dice) -> AppServer {
        AppServer { app: app.into(), is_operator, lines: Vec::new(), sendings: Sendings::default(), dice }
    }

    /// The app is on this device too, which is enrolled as `identity`. If the device was somebody else
    /// before, all that was registered is gone.
    pub fn use_device(&mut self, device: &str, user: &str, identity: &State) {
        if let Some(line) = self.lines.iter_mut().find(|line| line.device == device) {
            // What was asked for before is not asked for again: the device's tokens are dead.
            self.sendings.take_unanswered();
            line.registration.unregistered();
            line.identity = identity.clone();
            return;
        }
        self.lines.push(Line {
            device: device.into(),
            user: user.into(),
            identity: identity.clone(),
            registration: Registration::default(),
            user_token: None,
        });
    }

    /// Makes requests until one is not answered, or too many are answered that nothing can be done.
    pub fn load(&mut self, api: &Api, shared: &Shared) {
        let mut failures = 0;
        while failures < FAILURES_MAX {
            match self.act(api, shared) {
                Ok(()) => failures = 0,
                Err(Unanswered::Failed(_)) => failures += 1,
                Err(Unanswered::Gone(_)) => return,
            }
        }
    }

    fn act(&mut self, api: &Api, shared: &Shared) -> Result<(), Unanswered> {
        let AppServer { app, is_operator, lines, sendings, dice } = self;
        let work = Work { api, shared, app };
        let at = dice.index(lines.len());
        let line = &mut lines[at];
        match dice.below(100) {
            0..4 => work.unregister(line),
            4..10 => work.register(line),
            10..12 => work.try_dead(line, 1),
            12..17 if *is_operator => work.broadcast(dice),
            17..25 => {
                let user = line.user.clone();
                work.notify_user(lines, &user, sendings, dice)
            }
            _ if line.registration.token().is_none() => work.register(line),
            _ => work.notify(line, shape(dice), sendings, dice).map(drop),
        }
    }

    /// After a restart: what was registered still is, and what was unregistered is dead.
    pub fn check_tokens(&mut self, api: &Api, shared: &Shared) -> Result<(), Unanswered> {
        let work = Work { api, shared, app: &self.app };
        work.repeat(&mut self.sendings)?;
        for line in &mut self.lines {
            if line.registration.living().is_some() {
                work.register(line)?;
            }
            work.try_dead(line, usize::MAX)?;
        }
        Ok(())
    }

    /// Posts a message to a device by a token; its number. All that was queued for the device comes
    /// before it.
    pub fn mark(&mut self, device: &str, api: &Api, shared: &Shared) -> Result<usize, Unanswered> {
        let AppServer { app, lines, sendings, dice, .. } = self;
        let work = Work { api, shared, app };
        let line = lines.iter_mut().find(|line| line.device == device).expect("all devices have a line");
        work.register(line)?;
        let expires = Timestamp::now() + LIFE;
        work.notify(line, Shape { tag: None, clears: false, expires }, sendings, dice)
    }

    /// Holds what the server says of messages against the ledger; see [`Sendings::check`].
    pub fn check_states(&self, is_settled: bool, api: &Api, shared: &Shared) -> Result<(), Unanswered> {
        let living = self.lines.iter().filter(|line| line.registration.living().is_some());
        let tokens =
            living.flat_map(|line| line.registration.living().into_iter().chain(line.user_token.as_deref()));
        self.sendings.check(&tokens.collect::<Vec<_>>(), is_settled, api, shared)
    }
}

fn shape(dice: &mut Dice) -> Shape {
    let life = if dice.one_in(15) { Duration::from_millis(dice.below(SHORT_LIFE_MS)) } else { LIFE };
    Shape {
        tag: dice.one_in(4).then(|| format!("tag-{}", dice.below(TAGS))),
        clears: dice.one_in(40),
        expires: in_the_future(life),
    }
}

/// To the millisecond, as the server counts.
fn in_the_future(life: Duration) -> Timestamp {
    let expires = Timestamp::now() + life;
    Timestamp::from_millisecond(expires.as_millisecond()).expect("the near future")
}

impl Work<'_> {
    fn ask(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Result<Reply, Unanswered> {
        self.api.post(path, headers, body).inspect_err(|problem| {
            self.shared.failed(self.app, &format!("POST {path}: {problem}"));
        })
    }

    /// Asks for something about the app in a device's name.
    fn ask_as(&self, line: &Line, path: &str) -> Result<Reply, Unanswered> {
        let body = json!({ "deviceid": line.identity.device.as_str(), "appid": self.app });
        let credential = bearer(&line.identity.credential.reveal());
        self.ask(path, &[("Authorization", &credential)], &body)
    }

    fn check(&self, line: &Line, verdict: Result<(), &str>) {
        if let Err(complaint) = verdict {
            self.shared.complain(format!("{} on {}: {complaint}", self.app, line.device));
        }
    }

    fn register(&self, line: &mut Line) -> Result<(), Unanswered> {
        let reply = self.ask_as(line, "/register").inspect_err(|_| line.registration.maybe_registered())?;
        let verdict = match reply {
            Reply::Granted(answer) => {
                line.user_token = answer["user_token"].as_str().map(str::to_owned);
                line.registration.registered(answer["token"].as_str().unwrap_or_default().to_owned())
            }
            Reply::Refused(_) => Err("/register was refused"),
        };
        self.check(line, verdict);
        Ok(())
    }

    fn unregister(&self, line: &mut Line) -> Result<(), Unanswered> {
        match self.ask_as(line, "/unregister").inspect_err(|_| line.registration.maybe_unregistered())? {
            Reply::Granted(_) => line.registration.unregistered(),
            Reply::Refused(_) => self.check(line, Err("/unregister was refused")),
        }
        Ok(())
    }

    fn try_dead(&self, line: &Line, count: usize) -> Result<(), Unanswered> {
        for token in line.registration.dead().take(count) {
            let body = json!({
                "token": token, "appid": self.app, "expire_on": in_the_future(LIFE).to_string(), "data": 0,
            });
            match self.ask("/notify", &[], &body)? {
                Reply::Refused(label) if label == "unknown-token" => {}
                _ => self.check(line, Err("a dead token lives")),
            }
        }
        Ok(())
    }

    /// Posts to a device by its token; the message's number.
    fn notify(
        &self,
        line: &mut Line,
        shape: Shape,
        sendings: &mut Sendings,
        dice: &mut Dice,
    ) -> Result<usize, Unanswered> {
        let token = line.registration.token().unwrap_or_default().to_owned();
        let copy = Copy { is_certain: true, ..self.copy(line, &shape) };
        let number = copy.number;
        let reply = self.send(token, &shape, vec![copy], sendings, dice)?;
        // Other refusals may come before anyone looks for the token.
        if is_unknown(&reply) || matches!(reply, Reply::Granted(_)) {
            let verdict = line.registration.tried(!is_unknown(&reply));
            self.check(line, verdict);
        }
        Ok(number)
    }

    /// Posts to all devices of a user that have the app, if any has it for certain. Each copy is a message
    /// of its own in the ledger.
    fn notify_user(
        &self,
        lines: &[Line],
        user: &str,
        sendings: &mut Sendings,
        dice: &mut Dice,
    ) -> Result<(), Unanswered> {
        let lines = || lines.iter().filter(|line| line.user == user);
        let Some(living) = lines().find(|line| line.registration.living().is_some()) else { return Ok(()) };
        let Some(token) = living.user_token.clone() else {
            self.check(living, Err("no user token came"));
            return Ok(());
        };
        let shape = shape(dice);
        let may_have_it = lines().filter(|line| line.registration.may_live());
        let copies = may_have_it.map(|line| self.copy(line, &shape)).collect();
        if is_unknown(&self.send(token, &shape, copies, sendings, dice)?) {
            self.check(living, Err("the user token is unknown, though the app is registered"));
        }
        Ok(())
    }

    /// Posts one message, by the old path or by the new one, and enters how it came out on each device.
    fn send(
        &self,
        token: String,
        shape: &Shape,
        copies: Vec<Copy>,
        sendings: &mut Sendings,
        dice: &mut Dice,
    ) -> Result<Reply, Unanswered> {
        let body = self.body(&token, shape, &copies, dice);
        if dice.one_in(2) {
            let reply = self.ask("/notify", &[], &body);
            copies.iter().for_each(|copy| self.answered(copy, &reply));
            return reply;
        }
        // Numbers are given once, and so make keys.
        let key = copies[0].number.to_string();
        let request = Request { token, key, body, copies };
        let reply = self.ask_for(&request);
        if let Ok(Reply::Granted(answer)) = &reply
            && dice.one_in(REPEATS)
        {
            self.check_repeated(&request, answer);
        }
        sendings.answered(request, &reply, self.shared);
        reply
    }

    fn ask_for(&self, request: &Request) -> Result<Reply, Unanswered> {
        self.ask("/v1/messages", &[("Idempotency-Key", &request.key)], &request.body)
    }

    /// The same again brings the same answer.
    fn check_repeated(&self, request: &Request, answer: &Value) {
        if let Ok(Reply::Granted(again)) = self.ask_for(request)
            && again == *answer
        {
            return;
        }
        self.shared.failed(self.app, &format!("{answer} is not what the same request brings again"));
    }

    /// Makes a request again that stayed without an answer, and enters how it came out.
    fn repeat(&self, sendings: &mut Sendings) -> Result<(), Unanswered> {
        let Some(request) = sendings.take_unanswered() else { return Ok(()) };
        let reply = self.ask_for(&request);
        sendings.answered(request, &reply, self.shared);
        reply.map(drop)
    }

    /// On the old path nobody is told which devices a message is queued for.
    fn answered(&self, copy: &Copy, reply: &Result<Reply, Unanswered>) {
        let outcome = match outcome(reply) {
            Outcome::Accepted if !copy.is_certain => Outcome::Unanswered,
            outcome => outcome,
        };
        self.shared.with(|ledger| ledger.answered(copy.number, outcome));
    }

    /// What a message is on one device.
    fn copy(&self, line: &Line, shape: &Shape) -> Copy {
        Copy {
            device: line.device.clone(),
            device_id: line.identity.device.as_str().to_owned(),
            number: self.enter(line, shape),
            is_certain: line.registration.living().is_some(),
        }
    }

    /// A message's number in the ledger.
    fn enter(&self, line: &Line, shape: &Shape) -> usize {
        let Shape { tag, clears, expires } = shape;
        let (device, app) = (line.device.clone(), self.app.to_owned());
        self.shared.with(|ledger| {
            ledger.post(Post { device, app, tag: tag.clone(), clears: *clears, expires: *expires })
        })
    }

    fn body(&self, token: &str, shape: &Shape, copies: &[Copy], dice: &mut Dice) -> Value {
        let numbers: BTreeMap<&str, usize> = copies.iter().map(|copy| (&*copy.device, copy.number)).collect();
        let mut body = json!({
            "token": token, "appid": self.app, "expire_on": shape.expires.to_string(),
            "clear_pending": shape.clears, "data": { "numbers": numbers, "padding": padding(dice) },
        });
        if let Some(tag) = &shape.tag {
            body["replace_tag"] = tag.as_str().into();
        }
        body
    }

    fn broadcast(&self, dice: &mut Dice) -> Result<(), Unanswered> {
        let expires = in_the_future(BROADCAST_LIFE);
        let number = self.shared.with(|ledger| ledger.broadcast(expires));
        let mut data = json!({});
        data[IMAGE] = json!({ "number": number, "padding": padding(dice) });
        let body = json!({ "channel": "system", "expire_on": expires.to_string(), "data": data });
        let reply = self.ask("/broadcast", &[("Authorization", &bearer(self.api.operator_key()))], &body);
        self.shared.with(|ledger| ledger.broadcast_answered(number, outcome(&reply)));
        reply.map(drop)
    }
}

fn outcome(reply: &Result<Reply, Unanswered>) -> Outcome {
    match reply {
        Ok(Reply::Granted(_)) => Outcome::Accepted,
        Ok(Reply::Refused(_)) => Outcome::Refused,
        Err(_) => Outcome::Unanswered,
    }
}

fn is_unknown(reply: &Reply) -> bool {
    matches!(reply, Reply::Refused(label) if label == "unknown-token")
}

fn padding(dice: &mut Dice) -> String {
    "p".repeat(dice.below(PADDING_BYTES_MAX) as usize)
}
