//! What the push service on a device decides, without touching the world: what becomes of a message from its
//! frame to its app. How messages come, how helpers run and how anything is shown, it does not know.
//!
//! ```text
//!  a message comes ──▶ Raw in the mailbox ── on disk ──▶ Stored: it may be acked
//!                            │ its helper's turn
//!                            ▼
//!                          Help ── output, or the helper failed ──▶ Ready in the mailbox, or gone
//!                                                                       │ on disk
//!        nothing to notice ─────────────────────────────────────────────┤
//!            │                                                          ▼
//!            │                                         Present ── shown or not ──▶ in the shade, if it stays
//!            ▼                                                                          │ on disk
//!          Announce ◀───────────────────────────────────────────────────────────────────┘
//!            │ the app asks
//!            ▼
//!          popped ── on disk ──▶ Reply
//! ```
//!
//! A crash repeats what stands before the last write and nothing behind it: what is Raw has its helper once
//! more, and what was Ready is announced once more. Between that write and the call that shows a
//! notification, a crash costs the bubble, never the message. Between a call that shows or takes away a bubble and
//! the write beside it, a crash leaves a bubble that is in no shade: its user can close it, its app cannot.
//!
//! Messages are popped at most once. An app has no way to say that it has them, so they either go before the reply,
//! and a crash between the two costs them, or after it, and a crash gives them twice. Apps count on the former.

pub mod app;
pub mod helping;
pub mod mailbox;
pub mod notice;
pub mod notification;
pub mod output;
pub mod presentation;
pub mod shade;
mod tally;
pub mod update;

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use crate::base::{AppId, MessageId, Payload};
use crate::protocol::wire1::{Outcome, Receipt};
use crate::session::device::{Broadcast, Message};

use helping::Helping;
use mailbox::{Entry, Mailbox, Origin, Stage, Taken, Write};
use notification::{Emblem, Notification, Output};
use shade::{BubbleId, Note, Shade};

pub use tally::Tally;

/// Where the mailbox's files lie in the service's folder.
pub const MAILBOX_FOLDER: &str = "mailbox";
/// The shade's file in the service's folder.
pub const SHADE_FILE: &str = "shade.json";
/// Bubbles that do not stay and can still be clicked, at most: more do not fit a screen.
const BUBBLES_MAX: usize = 64;

/// The push service.
///
/// Tell it what happens ([`Service::came`], `handle_*`, and the requests of apps). Then do all that
/// [`Service::poll_write`] says, each durable before the next, call [`Service::written`], and do all that
/// [`Service::poll_command`] says. If a write fails, do nothing more: begin again with [`Service::restore`].
#[derive(Debug)]
pub struct Service {
    settings_app: AppId,
    mailbox: Mailbox,
    shade: Shade,
    helping: Helping,
    /// Given to be shown, by their numbers.
    presenting: BTreeMap<u64, Presenting>,
    next_presentation: u64,
    /// Shown, and gone by themselves after a while; the newest last.
    bubbles: VecDeque<Note>,
    /// What may be done once all is on disk.
    commands: VecDeque<Command>,
    tally: Tally,
}

/// A notification on its way to the user.
#[derive(Debug)]
struct Presenting {
    app: AppId,
    tag: String,
    persist: bool,
    url: Option<String>,
    message: Option<MessageId>,
    call: Option<CallId>,
}

/// Which request of an app something answers: its asker's own number.
pub type CallId = u64;

/// Something that has come from the server.
#[derive(Clone, Debug)]
pub enum News {
    /// A message, and whether its app is there.
    Message {
        /// The message.
        message: Message,
        /// Whether its app is on this device.
        is_installed: bool,
    },
    /// News of a channel, and what of it is for the device's settings.
    Broadcast {
        /// The news.
        news: Broadcast,
        /// Whether the settings want to know.
        is_wanted: bool,
    },
}

/// Something for the service's rim to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// All that has come is on disk, and may be acked.
    Stored,
    /// Run the app's helper on this, and tell [`Service::handle_helped`].
    Help {
        /// The entry of the mailbox.
        number: u64,
        /// Whose helper.
        app: AppId,
        /// What it gets.
        payload: Payload,
    },
    /// Show this, as far as the user's settings allow, and tell [`Service::handle_presented`].
    Present {
        /// Which presentation.
        number: u64,
        /// Whose.
        app: AppId,
        /// What; it takes the place of what the app shows with the same tag.
        notification: Notification,
    },
    /// Take a bubble away.
    Withdraw {
        /// Which.
        bubble: BubbleId,
    },
    /// Show this number at an app's icon.
    Count {
        /// Whose.
        app: AppId,
        /// What.
        emblem: Emblem,
    },
    /// Tell the app that there is something for it.
    Announce {
        /// Whom.
        app: AppId,
    },
    /// The app is gone from this device: its token shall die.
    Forget {
        /// Which.
        app: AppId,
    },
    /// Tell the server what became of a message.
    Tell(Receipt),
    /// Answer a request.
    Reply {
        /// Which.
        call: CallId,
        /// What.
        reply: Reply,
    },
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is done.
    Done,
    /// Messages, as JSON, or tags.
    Texts(Vec<String>),
    /// So many.
    Count(u32),
}

/// What the user got to see of a presentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presented {
    /// By what the notification server knows the bubble, if there is one.
    pub bubble: Option<BubbleId>,
    /// Whether the user was to notice anything.
    pub is_shown: bool,
    /// Whether it may be listed as staying.
    pub is_listed: bool,
}

impl Service {
    /// The service as its folder has it: all files below [`MAILBOX_FOLDER`] by their names, and what
    /// [`SHADE_FILE`] holds. System broadcasts go to `settings_app`.
    pub fn restore(
        files: impl IntoIterator<Item = (String, Vec<u8>)>,
        shade: &[u8],
        bytes_per_app_max: usize,
        settings_app: AppId,
    ) -> Service {
        let mut service = Service {
            settings_app,
            mailbox: Mailbox::restore(files, bytes_per_app_max),
            shade: Shade::restore(shade),
            helping: Helping::default(),
            presenting: BTreeMap::new(),
            next_presentation: 1,
            bubbles: VecDeque::new(),
            commands: VecDeque::new(),
            tally: Tally::default(),
        };
        service.take_up();
        service
    }

    /// Something has come. Ends with [`Command::Stored`].
    pub fn came(&mut self, news: Vec<News>) {
        for news in news {
            match news {
                News::Message { message, is_installed: true } => self.take_message(message),
                News::Message { message, is_installed: false } => self.refuse(message),
                News::Broadcast { news, is_wanted } => self.take_broadcast(news, is_wanted),
            }
        }
        self.commands.push_back(Command::Stored);
        self.help();
    }

    /// A helper has ended: with what it wants, or without anything that can be used. Then the app gets the
    /// whole payload, and nothing is shown.
    pub fn handle_helped(&mut self, number: u64, output: Option<Output>) {
        if !self.helping.end(number) {
            return;
        }
        if let Some(entry) = self.mailbox.entry(number) {
            let (app, message) = (entry.app.clone(), message_of(entry));
            let output = output.unwrap_or_else(|| untouched(entry));
            self.mailbox.settle(number, output.message);
            self.notice(app, message, output.notification, None);
        }
        self.help();
    }

    /// A presentation has ended.
    pub fn handle_presented(&mut self, number: u64, presented: Presented) {
        let Some(presenting) = self.presenting.remove(&number) else { return };
        let Presenting { app, tag, persist, url, message, call } = presenting;
        let Presented { bubble, is_shown, is_listed } = presented;
        let note = Note { app: app.clone(), tag, bubble, url, message };
        if persist && is_listed {
            self.list(note);
        } else if note.bubble.is_some() {
            self.float(note);
        }
        if is_shown {
            self.tell(message, Outcome::Shown);
        }
        self.announce(app, call);
    }

    /// The user has opened a notification.
    pub fn handle_activated(&mut self, bubble: &BubbleId) {
        if let Some(note) = self.take_note(bubble) {
            self.tell(note.message, Outcome::Opened);
        }
    }

    /// The user has dismissed a notification.
    pub fn handle_dismissed(&mut self, bubble: &BubbleId) {
        self.take_note(bubble);
    }

    /// A program posts for an app, as a helper would.
    pub fn post(&mut self, call: CallId, app: AppId, output: Output) {
        if let Some(payload) = output.message {
            self.mailbox.take(Entry {
                origin: Origin::Local,
                app: app.clone(),
                payload,
                stage: Stage::Ready,
            });
        }
        self.notice(app, None, output.notification, Some(call));
    }

    /// An app fetches all that waits for it.
    pub fn pop_all(&mut self, call: CallId, app: &AppId) {
        let entries = self.mailbox.pop_all(app);
        let texts = entries.iter().map(|entry| text_of(&entry.payload)).collect();
        self.reply(call, Reply::Texts(texts));
        for message in entries.iter().filter_map(message_of) {
            self.tell(Some(message), Outcome::Opened);
        }
    }

    /// The tags of what an app has in the shade, oldest first.
    pub fn list_persistent(&mut self, call: CallId, app: &AppId) {
        let tags = self.shade.of(app).map(|note| note.tag.clone()).collect();
        self.reply(call, Reply::Texts(tags));
    }

    /// Takes away what an app has in the shade with one of these tags; without tags, all of it.
    pub fn clear_persistent(&mut self, call: CallId, app: &AppId, tags: &[String]) {
        let gone = self.shade.clear(app, tags);
        let count = gone.len() as u32;
        self.withdraw(gone);
        self.reply(call, Reply::Count(count));
    }

    /// A number for an app's icon.
    pub fn set_counter(&mut self, call: CallId, app: AppId, emblem: Emblem) {
        self.commands.push_back(Command::Count { app, emblem });
        self.reply(call, Reply::Done);
    }

    /// It is another day, by a number that grows.
    pub fn handle_day(&mut self, day: i64) {
        self.tally.begin(day);
    }

    /// What is to be written next, below the service's folder.
    pub fn poll_write(&mut self) -> Option<Write> {
        if let Some(write) = self.mailbox.poll_write() {
            return Some(match write {
                Write::Put(name, contents) => Write::Put(in_mailbox(&name), contents),
                Write::Remove(name) => Write::Remove(in_mailbox(&name)),
            });
        }
        self.shade.poll_write().map(|contents| Write::Put(SHADE_FILE.into(), contents))
    }

    /// All that [`Service::poll_write`] gave out is durable.
    pub fn written(&mut self) {
        self.mailbox.written();
    }

    /// What is to be done next; nothing while something is to be written.
    pub fn poll_command(&mut self) -> Option<Command> {
        let is_settled = self.mailbox.is_settled() && self.shade.is_settled();
        is_settled.then(|| self.commands.pop_front()).flatten()
    }

    /// For which app so many messages had to make room for newer ones, since this was asked last: what nobody has
    /// seen or fetched is lost, and people should know.
    pub fn poll_dropped(&mut self) -> Option<(AppId, usize)> {
        self.mailbox.poll_dropped()
    }

    /// What waits for apps, what has come, and how far channels were followed.
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// The notifications that stay.
    pub fn shade(&self) -> &Shade {
        &self.shade
    }

    /// What has come today.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Whether no helper runs or waits, and nothing is about to be shown.
    pub fn is_idle(&self) -> bool {
        self.helping.is_idle() && self.presenting.is_empty() && self.commands.is_empty()
    }

    /// Whether something is about to be shown.
    pub fn is_presenting(&self) -> bool {
        !self.presenting.is_empty()
    }

    /// Goes on where an earlier life ended.
    fn take_up(&mut self) {
        let entries: Vec<(u64, AppId, Stage)> =
            self.mailbox.entries().map(|(number, entry)| (number, entry.app.clone(), entry.stage)).collect();
        let mut ready: Vec<AppId> = Vec::new();
        for (number, app, stage) in entries {
            match stage {
                Stage::Raw => self.helping.queue(number, &app),
                Stage::Ready if !ready.contains(&app) => ready.push(app),
                Stage::Ready => {}
            }
        }
        self.commands.extend(ready.into_iter().map(|app| Command::Announce { app }));
        self.help();
    }

    fn take_message(&mut self, message: Message) {
        let Message { id, app, payload, .. } = message;
        let origin = Origin::Message(id);
        self.take(Entry { origin, app, payload, stage: Stage::Raw });
    }

    /// An entry that came from the server.
    fn take(&mut self, entry: Entry) {
        let app = entry.app.clone();
        if let Taken::New(number) = self.mailbox.take(entry) {
            self.tally.count(&app);
            self.helping.queue(number, &app);
        }
    }

    /// Nobody is there for it.
    fn refuse(&mut self, message: Message) {
        self.tell(Some(message.id), Outcome::Refused);
        self.commands.push_back(Command::Forget { app: message.app });
    }

    fn take_broadcast(&mut self, news: Broadcast, is_wanted: bool) {
        let Broadcast { channel, level, mut payloads } = news;
        let reached = self.mailbox.levels().get(&channel).copied().unwrap_or_default();
        match payloads.pop() {
            Some(payload) if is_wanted && level > reached => {
                let origin = Origin::Broadcast(channel, level);
                let app = self.settings_app.clone();
                self.take(Entry { origin, app, payload, stage: Stage::Raw });
            }
            _ if level != reached => self.mailbox.follow(channel, level),
            _ => {}
        }
    }

    /// Whose turn it is gets its helper. What had to make room meanwhile needs none.
    fn help(&mut self) {
        while let Some((number, app)) = self.helping.start() {
            match self.mailbox.entry(number) {
                Some(entry) => {
                    self.commands.push_back(Command::Help { number, app, payload: entry.payload.clone() });
                }
                None => drop(self.helping.end(number)),
            }
        }
    }

    /// What is to be noticed is presented; then, or if there is nothing, the app is told.
    fn notice(
        &mut self,
        app: AppId,
        message: Option<MessageId>,
        notification: Option<Notification>,
        call: Option<CallId>,
    ) {
        let Some(notification) = notification else { return self.announce(app, call) };
        let number = self.next_presentation;
        self.next_presentation += 1;
        let (tag, card) = (notification.tag.clone(), notification.card.as_ref());
        let persist = card.is_some_and(|card| card.persist);
        let url = card.and_then(presentation::url_of).map(Into::into);
        self.presenting.insert(number, Presenting { app: app.clone(), tag, persist, url, message, call });
        self.commands.push_back(Command::Present { number, app, notification });
    }

    fn announce(&mut self, app: AppId, call: Option<CallId>) {
        self.commands.push_back(Command::Announce { app });
        if let Some(call) = call {
            self.reply(call, Reply::Done);
        }
    }

    fn reply(&mut self, call: CallId, reply: Reply) {
        self.commands.push_back(Command::Reply { call, reply });
    }

    fn tell(&mut self, message: Option<MessageId>, outcome: Outcome) {
        if let Some(message) = message {
            self.commands.push_back(Command::Tell(Receipt { message, outcome }));
        }
    }

    fn withdraw(&mut self, notes: Vec<Note>) {
        let bubbles = notes.into_iter().filter_map(|note| note.bubble);
        self.commands.extend(bubbles.map(|bubble| Command::Withdraw { bubble }));
    }

    fn list(&mut self, note: Note) {
        self.make_way(&note);
        let gone = self.shade.add(note);
        self.withdraw(gone);
    }

    fn float(&mut self, note: Note) {
        self.make_way(&note);
        if self.bubbles.len() == BUBBLES_MAX {
            self.bubbles.pop_front();
        }
        self.bubbles.push_back(note);
    }

    /// What a note replaces goes, whether it stays or floats.
    fn make_way(&mut self, note: &Note) {
        let floating = mem::take(&mut self.bubbles);
        let (replaced, kept): (VecDeque<Note>, _) =
            floating.into_iter().partition(|other| note.replaces(other));
        self.bubbles = kept;
        let gone = self.shade.make_way(note);
        self.withdraw(gone);
        self.withdraw(replaced.into_iter().filter(|other| other.bubble != note.bubble).collect());
    }

    fn take_note(&mut self, bubble: &BubbleId) -> Option<Note> {
        let floating = self.bubbles.iter().position(|note| note.bubble.as_ref() == Some(bubble));
        match floating {
            Some(place) => self.bubbles.remove(place),
            None => self.shade.dismiss(bubble),
        }
    }
}

/// What an app gets whose helper did not do.
fn untouched(entry: &Entry) -> Output {
    Output { message: Some(entry.payload.clone()), notification: None }
}

fn message_of(entry: &Entry) -> Option<MessageId> {
    match entry.origin {
        Origin::Message(id) => Some(id),
        Origin::Broadcast(..) | Origin::Local => None,
    }
}

fn text_of(payload: &Payload) -> String {
    String::from_utf8_lossy(payload.as_bytes()).into_owned()
}

fn in_mailbox(name: &str) -> String {
    format!("{MAILBOX_FOLDER}/{name}")
}

#[cfg(test)]
mod tests;
