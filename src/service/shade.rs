//! The notifications that stay until their user or their app has done with them, as the notification centre
//! lists them. It says what is to be written, and knows no notification server.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::app::AppName;
use super::mailbox::APPS_PER_PACKAGE;
use crate::base::{AppId, MessageId};

/// Notifications of one app that stay, at most: older ones make room.
pub const PER_APP_MAX: usize = 20;
/// Those of all apps of one package, whose programs could post for any number of apps.
pub const PER_PACKAGE_MAX: usize = APPS_PER_PACKAGE * PER_APP_MAX;
/// Longest URL that is known after a restart, in bytes: what browsers take at least. Longer ones would fill the file.
const URL_BYTES_MAX: usize = 8_000;
/// What the file says of its form.
const VERSION: u8 = 1;

/// All notifications that stay, oldest first.
#[derive(Debug, Default)]
pub struct Shade {
    notes: VecDeque<Note>,
    is_stale: bool,
}

/// A bubble. Numbers are their notification server's own: another one, and the same one after a restart, may give
/// them to the bubbles of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BubbleId {
    /// The server in this one life of it, by a name that nothing else ever has.
    pub server: Arc<str>,
    /// What it calls the bubble.
    pub number: u32,
}

/// A notification that was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whose.
    pub app: AppId,
    /// By what the app knows it. May be empty.
    pub tag: String,
    /// By what whoever shows it knows it.
    pub bubble: Option<BubbleId>,
    /// What a click on it opens.
    pub url: Option<String>,
    /// Which message it tells of, if one came from the server.
    pub message: Option<MessageId>,
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u8,
    notes: Vec<NoteText>,
}

#[derive(Serialize, Deserialize)]
struct NoteText {
    app: String,
    tag: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bubble: Option<(String, u32)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

impl Shade {
    /// The notifications as their file has them. What cannot be read counts as none.
    pub fn restore(file: &[u8]) -> Shade {
        let notes = match serde_json::from_slice(file) {
            Ok(File { version: VERSION, notes }) => notes.into_iter().filter_map(NoteText::note).collect(),
            _ => VecDeque::new(),
        };
        Shade { notes, is_stale: false }
    }

    /// What the file is to hold now, if that has changed.
    pub fn poll_write(&mut self) -> Option<Vec<u8>> {
        std::mem::take(&mut self.is_stale).then(|| {
            let notes = self.notes.iter().map(NoteText::of).collect();
            serde_json::to_vec(&File { version: VERSION, notes }).expect("plain data")
        })
    }

    /// Whether there is nothing to be written.
    pub fn is_settled(&self) -> bool {
        !self.is_stale
    }

    /// A notification is there. It takes the place of those that it replaces, and the oldest of its app or package
    /// go if there are too many: those whose bubbles may still be up are given back.
    pub fn add(&mut self, note: Note) -> Vec<Note> {
        let mut gone = self.make_way(&note);
        let owner = AppName::owner(&note.app);
        gone.extend(self.make_room(PER_APP_MAX, |other| other.app == note.app));
        gone.extend(self.make_room(PER_PACKAGE_MAX, |other| AppName::owner(&other.app) == owner));
        self.notes.push_back(note);
        self.is_stale = true;
        gone
    }

    /// Takes away what `note` replaces, wherever that one is going to be. Those whose bubbles may still be up.
    pub fn make_way(&mut self, note: &Note) -> Vec<Note> {
        let mut gone = self.remove(|other| note.replaces(other));
        gone.retain(|other| other.bubble != note.bubble);
        gone
    }

    /// All of them, oldest first.
    pub fn notes(&self) -> impl Iterator<Item = &Note> {
        self.notes.iter()
    }

    /// Those of an app, oldest first.
    pub fn of<'a>(&'a self, app: &'a AppId) -> impl Iterator<Item = &'a Note> {
        self.notes.iter().filter(move |note| note.app == *app)
    }

    /// Takes away all of an app with these tags, or without tags all of it.
    pub fn clear(&mut self, app: &AppId, tags: &[String]) -> Vec<Note> {
        self.remove(|note| note.app == *app && (tags.is_empty() || tags.contains(&note.tag)))
    }

    /// Takes away the one that the notification server knows by this.
    pub fn dismiss(&mut self, bubble: &BubbleId) -> Option<Note> {
        self.remove(|note| note.bubble.as_ref() == Some(bubble)).pop()
    }

    /// The oldest of these, which goes if there are `max` of them.
    fn make_room(&mut self, max: usize, is_one: impl Fn(&Note) -> bool) -> Option<Note> {
        let mut places = (0..self.notes.len()).filter(|place| is_one(&self.notes[*place]));
        let oldest = places.next()?;
        let is_full = places.count() + 1 >= max;
        is_full.then(|| self.notes.remove(oldest)).flatten()
    }

    fn remove(&mut self, is_gone: impl Fn(&Note) -> bool) -> Vec<Note> {
        let (gone, kept): (Vec<Note>, VecDeque<Note>) = {
            let (gone, kept): (Vec<_>, Vec<_>) = self.notes.drain(..).partition(is_gone);
            (gone, kept.into())
        };
        self.notes = kept;
        self.is_stale |= !gone.is_empty();
        gone
    }
}

impl Note {
    /// Whether this one, which was shown later, took the place of the other: their app gave both one tag, or the
    /// notification server one bubble.
    pub fn replaces(&self, other: &Note) -> bool {
        let is_same_tag = !self.tag.is_empty() && self.tag == other.tag && self.app == other.app;
        is_same_tag || (self.bubble.is_some() && self.bubble == other.bubble)
    }
}

impl NoteText {
    fn of(note: &Note) -> NoteText {
        NoteText {
            app: note.app.to_string(),
            tag: note.tag.clone(),
            message: note.message.map(|id| id.to_string()),
            bubble: note.bubble.as_ref().map(|bubble| (bubble.server.to_string(), bubble.number)),
            url: note.url.clone().filter(|url| url.len() <= URL_BYTES_MAX),
        }
    }

    fn note(self) -> Option<Note> {
        let message = self.message.map(|id| id.parse()).transpose().ok()?;
        let bubble = self.bubble.map(|(server, number)| BubbleId { server: server.into(), number });
        Some(Note { app: self.app.parse().ok()?, tag: self.tag, bubble, url: self.url, message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bubble(number: u32) -> BubbleId {
        BubbleId { server: "bus :1.5".into(), number }
    }

    fn note(app: &str, tag: &str, number: u32) -> Note {
        let (app, bubble) = (app.parse().expect("valid"), Some(bubble(number)));
        Note { app, tag: tag.into(), bubble, url: Some("chat:1".into()), message: None }
    }

    fn tags(shade: &Shade, app: &str) -> Vec<String> {
        shade.of(&app.parse().expect("valid")).map(|note| note.tag.clone()).collect()
    }

    #[test]
    fn a_note_takes_the_place_of_one_with_its_tag_in_its_app_alone() {
        let mut shade = Shade::default();
        shade.add(note("_a", "x", 1));
        shade.add(note("_b", "x", 2));
        assert_eq!(shade.add(note("_a", "x", 3)), [note("_a", "x", 1)]);
        assert_eq!(shade.add(note("_a", "x", 3)), [], "the server replaced it by itself");
        shade.add(note("_a", "", 4));
        shade.add(note("_a", "", 5));
        assert_eq!(
            (tags(&shade, "_a"), tags(&shade, "_b").len()),
            (vec!["x".into(), "".into(), "".into()], 1)
        );
    }

    #[test]
    fn the_oldest_of_an_app_makes_room() {
        let mut shade = Shade::default();
        shade.add(note("_b", "old", 999));
        let gone: Vec<Note> =
            (0..=PER_APP_MAX as u32).flat_map(|n| shade.add(note("_a", &n.to_string(), n))).collect();
        assert_eq!(gone, [note("_a", "0", 0)]);
        assert_eq!((tags(&shade, "_a").len(), tags(&shade, "_b").len()), (PER_APP_MAX, 1));
    }

    #[test]
    fn the_oldest_of_a_package_makes_room_however_many_apps_it_names() {
        let mut shade = Shade::default();
        shade.add(note("ac_old", "old", 999));
        shade.add(note("_old", "old", 998));
        let add = |number: u32| shade.add(note(&format!("ab_app{number}"), "", number));
        let gone: Vec<Note> = (0..=PER_PACKAGE_MAX as u32).flat_map(add).collect();
        assert_eq!(gone, [note("ab_app0", "", 0)]);
        assert_eq!(shade.notes().count(), PER_PACKAGE_MAX + 2);
    }

    #[test]
    fn one_makes_room_though_others_are_the_same() {
        let mut shade = Shade::default();
        let silent = || Note { bubble: None, ..note("_a", "", 0) };
        let gone: Vec<Note> = (0..=PER_APP_MAX).flat_map(|_| shade.add(silent())).collect();
        assert_eq!((gone.len(), tags(&shade, "_a").len()), (1, PER_APP_MAX));
    }

    #[test]
    fn what_its_user_dismisses_goes() {
        let mut shade = Shade::default();
        shade.add(note("_a", "x", 1));
        shade.add(note("_a", "y", 2));
        assert_eq!(shade.dismiss(&bubble(2)), Some(note("_a", "y", 2)));
        let of_another_server = BubbleId { server: "bus :1.6".into(), number: 1 };
        assert_eq!(shade.dismiss(&of_another_server), None);
        assert_eq!(tags(&shade, "_a"), ["x"]);
    }

    #[test]
    fn what_stays_is_there_after_a_restart_and_is_cleared_by_tag_or_whole() {
        let mut shade = Shade::default();
        for (number, tag) in ["x", "y", "z"].into_iter().enumerate() {
            shade.add(note("_a", tag, number as u32));
        }
        let file = shade.poll_write().expect("something has changed");
        assert!(shade.is_settled());
        let mut shade = Shade::restore(&file);
        assert_eq!(shade.notes().nth(1), Some(&note("_a", "y", 1)));
        let app: AppId = "_a".parse().expect("valid");
        assert_eq!(shade.clear(&app, &["y".into(), "none".into()]).len(), 1);
        assert!(!shade.is_settled());
        assert_eq!(shade.dismiss(&bubble(2)), Some(note("_a", "z", 2)));
        assert_eq!(shade.clear(&app, &[]), [note("_a", "x", 0)]);
        assert!(Shade::restore(b"{").notes.is_empty());
    }

    #[test]
    fn a_file_that_says_nothing_of_bubbles_is_read() {
        let file = br#"{"version":1,"notes":[{"app":"_a","tag":"x"}]}"#;
        let shade = Shade::restore(file);
        let expected = Note { bubble: None, url: None, ..note("_a", "x", 0) };
        assert_eq!(shade.notes().collect::<Vec<_>>(), [&expected]);
    }

    #[test]
    fn a_url_that_would_fill_the_file_is_not_known_after_a_restart() {
        let mut shade = Shade::default();
        for (number, length) in [(1, URL_BYTES_MAX), (2, URL_BYTES_MAX + 1)] {
            shade.add(Note { url: Some("x".repeat(length)), ..note("_a", "", number) });
        }
        let shade = Shade::restore(&shade.poll_write().expect("something has changed"));
        let known: Vec<bool> = shade.notes().map(|note| note.url.is_some()).collect();
        assert_eq!(known, [true, false]);
    }
}
