//! A warning that is not repeated all the time. Knows no words.

use std::time::Duration;

use crate::base::Monotonic;

/// Often enough for who looks into the log, and seldom enough to leave room there for other things.
const INTERVAL: Duration = Duration::from_secs(60);

/// Says when something that goes on may be said again.
#[derive(Debug, Default)]
pub(super) struct Reminder {
    due: Monotonic,
}

impl Reminder {
    /// Whether to say it now.
    pub(super) fn is_due(&mut self, now: Monotonic) -> bool {
        let is_due = self.due <= now;
        if is_due {
            self.due = now + INTERVAL;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_said_once_a_minute() {
        let (mut reminder, start) = (Reminder::default(), Monotonic(Duration::from_secs(5)));
        let said = (0..180).filter(|second| reminder.is_due(start + Duration::from_secs(*second)));
        assert_eq!(said.collect::<Vec<_>>(), [0, 60, 120]);
    }
}
