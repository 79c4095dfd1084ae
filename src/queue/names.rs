//! Names held once: a device's or an app's id stands here for as long as something refers to it, and
//! everything else carries a small key. It knows nothing of what refers to them.

use std::fmt::Debug;
use std::hash::{BuildHasher, Hash, RandomState};

use hashbrown::HashTable;
use slab::Slab;

/// A device's key, for as long as it is enrolled or leaving, or something is registered, pending or tracked for
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct DeviceKey(u32);

/// An app's key, for as long as something is registered, pending or tracked for it on any device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AppKey(u32);

/// A user's key, for as long as a device, a code, a token or a tracked message is theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct UserKey(u32);

/// What [`Names`] hands out: a number behind a type of its own.
pub(super) trait NameKey: Copy + Debug + Eq {
    /// The key that sorts behind all others.
    const LAST: Self;
    fn from_slot(slot: usize) -> Self;
    fn slot(self) -> usize;
}

macro_rules! name_key {
    ($key:ident) => {
        impl NameKey for $key {
            const LAST: $key = $key(u32::MAX);
            fn from_slot(slot: usize) -> $key {
                $key(u32::try_from(slot).expect("the queue's limits keep names below 2^32"))
            }
            fn slot(self) -> usize {
                self.0 as usize
            }
        }
    };
}
name_key!(DeviceKey);
name_key!(AppKey);
name_key!(UserKey);

/// Names and their keys. Each [`Names::hold`] is paid back by one [`Names::release`]; the name goes
/// with the last of them, and its key may then stand for another.
pub(super) struct Names<N, K> {
    /// By the hashes of the names, which are only kept once: a million keys take 10 MB.
    keys: HashTable<K>,
    held: Slab<Held<N>>,
    hasher: RandomState,
}

struct Held<N> {
    name: N,
    uses: u32,
}

impl<N: Clone + Eq + Hash, K: NameKey> Names<N, K> {
    pub fn new() -> Names<N, K> {
        Names { keys: HashTable::new(), held: Slab::new(), hasher: RandomState::new() }
    }

    /// How many different names are held.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn find(&self, name: &N) -> Option<K> {
        self.find_hashed(self.hasher.hash_one(name), name)
    }

    fn find_hashed(&self, hash: u64, name: &N) -> Option<K> {
        self.keys.find(hash, |&key| self.name(key) == name).copied()
    }

    pub fn name(&self, key: K) -> &N {
        &self.held[key.slot()].name
    }

    pub fn hold(&mut self, name: &N) -> K {
        let hash = self.hasher.hash_one(name);
        if let Some(key) = self.find_hashed(hash, name) {
            self.held[key.slot()].uses += 1;
            return key;
        }
        let key = K::from_slot(self.held.insert(Held { name: name.clone(), uses: 1 }));
        let (held, hasher) = (&self.held, &self.hasher);
        self.keys.insert_unique(hash, key, |key| hasher.hash_one(&held[key.slot()].name));
        key
    }

    pub fn release(&mut self, key: K) {
        let held = &mut self.held[key.slot()];
        held.uses -= 1;
        if held.uses > 0 {
            return;
        }
        let hash = self.hasher.hash_one(&held.name);
        let entry = self.keys.find_entry(hash, |&other| other == key);
        entry.expect("every name held has its key").remove();
        self.held.remove(key.slot());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::AppId;

    #[test]
    fn a_name_goes_with_the_last_that_holds_it() {
        let chatter: AppId = "chatter".parse().expect("valid");
        let mut names: Names<AppId, AppKey> = Names::new();
        let key = names.hold(&chatter);
        assert_eq!(names.hold(&chatter), key);
        names.release(key);
        assert_eq!(names.find(&chatter), Some(key));
        names.release(key);
        assert_eq!(names.find(&chatter), None);
        assert_eq!(names.len(), 0);
    }
}
