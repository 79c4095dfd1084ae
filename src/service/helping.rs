//! Which helper runs when: so many at once, one of an app, and who comes first goes first. How they run, it
//! does not know.

use std::collections::{BTreeMap, VecDeque};

use crate::base::AppId;

/// Helpers that run at once, at most: a phone has few cores, and helpers are small.
pub const RUNNING_MAX: usize = 5;
/// What may wait for the helper of one app: more comes only from a flood, and a helper may take five seconds.
pub const WAITING_PER_APP_MAX: usize = 64;

/// The entries of the mailbox that wait for helpers, and those that have one.
#[derive(Debug, Default)]
pub struct Helping {
    waiting: VecDeque<(u64, AppId)>,
    running: BTreeMap<AppId, u64>,
}

impl Helping {
    /// An entry wants its app's helper. False if too many of the app do.
    pub fn queue(&mut self, number: u64, app: &AppId) -> bool {
        let has_room = self.waiting.iter().filter(|(_, other)| other == app).count() < WAITING_PER_APP_MAX;
        if has_room {
            self.waiting.push_back((number, app.clone()));
        }
        has_room
    }

    /// What may have its helper now, and has it from here on.
    pub fn start(&mut self) -> Option<(u64, AppId)> {
        if self.running.len() >= RUNNING_MAX {
            return None;
        }
        let place = self.waiting.iter().position(|(_, app)| !self.running.contains_key(app))?;
        let (number, app) = self.waiting.remove(place)?;
        self.running.insert(app.clone(), number);
        Some((number, app))
    }

    /// The helper of an entry has ended. False if it had none.
    pub fn end(&mut self, number: u64) -> bool {
        let before = self.running.len();
        self.running.retain(|_, running| *running != number);
        self.running.len() < before
    }

    /// Whether nobody waits or runs.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(number: usize) -> AppId {
        format!("_{number}").parse().expect("valid")
    }

    #[test]
    fn one_of_an_app_runs_and_so_many_in_all_in_the_order_they_came() {
        let mut helping = Helping::default();
        for number in 0..2 * RUNNING_MAX as u64 {
            assert!(helping.queue(number, &app(number as usize / 2)));
        }
        helping.queue(100, &app(100));
        let started: Vec<u64> = std::iter::from_fn(|| helping.start()).map(|(number, _)| number).collect();
        assert_eq!(started, [0, 2, 4, 6, 8]);
        assert!(helping.end(4) && !helping.end(4));
        assert_eq!(helping.start(), Some((5, app(2))), "the next of the app that is free");
        assert!(helping.end(0) && helping.end(2));
        assert_eq!(helping.start(), Some((1, app(0))));
        assert!(!helping.is_idle());
    }

    #[test]
    fn so_many_of_an_app_wait_and_no_more() {
        let mut helping = Helping::default();
        let taken = (0..100).filter(|number| helping.queue(*number, &app(1))).count();
        assert_eq!(taken, WAITING_PER_APP_MAX);
        assert!(helping.queue(100, &app(2)));
    }
}
