//! An app server: one app on all devices. It registers, posts and unregisters at random, one request
//! at a time, and enters into the ledger what it asked and how that was answered.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::api::{Api, Reply, Unanswered};
use super::dice::Dice;
use super::ledger::{Outcome, Post};
use super::phone::IMAGE;
use super::registration::Registration;
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

pub struct AppServer {
    app: String,
    /// Whether it posts broadcasts too: one does, so that their order is known.
    is_operator: bool,
    lines: Vec<Line>,
    dice: Dice,
}

/// The app on one device.
struct Line {
    device: String,
    registration: Registration,
}

/// One app server at work on one run of the server.
struct Work<'a> {
    api: &'a Api,
    shared: &'a Shared,
    app: &'a str,
}

impl AppServer {
    pub fn new(app: &str, is_operator: bool, devices: &[&str], dice: Dice) -> AppServer {
        let line = |device: &&str| Line { device: device.to_string(), registration: Registration::default() };
        AppServer { app: app.into(), is_operator, lines: devices.iter().map(line).collect(), dice }
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
        let AppServer { app, is_operator, lines, dice } = self;
        let work = Work { api, shared, app };
        let at = dice.index(lines.len());
        let line = &mut lines[at];
        match dice.below(100) {
            0..4 => work.unregister(line),
            4..10 => work.register(line),
            10..12 => work.try_dead(line, 1),
            12..17 if *is_operator => work.broadcast(dice),
            _ => {
                let post = post(app, line, dice);
                let token = line.registration.token().filter(|_| !dice.one_in(10)).map(str::to_owned);
                work.notify(line, post, token, dice).map(drop)
            }
        }
    }

    /// After a restart: what was registered still is, and what was unregistered is dead.
    pub fn check_tokens(&mut self, api: &Api, shared: &Shared) -> Result<(), Unanswered> {
        let work = Work { api, shared, app: &self.app };
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
        let AppServer { app, lines, dice, .. } = self;
        let work = Work { api, shared, app };
        let line = lines.iter_mut().find(|line| line.device == device).expect("all devices have a line");
        work.register(line)?;
        let expires = Timestamp::now() + LIFE;
        let post = Post { device: device.into(), app: app.clone(), tag: None, clears: false, expires };
        let token = line.registration.token().map(str::to_owned);
        work.notify(line, post, token, dice)
    }
}

fn post(app: &str, line: &Line, dice: &mut Dice) -> Post {
    let life = if dice.one_in(15) { Duration::from_millis(dice.below(SHORT_LIFE_MS)) } else { LIFE };
    Post {
        device: line.device.clone(),
        app: app.into(),
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
    fn ask(&self, path: &str, body: &Value) -> Result<Reply, Unanswered> {
        self.api.post(path, body).inspect_err(|problem| {
            self.shared.failed(self.app, &format!("POST {path}: {problem}"));
        })
    }

    fn check(&self, line: &Line, verdict: Result<(), &str>) {
        if let Err(complaint) = verdict {
            self.shared.complain(format!("{} on {}: {complaint}", self.app, line.device));
        }
    }

    fn register(&self, line: &mut Line) -> Result<(), Unanswered> {
        let body = json!({ "deviceid": line.device, "appid": self.app });
        let reply = self.ask("/register", &body).inspect_err(|_| line.registration.maybe_registered())?;
        let verdict = match reply {
            Reply::Granted(answer) => {
                line.registration.registered(answer["token"].as_str().unwrap_or_default().to_owned())
            }
            Reply::Refused(_) => Err("/register was refused"),
        };
        self.check(line, verdict);
        Ok(())
    }

    fn unregister(&self, line: &mut Line) -> Result<(), Unanswered> {
        let body = json!({ "deviceid": line.device, "appid": self.app });
        match self.ask("/unregister", &body).inspect_err(|_| line.registration.maybe_unregistered())? {
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
            match self.ask("/notify", &body)? {
                Reply::Refused(label) if label == "unknown-token" => {}
                _ => self.check(line, Err("a dead token lives")),
            }
        }
        Ok(())
    }

    /// Posts to the token, or else by the device's id; the message's number.
    fn notify(
        &self,
        line: &mut Line,
        post: Post,
        token: Option<String>,
        dice: &mut Dice,
    ) -> Result<usize, Unanswered> {
        let mut body = json!({
            "appid": self.app, "expire_on": post.expires.to_string(), "clear_pending": post.clears,
        });
        match &token {
            Some(token) => body["token"] = token.as_str().into(),
            None => (body["userid"], body["deviceid"]) = ("u".into(), line.device.as_str().into()),
        }
        if let Some(tag) = &post.tag {
            body["replace_tag"] = tag.as_str().into();
        }
        let number = self.shared.with(|ledger| ledger.post(post));
        body["data"] = json!({ "number": number, "padding": padding(dice) });
        let reply = self.ask("/notify", &body);
        self.shared.with(|ledger| ledger.answered(number, outcome(&reply)));
        let reply = reply?;
        if token.is_some() {
            let is_known = !matches!(&reply, Reply::Refused(label) if label == "unknown-token");
            let verdict = line.registration.tried(is_known);
            self.check(line, verdict);
        }
        Ok(number)
    }

    fn broadcast(&self, dice: &mut Dice) -> Result<(), Unanswered> {
        let expires = in_the_future(BROADCAST_LIFE);
        let number = self.shared.with(|ledger| ledger.broadcast(expires));
        let mut data = json!({});
        data[IMAGE] = json!({ "number": number, "padding": padding(dice) });
        let body = json!({ "channel": "system", "expire_on": expires.to_string(), "data": data });
        let reply = self.ask("/broadcast", &body);
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

fn padding(dice: &mut Dice) -> String {
    "p".repeat(dice.below(PADDING_BYTES_MAX) as usize)
}
