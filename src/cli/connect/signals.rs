//! SIGINT and SIGTERM: an open connection is left in order. Where there is none, or it takes too long for
//! whoever asks twice, the process ends at once.
//!
//! ```text
//!  Idle ── hold ──▶ Connected ── signal: interrupt ──▶ Leaving
//!    ▲                  │
//!    └──── release ─────┘        Idle or Leaving ── signal ──▶ exit, status 0
//! ```

use std::sync::{Arc, Mutex, MutexGuard};
use std::{io, mem, process, thread};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::device::Interrupter;

/// What the signals of this process meet.
pub struct Stopping(Arc<Mutex<State>>);

enum State {
    Idle,
    Connected(Interrupter),
    Leaving,
}

impl Stopping {
    /// Handles the signals from now on.
    pub fn on_signals() -> io::Result<Stopping> {
        let stopping = Stopping(Arc::new(Mutex::new(State::Idle)));
        let (shared, mut signals) = (stopping.0.clone(), Signals::new([SIGINT, SIGTERM])?);
        thread::spawn(move || signals.forever().for_each(|_| leave(&shared)));
        Ok(stopping)
    }

    /// A signal interrupts this connection, until [`Stopping::release`].
    pub fn hold(&self, interrupter: Interrupter) {
        *self.state() = State::Connected(interrupter);
    }

    /// The connection has ended. Whether a signal came while it stood.
    pub fn release(&self) -> bool {
        let mut state = self.state();
        let is_leaving = matches!(*state, State::Leaving);
        if !is_leaving {
            *state = State::Idle;
        }
        is_leaving
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

fn leave(state: &Mutex<State>) {
    match mem::replace(&mut *lock(state), State::Leaving) {
        State::Connected(interrupter) => interrupter.interrupt(),
        State::Idle | State::Leaving => process::exit(0),
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("nothing panics while it holds this")
}
