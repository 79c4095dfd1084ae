//! When to connect again. Randomness comes in as an argument; no clock, no socket.

use std::time::Duration;

use crate::protocol::wire1::{Goaway, Reason};

/// The bound of the first wait: a server that was just restarted is back by then.
const FIRST: Duration = Duration::from_secs(1);
/// The bound that doubling ends at: three minutes of a dead server cost a phone little battery.
const LAST: Duration = Duration::from_secs(192);
/// How long a device stays away whose session another one took over, at least: two that pass for the same
/// device would chase one another.
const TAKEN_OVER: Duration = Duration::from_secs(60);
/// The longest that a GOAWAY is obeyed, spread included: a broken server must not silence a device for good.
pub const AWAY_SECONDS_MAX: u64 = 3_600;
const GOAWAY_MAX: Duration = Duration::from_secs(AWAY_SECONDS_MAX);
/// A wait no longer than this is waited out awake: a machine that fell asleep in it would come back minutes
/// late, and learn nothing from a silence that was lost. The first four failures, and a server's restart.
pub const AWAKE_WAIT_MAX: Duration = Duration::from_secs(15);
/// A sleeping machine is not woken sooner than this to connect again: a phone must not spend its nights on
/// a server that is down.
pub const WAKE_APART_MIN: Duration = Duration::from_secs(300);

/// Counts the failures since a session last proved itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The server let the device in, and then sent a PONG or a delivery. CONNACK alone proves little: a
    /// server that is going down sends that too.
    pub fn proved(&mut self) {
        self.failures = 0;
    }

    /// The connection failed, or never came about: how long to wait. `random` lies in 0..1 and spreads
    /// devices that lost a server together over all of the wait (full jitter).
    pub fn failed(&mut self, random: f64) -> Duration {
        let bound = FIRST.saturating_mul(1 << self.failures.min(30)).min(LAST);
        self.failures = self.failures.saturating_add(1);
        part_of(bound, random)
    }

    /// The server sent the device away: how long to stay away. `random` as in [`Backoff::failed`].
    pub fn sent_away(&mut self, goaway: &Goaway, random: f64) -> Duration {
        let after = match goaway.reason {
            Reason::TakenOver => goaway.after.max(TAKEN_OVER),
            // What does not get better by itself.
            Reason::Unauthorized | Reason::NotSupported => GOAWAY_MAX,
            _ => goaway.after,
        };
        let after = after.min(GOAWAY_MAX);
        after + part_of(goaway.spread.min(GOAWAY_MAX - after), random)
    }
}

fn part_of(bound: Duration, random: f64) -> Duration {
    bound.mul_f64(random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goaway(reason: Reason, after: u64, spread: u64) -> Goaway {
        Goaway { reason, after: Duration::from_secs(after), spread: Duration::from_secs(spread) }
    }

    #[test]
    fn waits_double_from_1_to_192_seconds_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::default();
        let bounds: Vec<u64> = (0..10).map(|_| backoff.failed(1.0).as_secs()).collect();
        assert_eq!(bounds, [1, 2, 4, 8, 16, 32, 64, 128, 192, 192]);
        backoff.proved();
        assert_eq!(backoff.failed(1.0), FIRST);
    }

    #[test]
    fn a_wait_is_any_part_of_its_bound() {
        let wait = |random| Backoff { failures: 4 }.failed(random);
        assert_eq!((wait(0.0), wait(0.25)), (Duration::ZERO, Duration::from_secs(4)));
        for nonsense in [-1.0, 2.0] {
            assert!(wait(nonsense) <= Duration::from_secs(16));
        }
        assert_eq!(Backoff { failures: u32::MAX }.failed(1.0), LAST);
    }

    #[test]
    fn a_goaway_is_obeyed_within_reason() {
        let away = |goaway, random| Backoff::default().sent_away(&goaway, random).as_secs();
        assert_eq!(away(goaway(Reason::Restart, 1, 100), 0.0), 1);
        assert_eq!(away(goaway(Reason::Restart, 1, 100), 0.5), 51);
        assert_eq!(away(goaway(Reason::TakenOver, 0, 0), 0.0), 60);
        assert_eq!(away(goaway(Reason::TakenOver, 90, 0), 0.0), 90);
        for reason in [Reason::Unauthorized, Reason::NotSupported] {
            assert_eq!(away(goaway(reason, 0, 10), 1.0), GOAWAY_MAX.as_secs());
        }
        assert_eq!(away(goaway(Reason::Drain, u64::MAX, u64::MAX), 1.0), GOAWAY_MAX.as_secs());
    }
}
