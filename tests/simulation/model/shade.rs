//! What users get to see on devices, and what stays in their shades, by what was presented, clicked and cleared.

use std::collections::{BTreeMap, BTreeSet};

use lomiri_push::base::AppId;
use lomiri_push::service::shade::{BubbleId, PER_APP_MAX};
use lomiri_push::service::{CallId, Reply};

use super::super::around::Noted;
use super::super::mail::Mail;
use super::super::seen::{Listed, Seen};
use super::Model;

/// So many that do not stay can be clicked.
const FLOATING_MAX: usize = 64;

/// A device's.
#[derive(Default)]
pub struct Shade {
    /// Those that stay, oldest first, when all is written.
    notes: Vec<Noted>,
    /// Those that stay, as the disk has them, if that is different.
    durable: Option<Vec<Noted>>,
    /// Those that do not stay and can be clicked, oldest first. The service forgets them at its end.
    floating: Vec<Noted>,
    /// Bubbles that the service is to take away.
    to_withdraw: Vec<BubbleId>,
    /// What apps are to be answered.
    replies: BTreeMap<CallId, Reply>,
    /// What was presented.
    presented: BTreeSet<Mail>,
}

impl Shade {
    /// Called before each change.
    fn keep_durable(&mut self) {
        self.durable.get_or_insert_with(|| self.notes.clone());
    }

    /// A notification is there. It takes the place of what has its tag or its bubble.
    fn add(&mut self, note: Noted, stays: bool) {
        self.keep_durable();
        let is_replaced = |other: &mut Noted| {
            let is_same_tag = other.app == note.app && other.tag == note.tag && !note.tag.is_empty();
            is_same_tag || (note.bubble.is_some() && other.bubble == note.bubble)
        };
        let mut replaced: Vec<Noted> = self.notes.extract_if(.., is_replaced).collect();
        replaced.extend(self.floating.extract_if(.., is_replaced));
        self.withdraw(replaced.into_iter().filter(|other| other.bubble != note.bubble));
        if stays { self.list(note) } else { self.float(note) }
    }

    fn list(&mut self, note: Noted) {
        if self.tags(&note.app).len() == PER_APP_MAX {
            let oldest = self.notes.iter().position(|other| other.app == note.app).expect("there are some");
            let oldest = self.notes.remove(oldest);
            self.withdraw([oldest]);
        }
        self.notes.push(note);
    }

    fn float(&mut self, note: Noted) {
        if self.floating.len() == FLOATING_MAX {
            self.floating.remove(0);
        }
        self.floating.push(note);
    }

    fn clear(&mut self, app: &AppId, tags: &[String]) -> usize {
        self.keep_durable();
        let is_cleared = |note: &mut Noted| note.app == *app && (tags.is_empty() || tags.contains(&note.tag));
        let cleared: Vec<Noted> = self.notes.extract_if(.., is_cleared).collect();
        let count = cleared.len();
        self.withdraw(cleared);
        count
    }

    fn withdraw(&mut self, notes: impl IntoIterator<Item = Noted>) {
        self.to_withdraw.extend(notes.into_iter().filter_map(|note| note.bubble));
    }

    /// A bubble is opened or closed. What it told of, if the service still knows.
    fn remove(&mut self, bubble: &BubbleId) -> Option<Noted> {
        self.keep_durable();
        let is_it = |note: &mut Noted| note.bubble.as_ref() == Some(bubble);
        let staying = self.notes.extract_if(.., is_it);
        staying.chain(self.floating.extract_if(.., is_it)).last()
    }

    fn tags(&self, app: &AppId) -> Vec<String> {
        self.notes.iter().filter(|note| note.app == *app).map(|note| note.tag.clone()).collect()
    }

    fn withdrawn(&mut self, bubble: &BubbleId) -> bool {
        let place = self.to_withdraw.iter().position(|other| other == bubble);
        place.map(|place| self.to_withdraw.remove(place)).is_some()
    }

    /// The service has started, and lists these. Says whether it may.
    fn restored(&mut self, listed: &[Listed]) -> bool {
        let is_listed = |notes: &[Noted]| {
            let notes = notes.iter().map(|note| (&note.app, &note.tag, &note.bubble));
            notes.eq(listed.iter().map(|(app, tag, bubble)| (app, tag, bubble)))
        };
        let durable = self.durable.take();
        if let Some(durable) = durable.filter(|_| !is_listed(&self.notes)) {
            self.notes = durable;
        }
        self.floating.clear();
        self.to_withdraw.clear();
        self.replies.clear();
        is_listed(&self.notes)
    }
}

impl Model {
    pub fn on_screen(&mut self, device: usize, seen: Seen) {
        match seen {
            Seen::Presenting(mail) => self.presenting(device, mail),
            Seen::Noticed { note, is_shown, is_listed } => self.noticed(device, note, is_shown, is_listed),
            Seen::Clicked(bubble) => {
                let clicked = self.shade(device).remove(&bubble);
                if let Some(copy) = clicked.and_then(|note| self.copy(device, note.mail?)) {
                    copy.is_opened = true;
                }
            }
            Seen::Dismissed(bubble) => drop(self.shade(device).remove(&bubble)),
            Seen::Withdrawn(bubble) => {
                let is_asked = self.shade(device).withdrawn(&bubble);
                self.check(is_asked, || format!("device {device} took {bubble:?} away for no reason"));
            }
            Seen::ListAsked(call, app) => {
                let shade = self.shade(device);
                shade.replies.insert(call, Reply::Texts(shade.tags(&app)));
            }
            Seen::ClearAsked(call, app, tags) => {
                let shade = self.shade(device);
                let count = shade.clear(&app, &tags) as u32;
                shade.replies.insert(call, Reply::Count(count));
            }
            Seen::Written => self.shade(device).durable = None,
            Seen::Restored(listed) => {
                let is_fair = self.shade(device).restored(&listed);
                self.check(is_fair, || {
                    format!("device {device} has in its shade, after a start, {listed:?}")
                });
            }
            _ => {}
        }
    }

    fn shade(&mut self, device: usize) -> &mut Shade {
        self.shades.entry(device).or_default()
    }

    /// A notification is on its way to the user: once a message, and after it was stored.
    fn presenting(&mut self, device: usize, mail: Mail) {
        let is_news = matches!(mail, Mail::News(_));
        let is_first = self.shade(device).presented.insert(mail);
        self.check(is_first || is_news, || format!("device {device} showed {mail:?} twice"));
        let is_stored = self.copy(device, mail).is_none_or(|copy| copy.is_stored);
        self.check(is_stored, || format!("device {device} showed {mail:?} before it was stored"));
    }

    fn noticed(&mut self, device: usize, note: Noted, is_shown: bool, is_listed: bool) {
        if let Some(copy) = note.mail.filter(|_| is_shown).and_then(|mail| self.copy(device, mail)) {
            copy.is_noticed = true;
        }
        let shade = self.shade(device);
        let stays = note.persist && is_listed;
        if stays || note.bubble.is_some() {
            shade.add(note, stays);
        }
    }

    /// An app has got an answer.
    pub fn replied(&mut self, device: usize, call: CallId, reply: Reply) {
        let expected = self.shade(device).replies.remove(&call).unwrap_or(Reply::Done);
        self.check(reply == expected, || format!("device {device} answered {reply:?}, not {expected:?}"));
    }

    /// All has come to an end: what was to be taken away or answered is.
    pub fn check_shades(&mut self) {
        let is_open = |shade: &Shade| !shade.to_withdraw.is_empty() || !shade.replies.is_empty();
        if let Some((device, shade)) = self.shades.iter().find(|(_, shade)| is_open(shade)) {
            let (bubbles, replies) = (&shade.to_withdraw, &shade.replies);
            self.complain(format!("device {device} left {bubbles:?} on the screen, {replies:?} unanswered"));
        }
    }
}
