//! What ought to become of everything, by the rules that app servers, users and the operator are told. It
//! learns what was asked and answered, and what is seen on devices; it shares no code with the server.
//!
//! What was asked when the server crashed may have been done or not: it counts as [`Sure::Maybe`] until an
//! answer tells.

mod keys;
mod mailboxes;
mod posts;
mod rates;
mod registrations;
mod seen;
mod shade;

use std::collections::BTreeMap;
use std::time::Duration;

use lomiri_push::base::{AppId, DeviceId, MessageId, Monotonic, Urgency, Wall};
use lomiri_push::queue::{Limits, Status};

use keys::AppKeys;
use mailboxes::Mailboxes;
pub use posts::{Draft, Post};
use rates::Buckets;
pub use registrations::Registrations;
use shade::Shade;

/// On wire 1 a message expires on a whole second: so much earlier than its sender said at most.
const EXPIRY_ROUNDING: Duration = Duration::from_secs(1);

/// Whether something is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sure {
    Yes,
    Maybe,
    No,
}

/// When something was decided, and when it was answered and so held for all.
#[derive(Clone, Copy)]
pub struct Moment {
    /// The server's clock when it decided.
    pub clock: Wall,
    /// When that was.
    pub decided: Monotonic,
    pub at: Monotonic,
}

/// A device as the model knows it.
#[derive(Default)]
pub struct Owner {
    pub user: usize,
    pub id: Option<DeviceId>,
    /// Since when it is surely revoked.
    pub revoked: Option<Monotonic>,
    /// Whether it may be.
    pub may_be_revoked: bool,
    pub level: i64,
}

pub struct Model {
    pub limits: Limits,
    pub apps: Vec<AppId>,
    /// Whether devices are users'.
    has_users: bool,
    pub app_keys: AppKeys,
    pub posts: Vec<Post>,
    pub owners: Vec<Owner>,
    pub registrations: Registrations,
    /// What is wrong; the first is what matters.
    pub complaints: Vec<String>,
    /// The latest that the server's clock ever was.
    pub latest: Wall,
    /// Whether the server has had reason to take nothing.
    pub is_troubled: bool,
    /// Whether the server's clock has ever been set back.
    pub was_set_back: bool,
    by_id: BTreeMap<MessageId, usize>,
    broadcasts: Vec<News>,
    mailboxes: Mailboxes,
    /// By device.
    shades: BTreeMap<usize, Shade>,
    buckets: Buckets,
}

struct News {
    expires: Wall,
    is_there: Sure,
}

impl Model {
    pub fn new(limits: Limits, apps: Vec<AppId>, has_users: bool) -> Model {
        Model {
            limits,
            apps,
            has_users,
            app_keys: AppKeys::default(),
            posts: Vec::new(),
            owners: Vec::new(),
            registrations: Registrations::default(),
            complaints: Vec::new(),
            latest: Wall::default(),
            is_troubled: false,
            was_set_back: false,
            by_id: BTreeMap::new(),
            broadcasts: Vec::new(),
            mailboxes: Mailboxes::default(),
            shades: BTreeMap::new(),
            buckets: Buckets::default(),
        }
    }

    pub fn complain(&mut self, complaint: String) {
        self.complaints.push(complaint);
    }

    fn check(&mut self, is_so: bool, complaint: impl FnOnce() -> String) {
        if !is_so {
            self.complain(complaint());
        }
    }

    /// The server has started: what it kept in memory alone is gone.
    pub fn started(&mut self) {
        self.buckets = Buckets::default();
    }

    /// How many messages were surely taken.
    pub fn count_taken(&self) -> usize {
        self.posts.iter().filter(|post| post.is_there == Sure::Yes).count()
    }

    pub fn next_broadcast(&self) -> usize {
        self.broadcasts.len()
    }

    /// A broadcast is posted.
    pub fn announce(&mut self, expires: Wall) {
        self.broadcasts.push(News { expires, is_there: Sure::Maybe });
    }

    /// Whether it was taken.
    pub fn announced(&mut self, number: usize, is_there: Sure) {
        self.broadcasts[number].is_there = is_there;
    }

    fn count_news(&self, is_counted: impl Fn(&News) -> bool) -> i64 {
        self.broadcasts.iter().filter(|news| is_counted(news)).count() as i64
    }

    /// The level that every device is to reach: the channel's, unless all broadcasts have expired.
    pub fn level_owed(&self) -> i64 {
        let is_live = |news: &News| news.is_there == Sure::Yes && news.expires > self.latest;
        match self.count_news(is_live) {
            0 => 0,
            _ => self.count_news(|news| news.is_there == Sure::Yes),
        }
    }

    /// The operator revokes a device.
    pub fn revoked(&mut self, device: usize, at: Monotonic) {
        self.owners[device].revoked.get_or_insert(at);
        self.owners[device].may_be_revoked = true;
        let user = self.owners[device].user;
        let mates = self.mates(user);
        self.registrations.revoked(device, &mates, Sure::No);
        for post in &mut self.posts {
            if let Some(copy) = post.copies.get_mut(&device) {
                copy.drop(Status::Revoked, at);
            }
        }
    }

    /// The server crashed while a device was to be revoked.
    pub fn may_be_revoked(&mut self, device: usize) {
        self.owners[device].may_be_revoked = true;
        let mates = self.mates(self.owners[device].user);
        self.registrations.revoked(device, &mates, Sure::Maybe);
        for copy in self.posts.iter_mut().filter_map(|post| post.copies.get_mut(&device)) {
            copy.doubt();
        }
    }

    /// A user is erased, with the devices that they had: since then, or perhaps.
    pub fn erased(&mut self, user: usize, since: Option<Monotonic>) {
        let mut mates = self.mates(user);
        mates.retain(|&mate| self.owners[mate].may_be_revoked);
        for post in &mut self.posts {
            post.is_forgotten |= mates.iter().any(|mate| post.copies.contains_key(mate));
        }
        for device in mates {
            match since {
                Some(at) => self.revoked(device, at),
                None => self.may_be_revoked(device),
            }
        }
    }

    /// Whether the server may know no device of this user.
    pub fn has_no_device(&self, user: usize) -> bool {
        self.owners.iter().filter(|owner| owner.user == user).all(|owner| owner.may_be_revoked)
    }

    /// The devices of a user.
    pub fn mates(&self, user: usize) -> Vec<usize> {
        let is_theirs = |(index, owner): (usize, &Owner)| (owner.user == user).then_some(index);
        self.owners.iter().enumerate().filter_map(is_theirs).collect()
    }

    /// Holds against the rules what there is when all faults have stopped and all devices have what they are owed.
    pub fn check_end(&mut self) {
        let mut complaints = Vec::new();
        for (number, post) in self.posts.iter().enumerate() {
            for (device, copy) in &post.copies {
                let is_live = post.draft.expires > self.latest + EXPIRY_ROUNDING;
                if copy.is_owed() && !copy.is_stored && !copy.is_late && is_live {
                    complaints.push(format!("message {number} to device {device} was lost"));
                }
            }
        }
        let level = self.level_owed();
        for (device, owner) in self.owners.iter().enumerate() {
            if !owner.may_be_revoked && owner.level < level {
                complaints.push(format!("device {device} stands at level {} below {level}", owner.level));
            }
        }
        self.complaints.extend(complaints);
        self.check_mailboxes();
        self.check_shades();
    }
}

/// Whether a message takes the place of an earlier one, both for one app on one device, and how.
fn drops(later: &Draft, earlier: &Draft) -> Option<Status> {
    let is_replaced = later.tag.is_some() && later.tag == earlier.tag;
    match (is_replaced, later.clears) {
        (true, _) => Some(Status::Replaced),
        (false, true) => Some(Status::Cleared),
        (false, false) => None,
    }
}

fn at_least(urgency: Urgency) -> impl Fn(&Post) -> bool {
    move |post| post.draft.urgency >= urgency
}
