//! The notifications that stay until their user or their app has done with them, as the notification centre
//! lists them. It says what is to be written, and knows no notification server.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::base::{AppId, MessageId};

/// Notifications of one app that stay, at most: older ones make room.
pub const PER_APP_MAX: usize = 20;
/// What the file says of its form.
const VERSION: u8 = 1;

/// All notifications that stay, oldest first.
#[derive(Debug, Default)]
pub struct Shade {
    notes: VecDeque<Note>,
    is_stale: bool,
}

/// A notification that was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whose.
    pub app: AppId,
    /// By what the app knows it. May be empty.
    pub tag: String,
    /// By what whoever shows it knows it, as long as that is the one that showed it: not after a restart.
    pub bubble: Option<u32>,
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

    /// A notification is there. It takes the place of those with the same tag, and the oldest of its app go if
    /// there are too many: these are given back.
    pub fn add(&mut self, note: Note) -> Vec<Note> {
        let mut gone =
            self.remove(|other| other.app == note.app && !note.tag.is_empty() && other.tag == note.tag);
        gone.retain(|other| other.bubble != note.bubble);
        let count = self.of(&note.app).count();
        if count >= PER_APP_MAX {
            let oldest = self.of(&note.app).next().cloned();
            gone.extend(self.remove(|other| Some(other) == oldest.as_ref()));
        }
        self.notes.push_back(note);
        self.is_stale = true;
        gone
    }

    /// Those of an app, oldest first.
    pub fn of<'a>(&'a self, app: &'a AppId) -> impl Iterator<Item = &'a Note> {
        self.notes.iter().filter(move |note| note.app == *app)
    }

    /// Takes away all of an app with these tags, or without tags all of it.
    pub fn clear(&mut self, app: &AppId, tags: &[String]) -> Vec<Note> {
        self.remove(|note| note.app == *app && (tags.is_empty() || tags.contains(&note.tag)))
    }

    /// Takes away the one that the notification server knew by this.
    pub fn dismiss(&mut self, bubble: u32) -> Option<Note> {
        self.remove(|note| note.bubble == Some(bubble)).pop()
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

impl NoteText {
    fn of(note: &Note) -> NoteText {
        NoteText {
            app: note.app.to_string(),
            tag: note.tag.clone(),
            message: note.message.map(|id| id.to_string()),
        }
    }

    fn note(self) -> Option<Note> {
        let message = self.message.map(|id| id.parse()).transpose().ok()?;
        Some(Note { app: self.app.parse().ok()?, tag: self.tag, bubble: None, message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(app: &str, tag: &str, bubble: u32) -> Note {
        Note { app: app.parse().expect("valid"), tag: tag.into(), bubble: Some(bubble), message: None }
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
    fn what_its_user_dismisses_goes() {
        let mut shade = Shade::default();
        shade.add(note("_a", "x", 1));
        shade.add(note("_a", "y", 2));
        assert_eq!(shade.dismiss(2), Some(note("_a", "y", 2)));
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
        let app: AppId = "_a".parse().expect("valid");
        assert_eq!(shade.clear(&app, &["y".into(), "none".into()]).len(), 1);
        assert_eq!(shade.dismiss(2), None, "whoever knew it by that is gone");
        assert!(!shade.is_settled());
        let left: Vec<String> = shade.clear(&app, &[]).into_iter().map(|note| note.tag).collect();
        assert_eq!(left, ["x", "z"]);
        assert!(Shade::restore(b"{").notes.is_empty());
    }
}
