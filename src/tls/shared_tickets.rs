//! Tickets of one server for many devices in one process, which come and go faster than each could keep its own.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

/// Keeps so many tickets of TLS 1.3, whosever they were, and gives each once: from when it is told to, so that
/// those who come for the first time leave them to those who come back.
pub struct SharedTickets {
    tickets_max: usize,
    gives: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    tickets: VecDeque<Tls13ClientSessionValue>,
    group: Option<NamedGroup>,
}

impl SharedTickets {
    /// Room for so many.
    pub fn new(tickets_max: usize) -> SharedTickets {
        SharedTickets { tickets_max, gives: AtomicBool::new(false), known: Mutex::default() }
    }

    /// From now on who connects comes back.
    pub fn give(&self) {
        self.gives.store(true, Ordering::Relaxed);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for SharedTickets {
    fn set_kx_hint(&self, _server: ServerName<'static>, group: NamedGroup) {
        self.known().group = Some(group);
    }

    fn kx_hint(&self, _server: &ServerName<'_>) -> Option<NamedGroup> {
        self.known().group
    }

    fn set_tls12_session(&self, _server: ServerName<'static>, _session: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _server: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _server: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut known = self.known();
        if known.tickets.len() >= self.tickets_max {
            known.tickets.pop_front();
        }
        known.tickets.push_back(ticket);
    }

    fn take_tls13_ticket(&self, _server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        if self.gives.load(Ordering::Relaxed) { self.known().tickets.pop_front() } else { None }
    }
}

/// Tells nothing that is secret.
impl std::fmt::Debug for SharedTickets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SharedTickets")
            .field("tickets_max", &self.tickets_max)
            .finish_non_exhaustive()
    }
}
