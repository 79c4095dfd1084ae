//! A friend in the story: what happens on the phone, and how that is told. What is written to whom, it does not
//! know.

use std::time::Instant;

use serde_json::{Value, json};

use super::Failure;
use super::apps::{App, CHATTER};
use super::bus::Bus;
use super::operator::Operator;
use super::phone::{Phone, Screen};
use super::stage::Stage;
use super::teller::{Teller, Tone};

/// Who it is, and how the phone is drawn.
#[derive(Clone, Copy)]
pub struct Person {
    /// The name.
    pub name: &'static str,
    /// How far from the left its notifications are drawn, in characters.
    pub margin: usize,
    /// In which colour, as ANSI numbers them.
    pub ansi_colour: u8,
}

/// A friend, the phone, and the token by which Chatter reaches it.
pub struct Friend<'a> {
    person: Person,
    teller: &'a Teller,
    phone: Phone,
    /// By what Chatter's server reaches the phone.
    pub token: String,
    /// How helpers run there.
    helpers: String,
    /// How many messages apps have found.
    pub found: usize,
}

/// Something that reaches a phone.
pub struct Arrival {
    /// For which app.
    pub app: &'static App,
    /// What the notification shows of it.
    pub sight: &'static str,
    /// When it was sent off.
    pub posted: Instant,
}

impl<'a> Friend<'a> {
    /// The phone is enrolled by a code from the operator and connects; its Chatter gets a token.
    pub fn new(
        person: Person,
        stage: &Stage,
        teller: &'a Teller,
        operator: &Operator,
        screen: &Screen,
    ) -> Result<Friend<'a>, Failure> {
        let name = person.name;
        let mut phone = Phone::new(stage, name, operator.http().addr(), screen.clone())?;
        tell_bus(teller, name, &phone.bus)?;
        phone.enrol(&operator.code_for(&name.to_lowercase())?)?;
        let report = phone.report()?;
        let line = format!("{name} types a one-time code into a phone: it is {name}'s now, and connected.");
        let details = json!({ "who": name, "device": report.device });
        teller.tell("enrolled", Tone::Plain, &line, &details)?;
        let token = phone.register(&CHATTER)?;
        let line = format!("Chatter on {name}'s phone gets a token over D-Bus, and gives it to its server.");
        let details = json!({ "who": name, "app": CHATTER.id, "device": report.device });
        teller.tell("registered", Tone::Plain, &line, &details)?;
        Ok(Friend { person, teller, phone, token, helpers: report.helpers, found: 0 })
    }

    /// A notification appears, made by the app's helper, and nobody has opened the app.
    pub fn notices(&mut self, arrival: &Arrival) -> Result<(), Failure> {
        self.phone.wait_for_helper(arrival.app)?;
        self.tell_helped(arrival.app)?;
        let picture = self.phone.wait_for_notification(arrival.sight)?;
        self.tell_shown(arrival, picture.as_deref())
    }

    fn tell_helped(&self, app: &App) -> Result<(), Failure> {
        let (name, app_name, how) = (self.person.name, app.name, shortly(&self.helpers));
        let line = format!("{name}'s {app_name} sleeps. Its helper says what to show ({how}).");
        let details = json!({ "who": name, "app": app.id, "helpers": self.helpers });
        self.teller.explain("helper_ran", &line, &details)
    }

    /// With the picture, if it is not on the desktop.
    fn tell_shown(&self, arrival: &Arrival, picture: Option<&str>) -> Result<(), Failure> {
        let Person { name, margin, ansi_colour } = self.person;
        let after_ms = arrival.posted.elapsed().as_millis() as u64;
        let (place, end) = picture.map_or(("desktop", " on this desktop."), |_| ("terminal", ":"));
        let line = format!("{name}'s phone shows it after {}{end}", in_words(after_ms));
        let (app, text) = (arrival.app.id, arrival.sight);
        let details = json!({ "who": name, "app": app, "text": text, "where": place, "after_ms": after_ms });
        self.teller.tell("notification_shown", Tone::Good, &line, &details)?;
        self.teller.draw(picture.unwrap_or_default(), margin, ansi_colour)
    }

    /// Opens an app, which must find exactly these messages.
    pub fn opens(&mut self, app: &App, expected: &[Value]) -> Result<(), Failure> {
        let name = self.person.name;
        let got = self.phone.open(app)?;
        check(name, app, &got, expected)?;
        self.found += got.len();
        let count = got.len();
        let line = format!("{name} opens {}, which takes {} from its mailbox.", app.name, counted(count));
        let details = json!({ "who": name, "app": app.id, "count": count });
        self.teller.tell("mailbox_popped", Tone::Plain, &line, &details)
    }

    /// Tells of a message that an app has found.
    pub fn tell_delivered(&self, text: &str, line: &str, posted: Instant) -> Result<(), Failure> {
        let details =
            json!({ "to": self.person.name, "text": text, "after_ms": posted.elapsed().as_millis() as u64 });
        self.teller.tell("delivered", Tone::Good, line, &details)
    }

    /// The push service ends in good order.
    pub fn goes_offline(&mut self, line: &str) -> Result<(), Failure> {
        self.phone.stop()?;
        self.teller.tell("offline", Tone::Plain, line, &json!({ "who": self.person.name }))
    }

    /// The push service is started again.
    pub fn comes_back(&mut self) -> Result<(), Failure> {
        self.phone.start()?;
        self.tell_connected("is back")
    }

    /// The push service is killed, and started again.
    pub fn crashes(&mut self) -> Result<(), Failure> {
        let name = self.person.name;
        let who = json!({ "who": name });
        self.phone.kill()?;
        let line = format!("{name}'s push service is killed (kill -9), with mail unread.");
        self.teller.tell("service_killed", Tone::Blow, &line, &who)?;
        let began = Instant::now();
        self.phone.start()?;
        let took_ms = began.elapsed().as_millis() as u64;
        let line = format!("It is started again, and is back in {took_ms} ms.");
        self.teller.tell("service_restarted", Tone::Plain, &line, &json!({ "who": name, "took_ms": took_ms }))
    }

    /// The push service notices that the server is gone.
    pub fn loses_the_server(&mut self) -> Result<(), Failure> {
        self.phone.wait_for_loss()
    }

    /// The push service finds the server again by itself.
    pub fn finds_the_server(&mut self) -> Result<(), Failure> {
        self.phone.wait_for_connection()?;
        self.tell_connected("has found it again by itself")
    }

    /// No app finds anything that was not told of.
    pub fn has_nothing_more(&self, apps: &[&App]) -> Result<(), Failure> {
        apps.iter().try_for_each(|app| check(self.person.name, app, &self.phone.open(app)?, &[]))
    }

    fn tell_connected(&self, how: &str) -> Result<(), Failure> {
        let line = format!("{}'s phone {how}.", self.person.name);
        self.teller.tell("connected", Tone::Plain, &line, &json!({ "who": self.person.name }))
    }
}

fn tell_bus(teller: &Teller, name: &str, bus: &Bus) -> Result<(), Failure> {
    let (kind, line) = match bus {
        Bus::Daemon(_) => {
            ("dbus-daemon", "Each phone has a D-Bus daemon of its own, a push service, and apps that sleep.")
        }
        Bus::Peer(_) => (
            "peer-to-peer",
            "Each phone has a push service, and apps that sleep. (No dbus-daemon here: they talk peer to peer.)",
        ),
    };
    teller.explain("bus_started", line, &json!({ "who": name, "kind": kind }))
}

fn check(name: &str, app: &App, got: &[Value], expected: &[Value]) -> Result<(), Failure> {
    if got == expected {
        return Ok(());
    }
    let (app, expected, got) = (app.name, json!(expected), json!(got));
    Err(Failure::Run(format!("{name}'s {app} should have found {expected}, and found {got}")))
}

/// Without the details of why.
fn shortly(helpers: &str) -> String {
    helpers.split(": ").take(2).collect::<Vec<_>>().join(": ")
}

fn in_words(ms: u64) -> String {
    match ms {
        0 => "less than a millisecond".to_owned(),
        1..1000 => format!("{ms} ms"),
        _ => format!("{:.1} s", ms as f64 / 1000.0),
    }
}

fn counted(notes: usize) -> String {
    match notes {
        1 => "one message".to_owned(),
        count => format!("{count} messages"),
    }
}
