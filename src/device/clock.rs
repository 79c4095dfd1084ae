//! The device's clock. It runs on while the machine sleeps, as `Instant` does not on Linux: a phone that
//! slept for an hour must see at its waking that a message has expired and that a PING is overdue.

use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::base::Monotonic;

/// The longest that is waited in one go. What the system is asked to wait for stands still while the machine
/// sleeps, so after that a deadline is noticed so much late at most. It wakes nothing that is asleep.
pub(super) const NAP_MAX: Duration = Duration::from_secs(30);

/// The time since the machine started, its sleep included.
pub fn now() -> Monotonic {
    let since_boot = clock_gettime(ClockId::Boottime);
    Monotonic(since_boot.try_into().expect("nothing was before the start"))
}

/// How long to wait now for `deadline`, in one of perhaps several goes. Never zero, for sockets take that
/// for no limit.
pub(super) fn nap_until(deadline: Monotonic) -> Duration {
    deadline.since(now()).clamp(Duration::from_millis(1), NAP_MAX)
}

/// Returns when the time has come, or at most 30 s later if the machine slept.
pub fn sleep_until(deadline: Monotonic) {
    while now() < deadline {
        thread::sleep(nap_until(deadline));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_cut_so_that_sleep_is_noticed_and_is_never_endless() {
        let past = Monotonic::default();
        assert_eq!(nap_until(past), Duration::from_millis(1));
        assert_eq!(nap_until(now() + Duration::from_secs(7_200)), NAP_MAX);
        sleep_until(past);
    }

    #[test]
    fn it_counts_from_the_start_of_the_machine() {
        let started = now();
        sleep_until(started + Duration::from_millis(2));
        assert!(now() >= started + Duration::from_millis(2));
    }
}
