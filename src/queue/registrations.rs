//! Who may be addressed by which token. Draws no randomness and writes no row.

use std::collections::{BTreeMap, HashMap};

use crate::base::Token;

use super::names::{AppKey, DeviceKey, NameKey as _, UserKey};

/// Tokens by owner and owners by token: always each other's mirror.
#[derive(Default)]
pub(super) struct Registrations {
    tokens: BTreeMap<(DeviceKey, AppKey), Token>,
    user_tokens: BTreeMap<(UserKey, AppKey), Token>,
    owners: HashMap<Token, Owner>,
}

/// Whom a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// An app on one device.
    Device(DeviceKey, AppKey),
    /// An app on all devices of a user that have it.
    User(UserKey, AppKey),
}

impl Owner {
    pub fn app(self) -> AppKey {
        match self {
            Owner::Device(_, app) | Owner::User(_, app) => app,
        }
    }
}

impl Registrations {
    /// How many apps are registered, each device counted.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn token(&self, device: DeviceKey, app: AppKey) -> Option<Token> {
        self.tokens.get(&(device, app)).copied()
    }

    pub fn user_token(&self, user: UserKey, app: AppKey) -> Option<Token> {
        self.user_tokens.get(&(user, app)).copied()
    }

    pub fn owner(&self, token: Token) -> Option<Owner> {
        self.owners.get(&token).copied()
    }

    /// What is registered on a device.
    pub fn of_device(&self, device: DeviceKey) -> impl Iterator<Item = (AppKey, Token)> {
        let all = (device, AppKey::from_slot(0))..=(device, AppKey::LAST);
        self.tokens.range(all).map(|(&(_, app), &token)| (app, token))
    }

    /// Which apps a user has a token of.
    pub fn of_user(&self, user: UserKey) -> impl Iterator<Item = AppKey> {
        let all = (user, AppKey::from_slot(0))..=(user, AppKey::LAST);
        self.user_tokens.range(all).map(|(&(_, app), _)| app)
    }

    /// Whether it was new: neither the owner had a token, nor the token an owner.
    #[must_use]
    pub fn insert(&mut self, owner: Owner, token: Token) -> bool {
        let had_token = match owner {
            Owner::Device(device, app) => self.tokens.insert((device, app), token),
            Owner::User(user, app) => self.user_tokens.insert((user, app), token),
        };
        let had_owner = self.owners.insert(token, owner);
        had_token.is_none() && had_owner.is_none()
    }

    pub fn remove(&mut self, owner: Owner) -> Option<Token> {
        let token = match owner {
            Owner::Device(device, app) => self.tokens.remove(&(device, app)),
            Owner::User(user, app) => self.user_tokens.remove(&(user, app)),
        }?;
        self.owners.remove(&token);
        Some(token)
    }
}
