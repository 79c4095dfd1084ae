//! How many messages each app got today, for those who want to know what their phone does. A day is a number
//! that somebody else tells.

use std::collections::BTreeMap;

use crate::base::AppId;

/// Counts since the day began, or since the service did.
#[derive(Debug, Default)]
pub struct Tally {
    day: i64,
    messages: BTreeMap<AppId, u64>,
}

impl Tally {
    /// Begins anew, if it is another day.
    pub fn begin(&mut self, day: i64) {
        if day != self.day {
            *self = Tally { day, messages: BTreeMap::new() };
        }
    }

    /// A message has come for an app.
    pub fn count(&mut self, app: &AppId) {
        *self.messages.entry(app.clone()).or_default() += 1;
    }

    /// How many messages have come for each app.
    pub fn messages(&self) -> &BTreeMap<AppId, u64> {
        &self.messages
    }
}
