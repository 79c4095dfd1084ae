//! What is around the push service on a simulated device: helpers that take their time or fail, a notification
//! server, apps, and a user who clicks. It does as it likes, and knows nothing of what ought to happen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lomiri_push::base::{AppId, Monotonic, Payload};
use lomiri_push::service::Presented;
use lomiri_push::service::notification::{Card, Emblem, Notification, Output};
use lomiri_push::service::shade::BubbleId;

use super::dice::Dice;
use super::mail::Mail;

/// More than the service keeps of one app, so that the oldest make room.
const TAGS: usize = 24;

pub struct Around {
    dice: Dice,
    /// What is to happen, and when.
    due: Vec<(Monotonic, Deed)>,
    /// What the notification server shows: whose, and under what tag.
    screen: BTreeMap<u32, (AppId, String)>,
    server: Arc<str>,
    next_bubble: u32,
    next_local: usize,
}

/// Something that the service is to hear of.
pub enum Deed {
    Helped { number: u64, output: Option<Output> },
    Presented { number: u64, presented: Presented, note: Noted },
    Activated(BubbleId),
    Dismissed(BubbleId),
    Asked(Ask),
}

/// What an app asks for.
pub enum Ask {
    Pop(AppId),
    List(AppId),
    Clear(AppId, Vec<String>),
    Count(AppId, Emblem),
    Post(AppId, Box<Output>),
}

/// A notification, as far as the shade and the model are concerned with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    pub app: AppId,
    pub tag: String,
    pub persist: bool,
    pub bubble: Option<BubbleId>,
    /// What it tells of; it stands in the summary.
    pub mail: Option<Mail>,
}

impl Around {
    pub fn new(dice: Dice) -> Around {
        let (due, screen) = (Vec::new(), BTreeMap::new());
        Around { dice, due, screen, server: "bus 0".into(), next_bubble: 1, next_local: 0 }
    }

    /// The service ends, and with it all that waits for it.
    pub fn service_ends(&mut self) {
        self.due.clear();
    }

    /// The power goes; what comes up is another notification server, which counts from one again.
    pub fn lose_power(&mut self) {
        self.service_ends();
        self.screen.clear();
        self.server = format!("bus {}", self.dice.next()).into();
        self.next_bubble = 1;
    }

    pub fn next_due(&self) -> Option<Monotonic> {
        self.due.iter().map(|(at, _)| *at).min()
    }

    /// What happens now, in the order in which it came about.
    pub fn take_due(&mut self, now: Monotonic) -> Vec<Deed> {
        self.due.extract_if(.., |(at, _)| *at <= now).map(|(_, deed)| deed).collect()
    }

    /// An app's helper runs: mostly in no time.
    pub fn help(&mut self, number: u64, payload: &Payload, now: Monotonic) {
        let output = if self.dice.one_in(8) { None } else { Some(self.output(payload)) };
        let time = match self.dice.below(20) {
            0 => self.dice.millis(5_000),
            1..5 => self.dice.millis(50),
            _ => Duration::ZERO,
        };
        self.due.push((now + time, Deed::Helped { number, output }));
    }

    fn output(&mut self, payload: &Payload) -> Output {
        let mail = Mail::read(payload.as_bytes());
        let notification = self.dice.one_in(2).then(|| self.notification(mail));
        let message = match (self.dice.below(5), mail) {
            (0, _) => None,
            (1..3, Some(Mail::Message(number))) => {
                let more = "x".repeat(self.dice.of(&[0, 0, 10, 800]));
                Some(json(&format!("[{number},\"helped{more}\"]")))
            }
            _ => Some(payload.clone()),
        };
        Output { message, notification }
    }

    fn notification(&mut self, mail: Option<Mail>) -> Notification {
        let card = Card {
            summary: mail.map_or("local".into(), |mail| mail.to_string()),
            persist: !self.dice.one_in(3),
            popup: true,
            ..Card::default()
        };
        Notification { tag: self.tag(), card: Some(card), ..Notification::default() }
    }

    /// Often an empty one, or one that is in use.
    fn tag(&mut self) -> String {
        match self.dice.below(3) {
            0 => String::new(),
            _ => format!("tag {}", self.dice.below(TAGS)),
        }
    }

    /// Something is to be shown: with a bubble, or silently, or not at all.
    pub fn present(
        &mut self,
        number: u64,
        app: AppId,
        notification: &Notification,
        mail: Option<Mail>,
        now: Monotonic,
    ) {
        let (is_shown, is_listed) =
            self.dice.of(&[(true, true), (true, true), (true, false), (false, false)]);
        let persist = notification.card.as_ref().is_some_and(|card| card.persist);
        let note = Noted { app, tag: notification.tag.clone(), persist, bubble: None, mail };
        let presented = Presented { bubble: None, is_shown, is_listed };
        let time = if self.dice.one_in(6) { self.dice.millis(200) } else { Duration::ZERO };
        self.due.push((now + time, Deed::Presented { number, presented, note }));
    }

    /// Shows a bubble for a notification that is presented, or does not. What has the tag of something that is
    /// on the screen takes its place there.
    pub fn show(&mut self, presented: &mut Presented, note: &mut Noted, now: Monotonic) {
        if !presented.is_shown || self.dice.one_in(4) {
            return;
        }
        let is_it = |(app, tag): &(AppId, String)| *app == note.app && *tag == note.tag && !tag.is_empty();
        let replaced = self.screen.iter().find(|(_, shown)| is_it(shown)).map(|(number, _)| *number);
        let number = replaced.unwrap_or(self.next_bubble);
        self.next_bubble = self.next_bubble.max(number + 1);
        self.screen.insert(number, (note.app.clone(), note.tag.clone()));
        let bubble = BubbleId { server: self.server.clone(), number };
        (presented.bubble, note.bubble) = (Some(bubble.clone()), Some(bubble.clone()));
        if self.dice.one_in(3) {
            let at = now + self.dice.millis(20_000);
            self.click(bubble, at);
        }
    }

    fn click(&mut self, bubble: BubbleId, at: Monotonic) {
        let deed = if self.dice.one_in(2) { Deed::Activated(bubble) } else { Deed::Dismissed(bubble) };
        self.due.push((at, deed));
    }

    /// A bubble goes: its user, or the service, takes it away. Whether it was there.
    pub fn take_away(&mut self, bubble: &BubbleId) -> bool {
        bubble.server == self.server && self.screen.remove(&bubble.number).is_some()
    }

    /// An app hears that there is something for it.
    pub fn announce(&mut self, app: AppId, now: Monotonic) {
        if self.dice.one_in(8) {
            let at = now + self.dice.millis(100);
            self.due.push((at, Deed::Asked(Ask::Pop(app))));
        }
    }

    /// An app asks for something, or its user clicks on what is there.
    pub fn use_app(&mut self, app: &AppId, now: Monotonic) {
        if let Some(number) = self.screen.keys().next().copied().filter(|_| self.dice.one_in(4)) {
            self.click(BubbleId { server: self.server.clone(), number }, now);
        }
        let app = app.clone();
        let ask = match self.dice.below(10) {
            0 => Ask::List(app),
            1 => Ask::Clear(app, Vec::new()),
            2 => {
                let tags: BTreeSet<String> = (0..4).map(|_| self.tag()).collect();
                Ask::Clear(app, tags.into_iter().collect())
            }
            3 => Ask::Count(app, Emblem { count: 1, visible: true }),
            4 | 5 => Ask::Post(app, Box::new(self.post())),
            _ => Ask::Pop(app),
        };
        self.due.push((now, Deed::Asked(ask)));
    }

    /// An app fetches what waits for it.
    pub fn pop(&mut self, app: &AppId, now: Monotonic) {
        self.due.push((now, Deed::Asked(Ask::Pop(app.clone()))));
    }

    fn post(&mut self) -> Output {
        let number = self.next_local;
        self.next_local += 1;
        let message = (!self.dice.one_in(4)).then(|| json(&format!("\"local {number}\"")));
        let notification = self.dice.one_in(2).then(|| self.notification(None));
        Output { message, notification }
    }

    pub fn is_idle(&self) -> bool {
        self.due.is_empty()
    }
}

fn json(text: &str) -> Payload {
    Payload::from_json(text.as_bytes()).expect("JSON")
}
