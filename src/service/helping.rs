//! Which helper runs when: so many at once, one of an app, and who comes first goes first. How they run, it
//! does not know.

use std::collections::{BTreeMap, VecDeque};

use super::mailbox::ENTRIES_PER_APP_MAX;
use crate::base::AppId;

/// Helpers that run at once, at most: a phone has few cores, and helpers are small.
pub const RUNNING_MAX: usize = 5;
/// What may wait for the helper of one app: all that its mailbox holds, for that is what a server may have kept for a
/// device that was away. They are numbers.
pub const WAITING_PER_APP_MAX: usize = ENTRIES_PER_APP_MAX;

/// The entries of the mailbox that wait for helpers, and those that have one.
#[derive(Debug, Default)]
pub struct Helping {
    /// In the order in which they came. None is empty.
    waiting: BTreeMap<AppId, VecDeque<u64>>,
    running: BTreeMap<AppId, u64>,
}

impl Helping {
    /// An entry, later than all before, wants its app's helper. If too many of the app do, the oldest does not
    /// any more: the mailbox has dropped that one before, for it holds no more than may wait here.
    pub fn queue(&mut self, number: u64, app: &AppId) {
        let waiting = self.waiting.entry(app.clone()).or_default();
        if waiting.len() == WAITING_PER_APP_MAX {
            waiting.pop_front();
        }
        waiting.push_back(number);
    }

    /// What may have its helper now, and has it from here on.
    pub fn start(&mut self) -> Option<(u64, AppId)> {
        if self.running.len() >= RUNNING_MAX {
            return None;
        }
        let free = self.waiting.iter().filter(|(app, _)| !self.running.contains_key(*app));
        let (app, _) = free.min_by_key(|(_, numbers)| numbers.front())?;
        let app = app.clone();
        let numbers = self.waiting.get_mut(&app)?;
        let number = numbers.pop_front()?;
        if numbers.is_empty() {
            self.waiting.remove(&app);
        }
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
            helping.queue(number, &app(number as usize / 2));
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
        (0..WAITING_PER_APP_MAX as u64 + 3).for_each(|number| helping.queue(number, &app(1)));
        helping.queue(10_000, &app(2));
        assert_eq!(helping.waiting[&app(1)].len(), WAITING_PER_APP_MAX);
        assert_eq!(helping.start(), Some((3, app(1))), "the oldest have made room");
        assert_eq!(helping.start(), Some((10_000, app(2))));
    }
}
