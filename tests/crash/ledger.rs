//! What was posted, how it was answered and what came of it. Holds each arrival against the answers
//! before it, and says what is owed. Pure: it knows neither sockets nor the server, and its order of
//! things is the order in which it was told of them.
//!
//! ```text
//! Unanswered, may come ── refused ─────────────────▶ Refused, must not come
//!                      ── answered with 200, came ─▶ Owed, must come unless it has expired
//!
//! Unanswered, Owed     ── a post that would drop it stayed unanswered ──▶ Doubtful, may come
//! Doubtful             ── came in a session that began after that ──────▶ Owed
//! all but Refused      ── a post that drops it was answered, or came,    Dropped, must not come in a
//!                         or its device was revoked ────────────────────▶ session that begins later
//! ```

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;
use std::time::Duration;

use jiff::Timestamp;
use lomiri_push::base::{MessageId, Payload};
use lomiri_push::session::device::{self, Broadcast};
use serde_json::Value;

/// Wire 1 tells expiry in whole seconds, rounded down: so much earlier a message may be dropped.
pub const EXPIRY_STEP: Duration = Duration::from_secs(1);

/// The order in which the ledger was told of things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Tick(u64);

/// How a request came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered with 200.
    Accepted,
    /// Answered otherwise: nothing has changed.
    Refused,
    /// The server died first: it may have been done or not.
    Unanswered,
}

/// A message as it is posted.
#[derive(Clone, Debug)]
pub struct Post {
    pub device: String,
    pub app: String,
    pub tag: Option<String>,
    /// Whether it drops all that is pending for its app and device.
    pub clears: bool,
    pub expires: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Unanswered,
    Owed,
    Doubtful { since: Tick },
    Dropped { at: Tick },
    Refused,
}

#[derive(Debug)]
struct Message {
    post: Post,
    fate: Fate,
    /// Once it has come.
    id: Option<MessageId>,
    is_stored: bool,
}

/// A broadcast.
#[derive(Debug)]
struct Cast {
    expires: Timestamp,
    outcome: Outcome,
}

/// What the server says of a message on a device.
#[derive(Debug)]
pub struct State {
    pub status: String,
    /// Whether it says when the device had it.
    pub is_delivered: bool,
}

/// What a device keeps over its sessions.
#[derive(Debug, Default)]
struct Mailbox {
    level: i64,
    casts: BTreeSet<usize>,
}

/// Those of a device that has had none.
static NO_CASTS: BTreeSet<usize> = BTreeSet::new();

/// One session of a device, from before it connects.
#[derive(Debug)]
pub struct Visit {
    device: String,
    began: Tick,
    began_at: Timestamp,
    /// The last message of each app.
    last: BTreeMap<String, usize>,
}

/// How much happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Posts and broadcasts that were answered with 200.
    pub accepted: usize,
    /// Those that were answered otherwise.
    pub refused: usize,
    /// Those that the server's end left without an answer.
    pub unanswered: usize,
    /// Messages and broadcasts that devices stored.
    pub stored: usize,
    /// States that were asked for.
    pub states: usize,
    /// Messages that came again although they were stored: acks that a crash swallowed.
    pub again: usize,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Counts) {
        self.accepted += more.accepted;
        self.refused += more.refused;
        self.unanswered += more.unanswered;
        self.stored += more.stored;
        self.again += more.again;
        self.states += more.states;
    }
}

#[derive(Debug, Default)]
pub struct Ledger {
    now: Tick,
    /// By number: the payload of each names its place here.
    messages: Vec<Message>,
    /// Of each device and app, what was not refused and what later posts can still drop.
    droppable: BTreeMap<(String, String), Vec<usize>>,
    casts: Vec<Cast>,
    mailboxes: BTreeMap<String, Mailbox>,
    counts: Counts,
    complaints: Vec<String>,
}

impl Ledger {
    /// A message is about to be posted: its number. Those of one app for one device are posted one
    /// after the other.
    pub fn post(&mut self, post: Post) -> usize {
        let number = self.messages.len();
        self.droppable.entry((post.device.clone(), post.app.clone())).or_default().push(number);
        self.messages.push(Message { post, fate: Fate::Unanswered, id: None, is_stored: false });
        number
    }

    pub fn answered(&mut self, number: usize, outcome: Outcome) {
        self.count(outcome);
        match outcome {
            Outcome::Accepted => self.took_effect(number),
            Outcome::Refused => {
                if self.messages[number].id.is_some() {
                    self.complain(format!("{} came, and was refused", self.describe(number)));
                }
                self.messages[number].fate = Fate::Refused;
                let line = self.line(number);
                self.droppable.entry(line).or_default().retain(|&earlier| earlier != number);
            }
            Outcome::Unanswered if self.messages[number].fate == Fate::Unanswered => {
                let since = self.tick();
                for earlier in self.dropped_by(number) {
                    self.messages[earlier].fate = Fate::Doubtful { since };
                }
            }
            Outcome::Unanswered => {}
        }
    }

    /// A device was revoked: what was pending for it is gone.
    pub fn revoked(&mut self, device: &str) {
        let at = self.tick();
        let lines = self.droppable.iter_mut().filter(|((name, _), _)| name == device);
        let numbers: Vec<usize> = lines.flat_map(|(_, numbers)| std::mem::take(numbers)).collect();
        for number in numbers {
            self.messages[number].fate = Fate::Dropped { at };
        }
    }

    /// A broadcast is about to be posted: its number. They are posted one after the other.
    pub fn broadcast(&mut self, expires: Timestamp) -> usize {
        self.casts.push(Cast { expires, outcome: Outcome::Unanswered });
        self.casts.len() - 1
    }

    pub fn broadcast_answered(&mut self, number: usize, outcome: Outcome) {
        self.count(outcome);
        if outcome != Outcome::Unanswered {
            self.casts[number].outcome = outcome;
        }
    }

    /// A device is about to connect, saying that it is at this level.
    pub fn visit(&mut self, device: &str, now: Timestamp) -> (Visit, i64) {
        let visit = Visit { device: device.into(), began: self.tick(), began_at: now, last: BTreeMap::new() };
        (visit, self.mailboxes.entry(device.into()).or_default().level)
    }

    /// Messages have come; they are not stored yet.
    pub fn came(&mut self, visit: &mut Visit, all: &[device::Message]) {
        for notification in all {
            match number(&notification.payload, &visit.device).filter(|number| *number < self.messages.len())
            {
                Some(number) => self.message_came(visit, notification, number),
                None => self.complain(format!("{} got {notification:?}, which nobody posted", visit.device)),
            }
        }
    }

    /// The device has these on disk.
    pub fn stored(&mut self, visit: &Visit, all: &[device::Message]) {
        for number in all.iter().filter_map(|notification| number(&notification.payload, &visit.device)) {
            let Some(message) = self.messages.get_mut(number) else { continue };
            let count = if message.is_stored { &mut self.counts.again } else { &mut self.counts.stored };
            *count += 1;
            message.is_stored = true;
        }
    }

    /// News of the system channel has come, and the device has it on disk together with its level.
    pub fn broadcast_came(&mut self, visit: &Visit, news: &Broadcast) {
        let level = news.level.0;
        let mailbox = self.mailboxes.entry(visit.device.clone()).or_default();
        let before = std::mem::replace(&mut mailbox.level, level);
        let last = mailbox.casts.last().copied();
        let numbers: Vec<Option<usize>> = news.payloads.iter().map(cast_number).collect();
        if level < before || news.payloads.is_empty() {
            self.complain(format!("{}: the level stepped back from {before} to {level}", visit.device));
        }
        if !last.map(Some).iter().chain(&numbers).is_sorted_by(|earlier, later| earlier < later) {
            self.complain(format!("{}: broadcasts out of order: {numbers:?} after {last:?}", visit.device));
        }
        for number in numbers {
            self.cast_came(visit, number);
        }
        if level > self.casts_but(Outcome::Refused) {
            self.complain(format!("{}: the level {level} counts what nobody posted", visit.device));
        }
    }

    /// What must hold when a device has had all that was pending for it, and nobody posts. `now` is
    /// later than that: what has expired by then need not have come.
    pub fn check_device(&mut self, device: &str, now: Timestamp) {
        for number in self.lacking(device, now) {
            self.complain(format!("{} was lost", self.describe(number)));
        }
        self.check_broadcasts(device, now);
    }

    /// Holds what the server says of a message against what has happened; nobody posts meanwhile. False if
    /// the server has not heard yet that the device has it, which is a complaint if it `must` have.
    pub fn check_state(&mut self, number: usize, state: &State, must: bool) -> bool {
        let Message { post, fate, is_stored, .. } = &self.messages[number];
        let is_dropped = matches!(fate, Fate::Dropped { .. } | Fate::Doubtful { .. });
        let has_expired = post.expires <= Timestamp::now() + EXPIRY_STEP;
        let is_heard = state.status != "queued" || !is_stored || has_expired;
        let is_told_delivered = state.is_delivered && !is_stored && !has_expired;
        let is_true = match state.status.as_str() {
            _ if is_told_delivered => false,
            "queued" => !matches!(fate, Fate::Dropped { .. }) || has_expired,
            "delivered" => *is_stored,
            "expired" => has_expired,
            "replaced" => is_dropped && post.tag.is_some(),
            "cleared" | "revoked" => is_dropped,
            _ => false,
        };
        let is_known = is_heard || !must;
        if !is_true || !is_known {
            self.complain(format!("{} is told to be {state:?}", self.describe(number)));
        }
        self.counts.states += 1;
        is_heard
    }

    /// Whether a device has all messages that it must have by now.
    pub fn has_messages(&self, device: &str, now: Timestamp) -> bool {
        self.lacking(device, now).is_empty()
    }

    /// The messages that are owed to a device.
    fn lacking(&self, device: &str, now: Timestamp) -> Vec<usize> {
        let lines = self.droppable.iter().filter(|((name, _), _)| name == device);
        let is_lacking = |number: &usize| {
            let Message { post, fate, is_stored, .. } = &self.messages[*number];
            *fate == Fate::Owed && !is_stored && post.expires > now
        };
        lines.flat_map(|(_, numbers)| numbers.iter().copied()).filter(is_lacking).collect()
    }

    /// Whether a device has all broadcasts that it must have by now: on wire 1 they and messages may
    /// overtake each other.
    pub fn has_broadcasts(&self, device: &str, now: Timestamp) -> bool {
        self.lacks_broadcast(device, now).is_none()
    }

    fn check_broadcasts(&mut self, device: &str, now: Timestamp) {
        if let Some(complaint) = self.lacks_broadcast(device, now) {
            self.complain(complaint);
        }
    }

    /// Where one broadcast that lives must have come, the level must count all that were accepted.
    fn lacks_broadcast(&self, device: &str, now: Timestamp) -> Option<String> {
        let (level, casts) =
            self.mailboxes.get(device).map_or((0, &NO_CASTS), |mailbox| (mailbox.level, &mailbox.casts));
        let is_due = |cast: &Cast| cast.outcome == Outcome::Accepted && cast.expires > now;
        let mut due = (0..self.casts.len()).filter(|number| is_due(&self.casts[*number])).peekable();
        due.peek()?;
        if let Some(lost) = due.find(|number| !casts.contains(number)) {
            return Some(format!("{device}: broadcast {lost} was lost"));
        }
        let accepted = self.casts.iter().filter(|cast| cast.outcome == Outcome::Accepted).count() as i64;
        (level < accepted).then(|| format!("{device}: the level is {level} after {accepted} broadcasts"))
    }

    pub fn is_stored(&self, number: usize) -> bool {
        self.messages[number].is_stored
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    pub fn complain(&mut self, complaint: String) {
        self.complaints.push(complaint);
    }

    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    fn tick(&mut self) -> Tick {
        self.now.0 += 1;
        self.now
    }

    fn count(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Accepted => &mut self.counts.accepted,
            Outcome::Refused => &mut self.counts.refused,
            Outcome::Unanswered => &mut self.counts.unanswered,
        } += 1;
    }

    /// The message is queued for certain, and so what it drops is dropped.
    fn took_effect(&mut self, number: usize) {
        if matches!(self.messages[number].fate, Fate::Unanswered) {
            self.messages[number].fate = Fate::Owed;
        }
        let at = self.tick();
        let dropped = self.dropped_by(number);
        for &earlier in &dropped {
            self.messages[earlier].fate = Fate::Dropped { at };
        }
        let line = self.line(number);
        self.droppable.entry(line).or_default().retain(|earlier| !dropped.contains(earlier));
    }

    fn line(&self, number: usize) -> (String, String) {
        let post = &self.messages[number].post;
        (post.device.clone(), post.app.clone())
    }

    /// The earlier messages that this one clears or replaces.
    fn dropped_by(&self, number: usize) -> Vec<usize> {
        let Post { tag, clears, .. } = &self.messages[number].post;
        let drops = |earlier: &Message| *clears || (tag.is_some() && earlier.post.tag == *tag);
        let candidates = self.droppable.get(&self.line(number)).into_iter().flatten().copied();
        candidates.filter(|&earlier| earlier < number && drops(&self.messages[earlier])).collect()
    }

    fn message_came(&mut self, visit: &mut Visit, notification: &device::Message, number: usize) {
        let message = &mut self.messages[number];
        let earlier_id = message.id.replace(notification.id);
        let fault = if message.post.device != visit.device || message.post.app != notification.app.as_str() {
            Some("came to another")
        } else if message.fate == Fate::Refused {
            Some("came, and was refused")
        } else if matches!(message.fate, Fate::Dropped { at } if at < visit.began) {
            Some("came after it had been dropped")
        } else if message.post.expires <= visit.began_at {
            Some("came after it had expired")
        } else if earlier_id.is_some_and(|id| id != notification.id) {
            Some("was queued twice")
        } else if visit.last.insert(message.post.app.clone(), number) >= Some(number) {
            Some("came out of order")
        } else {
            None
        };
        if let Some(fault) = fault {
            self.complain(format!("{} {fault}", self.describe(number)));
        }
        self.proven(visit, number);
    }

    /// What comes is on the server's disk, unless it was dropped while it was on its way.
    fn proven(&mut self, visit: &Visit, number: usize) {
        match self.messages[number].fate {
            Fate::Unanswered => self.took_effect(number),
            Fate::Doubtful { since } if since < visit.began => self.messages[number].fate = Fate::Owed,
            _ => {}
        }
    }

    fn cast_came(&mut self, visit: &Visit, number: Option<usize>) {
        let Some((number, cast)) = number.and_then(|number| Some((number, self.casts.get_mut(number)?)))
        else {
            return self.complain(format!("{} got a broadcast that nobody posted", visit.device));
        };
        let is_wrong = cast.outcome == Outcome::Refused || cast.expires <= visit.began_at;
        cast.outcome = Outcome::Accepted;
        if is_wrong {
            self.complain(format!("{}: broadcast {number} was refused or had expired", visit.device));
        }
        self.mailboxes.entry(visit.device.clone()).or_default().casts.insert(number);
        self.counts.stored += 1;
    }

    fn casts_but(&self, outcome: Outcome) -> i64 {
        self.casts.iter().filter(|cast| cast.outcome != outcome).count() as i64
    }

    fn describe(&self, number: usize) -> String {
        let Message { post, fate, id, is_stored } = &self.messages[number];
        let id = id.map_or("none yet".into(), |id| id.to_string());
        format!("message {number} (id {id}, {fate:?}, stored: {is_stored}, {post:?})")
    }
}

/// A message for all devices of a user has a number for each.
fn number(payload: &Payload, device: &str) -> Option<usize> {
    let payload: Value = serde_json::from_slice(payload.as_bytes()).ok()?;
    payload["numbers"][device].as_u64().map(|number| number as usize)
}

fn cast_number(payload: &Payload) -> Option<usize> {
    let payload: Value = serde_json::from_slice(payload.as_bytes()).ok()?;
    payload[super::phone::IMAGE]["number"].as_u64().map(|number| number as usize)
}
