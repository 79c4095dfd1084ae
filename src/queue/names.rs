//! Names held once: a device's or an app's id stands here for as long as something refers to it, and
//! everything else carries a small key. It knows nothing of what refers to them.

use std::fmt::Debug;
use std::hash::{BuildHasher, Hash, RandomState};
use std::hint::black_box;

use hashbrown::HashTable;
use slab::Slab;

use crate::base::DeviceId;

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
    /// By the hashes of the names, which are only held once: a million keys take 10 MB.
    keys: HashTable<K>,
    held: Slab<Held<N>>,
    hasher: RandomState,
}

struct Held<N> {
    name: N,
    uses: u32,
    hash: Hash32,
}

/// What is kept of a name's hash, so that nothing is hashed again when the table grows or the name goes: as many bits
/// as there is room for beside the count. They are as secret as the hasher's keys.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Hash32(u32);

impl Hash32 {
    /// The table takes its bits from both ends.
    fn spread(self) -> u64 {
        const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;
        u64::from(self.0).wrapping_mul(GOLDEN_RATIO)
    }
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
        self.find_hashed(self.hash(name), name)
    }

    fn hash(&self, name: &N) -> Hash32 {
        Hash32(self.hasher.hash_one(name) as u32)
    }

    fn find_hashed(&self, hash: Hash32, name: &N) -> Option<K> {
        let is_it = |&key: &K| {
            let held = &self.held[key.slot()];
            held.hash == hash && held.name == *name
        };
        self.keys.find(hash.spread(), is_it).copied()
    }

    /// The keys that these names are most likely to have, by a part of their hashes; nothing is read of what is held under
    /// them. Of a name that is not held there is none, or another's.
    pub fn guess<'a>(&self, names: impl Iterator<Item = &'a N>) -> Vec<K>
    where
        N: 'a,
    {
        // All of them before the first is looked for: else they stand between two accesses to memory.
        let hashes: Vec<Hash32> = names.map(|name| self.hash(name)).collect();
        hashes.into_iter().filter_map(|hash| self.keys.find(hash.spread(), |_| true).copied()).collect()
    }

    pub fn name(&self, key: K) -> &N {
        &self.held[key.slot()].name
    }

    pub fn hold(&mut self, name: &N) -> K {
        let hash = self.hash(name);
        match self.find_hashed(hash, name) {
            Some(key) => self.hold_again(key),
            None => self.insert(hash, name.clone()),
        }
    }

    /// The same for a name that was looked for just now.
    pub fn hold_found(&mut self, found: Option<K>, name: &N) -> K {
        match found {
            Some(key) => self.hold_again(key),
            None => self.hold(name),
        }
    }

    fn hold_again(&mut self, key: K) -> K {
        self.held[key.slot()].uses += 1;
        key
    }

    fn insert(&mut self, hash: Hash32, name: N) -> K {
        let key = K::from_slot(self.held.insert(Held { name, uses: 1, hash }));
        let held = &self.held;
        self.keys.insert_unique(hash.spread(), key, |key| held[key.slot()].hash.spread());
        key
    }

    pub fn release(&mut self, key: K) {
        let held = &mut self.held[key.slot()];
        held.uses -= 1;
        if held.uses > 0 {
            return;
        }
        let entry = self.keys.find_entry(held.hash.spread(), |&other| other == key);
        entry.expect("every name held has its key").remove();
        self.held.remove(key.slot());
    }
}

impl<K: NameKey> Names<DeviceId, K> {
    /// Reads what is held under these keys, one step after the other for all of them, and makes nothing of it.
    pub fn visit(&self, keys: &[K]) {
        let held = keys.iter().filter_map(|key| self.held.get(key.slot()));
        black_box(held.clone().fold(0, |seen, held| seen ^ held.hash.0));
        let first_byte = |held: &Held<DeviceId>| held.name.as_str().bytes().next().unwrap_or_default();
        black_box(held.fold(0, |seen, held| seen ^ first_byte(held)));
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

    /// They stand in their table by a part of their hashes, which must find them again after it has grown and shrunk.
    #[test]
    fn each_of_many_names_is_found_while_it_is_held() {
        const COUNT: usize = 10_000;
        let name = |number: usize| format!("app-{number}").parse::<AppId>().expect("valid");
        let mut names: Names<AppId, AppKey> = Names::new();
        let keys: Vec<AppKey> = (0..COUNT).map(|number| names.hold(&name(number))).collect();
        keys.iter().step_by(2).for_each(|&key| names.release(key));
        for (number, &key) in keys.iter().enumerate() {
            assert_eq!(names.find(&name(number)), (number % 2 == 1).then_some(key));
        }
        assert_eq!(names.len(), COUNT / 2);
        keys.iter().skip(1).step_by(2).for_each(|&key| names.release(key));
        assert_eq!(names.len(), 0);
    }

    #[test]
    fn a_name_that_is_held_is_guessed() {
        let name = |number: usize| format!("app-{number}").parse::<AppId>().expect("valid");
        let mut names: Names<AppId, AppKey> = Names::new();
        let keys: Vec<AppKey> = (0..1_000).map(|number| names.hold(&name(number))).collect();
        let all: Vec<AppId> = (0..1_000).map(name).collect();
        let guessed = names.guess(all.iter());
        let right = guessed.iter().zip(&keys).filter(|(guessed, key)| guessed == key).count();
        assert!(guessed.len() == 1_000 && right > 900, "{right} of {}", guessed.len());
    }

    #[test]
    fn a_name_takes_as_much_room_as_without_its_hash() {
        assert_eq!(size_of::<Held<AppId>>(), size_of::<AppId>() + 8);
    }
}
