//! How the places of tracked messages are shared among apps: which message is to be forgotten first when
//! there are too many.
//!
//! Those without an idempotency key go before those with one, for nothing is sent twice for want of them;
//! of either the oldest of the app that has most, so that no app's go early while another has more.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::Seq;

use super::names::{AppKey, NameKey as _};

/// Whose a message is, and of which of the two kinds: with an idempotency key or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Share {
    pub is_keyed: bool,
    pub app: AppKey,
}

/// The shares of all apps.
#[derive(Default)]
pub(super) struct Shares {
    messages: BTreeSet<(Share, Seq)>,
    sizes: BTreeMap<Share, usize>,
    /// The same in the order in which they yield: the last of its kind first.
    by_size: BTreeSet<(bool, usize, AppKey)>,
}

impl Shares {
    pub fn insert(&mut self, share: Share, seq: Seq) {
        if self.messages.insert((share, seq)) {
            self.resize(share, |size| size + 1);
        }
    }

    pub fn remove(&mut self, share: Share, seq: Seq) {
        if self.messages.remove(&(share, seq)) {
            self.resize(share, |size| size - 1);
        }
    }

    fn resize(&mut self, share: Share, resize: impl FnOnce(usize) -> usize) {
        let before = self.sizes.remove(&share).unwrap_or(0);
        self.by_size.remove(&(share.is_keyed, before, share.app));
        let size = resize(before);
        if size > 0 {
            self.sizes.insert(share, size);
            self.by_size.insert((share.is_keyed, size, share.app));
        }
    }

    /// What is to be forgotten if there are too many.
    pub fn first_to_yield(&self) -> Option<Seq> {
        let first_keyed = (true, 0, AppKey::from_slot(0));
        let without_key = self.by_size.range(..first_keyed).next_back();
        let &(is_keyed, _, app) = without_key.or(self.by_size.last())?;
        let oldest = (Share { is_keyed, app }, Seq(0));
        self.messages.range(oldest..).next().map(|&(_, seq)| seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(is_keyed: bool, app: usize) -> Share {
        Share { is_keyed, app: AppKey::from_slot(app) }
    }

    #[test]
    fn the_oldest_of_who_has_most_yields_and_keyed_ones_last() {
        let mut shares = Shares::default();
        let entered = [(1, true, 0), (2, true, 1), (3, true, 1), (4, false, 0), (5, false, 2), (6, false, 2)];
        entered.iter().for_each(|&(seq, is_keyed, app)| shares.insert(share(is_keyed, app), Seq(seq)));
        let mut yielded = Vec::new();
        while let Some(Seq(seq)) = shares.first_to_yield() {
            yielded.push(seq);
            let &(_, is_keyed, app) = entered.iter().find(|entered| entered.0 == seq).expect("entered");
            shares.remove(share(is_keyed, app), Seq(seq));
        }
        assert_eq!(yielded, [5, 6, 4, 2, 3, 1]);
        assert!(shares.sizes.is_empty() && shares.messages.is_empty());
    }
}
