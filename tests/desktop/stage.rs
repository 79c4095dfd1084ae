//! A presenter on a bus of its own, and a notification server for it.

use std::sync::mpsc::{self, Receiver};

use lomiri_push::device::presenter::{Addresses, Folders, Options, Presentation, Presenter, Surface, Told};
use lomiri_push::service::Presented;
use lomiri_push::service::notification::{Card, Notification};
use lomiri_push::service::presentation::Settings;
use lomiri_push::service::shade::{BubbleId, Note};

use super::fake::{Answer, Call, Fake, PATIENCE};
use super::private_bus::PrivateBus;

pub const NOTIFICATIONS: &str = "org.freedesktop.Notifications";
/// What a common desktop's notification server can do.
pub const DESKTOP: &[&str] = &["actions", "body", "body-markup", "persistence", "sound"];

/// A presenter and its bus.
pub struct Stage {
    pub presenter: Presenter,
    told: Receiver<Told>,
    pub bus: PrivateBus,
}

impl Stage {
    /// `None` without `dbus-daemon`.
    pub fn start() -> Option<Stage> {
        Some(Stage::on(PrivateBus::start()?, Vec::new()))
    }

    /// On a bus on which `earlier` was shown.
    pub fn on(bus: PrivateBus, earlier: Vec<Note>) -> Stage {
        let addresses = Addresses { session: bus.address().into(), system: Some(bus.address().into()) };
        let (presenter, told) = present_on(Surface::Desktop(addresses), earlier);
        Stage { presenter, told, bus }
    }

    /// The presenter stops, and another one takes its place.
    pub fn restart(self, earlier: Vec<Note>) -> Stage {
        assert!(self.presenter.stop());
        Stage::on(self.bus, earlier)
    }

    /// A service with this name on the same bus.
    pub fn service(&self, name: &str, answer: impl FnMut(&Call) -> Answer + Send + 'static) -> Fake {
        Fake::start(self.bus.address(), &[name], answer)
    }

    /// A notification server that can do so much, and numbers its bubbles from 1.
    pub fn server(&self, can: &'static [&'static str]) -> Fake {
        let mut last = 0;
        self.service(NOTIFICATIONS, move |call| match call.member.as_str() {
            "GetCapabilities" => Answer::Texts(can),
            "Notify" => Answer::Number(number(call, &mut last)),
            _ => Answer::Done,
        })
    }

    pub fn present(&self, note: u64, notification: Notification) {
        let app = "ab_chat".parse().expect("an id");
        self.presenter.present(Presentation { app, note, notification }).expect("room");
    }

    pub fn told(&self) -> Told {
        self.told.recv_timeout(PATIENCE).expect("something is told")
    }

    /// The bubble of the notification that is done with next, by its number.
    pub fn presented(&self) -> Option<u32> {
        self.shown().map(|bubble| bubble.number)
    }

    /// The bubble of the notification that is done with next.
    pub fn shown(&self) -> Option<BubbleId> {
        match self.told() {
            Told::Presented { presented: Presented { bubble, .. }, .. } => bubble,
            other => panic!("{other:?}"),
        }
    }

    /// The bubble that is gone next, by its number, and whether that was the user.
    pub fn closed(&self) -> (u32, bool) {
        match self.told() {
            Told::Closed { bubble, by_user } => (bubble.number, by_user),
            other => panic!("{other:?}"),
        }
    }

    /// The bubble that is clicked next, by its number, and what is opened.
    pub fn activated(&self) -> (u32, String) {
        match self.told() {
            Told::Activated { bubble, url } => (bubble.number, url),
            other => panic!("{other:?}"),
        }
    }
}

/// A presenter, and what it tells.
pub fn present_on(surface: Surface, earlier: Vec<Note>) -> (Presenter, Receiver<Told>) {
    let (telling, told) = mpsc::channel();
    let options = Options {
        surface,
        settings: Settings::default(),
        folders: Folders::default(),
        default_sound: None,
        default_vibration: None,
    };
    let tell = move |told| telling.send(told).expect("the test listens");
    (Presenter::start(options, earlier, tell), told)
}

/// A bubble keeps the number of the one that it replaces.
fn number(notify: &Call, last: &mut u32) -> u32 {
    match Notify::of(notify).replaces {
        0 => {
            *last += 1;
            *last
        }
        replaced => replaced,
    }
}

/// What `Notify` was called with.
#[derive(Debug)]
pub struct Notify {
    pub app: String,
    pub replaces: u32,
    pub icon: String,
    pub summary: String,
    pub body: String,
    pub actions: Vec<String>,
    pub hints: std::collections::HashMap<String, zbus::zvariant::OwnedValue>,
    pub expires_after_ms: i32,
}

impl Notify {
    pub fn of(call: &Call) -> Notify {
        let (app, replaces, icon, summary, body, actions, hints, expires_after_ms) = call.body();
        Notify { app, replaces, icon, summary, body, actions, hints, expires_after_ms }
    }

    /// A hint as a text, whatever its type.
    pub fn hint(&self, name: &str) -> Option<String> {
        self.hints.get(name).map(|value| value.to_string())
    }
}

/// A card that pops up and can be clicked.
pub fn card(summary: &str) -> Card {
    Card {
        summary: summary.into(),
        actions: vec!["https://chat.example/1".into()],
        popup: true,
        ..Card::default()
    }
}

pub fn tagged(tag: &str, card: Card) -> Notification {
    Notification { tag: tag.into(), card: Some(card), ..Notification::default() }
}
