//! How often each token, each app and each user may post, counted from outside as senders are told.

use std::collections::BTreeMap;
use std::time::Duration;

use lomiri_push::base::{Monotonic, Token};
use lomiri_push::queue::Rate;

use super::registrations::To;
use super::{Model, Sure};

/// What microseconds and floating point may make of one message.
const ROUNDING: f64 = 0.01;

/// What has a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sender {
    Token(Token),
    App(usize),
    User(usize),
}

/// What has been counted since the server started; it keeps no more either.
#[derive(Default)]
pub struct Buckets(BTreeMap<Sender, Bucket>);

/// How many more may be posted. Two numbers, for of some requests nobody knows whether they were counted.
#[derive(Clone, Copy)]
struct Bucket {
    least: f64,
    most: f64,
    at: Monotonic,
}

impl Buckets {
    fn at(&self, sender: Sender, rate: Rate, now: Monotonic) -> Bucket {
        let burst = f64::from(rate.burst);
        let Bucket { least, most, at } =
            self.0.get(&sender).copied().unwrap_or(Bucket { least: burst, most: burst, at: now });
        let more = now.since(at).as_secs_f64() * per_second(rate);
        Bucket { least: (least + more).min(burst), most: (most + more).min(burst), at: now }
    }
}

impl Bucket {
    fn with_one_less(self, is_counted: Sure) -> Bucket {
        let Bucket { least, most, at } = self;
        match is_counted {
            // There was one.
            Sure::Yes => Bucket { least: least.max(1.0) - 1.0, most: (most - 1.0).max(0.0), at },
            Sure::Maybe => Bucket { least: (least - 1.0).max(0.0), most, at },
            Sure::No => self,
        }
    }
}

impl Model {
    /// A message was counted, or perhaps was.
    pub fn count(&mut self, number: usize, is_counted: Sure, now: Monotonic) {
        for (sender, rate) in self.senders(number) {
            let bucket = self.buckets.at(sender, rate, now);
            self.buckets.0.insert(sender, bucket.with_one_less(is_counted));
            let is_within = is_counted != Sure::Yes || bucket.most > 1.0 - ROUNDING;
            self.check(is_within, || format!("message {number} was taken beyond the rate of {sender:?}"));
        }
    }

    /// Whether a message may be refused for so long: not unless there is none left, and then until there is
    /// one again, in whole seconds.
    pub fn may_be_over_rate(&self, number: usize, retry_after: Duration, now: Monotonic) -> bool {
        let wait = |left: f64, rate| (1.0 - left).max(0.0) / per_second(rate);
        let (mut is_over, mut shortest, mut longest) = (false, 0.0_f64, 0.0_f64);
        for (sender, rate) in self.senders(number) {
            let bucket = self.buckets.at(sender, rate, now);
            is_over |= bucket.least < 1.0 + ROUNDING;
            shortest = shortest.max(wait(bucket.most, rate));
            longest = longest.max(wait(bucket.least, rate));
        }
        let told = retry_after.as_secs_f64();
        is_over && told >= shortest.max(1.0) - ROUNDING && told < longest + 1.0 + ROUNDING
    }

    /// Against what a message counts, and the rate of each.
    fn senders(&self, number: usize) -> Vec<(Sender, Rate)> {
        let (draft, rates) = (&self.posts[number].draft, self.limits.rates);
        let user = self.user_behind(draft.token);
        let senders = [
            rates.token.map(|rate| (Sender::Token(draft.token), rate)),
            rates.app.map(|rate| (Sender::App(draft.app), rate)),
            rates.user.and_then(|rate| Some((Sender::User(user?), rate))),
        ];
        senders.into_iter().flatten().collect()
    }

    fn user_behind(&self, token: Token) -> Option<usize> {
        let (To::Device(device) | To::User(device)) = self.registrations.meaning(token)?.to;
        self.has_users.then(|| self.owners[device].user)
    }
}

fn per_second(rate: Rate) -> f64 {
    f64::from(rate.per_minute) / 60.0
}
