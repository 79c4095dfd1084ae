//! Which apps need a key, and which one.

use std::collections::BTreeMap;

use lomiri_push::base::Credential;

use super::{Model, Sure};

/// What each app may be bound to: one thing, unless the server crashed on the way to another. Apps that
/// were never bound are not there.
#[derive(Default)]
pub struct AppKeys(BTreeMap<usize, Vec<Lock>>);

enum Lock {
    /// Bound to nothing.
    Open,
    Key(Credential),
    /// A key that the operator never got.
    Lost,
}

impl Lock {
    fn opens_to(&self, key: Option<&Credential>) -> bool {
        match self {
            Lock::Open => true,
            Lock::Key(right) => key.is_some_and(|key| key.as_bytes() == right.as_bytes()),
            Lock::Lost => false,
        }
    }
}

impl AppKeys {
    fn of(&mut self, app: usize) -> &mut Vec<Lock> {
        self.0.entry(app).or_insert_with(|| vec![Lock::Open])
    }

    /// The key that an app server has.
    pub fn known(&self, app: usize) -> Option<&Credential> {
        self.0.get(&app)?.iter().find_map(|lock| match lock {
            Lock::Key(key) => Some(key),
            _ => None,
        })
    }

    /// Whether it surely is the right one.
    pub fn is_certain(&self, app: usize) -> bool {
        self.0.get(&app).is_none_or(|locks| locks.len() == 1)
    }
}

impl Model {
    /// The operator has bound an app to this key.
    pub fn bound(&mut self, app: usize, key: Credential) {
        *self.app_keys.of(app) = vec![Lock::Key(key)];
    }

    /// The server crashed while an app was to be bound.
    pub fn may_be_bound(&mut self, app: usize) {
        self.app_keys.of(app).push(Lock::Lost);
    }

    /// The operator has freed an app from its key, or perhaps has.
    pub fn unbound(&mut self, app: usize, is_free: Sure) {
        let locks = self.app_keys.of(app);
        locks.retain(|_| is_free != Sure::Yes);
        locks.push(Lock::Open);
    }

    /// A message was let through to its app with the key that it bore, or was not. Both tell what the app is
    /// bound to.
    pub fn judged_by_key(&mut self, number: usize, is_let_through: bool) {
        let draft = &self.posts[number].draft;
        let locks = self.app_keys.of(draft.app);
        locks.retain(|lock| lock.opens_to(draft.app_key.as_ref()) == is_let_through);
        let (is_possible, app) = (!locks.is_empty(), draft.app);
        let what = if is_let_through { "let through" } else { "kept out" };
        self.check(is_possible, || format!("message {number} was {what} by the key of app {app}"));
    }
}
