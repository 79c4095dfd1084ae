//! A loop's connections by key, and which of them have something to read: those that are served come
//! before newcomers. Knows what none of them is for.

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
    is_newcomer: bool,
    is_ready: bool,
}

impl<T> Entry<T> {
    pub(super) fn is_newcomer(&self) -> bool {
        self.is_newcomer
    }

    /// This one is served from here on, before all newcomers.
    pub(super) fn welcome(&mut self) {
        self.is_newcomer = false;
    }
}

/// All connections of a loop. Their keys are small and dense, and are given again when they are free.
///
/// The selector tells of news once only, so who has something to read stays in a list until the socket
/// is empty: [`Connections::take_ready`], read a bounded part, and [`Connections::mark_ready`] if there
/// may be more. So nobody starves behind one that always has more.
///
/// Newcomers stand in a line of their own until [`Entry::welcome`], and of them only some are read in
/// a turn: handshakes are dear, and a crowd's must not keep those waiting who are served.
pub(super) struct Connections<T> {
    entries: Slab<Entry<T>>,
    /// May name keys that are gone or no longer ready, as may the next.
    ready: VecDeque<usize>,
    ready_newcomers: VecDeque<usize>,
}

impl<T> Connections<T> {
    pub(super) fn new() -> Connections<T> {
        Connections { entries: Slab::new(), ready: VecDeque::new(), ready_newcomers: VecDeque::new() }
    }

    /// Takes a newcomer's connection in; its events come under its key.
    pub(super) fn insert(
        &mut self,
        mut connection: Connection,
        owner: T,
        registry: &Registry,
    ) -> io::Result<usize> {
        let vacant = self.entries.vacant_entry();
        let key = vacant.key();
        connection.register(registry, Token(key))?;
        vacant.insert(Entry { connection, owner, is_newcomer: true, is_ready: false });
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
            let line = if entry.is_newcomer { &mut self.ready_newcomers } else { &mut self.ready };
            line.push_back(key);
        }
    }

    /// Whether this one may have something that is not read yet.
    pub(super) fn is_ready(&self, key: usize) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.is_ready)
    }

    /// Whether some connection may have something to read.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty() || !self.ready_newcomers.is_empty()
    }

    /// Those that are ready now, each once, and behind them so many newcomers; whoever is marked from here
    /// on comes in the next turn.
    pub(super) fn take_ready(&mut self, newcomers_max: usize) -> Vec<usize> {
        let Connections { entries, ready, ready_newcomers } = self;
        let mut take = |key: &usize| {
            entries.get_mut(*key).is_some_and(|entry| std::mem::replace(&mut entry.is_ready, false))
        };
        let newcomers = ready_newcomers.drain(..newcomers_max.min(ready_newcomers.len()));
        ready.drain(..).chain(newcomers).filter(|key| take(key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use mio::Poll;

    use super::super::acceptor::Slots;
    use super::*;

    /// So many connections, and their peers.
    fn connections(count: usize) -> (Connections<()>, Vec<TcpStream>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (poll, slots) = (Poll::new().expect("a selector"), Slots::new(count));
        let mut connections = Connections::new();
        let mut connect = |_| {
            let peer = TcpStream::connect(address).expect("it listens");
            let (socket, _) = listener.accept().expect("one waits");
            socket.set_nonblocking(true).expect("a socket");
            let slot = slots.take().expect("one is free");
            let connection = Connection::new(mio::net::TcpStream::from_std(socket), None, slot);
            connections.insert(connection, (), poll.registry()).expect("it can be watched");
            peer
        };
        let peers = (0..count).map(&mut connect).collect();
        (connections, peers)
    }

    #[test]
    fn newcomers_come_behind_those_who_are_served_and_so_many_a_turn() {
        let (mut connections, _peers) = connections(5);
        connections.get_mut(4).expect("it is there").welcome();
        (0..5).for_each(|key| connections.mark_ready(key));
        connections.mark_ready(0);
        assert_eq!(connections.take_ready(3), [4, 0, 1, 2]);
        connections.mark_ready(4);
        connections.mark_ready(0);
        assert!(connections.has_ready());
        assert_eq!(connections.take_ready(1), [4, 3]);
        assert_eq!(connections.take_ready(3), [0]);
        assert!(!connections.has_ready());
    }
}
