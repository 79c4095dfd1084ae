//! The two clocks, as values. Nothing here reads a clock: the rim does, and passes [`Now`] in.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A point on the monotonic clock, as the time since an origin that the rim chose. Deadlines run on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(pub Duration);

/// A point on the wall clock: milliseconds since 1970-01-01T00:00:00Z. Expiry runs on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub u64);

/// One reading of both clocks, taken once per turn of a loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For deadlines.
    pub monotonic: Monotonic,
    /// For expiry.
    pub wall: Wall,
}

impl Monotonic {
    /// The time from `earlier` to this point; zero if `earlier` is in fact later.
    pub fn since(self, earlier: Monotonic) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Monotonic {
    type Output = Monotonic;
    fn add(self, by: Duration) -> Monotonic {
        Monotonic(self.0.saturating_add(by))
    }
}

impl Add<Duration> for Wall {
    type Output = Wall;
    fn add(self, by: Duration) -> Wall {
        Wall(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Wall> for Wall {
    type Output = Duration;
    /// The time from `earlier` to this point; zero if `earlier` is in fact later.
    fn sub(self, earlier: Wall) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Now {
    type Output = Now;
    /// Both clocks, moved on by the same time: how tests let time pass.
    fn add(self, by: Duration) -> Now {
        Now { monotonic: self.monotonic + by, wall: self.wall + by }
    }
}
