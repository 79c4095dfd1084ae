//! The one place in the server that reads clocks.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::base::{Monotonic, Now, Wall};

/// Reads both clocks. Copies share the origin of the monotonic one, so their readings compare. That one
/// runs on while the machine sleeps, as the devices' time does.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Monotonic,
}

impl Clock {
    /// A clock whose monotonic time begins now.
    #[allow(clippy::new_without_default)] // a default that depends on the time of day is none
    pub fn new() -> Clock {
        Clock { origin: since_boot() }
    }

    /// The time. A wall clock that stands before 1970 counts as 1970.
    pub fn now(&self) -> Now {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            monotonic: Monotonic(since_boot().since(self.origin)),
            wall: Wall(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

fn since_boot() -> Monotonic {
    let since_boot = clock_gettime(ClockId::Boottime);
    Monotonic(since_boot.try_into().expect("nothing was before the start"))
}
