//! A loop's connections by key, and which of them have something to read. Knows what none of them is
//! for.

use std::collections::VecDeque;
use std::io;

use mio::event::Event;
use mio::{Registry, Token};
use slab::Slab;

use super::acceptor::Acceptor;
use super::connection::Connection;
use super::{LISTENER, WAKER};

/// A connection and what the loop keeps for it.
pub(super) struct Entry<T> {
    pub(super) connection: Connection,
    pub(super) owner: T,
    is_ready: bool,
}

/// All connections of a loop. Their keys are small and dense, and are given again when they are free.
///
/// The selector tells of news once only, so who has something to read stays in a list until the socket
/// is empty: [`Connections::take_ready`], read a bounded part, and [`Connections::mark_ready`] if there
/// may be more. So nobody starves behind one that always has more.
pub(super) struct Connections<T> {
    entries: Slab<Entry<T>>,
    /// May name keys that are gone or no longer ready.
    ready: VecDeque<usize>,
}

impl<T> Connections<T> {
    pub(super) fn new() -> Connections<T> {
        Connections { entries: Slab::new(), ready: VecDeque::new() }
    }

    /// Takes a connection in; its events come under its key.
    pub(super) fn insert(
        &mut self,
        mut connection: Connection,
        owner: T,
        registry: &Registry,
    ) -> io::Result<usize> {
        let vacant = self.entries.vacant_entry();
        let key = vacant.key();
        connection.register(registry, Token(key))?;
        vacant.insert(Entry { connection, owner, is_ready: false });
        Ok(key)
    }

    pub(super) fn get_mut(&mut self, key: usize) -> Option<&mut Entry<T>> {
        self.entries.get_mut(key)
    }

    /// Takes a connection out; dropping it closes the socket.
    pub(super) fn remove(&mut self, key: usize) -> Option<Entry<T>> {
        self.entries.try_remove(key)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Entry<T>)> {
        self.entries.iter()
    }

    pub(super) fn keys(&self) -> Vec<usize> {
        self.entries.iter().map(|(key, _)| key).collect()
    }

    /// Notes what one event of the loop's selector says; returns the connection that can be written.
    pub(super) fn take_event(&mut self, event: &Event, acceptor: &mut Option<Acceptor>) -> Option<usize> {
        match event.token() {
            WAKER => None,
            LISTENER => {
                acceptor.iter_mut().for_each(Acceptor::handle_event);
                None
            }
            Token(key) => {
                self.handle_event(key, event);
                event.is_writable().then_some(key)
            }
        }
    }

    /// Notes what the selector says about reading. An event may be about a connection that had the
    /// key before: then it only costs a look at an empty socket.
    fn handle_event(&mut self, key: usize, event: &Event) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if event.is_read_closed() || event.is_error() {
            entry.connection.expect_end();
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.mark_ready(key);
        }
    }

    /// There may be something to read.
    pub(super) fn mark_ready(&mut self, key: usize) {
        if let Some(entry) = self.entries.get_mut(key)
            && !std::mem::replace(&mut entry.is_ready, true)
        {
            self.ready.push_back(key);
        }
    }

    /// Whether some connection may have something to read.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Those that are ready now, each once; whoever is marked from here on comes in the next turn.
    pub(super) fn take_ready(&mut self) -> Vec<usize> {
        let Connections { entries, ready } = self;
        let mut take = |key: &usize| {
            entries.get_mut(*key).is_some_and(|entry| std::mem::replace(&mut entry.is_ready, false))
        };
        ready.drain(..).filter(|key| take(key)).collect()
    }
}
