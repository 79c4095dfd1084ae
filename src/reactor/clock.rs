//! The one place in the server that reads clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::base::{Monotonic, Now, Wall};

/// Reads both clocks. Copies share the origin of the monotonic one, so their readings compare.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose monotonic time begins now.
    #[allow(clippy::new_without_default)] // a default that depends on the time of day is none
    pub fn new() -> Clock {
        Clock { origin: Instant::now() }
    }

    /// The time. A wall clock that stands before 1970 counts as 1970.
    pub fn now(&self) -> Now {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            monotonic: Monotonic(self.origin.elapsed()),
            wall: Wall(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}
