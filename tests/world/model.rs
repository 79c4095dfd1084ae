//! What must become of each message, by the rules an app server knows. It is told what was posted
//! and answered, and holds what the devices got against it.

use lomiri_push::base::Wall;

use crate::device::Device;
use crate::world::World;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// Answered with success: it must arrive, unless it expires first.
    Owed,
    /// Replaced or cleared: it must not be sent any more.
    Dropped,
    /// The server failed while it decided: both are right.
    Unknown,
}

struct Posted {
    device: String,
    app: String,
    tag: Option<String>,
    expires: Wall,
    fate: Fate,
    /// How much the device had received when it was dropped.
    dropped_at: usize,
}

/// A post as the model needs it.
pub struct Post {
    pub device: String,
    pub app: String,
    pub tag: Option<String>,
    pub clears: bool,
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

#[derive(Default)]
pub struct Model {
    /// By number: the payload of each is its place here.
    posted: Vec<Posted>,
    /// The same for broadcasts.
    announced: Vec<Announced>,
}

impl Model {
    /// The payload that the next message has to have.
    pub fn next_number(&self) -> usize {
        self.posted.len()
    }

    pub fn posted(&mut self, post: Post, outcome: Outcome, received: usize) {
        let Post { device, app, tag, clears, expires } = post;
        let (fate, fate_of_earlier) = match outcome {
            Outcome::Accepted => (Fate::Owed, Fate::Dropped),
            Outcome::Refused => (Fate::Dropped, Fate::Owed),
            Outcome::Failed => (Fate::Unknown, Fate::Unknown),
        };
        let gone = |earlier: &&mut Posted| {
            let replaced = tag.is_some() && earlier.tag == tag;
            earlier.device == device && earlier.app == app && (clears || replaced)
        };
        for earlier in self.posted.iter_mut().filter(gone).filter(|earlier| earlier.fate != Fate::Dropped) {
            if outcome != Outcome::Refused {
                (earlier.fate, earlier.dropped_at) = (fate_of_earlier, received);
            }
        }
        self.posted.push(Posted { device, app, tag, expires, fate, dropped_at: 0 });
    }

    /// The payload that the next broadcast has to have.
    pub fn next_announcement(&self) -> String {
        announcement(self.announced.len())
    }

    pub fn announced(&mut self, expires: Wall, outcome: Outcome) {
        self.announced.push(Announced { expires, outcome });
    }

    /// How many broadcasts came out like this.
    fn count(&self, outcome: Outcome) -> i64 {
        self.announced.iter().filter(|broadcast| broadcast.outcome == outcome).count() as i64
    }

    /// What must hold at any time.
    pub fn check(&self, world: &World) {
        let top_max = self.count(Outcome::Accepted) + self.count(Outcome::Failed);
        for device in world.devices.values() {
            self.check_received(device);
            let numbers: Vec<usize> = device.mailbox.iter().map(|text| number(text)).collect();
            assert!(numbers.is_sorted_by(|a, b| a < b), "{}: out of order: {numbers:?}", device.name);
            assert!(device.level.0 <= top_max, "{}: level", device.name);
        }
    }

    fn check_received(&self, device: &Device) {
        for (place, (text, at)) in device.received.iter().zip(&device.received_at).enumerate() {
            let message = &self.posted[number(text)];
            assert_eq!(message.device, device.name, "{text} reached another device");
            assert!(message.expires > *at, "{text} was sent to {} after it had expired", device.name);
            let dropped = message.fate == Fate::Dropped && place >= message.dropped_at;
            assert!(!dropped, "{text} was sent to {} after it had been dropped", device.name);
        }
    }

    /// What must hold when all devices are connected, have acked, and nothing is pending.
    pub fn check_end(&self, world: &World) {
        for (number, message) in self.posted.iter().enumerate() {
            let is_owed = message.fate == Fate::Owed && message.expires > world.now.wall;
            let mailbox = &world.devices[&message.device].mailbox;
            assert!(!is_owed || mailbox.contains(&number.to_string()), "{number} was lost");
        }
        for device in world.devices.values() {
            assert!(device.level.0 >= self.count(Outcome::Accepted), "{}: level", device.name);
            self.check_broadcasts(device, world.now.wall);
        }
    }

    fn check_broadcasts(&self, device: &Device, now: Wall) {
        for (number, Announced { expires, outcome }) in self.announced.iter().enumerate() {
            let is_owed = *outcome == Outcome::Accepted && *expires > now;
            let has_it = device.broadcasts.contains(&announcement(number));
            assert!(!is_owed || has_it, "{}: broadcast {number} was lost", device.name);
        }
    }
}

fn announcement(number: usize) -> String {
    format!(r#"{{"i/m":{number}}}"#)
}

fn number(payload: &str) -> usize {
    payload.parse().expect("payloads are numbers here")
}
