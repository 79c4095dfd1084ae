//! The device's clock. It runs on while the machine sleeps, as `Instant` does not on Linux: a phone that
//! slept for an hour must see at its waking that a message has expired and that a PING is overdue.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rustix::io::Errno;
use rustix::thread::clock_nanosleep_absolute;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};

use crate::base::{Monotonic, Wall};

/// The time since the machine started, its sleep included.
pub fn now() -> Monotonic {
    Monotonic(clock_gettime(ClockId::Boottime).try_into().expect("nothing was before the start"))
}

/// What people call `at`, by the wall clock as it stands.
pub(super) fn wall(at: Monotonic) -> Wall {
    let wall: Duration = clock_gettime(ClockId::Realtime).try_into().unwrap_or_default();
    Wall(wall.as_millis().try_into().unwrap_or(u64::MAX)) + at.since(now())
}

/// The number of today in the user's time zone: it grows by one at each midnight.
pub(super) fn local_day() -> i64 {
    let day = Timestamp::now().to_zoned_datetime(TimeZone::system()).date();
    day.since(Date::default()).map_or(0, |span| span.get_days().into())
}

/// Returns when the time has come; at the waking, if the machine sleeps then.
pub fn sleep_until(deadline: Monotonic) {
    // A signal ends the sleep early. No other error can be: the time is a valid one.
    while clock_nanosleep_absolute(ClockId::Boottime, &timespec(deadline)) == Err(Errno::INTR) {}
}

/// Something to [poll](rustix::event::poll) for: it is readable from the time on that it was set to.
#[derive(Debug)]
pub(super) struct Timer(OwnedFd);

impl Timer {
    /// A timer that lets the machine sleep, and goes off at its waking if its time has come by then.
    pub fn new() -> io::Result<Timer> {
        Timer::on(TimerfdClockId::Boottime)
    }

    /// A timer that wakes the machine. Few may have one: those with CAP_WAKE_ALARM.
    pub fn waking() -> io::Result<Timer> {
        Timer::on(TimerfdClockId::BoottimeAlarm)
    }

    fn on(clock: TimerfdClockId) -> io::Result<Timer> {
        Ok(Timer(timerfd_create(clock, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?))
    }

    /// Goes off at `at`, and not at whatever was set before.
    pub fn set(&self, at: Option<Monotonic>) -> io::Result<()> {
        // All zeros would mean never.
        let it_value = match at {
            Some(at) => timespec(Monotonic(at.0.max(Duration::from_nanos(1)))),
            None => Timespec { tv_sec: 0, tv_nsec: 0 },
        };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &Itimerspec { it_interval, it_value })?;
        Ok(())
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn timespec(at: Monotonic) -> Timespec {
    let tv_sec = at.0.as_secs().try_into().unwrap_or(i64::MAX);
    Timespec { tv_sec, tv_nsec: at.0.subsec_nanos().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_from_the_start_of_the_machine() {
        let started = now();
        sleep_until(started + Duration::from_millis(2));
        assert!(now() >= started + Duration::from_millis(2));
        sleep_until(Monotonic::default());
    }

    #[test]
    fn a_point_in_time_has_a_place_on_the_wall_clock() {
        let hour = Duration::from_secs(3_600);
        let before = wall(now());
        assert!(wall(now() + hour) >= before + (hour - Duration::from_millis(2)));
    }
}
