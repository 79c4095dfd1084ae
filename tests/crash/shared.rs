//! The ledger as threads share it, and whether the server's end is to be expected.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};

use super::ledger::Ledger;
use super::outside::PATIENCE;

#[derive(Default)]
pub struct Shared {
    ledger: Mutex<Ledger>,
    changed: Condvar,
    is_ending: AtomicBool,
    /// Whether a device has found the server gone.
    is_gone: AtomicBool,
}

impl Shared {
    /// Reads or writes the ledger.
    pub fn with<T>(&self, act: impl FnOnce(&mut Ledger) -> T) -> T {
        let done = act(&mut self.ledger.lock().expect("nobody panics with the ledger in hand"));
        self.changed.notify_all();
        done
    }

    pub fn complain(&self, complaint: impl Into<String>) {
        self.with(|ledger| ledger.complain(complaint.into()));
    }

    /// Waits until the ledger is so; that it takes too long is a complaint. False if others came first.
    pub fn wait_for(&self, what: &str, is_so: impl Fn(&Ledger) -> bool) -> bool {
        let ledger = self.ledger.lock().expect("nobody panics with the ledger in hand");
        let is_waiting = |ledger: &mut Ledger| ledger.complaints().is_empty() && !is_so(ledger);
        let (mut ledger, waited) = self
            .changed
            .wait_timeout_while(ledger, PATIENCE, is_waiting)
            .expect("nobody panics with the ledger in hand");
        let is_well = ledger.complaints().is_empty();
        if waited.timed_out() {
            ledger.complain(format!("waited {PATIENCE:?} for {what}"));
        }
        is_well
    }

    /// From here on the server may end, or fail, or not.
    pub fn expect_end(&self, is_ending: bool) {
        self.is_ending.store(is_ending, Ordering::SeqCst);
        self.is_gone.store(false, Ordering::SeqCst);
    }

    /// A device has found the server gone.
    pub fn found_gone(&self) {
        self.is_gone.store(true, Ordering::SeqCst);
        self.changed.notify_all();
    }

    pub fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::SeqCst)
    }

    /// The server did not do what it should: no wonder if it is at its end, else a complaint.
    pub fn failed(&self, who: &str, what: &dyn Display) {
        if !self.is_ending.load(Ordering::SeqCst) {
            self.complain(format!("{who}: {what}, though the server was up"));
        }
    }
}
