//! Messages: whom each is for, what was answered, and what of it is still owed.

use std::collections::BTreeMap;

use lomiri_push::base::{Credential, MessageId, Monotonic, Token, Urgency, Wall};
use lomiri_push::queue::{Refusal, Sent, Status};

use super::registrations::Behind;
use super::{EXPIRY_ROUNDING, Model, Moment, Sure, at_least, drops};

/// A message as its app server means it.
#[derive(Clone)]
pub struct Draft {
    pub token: Token,
    pub app: usize,
    pub tag: Option<&'static str>,
    pub clears: bool,
    pub urgency: Urgency,
    pub expires: Wall,
    /// What its app server takes for the app's key, if it has one.
    pub app_key: Option<Credential>,
    /// Whether its state is kept, and it may be posted again under its key.
    pub is_tracked: bool,
}

pub struct Post {
    pub draft: Draft,
    pub is_there: Sure,
    pub is_answered: bool,
    /// Whether the server may have forgotten it with its user.
    pub is_forgotten: bool,
    pub id: Option<MessageId>,
    /// By device.
    pub copies: BTreeMap<usize, Copy>,
}

/// A message on one device.
#[derive(Debug)]
pub struct Copy {
    fate: Fate,
    /// It is on the device, or was.
    pub is_stored: bool,
    /// The user was told of it.
    pub is_noticed: bool,
    /// The app got it, or the user clicked on its notification.
    pub is_opened: bool,
    /// It came too late and was dropped there.
    pub is_late: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Owed,
    Maybe,
    /// Why, if that is sure, and since when.
    Gone(Option<Status>, Monotonic),
}

impl Copy {
    fn new(fate: Fate) -> Copy {
        Copy { fate, is_stored: false, is_noticed: false, is_opened: false, is_late: false }
    }

    pub fn is_owed(&self) -> bool {
        self.fate == Fate::Owed
    }

    /// Why it must not come any more, if that is sure, and since when.
    pub fn gone(&self) -> Option<(Option<Status>, Monotonic)> {
        match self.fate {
            Fate::Gone(why, at) => Some((why, at)),
            _ => None,
        }
    }

    pub fn drop(&mut self, why: Status, at: Monotonic) {
        match self.fate {
            Fate::Owed => self.fate = Fate::Gone(Some(why), at),
            // It may have been gone before, for another reason.
            Fate::Maybe => self.fate = Fate::Gone(None, at),
            Fate::Gone(..) => {}
        }
    }

    /// It may be gone.
    pub fn doubt(&mut self) {
        if self.fate == Fate::Owed {
            self.fate = Fate::Maybe;
        }
    }
}

impl Model {
    /// An app server posts. Its number is in the payload.
    pub fn post(&mut self, draft: Draft) -> usize {
        let (id, copies) = (None, BTreeMap::new());
        let post = Post { draft, is_there: Sure::Maybe, is_answered: false, is_forgotten: false, id, copies };
        self.posts.push(post);
        self.posts.len() - 1
    }

    /// It was taken; where its sender was told so, with this id and these devices.
    pub fn taken(&mut self, number: usize, sent: Option<&Sent>, moment: Moment) {
        let draft = self.posts[number].draft.clone();
        let behind = self.behind(&draft);
        self.check(behind.life != Sure::No, || format!("message {number} was taken by a dead token"));
        self.check(draft.expires > moment.clock, || format!("message {number} was taken after its expiry"));
        self.judged_by_key(number, true);
        self.count(number, Sure::Yes, moment.decided);
        let told = sent.map(|sent| self.read_devices(number, sent, &behind));
        if let Some(sent) = sent {
            self.name(number, sent.id);
        }
        for (device, is_registered) in behind.devices {
            let status = told.as_ref().and_then(|told| told.get(&device).copied());
            let is_sole = !behind.is_users && is_registered == Sure::Yes;
            let fate = match status {
                Some(Status::Queued) => Sure::Yes,
                Some(_) => Sure::No,
                None if told.is_some() => Sure::No,
                None if is_sole => Sure::Yes,
                None => Sure::Maybe,
            };
            self.queue(number, device, fate, moment);
        }
        let post = &mut self.posts[number];
        (post.is_there, post.is_answered) = (Sure::Yes, true);
    }

    /// What it was told of each device, which must be those that the token stands for.
    fn read_devices(&mut self, number: usize, sent: &Sent, behind: &Behind) -> BTreeMap<usize, Status> {
        let find = |id| self.owners.iter().position(|owner| owner.id.as_ref() == Some(id));
        let told: BTreeMap<usize, Status> =
            sent.devices.iter().filter_map(|(id, status)| Some((find(id)?, *status))).collect();
        let is_complete = told.len() == sent.devices.len()
            && told.keys().all(|device| behind.devices.contains_key(device))
            && behind.devices.iter().all(|(device, sure)| *sure != Sure::Yes || told.contains_key(device));
        self.check(is_complete, || {
            format!("message {number} went to {told:?}, and its token stands for {:?}", behind.devices)
        });
        told
    }

    fn name(&mut self, number: usize, id: MessageId) {
        let earlier = self.by_id.insert(id, number);
        self.check(earlier.is_none_or(|earlier| earlier == number), || {
            format!("message {number} has the id of message {}", earlier.unwrap_or_default())
        });
        self.posts[number].id = Some(id);
    }

    /// A copy is queued, or may be; what it drops goes.
    fn queue(&mut self, number: usize, device: usize, fate: Sure, moment: Moment) {
        if fate == Sure::No {
            return;
        }
        if fate == Sure::Yes {
            self.check_limit(number, device);
        }
        let draft = self.posts[number].draft.clone();
        let others = self.posts.iter_mut().enumerate().filter(|(other, _)| *other != number);
        for (_, earlier) in others.filter(|(_, post)| post.draft.app == draft.app) {
            let Some(copy) = earlier.copies.get_mut(&device) else { continue };
            match (drops(&draft, &earlier.draft), fate) {
                (Some(why), Sure::Yes) => copy.drop(why, moment.at),
                (Some(_), _) => copy.doubt(),
                (None, _) => {}
            }
        }
        let fate = if fate == Sure::Yes { Fate::Owed } else { Fate::Maybe };
        // One that is there and may be new may be the first one still, or another in its place.
        self.posts[number].copies.entry(device).or_insert_with(|| Copy::new(fate)).fate = fate;
    }

    /// The copies for a device and app that a message may have to wait behind, but for those it drops.
    /// Those that had expired at `clock` do not count.
    fn rivals(&self, number: usize, device: usize, clock: Wall) -> impl Iterator<Item = &Copy> {
        let draft = &self.posts[number].draft;
        let is_as_urgent = at_least(draft.urgency);
        let is_rival = move |post: &&Post| {
            post.draft.app == draft.app && drops(draft, &post.draft).is_none() && is_as_urgent(post)
        };
        let is_live = move |post: &&Post| post.draft.expires > clock;
        self.posts.iter().filter(is_rival).filter(is_live).filter_map(move |post| post.copies.get(&device))
    }

    fn check_limit(&mut self, number: usize, device: usize) {
        // One that expires within the second may be gone: by the device's count, and acked.
        let pending = self
            .rivals(number, device, self.latest + EXPIRY_ROUNDING)
            .filter(|copy| copy.is_owed() && !copy.is_stored && !copy.is_late);
        let count = pending.count();
        let limit = self.limits.messages_per_app_max;
        self.check(count < limit, || {
            format!("message {number} was taken for device {device} beside {count}")
        });
    }

    /// It was refused, for this reason.
    pub fn refused(&mut self, number: usize, refusal: &Refusal, moment: Moment) {
        let draft = self.posts[number].draft.clone();
        let behind = self.behind(&draft);
        let is_fair = match refusal {
            Refusal::UnknownToken => behind.life != Sure::Yes,
            // By what the app is bound to, below.
            Refusal::AppKeyNeeded => true,
            Refusal::PastExpiration => draft.expires <= self.latest,
            Refusal::TooManyPending(_) => self.may_be_full(number, &behind, moment.clock),
            Refusal::TooManyRequests { retry_after } => {
                self.may_be_over_rate(number, *retry_after, moment.decided)
            }
            Refusal::Unavailable => self.is_troubled,
            _ => false,
        };
        self.check(is_fair, || format!("message {number} was refused: {refusal:?}"));
        match refusal {
            Refusal::UnknownToken | Refusal::Unavailable => {}
            refusal => self.judged_by_key(number, *refusal != Refusal::AppKeyNeeded),
        }
        match refusal {
            // It was counted before anyone looked for room.
            Refusal::TooManyPending(_) => self.count(number, Sure::Yes, moment.decided),
            Refusal::Unavailable => self.count(number, Sure::Maybe, moment.decided),
            _ => {}
        }
        let post = &mut self.posts[number];
        (post.is_there, post.is_answered) = (Sure::No, true);
    }

    fn may_be_full(&self, number: usize, behind: &Behind, clock: Wall) -> bool {
        if self.was_set_back {
            return true;
        }
        let limit = self.limits.messages_per_app_max;
        let count =
            |&device: &usize| self.rivals(number, device, clock).filter(|copy| copy.gone().is_none()).count();
        behind.devices.keys().any(|device| count(device) >= limit)
    }

    /// The server crashed with it in hand.
    pub fn left_open(&mut self, number: usize, moment: Moment) {
        let behind = self.behind(&self.posts[number].draft.clone());
        for device in behind.devices.into_keys() {
            self.queue(number, device, Sure::Maybe, moment);
        }
        self.posts[number].is_answered = true;
    }

    /// The request was made again, under the same key, and taken.
    pub fn taken_again(&mut self, number: usize, sent: &Sent, moment: Moment) {
        let post = &self.posts[number];
        let is_same = post.id.is_none_or(|id| id == sent.id);
        self.check(is_same, || format!("message {number} was posted again and has another id"));
        self.name(number, sent.id);
        if self.posts[number].is_there == Sure::Maybe {
            self.left_open(number, moment);
            self.count(number, Sure::Maybe, moment.decided);
        }
    }

    /// The request was made again and was not known, so that it may have been counted.
    pub fn refused_again(&mut self, number: usize, moment: Moment) {
        self.count(number, Sure::Maybe, moment.decided);
    }
}
