//! Which callers wait for answers, and how many each: who calls without end leaves room for others. What is called, it
//! does not know.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Calls of one caller that are not answered. An app waits for each; all of a package at once are a handful.
pub(super) const CALLS_PER_CALLER_MAX: usize = 32;
/// Those of all callers: fewer than the service takes up, so that messages and helpers find room beside them, and than
/// answers may wait to be sent, with those who wait for the bus to say who they are.
pub(super) const CALLS_MAX: usize = 160;

/// All who wait, on whatever connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Crowd(Arc<Mutex<BTreeMap<Who, usize>>>);

/// A caller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    /// By the name that the bus gives each connection.
    OnBus(String),
    /// The peer of this number.
    Peer(u64),
}

/// The right to wait. Dropped, there is room for another.
#[derive(Debug)]
pub(super) struct Wait {
    crowd: Crowd,
    who: Who,
}

impl Crowd {
    /// Somebody wants an answer; `None` if he, or all together, wait for too many.
    pub(super) fn enter(&self, who: Who) -> Option<Wait> {
        let mut waiting = self.waiting();
        let own = waiting.get(&who).copied().unwrap_or_default();
        if own >= CALLS_PER_CALLER_MAX || waiting.values().sum::<usize>() >= CALLS_MAX {
            return None;
        }
        waiting.insert(who.clone(), own + 1);
        Some(Wait { crowd: self.clone(), who })
    }

    /// What a thread that panicked has left is intact: nothing here panics between two changes.
    fn waiting(&self) -> MutexGuard<'_, BTreeMap<Who, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut waiting = self.crowd.waiting();
        match waiting.get_mut(&self.who) {
            Some(calls) if *calls > 1 => *calls -= 1,
            _ => drop(waiting.remove(&self.who)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(crowd: &Crowd, who: u64, calls: usize) -> Vec<Wait> {
        (0..calls).map_while(|_| crowd.enter(Who::Peer(who))).collect()
    }

    #[test]
    fn one_who_calls_without_end_leaves_room_for_others() {
        let crowd = Crowd::default();
        let mut flood = enter(&crowd, 1, 1_000);
        assert_eq!(flood.len(), CALLS_PER_CALLER_MAX);
        let _other = crowd.enter(Who::OnBus(":1.1".into())).expect("another one");
        flood.pop();
        let _one = crowd.enter(Who::Peer(1)).expect("one was answered");
        assert!(crowd.enter(Who::Peer(1)).is_none());
    }

    #[test]
    fn all_together_wait_for_so_many_and_leave_nothing_behind() {
        let crowd = Crowd::default();
        let waits: Vec<Wait> = (0..1_000).flat_map(|who| enter(&crowd, who, 2)).collect();
        assert_eq!(waits.len(), CALLS_MAX);
        drop(waits);
        assert!(crowd.waiting().is_empty());
    }
}
