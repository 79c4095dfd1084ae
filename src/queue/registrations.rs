//! Who may be addressed by which token. Draws no randomness and writes no row.

use std::collections::{BTreeMap, HashMap};

use crate::base::Token;

use super::names::{AppKey, DeviceKey};

/// Tokens by owner and owners by token: always each other's mirror.
#[derive(Default)]
pub(super) struct Registrations {
    tokens: BTreeMap<(DeviceKey, AppKey), Token>,
    owners: HashMap<Token, (DeviceKey, AppKey)>,
}

impl Registrations {
    pub fn len(&self) -> usize {
        self.owners.len()
    }

    pub fn token(&self, device: DeviceKey, app: AppKey) -> Option<Token> {
        self.tokens.get(&(device, app)).copied()
    }

    pub fn owner(&self, token: Token) -> Option<(DeviceKey, AppKey)> {
        self.owners.get(&token).copied()
    }

    /// Whether it was new: neither the owner had a token, nor the token an owner.
    #[must_use]
    pub fn insert(&mut self, device: DeviceKey, app: AppKey, token: Token) -> bool {
        let had_token = self.tokens.insert((device, app), token).is_some();
        let had_owner = self.owners.insert(token, (device, app)).is_some();
        !had_token && !had_owner
    }

    pub fn remove(&mut self, device: DeviceKey, app: AppKey) -> Option<Token> {
        let token = self.tokens.remove(&(device, app))?;
        self.owners.remove(&token);
        Some(token)
    }
}
