//! Notices that the process was held up (a suspended machine, a stopped process), so that devices that
//! answered in time are not taken for late: what they sent is still in their sockets. Knows times alone.

use std::time::Duration;

use crate::base::Monotonic;

/// A deadline found so late was not missed in a busy moment.
const STALL_MIN: Duration = Duration::from_millis(250);
/// How long deadlines wait after a stall: time to read what tens of thousands of devices have sent.
const GRACE: Duration = Duration::from_secs(1);

/// Whether deadlines can be served, or must wait for the answers that have come meanwhile.
///
/// Tell it of the next deadline in each turn, and ask before deadlines are served. A deadline waits
/// once: those up to the end of a grace get no other, so that no flood suspends them for ever.
#[derive(Debug, Default)]
pub(super) struct Stall {
    /// The end of the last grace.
    grace_until: Monotonic,
}

impl Stall {
    /// It is `now`, and this is the first deadline that has not been served.
    pub(super) fn notice(&mut self, deadline: Monotonic, now: Monotonic) {
        if deadline > self.grace_until && now.since(deadline) > STALL_MIN {
            self.grace_until = now + GRACE;
        }
    }

    /// Whether deadlines are to be served now.
    pub(super) fn is_over(&self, now: Monotonic) -> bool {
        self.grace_until <= now
    }

    /// When what is due at `deadline` is to be served.
    pub(super) fn delayed(&self, deadline: Monotonic) -> Monotonic {
        deadline.max(self.grace_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Monotonic {
        Monotonic(Duration::from_millis(millis))
    }

    #[test]
    fn a_punctual_loop_serves_deadlines_at_once() {
        let mut stall = Stall::default();
        for (deadline, now) in [(1_000, 1_250), (9_000, 1_300)] {
            stall.notice(at(deadline), at(now));
            assert!(stall.is_over(at(now)));
        }
        assert_eq!(stall.delayed(at(7)), at(7));
    }

    #[test]
    fn after_a_stall_a_deadline_waits_once() {
        let mut stall = Stall::default();
        stall.notice(at(1_000), at(4_000));
        assert!(!stall.is_over(at(4_000)) && !stall.is_over(at(4_999)));
        assert_eq!((stall.delayed(at(2_000)), stall.delayed(at(6_000))), (at(5_000), at(6_000)));
        stall.notice(at(1_000), at(5_000));
        assert!(stall.is_over(at(5_000)));
        stall.notice(at(4_600), at(5_010));
        assert!(stall.is_over(at(5_010)), "it was due within the grace and had the rest of it");
        stall.notice(at(5_001), at(6_000));
        assert!(!stall.is_over(at(6_000)), "held up again");
    }
}
