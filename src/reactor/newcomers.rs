//! The connections of a shard to which the server has said nothing yet. Knows no socket and no session.

use std::collections::HashMap;
use std::mem;
use std::net::IpAddr;
use std::time::Duration;

use super::peers::Handshake;
use crate::base::Monotonic;

/// How long a handshake may be silent when all places for handshakes are taken and others wait: ten times
/// what a phone on a slow network takes. So a few addresses that begin handshakes and say no more keep
/// newcomers out for twice this long at most, and not for a whole `exchange_timeout`.
const SILENT_MAX: Duration = Duration::from_secs(5);

/// A connection that is not served yet.
pub(super) struct Newcomer {
    handshake: Handshake,
    /// When it was accepted, or when it was first read: what we took for that is no silence of its own.
    since: Monotonic,
    was_read: bool,
    /// Something has come out of its TLS. From here on it may be the server that takes its time.
    has_spoken: bool,
}

/// All newcomers of a shard, by the key of their connection.
#[derive(Default)]
pub(super) struct Newcomers(HashMap<usize, Newcomer>);

impl Newcomers {
    /// A connection was accepted.
    pub(super) fn enter(&mut self, key: usize, handshake: Handshake, now: Monotonic) {
        self.take_in(key, Newcomer { handshake, since: now, was_read: false, has_spoken: false });
    }

    /// A newcomer has come from another shard.
    pub(super) fn take_in(&mut self, key: usize, newcomer: Newcomer) {
        self.0.insert(key, newcomer);
    }

    /// This connection is served, closed, or moves to another shard.
    pub(super) fn leave(&mut self, key: usize) -> Option<Newcomer> {
        self.0.remove(&key)
    }

    /// What it has sent was read, and perhaps something has come out of its TLS.
    pub(super) fn read(&mut self, key: usize, has_spoken: bool, now: Monotonic) {
        let Some(newcomer) = self.0.get_mut(&key) else { return };
        newcomer.has_spoken |= has_spoken;
        if !mem::replace(&mut newcomer.was_read, true) {
            newcomer.since = now;
        }
    }

    /// From where it came, if it is a newcomer.
    pub(super) fn address(&self, key: usize) -> Option<IpAddr> {
        Some(self.0.get(&key)?.handshake.address())
    }

    /// Who has been silent for the longest, and from when on it may be sent away for others; not one of those that
    /// wait to be read. Looks at all: to be asked when there is no room for more.
    pub(super) fn longest_silent(&self, waits: impl Fn(usize) -> bool) -> Option<(usize, Monotonic)> {
        let silent = self.0.iter().filter(|(key, newcomer)| !newcomer.has_spoken && !waits(**key));
        let (key, newcomer) = silent.min_by_key(|(key, newcomer)| (newcomer.since, **key))?;
        Some((*key, newcomer.since + SILENT_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::super::acceptor::Slots;
    use super::super::peers::{PeerOptions, Peers};
    use super::*;

    fn enter(newcomers: &mut Newcomers, key: usize, seconds: u64) {
        let slot = Slots::new(1).take().expect("one is free");
        let handshake = Peers::new(PeerOptions::default()).enter([192, 0, 2, 1].into(), slot);
        newcomers.enter(key, handshake.expect("the first"), Monotonic(Duration::from_secs(seconds)));
    }

    #[test]
    fn the_longest_silent_goes_first_and_who_has_spoken_stays() {
        let mut newcomers = Newcomers::default();
        for (key, seconds) in [(7, 12), (3, 10), (5, 11)] {
            enter(&mut newcomers, key, seconds);
        }
        let at = |seconds| Monotonic(Duration::from_secs(seconds));
        let longest_silent = |newcomers: &Newcomers| newcomers.longest_silent(|_| false);
        assert_eq!(longest_silent(&newcomers), Some((3, at(15))));
        newcomers.read(3, true, at(15));
        assert_eq!(longest_silent(&newcomers), Some((5, at(16))));
        newcomers.leave(5);
        newcomers.read(7, true, at(15));
        assert_eq!(longest_silent(&newcomers), None);
    }

    #[test]
    fn what_we_take_to_read_one_is_not_its_silence() {
        let mut newcomers = Newcomers::default();
        enter(&mut newcomers, 1, 10);
        enter(&mut newcomers, 2, 11);
        let at = |seconds| Monotonic(Duration::from_secs(seconds));
        assert_eq!(newcomers.longest_silent(|key| key == 1), Some((2, at(16))));
        newcomers.read(1, false, at(14));
        assert_eq!(newcomers.longest_silent(|_| false), Some((2, at(16))));
        newcomers.read(2, false, at(15));
        newcomers.read(1, false, at(18));
        assert_eq!(newcomers.longest_silent(|_| false), Some((1, at(19))), "no byte more wins it time");
    }
}
