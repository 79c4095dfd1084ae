//! Which devices are whose, and the one-time codes by which a device becomes a user's. Draws no
//! randomness, reads no clock and writes no row.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use crate::base::{DeviceId, Digest, Wall};

use super::names::{DeviceKey, NameKey as _, UserKey};

/// Devices that can prove who they are.
#[derive(Default)]
pub(super) struct Enrolments {
    devices: BTreeMap<DeviceId, Member>,
    by_user: BTreeSet<(UserKey, DeviceKey)>,
}

/// An enrolled device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub key: DeviceKey,
    pub user: UserKey,
    pub credential: Digest,
    pub enrolled: Wall,
}

impl Enrolments {
    pub fn len(&self) -> usize {
        self.devices.len()
    }

    pub fn get(&self, device: &DeviceId) -> Option<&Member> {
        self.devices.get(device)
    }

    pub fn insert(&mut self, device: DeviceId, member: Member) {
        self.by_user.insert((member.user, member.key));
        let before = self.devices.insert(device, member);
        assert!(before.is_none(), "a device is enrolled once");
    }

    pub fn remove(&mut self, device: &DeviceId) -> Option<Member> {
        let gone = self.devices.remove(device)?;
        self.by_user.remove(&(gone.user, gone.key));
        Some(gone)
    }

    /// A user's devices.
    pub fn of_user(&self, user: UserKey) -> impl Iterator<Item = DeviceKey> {
        let all = (user, DeviceKey::from_slot(0))..=(user, DeviceKey::LAST);
        self.by_user.range(all).map(|&(_, device)| device)
    }

    /// All devices after this one, in the order of their ids.
    pub fn after(&self, after: Option<&DeviceId>) -> impl Iterator<Item = (&DeviceId, &Member)> {
        self.devices.range::<DeviceId, _>((after.map_or(Unbounded, Excluded), Unbounded))
    }
}

/// Codes that can still be used, by the digest of their secret.
#[derive(Default)]
pub(super) struct Codes {
    codes: BTreeMap<Digest, OpenCode>,
    expiry: BTreeSet<(Wall, Digest)>,
}

/// A code that can still be used.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenCode {
    pub user: UserKey,
    pub expires: Wall,
}

impl Codes {
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    pub fn get(&self, secret: &Digest) -> Option<OpenCode> {
        self.codes.get(secret).copied()
    }

    pub fn insert(&mut self, secret: Digest, code: OpenCode) {
        self.expiry.insert((code.expires, secret));
        let before = self.codes.insert(secret, code);
        assert!(before.is_none(), "a secret is drawn once");
    }

    pub fn remove(&mut self, secret: &Digest) -> Option<OpenCode> {
        let gone = self.codes.remove(secret)?;
        self.expiry.remove(&(gone.expires, *secret));
        Some(gone)
    }

    /// All of a user's. There are few enough codes to look at each.
    pub fn of_user(&self, user: UserKey) -> Vec<Digest> {
        self.codes.iter().filter(|(_, code)| code.user == user).map(|(secret, _)| *secret).collect()
    }

    /// The code that expires first, and when.
    pub fn first_to_expire(&self) -> Option<(Wall, Digest)> {
        self.expiry.first().copied()
    }
}
