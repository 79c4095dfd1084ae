//! The story itself: who does what, what must come of it, and how it is told.

use std::collections::HashMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Failure;
use super::chatter::{APP, Chatter, LIFE, Note, in_the_future};
use super::operator::Operator;
use super::phone::{IMAGE, Phone};
use super::server::{Addresses, Stage};
use super::teller::{Teller, Tone};

/// How long the short-lived note is worth anything: longer than it takes to kill the server.
const SHORT_LIFE: Duration = Duration::from_secs(1);
/// A message that expires in the same millisecond may count as alive.
const SURELY: Duration = Duration::from_millis(20);

const CONFIGURATION: &str =
    "data_dir = \"data\"\ndelivery_domain = \"localhost\"\ndevice_auth = \"required\"\nshards = 2\n";

const LUNCH: &str = "Lunch at one?";
const TEN: &str = "Running late: ten minutes.";
const FIVE: &str = "Make that five.";
const ICE_CREAM: &str = "Ice cream van outside, quick!";
const THERE: &str = "Are you there?";
const ORDER: &str = "Two minutes. Order for me!";
const DONE: &str = "Done. See you!";
const UPDATE: &str = "system update 24.04-2";

/// A friend: the phone, and the token by which Chatter reaches it.
struct Friend {
    name: &'static str,
    phone: Phone,
    token: String,
}

struct Play<'a> {
    stage: &'a Stage,
    teller: &'a Teller,
    addresses: Addresses,
    operator: Operator,
    chatter: Chatter,
    bob: Friend,
    carol: Friend,
    posted: HashMap<&'static str, Instant>,
}

/// Plays the story; fails at the first expectation that does not hold.
pub fn play(stage: &Stage, teller: &Teller) -> Result<(), Failure> {
    teller.headline("Alice's Chatter: two phones, one push server, and a kill -9.")?;
    let mut play = Play::begin(stage, teller)?;
    play.bob_writes_while_carol_is_online()?;
    play.bob_writes_while_carol_is_offline()?;
    play.an_update_is_announced()?;
    play.the_server_dies_and_comes_back()?;
    play.the_ice_cream_van_leaves()?;
    play.carol_comes_back()?;
    play.carol_answers()?;
    play.nothing_else_came()?;
    play.the_server_stops()
}

impl<'a> Play<'a> {
    fn begin(stage: &'a Stage, teller: &'a Teller) -> Result<Play<'a>, Failure> {
        fs::write(stage.path("lomiri-push.toml"), CONFIGURATION)?;
        let addresses = stage.start_server(None)?;
        let Addresses { devices, http } = addresses;
        let line = format!("Alice starts a push server: phones on {devices}, app servers on {http}.");
        let details = json!({ "devices": devices.to_string(), "http": http.to_string() });
        teller.tell("server_started", Tone::Plain, &line, &details)?;

        let operator = Operator::new(http, &stage.path("data"))?;
        let bob = Friend::new("Bob", teller, &operator)?;
        let carol = Friend::new("Carol", teller, &operator)?;
        let chatter = Chatter::new(http);
        let line = "Chatter has a token for Bob's phone, and one for Carol's.";
        teller.tell(
            "registered",
            Tone::Plain,
            line,
            &json!({ "devices": [bob.phone.id().as_str(), carol.phone.id().as_str()] }),
        )?;

        let posted = HashMap::new();
        let mut play = Play { stage, teller, addresses, operator, chatter, bob, carol, posted };
        play.bob.connect(teller, devices, "is connected")?;
        play.carol.connect(teller, devices, "is connected")?;
        Ok(play)
    }

    fn bob_writes_while_carol_is_online(&mut self) -> Result<(), Failure> {
        self.bob_writes(&Note::new("Bob", LUNCH), "")?;
        self.carol_reads(&[LUNCH])
    }

    fn bob_writes_while_carol_is_offline(&mut self) -> Result<(), Failure> {
        self.carol.phone.disconnect();
        self.teller.tell(
            "offline",
            Tone::Plain,
            "Carol's phone goes offline.",
            &json!({ "who": "Carol" }),
        )?;

        self.bob_writes(&Note { tag: Some("eta"), ..Note::new("Bob", TEN) }, "")?;
        self.bob_writes(&Note { tag: Some("eta"), ..Note::new("Bob", FIVE) }, "")?;
        let line = format!("That replaces “{TEN}”");
        self.teller.tell("replaced", Tone::Plain, &line, &json!({ "text": TEN, "by": FIVE }))?;
        self.bob_writes(&Note { life: SHORT_LIFE, ..Note::new("Bob", ICE_CREAM) }, " (good for one second)")
    }

    fn an_update_is_announced(&mut self) -> Result<(), Failure> {
        self.operator.broadcast(&update(), &in_the_future(LIFE))?;
        self.posted.insert(UPDATE, Instant::now());
        let line = format!("The operator tells every phone: {UPDATE}.");
        let details = json!({ "from": "operator", "to": "everyone", "text": UPDATE });
        self.teller.tell("accepted", Tone::Plain, &line, &details)?;
        self.bob.expect(&[update()])?;
        self.tell_update("Bob")
    }

    fn the_server_dies_and_comes_back(&mut self) -> Result<(), Failure> {
        self.stage.kill_server()?;
        self.teller.tell("server_killed", Tone::Blow, "The server is killed (kill -9).", &json!({}))?;
        self.bob.phone.wait_for_end()?;

        let began = Instant::now();
        self.addresses = self.stage.start_server(Some(self.addresses))?;
        let took_ms = began.elapsed().as_millis() as u64;
        let line = format!("The server is started again on the same data, and is back in {took_ms} ms.");
        self.teller.tell("server_restarted", Tone::Plain, &line, &json!({ "took_ms": took_ms }))?;
        self.bob.connect(self.teller, self.addresses.devices, "is connected again")?;
        self.bob_writes(&Note::new("Bob", THERE), "")
    }

    fn the_ice_cream_van_leaves(&self) -> Result<(), Failure> {
        let gone = self.posted[ICE_CREAM] + SHORT_LIFE + SURELY;
        thread::sleep(gone.saturating_duration_since(Instant::now()));
        let line = format!("“{ICE_CREAM}” has expired.");
        self.teller.tell("expired", Tone::Plain, &line, &json!({ "text": ICE_CREAM }))
    }

    fn carol_comes_back(&mut self) -> Result<(), Failure> {
        self.carol.connect(self.teller, self.addresses.devices, "is back")?;
        self.carol.expect(&[update()])?;
        self.tell_update("Carol")?;
        self.carol_reads(&[FIVE, THERE])
    }

    fn carol_answers(&mut self) -> Result<(), Failure> {
        let note = Note::new("Carol", ORDER);
        self.posted.insert(note.text, Instant::now());
        self.chatter.send(&self.bob.token, &note)?;
        self.tell_accepted(&note, "Bob", "")?;
        self.bob.expect(&[note.payload()])?;
        self.tell_read("Bob", note.text)?;
        self.bob_writes(&Note::new("Bob", DONE), "")?;
        self.carol_reads(&[DONE])
    }

    /// Deliveries keep their order, so whatever came too much would have come before the last notes.
    fn nothing_else_came(&self) -> Result<(), Failure> {
        let note = |text| Note::new("Bob", text).payload();
        let carols = [note(LUNCH), update(), note(FIVE), note(THERE), note(DONE)];
        let bobs = [update(), Note::new("Carol", ORDER).payload()];
        check("Carol's phone", self.carol.phone.got(), &carols)?;
        check("Bob's phone", self.bob.phone.got(), &bobs)?;
        let line = "Each came once and in order; what was replaced or has expired never came.";
        let details = json!({ "carol": carols.len(), "bob": bobs.len() });
        self.teller.tell("verified", Tone::Good, line, &details)
    }

    fn the_server_stops(&mut self) -> Result<(), Failure> {
        let status = self.stage.stop_server()?;
        if !status.success() {
            return Err(Failure::Run(format!("the server was asked to stop, and ended with {status}")));
        }
        self.bob.phone.wait_for_end()?;
        self.carol.phone.wait_for_end()?;
        self.teller.tell("server_stopped", Tone::Plain, "Alice stops the server.", &json!({}))
    }

    fn bob_writes(&mut self, note: &Note, remark: &str) -> Result<(), Failure> {
        self.posted.insert(note.text, Instant::now());
        self.chatter.send(&self.carol.token, note)?;
        self.tell_accepted(note, "Carol", remark)
    }

    fn carol_reads(&mut self, texts: &[&'static str]) -> Result<(), Failure> {
        let expected: Vec<Value> = texts.iter().map(|text| Note::new("Bob", text).payload()).collect();
        self.carol.expect(&expected)?;
        texts.iter().try_for_each(|text| self.tell_read("Carol", text))
    }

    fn tell_accepted(&self, note: &Note, to: &str, remark: &str) -> Result<(), Failure> {
        let line = format!("{} writes to {to}: “{}”{remark}", note.from, note.text);
        let details = json!({ "from": note.from, "to": to, "text": note.text, "tag": note.tag });
        self.teller.tell("accepted", Tone::Plain, &line, &details)
    }

    fn tell_read(&self, to: &str, text: &str) -> Result<(), Failure> {
        let after_ms = self.ms_since_posted(text);
        let line = format!("{to} reads “{text}”, {} after it was written.", in_words(after_ms));
        let details = json!({ "to": to, "text": text, "after_ms": after_ms });
        self.teller.tell("delivered", Tone::Good, &line, &details)
    }

    fn tell_update(&self, to: &str) -> Result<(), Failure> {
        let after_ms = self.ms_since_posted(UPDATE);
        let line = format!("{to}'s phone hears of the update.");
        let details = json!({ "to": to, "text": UPDATE, "after_ms": after_ms });
        self.teller.tell("delivered", Tone::Good, &line, &details)
    }

    fn ms_since_posted(&self, text: &str) -> u64 {
        self.posted[text].elapsed().as_millis() as u64
    }
}

impl Friend {
    /// The phone is enrolled by a code from the operator, and asks for a token, which Chatter gets.
    fn new(name: &'static str, teller: &Teller, operator: &Operator) -> Result<Friend, Failure> {
        let phone = Phone::enrol(name, &operator.code_for(&name.to_lowercase())?)?;
        let line = format!("{name} types a one-time code into a phone: it is {name}'s now.");
        let details = json!({ "who": name, "device": phone.id().as_str() });
        teller.tell("enrolled", Tone::Plain, &line, &details)?;
        let token = phone.register(operator.http(), APP)?;
        Ok(Friend { name, phone, token })
    }

    fn connect(&mut self, teller: &Teller, addr: std::net::SocketAddr, how: &str) -> Result<(), Failure> {
        self.phone.connect(addr)?;
        let line = format!("{}'s phone {how}.", self.name);
        teller.tell("connected", Tone::Plain, &line, &json!({ "who": self.name }))
    }

    /// Waits for exactly these, in this order.
    fn expect(&mut self, expected: &[Value]) -> Result<(), Failure> {
        let got = self.phone.receive(expected.len())?;
        check(&format!("{}'s phone", self.name), got, expected)
    }
}

fn in_words(ms: u64) -> String {
    match ms {
        0 => "less than a millisecond".to_owned(),
        _ => format!("{ms} ms"),
    }
}

fn update() -> Value {
    json!({ IMAGE: [UPDATE] })
}

fn check(whose: &str, got: &[Value], expected: &[Value]) -> Result<(), Failure> {
    if got == expected {
        return Ok(());
    }
    Err(Failure::Run(format!("{whose} should have got {}, and got {}", json!(expected), json!(got))))
}
