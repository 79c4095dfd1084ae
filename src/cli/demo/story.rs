//! The story itself: who does what, what must come of it, and how it is told.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Failure;
use super::apps::{CHATTER, SETTINGS};
use super::chatter::{Chatter, LIFE, Note, in_the_future};
use super::friend::{Arrival, Friend, Person};
use super::operator::Operator;
use super::phone::{IMAGE, Screen};
use super::server::{Addresses, Server};
use super::stage::Stage;
use super::teller::{Teller, Tone};

/// How long the short-lived note is worth anything: longer than it takes to kill the server.
const SHORT_LIFE: Duration = Duration::from_secs(1);
/// A message that expires in the same millisecond may count as alive.
const SURELY: Duration = Duration::from_millis(20);

/// Bob's phone lies on the left, Carol's on the right.
const BOB: Person = Person { name: "Bob", margin: 13, ansi_colour: 36 };
const CAROL: Person = Person { name: "Carol", margin: 31, ansi_colour: 35 };

const LUNCH: &str = "Lunch at one?";
const TEN: &str = "Running late: ten minutes.";
const FIVE: &str = "Make that five.";
const ICE_CREAM: &str = "Ice cream van outside, quick!";
const THERE: &str = "Are you there?";
const ORDER: &str = "Two minutes. Order for me!";
const DONE: &str = "Done. See you!";
/// The update's name, and its build.
const UPDATE: &str = "24.04-2";
const UPDATE_BUILD: u64 = 24_042;

struct Play<'a> {
    teller: &'a Teller,
    server: Server<'a>,
    operator: Operator,
    chatter: Chatter,
    bob: Friend<'a>,
    carol: Friend<'a>,
    posted: HashMap<&'static str, Instant>,
}

/// Plays the story; fails at the first expectation that does not hold.
pub fn play(stage: &Stage, teller: &Teller, screen: &Screen) -> Result<(), Failure> {
    teller.headline("Alice's Chatter: one push server, two phones, and kill -9, twice.")?;
    let mut play = Play::begin(stage, teller, screen)?;
    play.bob_writes_while_carol_is_online()?;
    let van_leaves = play.bob_writes_while_carol_is_offline()?;
    play.an_update_is_announced()?;
    play.the_server_dies_and_comes_back()?;
    play.the_ice_cream_van_leaves(van_leaves)?;
    play.carol_comes_back()?;
    play.her_push_service_dies_and_comes_back()?;
    play.carol_answers()?;
    play.nothing_else_came()?;
    play.the_server_stops()
}

impl<'a> Play<'a> {
    fn begin(stage: &'a Stage, teller: &'a Teller, screen: &Screen) -> Result<Play<'a>, Failure> {
        let server = Server::start(stage)?;
        let Addresses { devices, http } = server.addresses;
        let line = format!("Alice starts a push server: phones on {devices}, app servers on {http}.");
        let details = json!({ "devices": devices.to_string(), "http": http.to_string() });
        teller.tell("server_started", Tone::Plain, &line, &details)?;
        let operator = Operator::new(http, &stage.path("data"))?;
        let bob = Friend::new(BOB, stage, teller, &operator, screen)?;
        let carol = Friend::new(CAROL, stage, teller, &operator, screen)?;
        let chatter = Chatter::new(http);
        Ok(Play { teller, server, operator, chatter, bob, carol, posted: HashMap::new() })
    }

    fn bob_writes_while_carol_is_online(&mut self) -> Result<(), Failure> {
        self.bob_writes(&Note::new("Bob", LUNCH), "")?;
        self.carol_notices(LUNCH)?;
        self.carol_reads(&[LUNCH])
    }

    /// When the last of what he writes is worth nothing any more.
    fn bob_writes_while_carol_is_offline(&mut self) -> Result<Instant, Failure> {
        self.carol.goes_offline("Carol's phone goes offline.")?;
        self.bob_writes(&Note { tag: Some("eta"), ..Note::new("Bob", TEN) }, "")?;
        self.bob_writes(&Note { tag: Some("eta"), ..Note::new("Bob", FIVE) }, "")?;
        let line = format!("That replaces “{TEN}”");
        self.teller.tell("replaced", Tone::Plain, &line, &json!({ "text": TEN, "by": FIVE }))?;
        self.bob_writes(&Note { life: SHORT_LIFE, ..Note::new("Bob", ICE_CREAM) }, " (good for one second)")?;
        Ok(Instant::now() + SHORT_LIFE + SURELY)
    }

    fn an_update_is_announced(&mut self) -> Result<(), Failure> {
        self.operator.broadcast(&update(), &in_the_future(LIFE))?;
        self.posted.insert(UPDATE, Instant::now());
        let line = format!("The operator tells every phone: there is a system update, {UPDATE}.");
        let details = json!({ "from": "operator", "to": "everyone", "text": UPDATE });
        self.teller.tell("accepted", Tone::Plain, &line, &details)?;
        self.bob.notices(&self.arrival_of_update())?;
        self.bob.opens(&SETTINGS, &[update()])?;
        self.bob.tell_delivered(UPDATE, "Bob knows of the update.", self.posted[UPDATE])
    }

    fn the_server_dies_and_comes_back(&mut self) -> Result<(), Failure> {
        self.server.kill()?;
        self.teller.tell("server_killed", Tone::Blow, "The server is killed (kill -9).", &json!({}))?;
        self.bob.loses_the_server()?;
        let began = Instant::now();
        self.server.restart()?;
        let took_ms = began.elapsed().as_millis() as u64;
        let line = format!("The server is started again on the same data, and is back in {took_ms} ms.");
        self.teller.tell("server_restarted", Tone::Plain, &line, &json!({ "took_ms": took_ms }))?;
        self.bob.finds_the_server()?;
        self.bob_writes(&Note::new("Bob", THERE), "")
    }

    fn the_ice_cream_van_leaves(&self, at: Instant) -> Result<(), Failure> {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        let line = format!("“{ICE_CREAM}” has expired.");
        self.teller.tell("expired", Tone::Plain, &line, &json!({ "text": ICE_CREAM }))
    }

    fn carol_comes_back(&mut self) -> Result<(), Failure> {
        self.carol.comes_back()?;
        self.carol.notices(&self.arrival_of_update())?;
        self.carol_notices(FIVE)?;
        self.carol_notices(THERE)
    }

    fn her_push_service_dies_and_comes_back(&mut self) -> Result<(), Failure> {
        self.carol.crashes()?;
        self.carol.opens(&SETTINGS, &[update()])?;
        self.carol.tell_delivered(UPDATE, "Carol knows of the update.", self.posted[UPDATE])?;
        self.carol_reads(&[FIVE, THERE])
    }

    fn carol_answers(&mut self) -> Result<(), Failure> {
        let note = Note::new("Carol", ORDER);
        self.posted.insert(note.text, Instant::now());
        self.chatter.send(&self.bob.token, &note)?;
        self.tell_accepted(&note, "Bob", "")?;
        self.bob.notices(&self.arrival(ORDER))?;
        self.bob.opens(&CHATTER, &[note.payload()])?;
        self.bob.tell_delivered(ORDER, &format!("Bob reads “{ORDER}”"), self.posted[ORDER])?;
        self.bob_writes(&Note::new("Bob", DONE), "")?;
        self.carol_notices(DONE)?;
        self.carol_reads(&[DONE])
    }

    /// Deliveries keep their order, so whatever came too much would have come before the last notes.
    fn nothing_else_came(&mut self) -> Result<(), Failure> {
        self.bob.has_nothing_more(&[&CHATTER, &SETTINGS])?;
        self.carol.has_nothing_more(&[&CHATTER, &SETTINGS])?;
        self.bob.goes_offline("Bob switches off his phone.")?;
        self.carol.goes_offline("Carol switches off hers.")?;
        let line =
            "Each came once and in order, and was shown once; what was replaced or has expired never came.";
        let details = json!({ "carol": self.carol.found, "bob": self.bob.found });
        self.teller.tell("verified", Tone::Good, line, &details)
    }

    fn the_server_stops(&self) -> Result<(), Failure> {
        self.server.stop()?;
        self.teller.tell("server_stopped", Tone::Plain, "Alice stops the server.", &json!({}))
    }

    fn bob_writes(&mut self, note: &Note, remark: &str) -> Result<(), Failure> {
        self.posted.insert(note.text, Instant::now());
        self.chatter.send(&self.carol.token, note)?;
        self.tell_accepted(note, "Carol", remark)
    }

    fn tell_accepted(&self, note: &Note, to: &str, remark: &str) -> Result<(), Failure> {
        let line = format!("{} writes to {to}: “{}”{remark}", note.from, note.text);
        let details = json!({ "from": note.from, "to": to, "text": note.text, "tag": note.tag });
        self.teller.tell("accepted", Tone::Plain, &line, &details)
    }

    fn carol_notices(&mut self, text: &'static str) -> Result<(), Failure> {
        self.carol.notices(&self.arrival(text))
    }

    fn carol_reads(&mut self, texts: &[&'static str]) -> Result<(), Failure> {
        let expected: Vec<Value> = texts.iter().map(|text| Note::new("Bob", text).payload()).collect();
        self.carol.opens(&CHATTER, &expected)?;
        let tell = |text: &&str| {
            self.carol.tell_delivered(text, &format!("Carol reads “{text}”"), self.posted[text])
        };
        texts.iter().try_for_each(tell)
    }

    fn arrival(&self, text: &'static str) -> Arrival {
        Arrival { app: &CHATTER, sight: text, posted: self.posted[text] }
    }

    fn arrival_of_update(&self) -> Arrival {
        Arrival { app: &SETTINGS, sight: UPDATE, posted: self.posted[UPDATE] }
    }
}

fn update() -> Value {
    json!({ IMAGE: [UPDATE_BUILD, UPDATE] })
}
