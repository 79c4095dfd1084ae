//! The push service of a simulated device: the whole [`Service`], and what is around it. It tells the model what
//! went into the mailbox and out of it, and why, and what the user and the apps got to see.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use lomiri_push::base::{AppId, ChannelId, Level, Monotonic, Now, Payload};
use lomiri_push::service::mailbox::{Entry, Origin, Write};
use lomiri_push::service::notification::Output;
use lomiri_push::service::shade::Note;
use lomiri_push::service::{CallId, Command, MAILBOX_FOLDER, News, Presented, SHADE_FILE, Service, update};
use lomiri_push::session::device::{Broadcast, Event, Message};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::around::{Around, Ask, Deed, Noted};
use super::device::IMAGE;
use super::mail::Mail;
use super::seen::Seen;

/// For whom broadcasts are.
pub const SETTINGS: &str = "settings";

pub struct Daemon {
    pub around: Around,
    service: Service,
    bytes_per_app_max: usize,
    /// The messages that wait in the mailbox, once all is written that the service has said.
    shelf: BTreeMap<Mail, Waiting>,
    batch: Batch,
    next_call: CallId,
    pub seen: Vec<Seen>,
}

struct Waiting {
    app: AppId,
    bytes: usize,
}

/// What was done to the service since all was last durable.
#[derive(Default)]
struct Batch {
    is_anything: bool,
    fresh: Vec<(Mail, Origin)>,
    leaving: Vec<(Mail, Why)>,
}

/// Why something left the mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its app asked for it.
    Popped,
    /// Its helper left nothing for the app.
    Helped,
    /// So many bytes waited for its app, of so many, and of what waited these stay.
    NoRoom { waiting: usize, most: usize, kept: Vec<Mail> },
}

#[derive(Deserialize)]
struct EntryFile<'a> {
    app: String,
    #[serde(borrow)]
    payload: &'a RawValue,
}

impl Daemon {
    pub fn new(around: Around, bytes_per_app_max: usize) -> Daemon {
        Daemon {
            around,
            service: Service::restore([], &[], bytes_per_app_max, settings()),
            bytes_per_app_max,
            shelf: BTreeMap::new(),
            batch: Batch::default(),
            next_call: 1,
            seen: Vec::new(),
        }
    }

    /// It ends, whatever is on its way to the disk.
    pub fn end(&mut self) {
        self.around.service_ends();
        let Batch { fresh, leaving, .. } = &mut self.batch;
        let is_old = |(mail, _): &mut (Mail, Why)| fresh.iter().all(|(other, _)| other != mail);
        self.seen.extend(leaving.extract_if(.., is_old).map(|(mail, _)| Seen::Leaving(mail)));
    }

    /// It starts, with what the disk has.
    pub fn restore(&mut self, files: BTreeMap<String, Vec<u8>>) {
        let shade = files.get(SHADE_FILE).cloned().unwrap_or_default();
        let in_mailbox = |(path, contents): (String, Vec<u8>)| {
            Some((path.strip_prefix(MAILBOX_FOLDER)?.strip_prefix('/')?.to_owned(), contents))
        };
        let on_disk = bytes_by_app(&files);
        let files = files.into_iter().filter_map(in_mailbox);
        self.service = Service::restore(files, &shade, self.bytes_per_app_max, settings());
        self.seen.push(Seen::Started);
        let leaving = self.take_stock(&on_disk);
        let notes = self.service.shade().notes();
        let listed = |note: &Note| (note.app.clone(), note.tag.clone(), note.bubble.clone());
        self.seen.push(Seen::Restored(notes.map(listed).collect()));
        self.batch = Batch { is_anything: true, leaving, ..Batch::default() };
    }

    /// Compares what the mailbox has with what it ought to have: what is missing must have made room.
    fn take_stock(&mut self, on_disk: &BTreeMap<String, usize>) -> Vec<(Mail, Why)> {
        let mut before = mem::take(&mut self.shelf);
        let Batch { fresh, mut leaving, .. } = mem::take(&mut self.batch);
        for (mail, origin) in fresh {
            if self.service.mailbox().knows(&origin) {
                self.seen.push(Seen::Stored(mail));
            } else {
                before.remove(&mail);
                leaving.retain(|(other, _)| *other != mail);
            }
        }
        for (_, entry) in self.service.mailbox().entries() {
            let Some(mail) = Mail::read(entry.payload.as_bytes()) else { continue };
            self.seen.push(Seen::Held(mail));
            if !matches!(mail, Mail::News(_)) {
                self.shelf.insert(mail, Waiting { app: entry.app.clone(), bytes: entry.payload.len() });
            }
            before.remove(&mail);
            leaving.retain(|(other, _)| *other != mail);
        }
        let made_room = |(mail, Waiting { app, .. }): (Mail, Waiting)| {
            let waiting = on_disk.get(app.as_str()).copied().unwrap_or_default();
            (mail, Why::NoRoom { waiting, most: self.bytes_per_app_max, kept: self.shelved_for(&app) })
        };
        leaving.into_iter().chain(before.into_iter().map(made_room)).collect()
    }

    pub fn levels(&self) -> &BTreeMap<ChannelId, Level> {
        self.service.mailbox().levels()
    }

    /// Whether nothing goes on.
    pub fn is_idle(&self) -> bool {
        self.around.is_idle() && self.service.is_idle() && !self.batch.is_anything
    }

    /// A session tells this, sent then at the earliest.
    pub fn came(&mut self, events: &[Event], sent: Option<Now>) {
        let mut all = Vec::new();
        for event in events {
            match event {
                Event::Message(message) => all.push(self.note_message(message, sent)),
                Event::Broadcast(news) => all.push(self.note_news(news)),
                _ => {}
            }
        }
        self.batch.is_anything = true;
        self.service.came(all);
        self.note_gone(|_, _| None);
    }

    fn note_message(&mut self, message: &Message, sent: Option<Now>) -> News {
        let (id, app, payload) = (message.id, message.app.clone(), message.payload.clone());
        let came = |sent| Seen::Came { id, app: app.clone(), payload: payload.clone(), sent };
        self.seen.extend(sent.map(came));
        self.note_fresh(&app, &payload, Origin::Message(id));
        News::Message { message: message.clone(), is_installed: true }
    }

    fn note_news(&mut self, news: &Broadcast) -> News {
        let last = news.payloads.last();
        let mail = last.and_then(|payload| Mail::read(payload.as_bytes()));
        self.seen.extend(mail.map(Seen::News));
        let is_wanted = last.is_some_and(|payload| update::is_for(payload, IMAGE));
        News::Broadcast { news: news.clone(), is_wanted }
    }

    fn note_fresh(&mut self, app: &AppId, payload: &Payload, origin: Origin) {
        let is_known = self.service.mailbox().knows(&origin);
        let Some(mail) = Mail::read(payload.as_bytes()).filter(|_| !is_known) else { return };
        let waiting = Waiting { app: app.clone(), bytes: payload.len() };
        if self.shelf.insert(mail, waiting).is_none() {
            self.batch.fresh.push((mail, origin));
        }
    }

    /// Takes note of what has just left the mailbox: for this reason, or because there was no room.
    fn note_gone(&mut self, why: impl Fn(Mail, &Waiting) -> Option<Why>) {
        let entries = || self.service.mailbox().entries().map(|(_, entry)| entry);
        let is_shelved = |entry: &&Entry| !matches!(entry.origin, Origin::Broadcast(..));
        if entries().filter(is_shelved).count() == self.shelf.len() {
            return;
        }
        let there: BTreeSet<Mail> =
            entries().filter_map(|entry| Mail::read(entry.payload.as_bytes())).collect();
        let before = mem::take(&mut self.shelf);
        let bytes_for = |app: &AppId| {
            before.values().filter(|other| other.app == *app).map(|other| other.bytes).sum::<usize>()
        };
        let (kept, gone): (Vec<_>, Vec<_>) = before.iter().partition(|(mail, _)| there.contains(mail));
        let kept_for = |app: &AppId| {
            kept.iter().filter(|(_, other)| other.app == *app).map(|(mail, _)| **mail).collect()
        };
        for (mail, waiting) in gone {
            let Waiting { app, .. } = waiting;
            let no_room = || {
                let (waiting, most) = (bytes_for(app), self.bytes_per_app_max);
                Why::NoRoom { waiting, most, kept: kept_for(app) }
            };
            self.batch.leaving.push((*mail, why(*mail, waiting).unwrap_or_else(no_room)));
        }
        self.shelf = before.into_iter().filter(|(mail, _)| there.contains(mail)).collect();
    }

    /// What waits for an app.
    fn shelved_for(&self, app: &AppId) -> Vec<Mail> {
        self.shelf.iter().filter(|(_, waiting)| waiting.app == *app).map(|(mail, _)| *mail).collect()
    }

    /// What is around it does what is due.
    pub fn hear(&mut self, now: Monotonic) {
        for deed in self.around.take_due(now) {
            self.batch.is_anything = true;
            match deed {
                Deed::Helped { number, output } => self.helped(number, output),
                Deed::Presented { number, presented, note } => self.presented(number, presented, note, now),
                Deed::Activated(bubble) if self.around.take_away(&bubble) => {
                    self.seen.push(Seen::Clicked(bubble.clone()));
                    self.service.handle_activated(&bubble);
                }
                Deed::Dismissed(bubble) if self.around.take_away(&bubble) => {
                    self.seen.push(Seen::Dismissed(bubble.clone()));
                    self.service.handle_dismissed(&bubble);
                }
                Deed::Activated(_) | Deed::Dismissed(_) => {}
                Deed::Asked(ask) => self.asked(ask),
            }
        }
    }

    fn helped(&mut self, number: u64, output: Option<Output>) {
        let entry = self.service.mailbox().entry(number);
        let helped = entry.and_then(|entry| Mail::read(entry.payload.as_bytes()));
        let message = output.as_ref().map(|output| output.message.as_ref());
        let is_over = message.is_some_and(|message| message.is_none());
        let waiting = helped.and_then(|mail| self.shelf.get_mut(&mail));
        if let Some((waiting, message)) = waiting.zip(message.flatten()) {
            waiting.bytes = message.len();
        }
        self.service.handle_helped(number, output);
        self.note_gone(|mail, _| (is_over && Some(mail) == helped).then_some(Why::Helped));
    }

    fn presented(&mut self, number: u64, mut presented: Presented, mut note: Noted, now: Monotonic) {
        self.around.show(&mut presented, &mut note, now);
        self.seen.push(Seen::Noticed { note, is_shown: presented.is_shown, is_listed: presented.is_listed });
        self.service.handle_presented(number, presented);
    }

    fn asked(&mut self, ask: Ask) {
        let call = self.next_call;
        self.next_call += 1;
        match ask {
            Ask::Pop(app) => {
                self.seen.push(Seen::PopAsked(call, app.clone()));
                self.service.pop_all(call, &app);
                self.note_gone(|_, waiting| (waiting.app == app).then_some(Why::Popped));
            }
            Ask::List(app) => {
                self.seen.push(Seen::ListAsked(call, app.clone()));
                self.service.list_persistent(call, &app);
            }
            Ask::Clear(app, tags) => {
                self.seen.push(Seen::ClearAsked(call, app.clone(), tags.clone()));
                self.service.clear_persistent(call, &app, &tags);
            }
            Ask::Count(app, emblem) => self.service.set_counter(call, app, emblem),
            Ask::Post(app, output) => {
                if let Some(message) = &output.message {
                    self.note_fresh(&app, message, Origin::Local);
                }
                self.service.post(call, app, *output);
                self.note_gone(|_, _| None);
            }
        }
    }

    /// What is to be written, if anything has happened.
    pub fn begin_to_write(&mut self) -> Option<Vec<Write>> {
        self.batch.is_anything.then(|| std::iter::from_fn(|| self.service.poll_write()).collect())
    }

    /// All that was to be written is durable. What remains for the session to do: acks and receipts.
    pub fn written(&mut self, now: Monotonic) -> Vec<Command> {
        self.service.written();
        let Batch { fresh, leaving, .. } = mem::take(&mut self.batch);
        self.seen.extend(fresh.into_iter().map(|(mail, _)| Seen::Stored(mail)));
        self.seen.extend(leaving.into_iter().map(|(mail, why)| Seen::Left(mail, why)));
        self.seen.push(Seen::Written);
        let commands = std::iter::from_fn(|| self.service.poll_command()).collect::<Vec<_>>();
        commands.into_iter().filter_map(|command| self.follow(command, now)).collect()
    }

    /// Does a command, unless it is for the session.
    fn follow(&mut self, command: Command, now: Monotonic) -> Option<Command> {
        match command {
            Command::Stored | Command::Tell(_) => return Some(command),
            Command::Help { number, payload, .. } => self.around.help(number, &payload, now),
            Command::Present { number, app, notification } => {
                let summary = notification.card.as_ref().map(|card| card.summary.as_bytes());
                let mail = summary.and_then(Mail::read);
                self.seen.extend(mail.map(Seen::Presenting));
                self.around.present(number, app, &notification, mail, now);
            }
            Command::Withdraw { bubble } => {
                self.around.take_away(&bubble);
                self.seen.push(Seen::Withdrawn(bubble));
            }
            Command::Announce { app } => self.around.announce(app, now),
            Command::Reply { call, reply } => self.seen.push(Seen::Replied(call, reply)),
            Command::Count { .. } | Command::Forget { .. } => {}
        }
        None
    }
}

fn settings() -> AppId {
    SETTINGS.parse().expect("an app id")
}

/// Bytes of payloads in a mailbox's files, by app.
fn bytes_by_app(files: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, usize> {
    let mut bytes = BTreeMap::new();
    for contents in files.values() {
        if let Ok(EntryFile { app, payload }) = serde_json::from_slice(contents) {
            *bytes.entry(app).or_default() += payload.get().len();
        }
    }
    bytes
}
