//! How often something may be done: a token bucket for each key, as the one time at which it would be
//! full again (the "generic cell rate algorithm"). Reads no clock, and knows nothing of what is counted.
//! The reactor counts with it too.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

const MICROS_PER_MINUTE: u64 = 60_000_000;
/// Entries below which nobody looks for those that are no longer needed.
const SWEEP_AT_LEAST: usize = 1_024;

/// So many a minute in the long run, and so many at once. Both at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many a minute, at most 60 million.
    pub per_minute: u32,
    /// How many at once, after a rest.
    pub burst: u32,
}

/// The rates of all that posts. None means as often as one likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Of each token.
    pub token: Option<Rate>,
    /// Of each app, whatever its tokens.
    pub app: Option<Rate>,
    /// Of each user, on all devices together.
    pub user: Option<Rate>,
}

impl Rates {
    /// Where app servers are strangers. A token: one message a second is more than anybody reads, and as
    /// many at once as may be pending. A user: ten apps that all do that. An app: a thousand a second, so
    /// that no single one takes all that a small disk writes.
    pub const STRANGERS: Rates = Rates {
        token: Some(Rate { per_minute: 60, burst: 100 }),
        app: Some(Rate { per_minute: 60_000, burst: 10_000 }),
        user: Some(Rate { per_minute: 600, burst: 1_000 }),
    };
}

/// One bucket a key. A full one has no entry, so that there are at most as many as keys that were used
/// within the time in which a bucket fills. Time is what has passed since any moment that stays the same.
#[derive(Debug)]
pub struct Buckets<K> {
    /// When each is full again, in microseconds.
    full_at: HashMap<K, u64>,
    sweep_at: usize,
}

impl Rate {
    fn micros_each(self) -> u64 {
        (MICROS_PER_MINUTE / u64::from(self.per_minute.max(1))).max(1)
    }
}

impl<K: Eq + Hash> Buckets<K> {
    /// All are full.
    #[allow(clippy::new_without_default)] // nobody counts by default
    pub fn new() -> Buckets<K> {
        Buckets { full_at: HashMap::new(), sweep_at: SWEEP_AT_LEAST }
    }

    /// How long until there is one to take; zero if there is. Takes nothing.
    pub fn wait(&self, key: &K, rate: Rate, now: Duration) -> Duration {
        let now = micros(now);
        let full_at = self.full_at.get(key).map_or(now, |&full_at| full_at.max(now));
        let full_after = full_at - now + rate.micros_each();
        let capacity = rate.micros_each().saturating_mul(rate.burst.max(1).into());
        Duration::from_micros(full_after.saturating_sub(capacity))
    }

    /// Takes one, whether there is one or not.
    pub fn take(&mut self, key: K, rate: Rate, now: Duration) {
        self.sweep(now);
        let now = micros(now);
        let full_at = self.full_at.entry(key).or_insert(now);
        *full_at = (*full_at).max(now).saturating_add(rate.micros_each());
    }

    /// How many are not full, and some that are.
    pub fn len(&self) -> usize {
        self.full_at.len()
    }

    /// Whether all are full.
    pub fn is_empty(&self) -> bool {
        self.full_at.is_empty()
    }

    /// Lets go of those that are full.
    pub fn forget_full(&mut self, now: Duration) {
        let now = micros(now);
        self.full_at.retain(|_, full_at| *full_at > now);
        self.sweep_at = (2 * self.full_at.len()).max(SWEEP_AT_LEAST);
    }

    /// Lets go of full buckets when there may be as many of them as others.
    fn sweep(&mut self, now: Duration) {
        if self.full_at.len() >= self.sweep_at {
            self.forget_full(now);
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_minute: 60, burst: 3 };
    const START: Duration = Duration::from_secs(1_000);

    fn take(buckets: &mut Buckets<u32>, key: u32, now: Duration) -> Duration {
        let wait = buckets.wait(&key, RATE, now);
        if wait.is_zero() {
            buckets.take(key, RATE, now);
        }
        wait
    }

    #[test]
    fn a_burst_goes_through_and_then_one_each_interval() {
        let mut buckets = Buckets::new();
        for _ in 0..3 {
            assert_eq!(take(&mut buckets, 1, START), Duration::ZERO);
        }
        assert_eq!(take(&mut buckets, 1, START), Duration::from_secs(1));
        assert_eq!(take(&mut buckets, 1, START + Duration::from_millis(999)), Duration::from_millis(1));
        assert_eq!(take(&mut buckets, 1, START + Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(take(&mut buckets, 1, START + Duration::from_secs(1)), Duration::from_secs(1));
    }

    #[test]
    fn a_rest_fills_the_bucket_and_no_more() {
        let mut buckets = Buckets::new();
        take(&mut buckets, 1, START);
        let later = START + Duration::from_secs(3_600);
        let taken = (0..10).filter(|_| take(&mut buckets, 1, later).is_zero()).count();
        assert_eq!(taken, 3);
    }

    #[test]
    fn keys_do_not_know_of_one_another() {
        let mut buckets = Buckets::new();
        while take(&mut buckets, 1, START).is_zero() {}
        assert_eq!(take(&mut buckets, 2, START), Duration::ZERO);
    }

    #[test]
    fn full_buckets_are_let_go_of() {
        let mut buckets = Buckets::new();
        for key in 0..10 * SWEEP_AT_LEAST as u32 {
            take(&mut buckets, key, START + Duration::from_secs(key.into()));
        }
        assert!(buckets.full_at.len() <= SWEEP_AT_LEAST, "{}", buckets.full_at.len());
    }

    #[test]
    fn a_clock_that_steps_back_locks_nobody_out_for_longer_than_the_step() {
        let mut buckets = Buckets::new();
        while take(&mut buckets, 1, START).is_zero() {}
        let earlier = START - Duration::from_secs(10);
        assert_eq!(buckets.wait(&1, RATE, earlier), Duration::from_secs(11));
    }
}
