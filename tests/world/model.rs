//! What must become of each message, by the rules an app server knows: it is told what was posted and
//! answered. What each session may be sent, and must be, is in `rules`.

use std::collections::{BTreeMap, BTreeSet};

use lomiri_push::base::{MessageId, Urgency, Wall};

use crate::device::Device;
use crate::rules::Session;
use crate::world::World;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    /// Answered with success: it must arrive, unless it expires first.
    Owed,
    /// Replaced or cleared: it must not be sent any more.
    Dropped,
    /// The server failed while it decided: both are right.
    Unknown,
}

/// Whether the server knows that the device has a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ack {
    None,
    Heard,
    /// Heard, but a crash came: it may be forgotten.
    HeardBeforeCrash,
}

pub struct Posted {
    pub post: Post,
    pub fate: Fate,
    pub ack: Ack,
}

/// A post as the model needs it.
pub struct Post {
    pub device: &'static str,
    pub app: &'static str,
    pub tag: Option<&'static str>,
    pub clears: bool,
    pub urgency: Urgency,
    pub expires: Wall,
}

/// How the server answered a post or a broadcast.
#[derive(Clone, Copy, PartialEq)]
pub enum Outcome {
    Accepted,
    Refused,
    Failed,
}

struct Announced {
    expires: Wall,
    outcome: Outcome,
}

/// How many messages and broadcasts there were at a moment.
#[derive(Clone, Copy, Default)]
pub struct Reach {
    pub messages: usize,
    pub broadcasts: usize,
}

#[derive(Default)]
pub struct Model {
    /// By number, which is in the payload of each.
    pub posted: Vec<Posted>,
    /// What there was when this step began.
    pub before: Reach,
    /// Which number an id stands for, once it was seen.
    pub numbers: BTreeMap<MessageId, usize>,
    /// What each connection's session was told; those that have ended are gone.
    pub sessions: BTreeMap<u64, Session>,
    /// The receipts that the server has heard.
    pub receipts: BTreeSet<(MessageId, u8)>,
    announced: Vec<Announced>,
}

impl Model {
    /// The number that the next message has to have.
    pub fn next_number(&self) -> usize {
        self.posted.len()
    }

    pub fn posted(&mut self, post: Post, outcome: Outcome) {
        let (fate, fate_of_earlier) = match outcome {
            Outcome::Accepted => (Fate::Owed, Fate::Dropped),
            Outcome::Refused => (Fate::Dropped, Fate::Owed),
            Outcome::Failed => (Fate::Unknown, Fate::Unknown),
        };
        let is_gone = |earlier: &Post| {
            let is_replaced = post.tag.is_some() && earlier.tag == post.tag;
            earlier.device == post.device && earlier.app == post.app && (post.clears || is_replaced)
        };
        for earlier in self.posted.iter_mut().filter(|earlier| earlier.fate != Fate::Dropped) {
            if outcome != Outcome::Refused && is_gone(&earlier.post) {
                earlier.fate = fate_of_earlier;
            }
        }
        self.posted.push(Posted { post, fate, ack: Ack::None });
    }

    /// The payload that the next broadcast has to have.
    pub fn next_announcement(&self) -> String {
        announcement(self.announced.len())
    }

    pub fn announced(&mut self, expires: Wall, outcome: Outcome) {
        self.announced.push(Announced { expires, outcome });
    }

    /// What there is now.
    pub fn reach(&self) -> Reach {
        Reach { messages: self.posted.len(), broadcasts: self.announced.len() }
    }

    /// How many broadcasts came out like this.
    fn count(&self, outcome: Outcome) -> i64 {
        self.announced.iter().filter(|broadcast| broadcast.outcome == outcome).count() as i64
    }

    /// The level that a device is brought to: the channel's, unless all that it lacks has expired.
    fn level_of_live(&self, now: Wall) -> i64 {
        let is_live =
            |broadcast: &Announced| broadcast.outcome == Outcome::Accepted && broadcast.expires > now;
        if self.announced.iter().any(is_live) { self.count(Outcome::Accepted) } else { 0 }
    }

    /// What must hold of devices at any time.
    pub fn check(&self, world: &World) {
        let top_max = self.count(Outcome::Accepted) + self.count(Outcome::Failed);
        for device in world.devices.values() {
            assert!(device.level.0 <= top_max, "{}: level", device.name);
        }
        assert_eq!(world.receipts_counted(), world.receipts_heard, "receipts");
    }

    /// What must hold when all devices are connected, have acked, and nothing is pending.
    pub fn check_end(&self, world: &World) {
        for device in world.devices.values() {
            self.check_mailbox(device, world.now.wall);
            self.check_receipts(device);
            assert!(device.level.0 >= self.level_of_live(world.now.wall), "{}: level", device.name);
            self.check_broadcasts(device, self.reach(), world.now.wall);
        }
    }

    fn check_mailbox(&self, device: &Device, now: Wall) {
        let mailbox: Vec<usize> = device.mailbox.iter().map(|text| number(text)).collect();
        assert!(mailbox.is_sorted_by(|a, b| a < b), "{}: out of order: {mailbox:?}", device.name);
        for (number, Posted { post, fate, .. }) in self.posted.iter().enumerate() {
            let is_owed = post.device == device.name && *fate == Fate::Owed && post.expires > now;
            assert!(!is_owed || mailbox.binary_search(&number).is_ok(), "{number} was lost");
        }
    }

    /// What the device does not mean to say again the server has heard.
    fn check_receipts(&self, device: &Device) {
        let untold = device.untold_receipts();
        for receipt in device.receipts.iter().filter(|receipt| !untold.contains(receipt)) {
            let is_heard = self.receipts.contains(&(receipt.message, receipt.outcome.code()));
            assert!(is_heard, "{}: {receipt:?} was lost", device.name);
        }
    }

    /// A device that gets what it is owed has those broadcasts of `reach` that are live.
    pub fn check_broadcasts(&self, device: &Device, reach: Reach, now: Wall) {
        let announced = self.announced.iter().enumerate().take(reach.broadcasts);
        for (number, Announced { expires, outcome }) in announced {
            let is_owed = *outcome == Outcome::Accepted && *expires > now;
            let has_it = || device.broadcasts.contains(&announcement(number));
            assert!(!is_owed || has_it(), "{} lacks broadcast {number}", device.name);
        }
    }
}

fn announcement(number: usize) -> String {
    format!(r#"{{"i/m":{number}}}"#)
}

/// The number in a payload, which may be padded: `7`, or `[7,"xxx"]`.
pub fn number(payload: &str) -> usize {
    let digits = payload.trim_start_matches('[').split(',').next();
    digits.and_then(|digits| digits.parse().ok()).expect("payloads are numbers here")
}
