//! What is in the mailboxes of devices, by what was seen to go in and out.
//!
//! ```text
//!           Stored              Left, popped             Replied, or the service ends
//!  nothing ───────▶ Waiting ────────────────▶ HandedOut ─────────────────────────────▶ Gone
//!                    │   ▲ │ Left for another reason                                    ▲
//!   the service ends │   │ └────────────────────────────────────────────────────────────┘
//!     while it leaves▼   │ Held
//!                   Perhaps
//! ```

use std::collections::BTreeMap;

use lomiri_push::base::AppId;
use lomiri_push::service::{CallId, Reply};

use super::super::daemon::Why;
use super::super::mail::Mail;
use super::super::seen::Seen;
use super::Model;

#[derive(Default)]
pub struct Mailboxes {
    /// By device.
    places: BTreeMap<(usize, Mail), Place>,
    /// The how many-th each was that came to be on a disk.
    turns: BTreeMap<(usize, Mail), usize>,
    /// Who has asked for all that waits.
    pops: BTreeMap<(usize, CallId), AppId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Waiting,
    /// It was about to leave when the service ended, and was not seen since.
    Perhaps,
    /// It left because its app asked for it, which has no answer yet.
    HandedOut,
    Gone,
}

/// Where something is now, or what is wrong with that.
type Step = Result<Place, &'static str>;

impl Mailboxes {
    /// Takes note of something, and says what is wrong with it.
    fn note(&mut self, device: usize, mail: Mail, to: impl Fn(Option<Place>) -> Step) -> Option<String> {
        let place = self.places.get(&(device, mail)).copied();
        match to(place) {
            Ok(place) => {
                self.places.insert((device, mail), place);
                None
            }
            Err(wrong) => Some(format!("{mail:?} {wrong} device {device}, where it was {place:?}")),
        }
    }

    /// Something is on the device's disk, where it was before or not.
    fn take_turn(&mut self, device: usize, mail: Mail) {
        let next = self.turns.len();
        self.turns.entry((device, mail)).or_insert(next);
    }

    /// Whether these came in this order. What has no turn, as broadcasts have none, is passed over.
    fn are_in_order(&self, device: usize, mails: impl IntoIterator<Item = Mail>) -> bool {
        mails.into_iter().filter_map(|mail| self.turns.get(&(device, mail))).is_sorted()
    }

    /// The service has ended: who has no answer gets none.
    fn give_up(&mut self, device: usize) {
        let range = (device, Mail::Message(0))..(device + 1, Mail::Message(0));
        let places = self.places.range_mut(range).map(|(_, place)| place);
        places.filter(|place| **place == Place::HandedOut).for_each(|place| *place = Place::Gone);
        self.pops.retain(|(asked, _), _| *asked != device);
    }
}

fn stored(place: Option<Place>) -> Step {
    match place {
        None => Ok(Place::Waiting),
        Some(_) => Err("came twice into a mailbox of"),
    }
}

fn held(place: Option<Place>) -> Step {
    match place {
        None | Some(Place::Waiting | Place::Perhaps) => Ok(Place::Waiting),
        Some(Place::HandedOut | Place::Gone) => Err("is back in a mailbox of"),
    }
}

fn left(place: Option<Place>, why: &Why) -> Step {
    match (place, why) {
        (_, Why::NoRoom { waiting, most, .. }) if waiting <= most => Err("had room and went from"),
        (Some(Place::Waiting), Why::Popped) => Ok(Place::HandedOut),
        (Some(Place::Waiting), _) => Ok(Place::Gone),
        _ => Err("left twice a mailbox of"),
    }
}

fn popped(place: Option<Place>) -> Step {
    match place {
        Some(Place::HandedOut) => Ok(Place::Gone),
        _ => Err("was given to its app, and not from a mailbox of"),
    }
}

impl Model {
    /// Something has happened in the push service of a device.
    pub fn on_device(&mut self, device: usize, seen: Seen) {
        match seen {
            Seen::Stored(mail) => self.is_on_device(device, mail, stored),
            Seen::Held(mail) => self.is_on_device(device, mail, held),
            Seen::Left(mail, why) => self.left(device, mail, &why),
            Seen::Leaving(mail) => self.note_place(device, mail, |place| match place {
                Some(Place::Gone | Place::HandedOut) => Err("left twice a mailbox of"),
                _ => Ok(Place::Perhaps),
            }),
            Seen::PopAsked(call, app) => drop(self.mailboxes.pops.insert((device, call), app)),
            Seen::Replied(call, reply) => match self.mailboxes.pops.remove(&(device, call)) {
                Some(app) => self.popped(device, &app, reply),
                None => self.replied(device, call, reply),
            },
            Seen::Started => self.mailboxes.give_up(device),
            seen => self.on_screen(device, seen),
        }
    }

    fn is_on_device(&mut self, device: usize, mail: Mail, to: impl Fn(Option<Place>) -> Step) {
        if let Some(copy) = self.copy(device, mail) {
            copy.is_stored = true;
        }
        if !matches!(mail, Mail::News(_)) {
            self.mailboxes.take_turn(device, mail);
        }
        self.note_place(device, mail, to);
    }

    /// Something has left a mailbox: if there was no room for it, all that stays came later.
    fn left(&mut self, device: usize, mail: Mail, why: &Why) {
        self.note_place(device, mail, |place| left(place, why));
        if let Why::NoRoom { kept, .. } = why {
            let is_oldest = kept.iter().all(|other| self.mailboxes.are_in_order(device, [mail, *other]));
            self.check(is_oldest, || {
                format!("{mail:?} made room on device {device}, and an older one stays")
            });
        }
    }

    /// What may come again, as broadcasts do, has no place.
    fn note_place(&mut self, device: usize, mail: Mail, to: impl Fn(Option<Place>) -> Step) {
        if !matches!(mail, Mail::News(_)) {
            let wrong = self.mailboxes.note(device, mail, to);
            self.complaints.extend(wrong);
        }
    }

    /// An app has got all that waited for it.
    fn popped(&mut self, device: usize, app: &AppId, reply: Reply) {
        let Reply::Texts(texts) = reply else { return self.complain(format!("{app} popped {reply:?}")) };
        let mails = texts.iter().filter_map(|text| Mail::read(text.as_bytes()));
        let is_in_order = self.mailboxes.are_in_order(device, mails);
        self.check(is_in_order, || format!("{app} popped on device {device}, out of order, {texts:?}"));
        for text in texts {
            let Some(mail) = Mail::read(text.as_bytes()) else {
                return self.complain(format!("{app} popped {text}"));
            };
            self.note_place(device, mail, popped);
            if let Some(copy) = self.copy(device, mail) {
                copy.is_opened = true;
            }
            let is_theirs = match mail {
                Mail::Message(number) => self.apps[self.posts[number].draft.app] == *app,
                Mail::News(_) => !self.apps.contains(app),
                Mail::Local(_) => true,
            };
            self.check(is_theirs, || format!("{app} popped {text}, which is another's"));
        }
    }

    /// All has come to an end: nothing waits any more.
    pub fn check_mailboxes(&mut self) {
        let is_open = |place: &Place| matches!(place, Place::Waiting | Place::HandedOut);
        let left = self.mailboxes.places.iter().find(|(_, place)| is_open(place));
        if let Some(((device, mail), place)) = left {
            self.complain(format!("{mail:?} never came to its app on device {device}: {place:?}"));
        }
    }
}
