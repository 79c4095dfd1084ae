//! What waits on the device for its apps, and what was there before, so that nothing comes twice. It says
//! what is to be written, and touches no disk: its owner does the writes, and acks once they are durable.
//!
//! ```text
//!  a message comes ── known ──▶ Double ─────────────────────────────────────────┐
//!        │ new                                                                  ▼
//!        └──▶ its file is to be written ── written ──▶ waits for its helper  may be acked
//!                                                        │
//!          ┌────────────── nothing is left for the app ──┤ settled
//!          │                                             ▼ its file is to say what is left
//!          │                                         waits for its app
//!          ▼                                             │ popped, or too much waits for the app
//!    `seen.json` is to say so ◀──────────────────────────┘
//!          │ written
//!          ▼
//!    handed out; its file goes
//! ```
//!
//! A message has a file of its own, so that one that comes costs one small write. Whether it is gone from
//! the mailbox is decided by `seen.json`, which names the ids of those that went last: a file whose id stands
//! there is a leftover of a crash.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::app::AppName;
use crate::base::{AppId, ChannelId, Level, MessageId, Payload};

/// Bytes of payloads that wait for one app, unless told otherwise: what apps are used to.
pub const BYTES_PER_APP_MAX: usize = 128 * 1024;
/// Entries that wait for one app, however small: each is a file, which takes some 4 KiB of a phone's disk, and an app
/// pops no more at once than [`GONE_MAX`] remembers.
pub const ENTRIES_PER_APP_MAX: usize = 1_024;
/// All apps of one package keep at most what so many apps do: a package has a handful, and its programs could post to
/// any number of others.
pub const APPS_PER_PACKAGE: usize = 4;
/// Ids that are remembered of messages that are no longer in the mailbox, the latest. Only what the server
/// may not have noted comes again: some windows of deliveries, and the acks of a few seconds.
pub const GONE_MAX: usize = 1_024;

/// Says which messages are gone, and how far the device has followed each channel.
const SEEN_FILE: &str = "seen.json";
/// What files say of their form.
const VERSION: u8 = 1;
/// The highest number of a file that is read. No mailbox ever counts so far, and as many numbers follow.
const NUMBER_MAX: u64 = u64::MAX / 2;

/// The mailboxes of all apps.
///
/// Tell it what comes ([`Mailbox::take`]), what its helper made of it ([`Mailbox::settle`]), and what apps fetch
/// ([`Mailbox::pop_all`]). Then do all that
/// [`Mailbox::poll_write`] says, in its order, each durable before the next, and call [`Mailbox::written`]:
/// now what came may be acked, and what was popped handed out. If a write fails, ack nothing, and begin again
/// with [`Mailbox::restore`].
#[derive(Debug)]
pub struct Mailbox {
    bytes_per_app_max: usize,
    /// By the numbers of their files, oldest first.
    entries: BTreeMap<u64, Entry>,
    /// Of the entries, by app: none is empty.
    shares: BTreeMap<AppId, Share>,
    /// The same by package.
    packages: BTreeMap<String, Share>,
    next_number: u64,
    /// Of the entries.
    waiting: BTreeSet<MessageId>,
    /// Those that went last, oldest first.
    gone: VecDeque<MessageId>,
    levels: BTreeMap<ChannelId, Level>,
    /// How many have made room, and nobody was told.
    dropped: BTreeMap<AppId, usize>,
    to_do: ToDo,
}

/// What is not on disk yet.
#[derive(Debug, Default)]
struct ToDo {
    puts: VecDeque<Write>,
    is_seen_stale: bool,
    removes: VecDeque<String>,
    /// Whether writes were given out that may not be durable.
    is_under_way: bool,
}

/// What waits for one app, or for all of one package.
#[derive(Debug, Default)]
struct Share {
    numbers: BTreeSet<u64>,
    /// Of payloads.
    bytes: usize,
}

impl Share {
    fn add(&mut self, number: u64, bytes: usize) {
        self.numbers.insert(number);
        self.bytes += bytes;
    }

    fn remove(&mut self, number: u64, bytes: usize) {
        self.numbers.remove(&number);
        self.bytes -= bytes;
    }

    /// The oldest if there is more than so much, unless it is the newest, too.
    fn surplus(&self, bytes_max: usize, entries_max: usize) -> Option<u64> {
        let is_full = self.bytes > bytes_max || self.numbers.len() > entries_max;
        self.numbers.first().copied().filter(|_| is_full && self.numbers.len() > 1)
    }
}

/// Something that waits for its app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it came from.
    pub origin: Origin,
    /// For whom.
    pub app: AppId,
    /// What its helper gets, or the app.
    pub payload: Payload,
    /// For which of them it waits.
    pub stage: Stage,
}

/// For whom an entry waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// For the app's helper.
    Raw,
    /// For the app.
    Ready,
}

/// By what something that comes is known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A message of its own.
    Message(MessageId),
    /// News of a channel, which bring the device to this level.
    Broadcast(ChannelId, Level),
    /// Nothing: a program on the device posted it, once.
    Local,
}

/// What the mailbox made of something that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is now under this number, and goes on once it is on disk.
    New(u64),
    /// It has come before.
    Double,
}

/// Something to do in the mailbox's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// The file of this name holds this from now on: written under another name, synced, renamed, and the
    /// folder synced, so that after a crash it is there whole or not at all.
    Put(String, Vec<u8>),
    /// The file of this name goes. It is no error if it is gone.
    Remove(String),
}

#[derive(Serialize, Deserialize)]
struct EntryFile {
    version: u8,
    app: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    broadcast: Option<(String, i64)>,
    stage: Stage,
    payload: Box<RawValue>,
}

#[derive(Serialize, Deserialize)]
struct SeenFile {
    version: u8,
    gone: Vec<String>,
    levels: BTreeMap<String, i64>,
}

impl Mailbox {
    /// An empty mailbox, which keeps so many bytes of payloads for each app and [`ENTRIES_PER_APP_MAX`] entries,
    /// [`APPS_PER_PACKAGE`] times as much for all apps of a package, and at least the newest message.
    pub fn new(bytes_per_app_max: usize) -> Mailbox {
        Mailbox {
            bytes_per_app_max,
            entries: BTreeMap::new(),
            shares: BTreeMap::new(),
            packages: BTreeMap::new(),
            next_number: 1,
            waiting: BTreeSet::new(),
            gone: VecDeque::new(),
            levels: BTreeMap::new(),
            dropped: BTreeMap::new(),
            to_do: ToDo::default(),
        }
    }

    /// The mailbox as its folder has it: all files by name, in any order. Sync the folder before, for what is
    /// read counts as durable. What nobody can read is to be removed; there may be writes to do at once.
    pub fn restore(files: impl IntoIterator<Item = (String, Vec<u8>)>, bytes_per_app_max: usize) -> Mailbox {
        let mut mailbox = Mailbox::new(bytes_per_app_max);
        let (seen, entries): (Vec<_>, Vec<_>) = files.into_iter().partition(|(name, _)| name == SEEN_FILE);
        for (_, contents) in &seen {
            mailbox.restore_seen(contents);
        }
        for (name, contents) in entries {
            if !mailbox.restore_entry(&name, &contents) {
                mailbox.to_do.removes.push_back(name);
            }
        }
        let apps: Vec<AppId> = mailbox.shares.keys().cloned().collect();
        apps.iter().for_each(|app| mailbox.make_room(app));
        mailbox
    }

    /// Something has come.
    pub fn take(&mut self, entry: Entry) -> Taken {
        if self.knows(&entry.origin) {
            return Taken::Double;
        }
        let number = self.next_number;
        self.to_do.puts.push_back(Write::Put(file_name(number), entry.encode()));
        let app = entry.app.clone();
        self.insert(number, entry);
        self.make_room(&app);
        Taken::New(number)
    }

    /// The helper of what is under `number` is done: this is left for the app. Nothing happens if there was no
    /// room for it meanwhile.
    pub fn settle(&mut self, number: u64, message: Option<Payload>) {
        let Some(entry) = self.entries.get_mut(&number) else { return };
        let Some(payload) = message else { return drop(self.remove(number)) };
        let (app, before, after) = (entry.app.clone(), entry.payload.len(), payload.len());
        entry.payload = payload;
        entry.stage = Stage::Ready;
        for share in [
            self.shares.entry(app.clone()).or_default(),
            self.packages.entry(AppName::owner(&app)).or_default(),
        ] {
            share.bytes = share.bytes - before + after;
        }
        self.to_do.puts.push_back(Write::Put(file_name(number), entry.encode()));
        self.make_room(&app);
    }

    /// The device stands there on a channel, whatever it had reached before.
    pub fn follow(&mut self, channel: ChannelId, level: Level) {
        self.levels.insert(channel, level);
        self.to_do.is_seen_stale = true;
    }

    /// An app fetches all that waits for it, oldest first: to be handed out once it is [settled](Mailbox::is_settled).
    pub fn pop_all(&mut self, app: &AppId) -> Vec<Entry> {
        let is_ready = |number: &u64| self.entries[number].stage == Stage::Ready;
        let theirs = self.shares.get(app).into_iter().flat_map(|share| &share.numbers);
        let numbers: Vec<u64> = theirs.copied().filter(is_ready).collect();
        numbers.into_iter().filter_map(|number| self.remove(number)).collect()
    }

    /// What is to be done next.
    pub fn poll_write(&mut self) -> Option<Write> {
        let write = self.next_write()?;
        self.to_do.is_under_way = true;
        Some(write)
    }

    /// All that [`Mailbox::poll_write`] gave out is durable.
    pub fn written(&mut self) {
        self.to_do.is_under_way = false;
    }

    /// Whether all is on disk, so that what came may be acked, and what was popped handed out.
    pub fn is_settled(&self) -> bool {
        let ToDo { puts, is_seen_stale, removes, is_under_way } = &self.to_do;
        puts.is_empty() && removes.is_empty() && !is_seen_stale && !is_under_way
    }

    /// For which app so many had to make room, since this was asked last.
    pub fn poll_dropped(&mut self) -> Option<(AppId, usize)> {
        self.dropped.pop_first()
    }

    /// How far the device has followed each channel.
    pub fn levels(&self) -> &BTreeMap<ChannelId, Level> {
        &self.levels
    }

    /// Whether this has come before, as far as is remembered.
    pub fn knows(&self, origin: &Origin) -> bool {
        match origin {
            Origin::Message(id) => self.waiting.contains(id) || self.gone.contains(id),
            Origin::Broadcast(channel, level) => {
                self.levels.get(channel).is_some_and(|reached| reached >= level)
            }
            Origin::Local => false,
        }
    }

    /// What waits under its numbers, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries.iter().map(|(number, entry)| (*number, entry))
    }

    /// What waits under a number.
    pub fn entry(&self, number: u64) -> Option<&Entry> {
        self.entries.get(&number)
    }

    fn insert(&mut self, number: u64, entry: Entry) {
        match entry.origin {
            Origin::Message(id) => {
                self.waiting.insert(id);
            }
            Origin::Broadcast(channel, level) => self.reach(channel, level),
            Origin::Local => {}
        }
        let bytes = entry.payload.len();
        self.shares.entry(entry.app.clone()).or_default().add(number, bytes);
        self.packages.entry(AppName::owner(&entry.app)).or_default().add(number, bytes);
        self.entries.insert(number, entry);
        self.next_number = self.next_number.max(number + 1);
    }

    fn reach(&mut self, channel: ChannelId, level: Level) {
        let reached = self.levels.entry(channel).or_default();
        *reached = level.max(*reached);
    }

    fn remove(&mut self, number: u64) -> Option<Entry> {
        let entry = self.entries.remove(&number)?;
        self.unshare(number, &entry);
        if let Origin::Message(id) = entry.origin {
            self.waiting.remove(&id);
            self.remember(id);
        }
        self.to_do.is_seen_stale = true;
        self.to_do.removes.push_back(file_name(number));
        Some(entry)
    }

    fn remember(&mut self, gone: MessageId) {
        if self.gone.len() == GONE_MAX {
            self.gone.pop_front();
        }
        self.gone.push_back(gone);
    }

    fn unshare(&mut self, number: u64, entry: &Entry) {
        leave(&mut self.shares, &entry.app, number, entry);
        leave(&mut self.packages, &AppName::owner(&entry.app), number, entry);
    }

    /// Drops the oldest of an app, and of its package, until the others fit.
    fn make_room(&mut self, app: &AppId) {
        while let Some(oldest) = self.surplus(app) {
            let gone = self.remove(oldest).expect("a share holds what there is");
            *self.dropped.entry(gone.app).or_default() += 1;
        }
    }

    /// The oldest of an app for which too much waits, or of its package.
    fn surplus(&self, app: &AppId) -> Option<u64> {
        let bytes_max = self.bytes_per_app_max;
        let of_app = self.shares.get(app)?.surplus(bytes_max, ENTRIES_PER_APP_MAX);
        let of_package = || {
            let (bytes_max, entries_max) =
                (bytes_max.saturating_mul(APPS_PER_PACKAGE), ENTRIES_PER_APP_MAX * APPS_PER_PACKAGE);
            self.packages.get(&AppName::owner(app))?.surplus(bytes_max, entries_max)
        };
        of_app.or_else(of_package)
    }

    /// New files first, and old ones last: in between, `seen.json` decides.
    fn next_write(&mut self) -> Option<Write> {
        if let Some(put) = self.to_do.puts.pop_front() {
            return Some(put);
        }
        if mem::take(&mut self.to_do.is_seen_stale) {
            return Some(Write::Put(SEEN_FILE.into(), self.encode_seen()));
        }
        self.to_do.removes.pop_front().map(Write::Remove)
    }

    fn encode_seen(&self) -> Vec<u8> {
        let gone = self.gone.iter().map(MessageId::to_string).collect();
        let levels = self.levels.iter().map(|(channel, level)| (channel.to_string(), level.0)).collect();
        to_json(&SeenFile { version: VERSION, gone, levels })
    }

    /// A file that cannot be read counts as none: then what has gone may come again, and nothing is lost.
    fn restore_seen(&mut self, contents: &[u8]) {
        let Ok(SeenFile { version: VERSION, gone, levels }) = serde_json::from_slice(contents) else {
            return;
        };
        gone.iter().filter_map(|id| id.parse().ok()).for_each(|id| self.remember(id));
        for (channel, level) in levels {
            channel.parse().into_iter().for_each(|channel| self.reach(channel, Level(level)));
        }
    }

    /// Whether the file holds something that still waits.
    fn restore_entry(&mut self, name: &str, contents: &[u8]) -> bool {
        let Some((number, entry)) = number_of(name).zip(Entry::decode(contents)) else { return false };
        self.next_number = self.next_number.max(number + 1);
        let is_gone = matches!(entry.origin, Origin::Message(id) if self.gone.contains(&id));
        if !is_gone {
            self.insert(number, entry);
        }
        !is_gone
    }
}

impl Entry {
    fn encode(&self) -> Vec<u8> {
        let (message, broadcast) = match self.origin {
            Origin::Message(id) => (Some(id.to_string()), None),
            Origin::Broadcast(channel, level) => (None, Some((channel.to_string(), level.0))),
            Origin::Local => (None, None),
        };
        let payload = serde_json::from_slice(self.payload.as_bytes()).expect("a payload is JSON");
        to_json(&EntryFile {
            version: VERSION,
            app: self.app.to_string(),
            message,
            broadcast,
            stage: self.stage,
            payload,
        })
    }

    fn decode(contents: &[u8]) -> Option<Entry> {
        let file: EntryFile = serde_json::from_slice(contents).ok()?;
        let origin = match (file.message, file.broadcast) {
            (Some(id), None) => Origin::Message(id.parse().ok()?),
            (None, Some((channel, level))) => Origin::Broadcast(channel.parse().ok()?, Level(level)),
            (None, None) => Origin::Local,
            (Some(_), Some(_)) => return None,
        };
        let app = file.app.parse().ok()?;
        let payload = Payload::from_raw(&file.payload);
        (file.version == VERSION).then_some(Entry { origin, app, payload, stage: file.stage })
    }
}

/// Takes an entry out of its share, which goes with its last.
fn leave<K: Ord>(shares: &mut BTreeMap<K, Share>, key: &K, number: u64, entry: &Entry) {
    let Some(share) = shares.get_mut(key) else { return };
    share.remove(number, entry.payload.len());
    if share.numbers.is_empty() {
        shares.remove(key);
    }
}

fn to_json(file: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(file).expect("plain data")
}

fn file_name(number: u64) -> String {
    format!("{number:016x}.json")
}

fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".json")?;
    let number = u64::from_str_radix(digits, 16).ok().filter(|number| *number <= NUMBER_MAX)?;
    (file_name(number) == name).then_some(number)
}

#[cfg(test)]
mod tests;
