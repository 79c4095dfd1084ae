//! What a helper wants of the push service: a message for its app's mailbox, and a notification for the user.
//! How it is shown, it does not know.

use crate::base::Payload;

/// What a helper made of a payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// What the app is to find in its mailbox.
    pub message: Option<Payload>,
    /// What the user is to notice.
    pub notification: Option<Notification>,
}

/// What the user is to notice of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notification {
    /// By what it is listed and cleared; a later one with the same tag takes its place. May be empty.
    pub tag: String,
    /// What is to be seen.
    pub card: Option<Card>,
    /// What is to be heard.
    pub sound: Option<Sound>,
    /// What is to be felt.
    pub vibration: Option<Vibration>,
    /// What the app's icon is to count.
    pub emblem: Option<Emblem>,
}

/// What is to be seen of a notification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// One line. Nothing is shown without it.
    pub summary: String,
    /// More lines.
    pub body: String,
    /// URLs; the first is opened when the notification is clicked.
    pub actions: Vec<String>,
    /// The name or the path of an icon. May be empty.
    pub icon: String,
    /// When it happened, in seconds since 1970; 0 if it does not matter.
    pub timestamp: i64,
    /// Whether it stays in the notification centre.
    pub persist: bool,
    /// Whether it pops up as a bubble.
    pub popup: bool,
}

/// What is to be heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sound {
    /// What the user has chosen.
    Default,
    /// A file, by its path below the app's data or the system's.
    File(String),
}

/// What is to be felt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vibration {
    /// What the device does by itself.
    Default,
    /// On and off in turn, for so many milliseconds each, so many times over.
    Pattern {
        /// In milliseconds; the first is on.
        durations_ms: Vec<u32>,
        /// How often.
        repeat: u32,
    },
}

/// A number at an app's icon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emblem {
    /// What it counts.
    pub count: i32,
    /// Whether it is to be seen.
    pub visible: bool,
}
