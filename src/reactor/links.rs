//! What every loop holds of the world outside it, and how the server is told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::Waker;

use super::clock::Clock;
use super::peers::Peers;
use super::stats::Stats;
use super::storage::StorageSender;
use crate::session::server::Stop;

/// What every loop holds of the world outside it.
#[derive(Clone)]
pub(super) struct Links {
    pub(super) clock: Clock,
    pub(super) control: Control,
    pub(super) stats: Arc<Stats>,
    pub(super) peers: Arc<Peers>,
    pub(super) storage: StorageSender,
}

/// Stops a running server. Clones stop the same one.
#[derive(Clone, Debug)]
pub struct Control(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    is_stopping: AtomicBool,
    /// Set before the server stops, if it is to be for good.
    is_draining: AtomicBool,
    loops: Vec<Arc<Waker>>,
}

impl Control {
    pub(super) fn new(loops: Vec<Arc<Waker>>) -> Control {
        let [is_stopping, is_draining] = [AtomicBool::new(false), AtomicBool::new(false)];
        Control(Arc::new(Shared { is_stopping, is_draining, loops }))
    }

    /// Ends all sessions, lets the API's requests under way finish, and makes
    /// [`Server::wait`](super::Server::wait) return. Returns at once.
    pub fn terminate(&self) {
        if !self.0.is_stopping.swap(true, Ordering::AcqRel) {
            for waker in &self.0.loops {
                waker.wake().expect("an eventfd takes a wake-up at any time");
            }
        }
    }

    /// The same, for a server whose devices others serve from now on: those that can be told are sent there.
    pub fn drain(&self) {
        self.0.is_draining.store(true, Ordering::Release);
        self.terminate();
    }

    /// How it stops.
    pub(super) fn stop(&self) -> Stop {
        if self.0.is_draining.load(Ordering::Acquire) { Stop::Drain } else { Stop::Restart }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.0.is_stopping.load(Ordering::Acquire)
    }
}
