//! The clock of a swarm.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::base::Monotonic;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The time since the process first asked.
pub(super) fn now() -> Monotonic {
    Monotonic(START.elapsed())
}

/// A time from now, as the API takes it.
pub(super) fn date_in(time: Duration) -> String {
    (Timestamp::now() + time).to_string()
}

/// A name that this run has to itself.
pub(super) fn run_name() -> String {
    format!("{:08x}", (Timestamp::now().as_microsecond() as u32) ^ std::process::id().rotate_left(16))
}
