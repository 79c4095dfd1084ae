//! Devices that were revoked and users that were erased, for as long as something is stored of them.
//! Their rights ended at once; what is stored goes bit by bit. Writes no row, and decides nothing.
//!
//! ```text
//!             revoked, erased                        the last row is taken away
//!  enrolled ───────────────────► leaving, with a mark ─────────────────────────► unknown
//!             (one batch)            │        ▲        (the mark goes last)
//!                                    └────────┘
//!                              some rows in each turn;
//!                              a restart goes on by the mark
//! ```

use std::collections::BTreeMap;

use crate::base::{DeviceId, Wall};

use super::names::{DeviceKey, UserKey};
use super::rows::Key;

/// All who are leaving.
#[derive(Default)]
pub(super) struct Leaving {
    pub devices: BTreeMap<DeviceId, LeavingDevice>,
    pub users: BTreeMap<UserKey, LeavingUser>,
    /// How many rows may still be taken away in this turn.
    pub rows_left: usize,
}

/// A device that was revoked. Its key and its user's are held.
#[derive(Debug)]
pub(super) struct LeavingDevice {
    pub key: DeviceKey,
    pub user: UserKey,
    /// When it was revoked.
    pub since: Wall,
    /// What is stored of its rights, beside the mark. Its messages are found by its key.
    pub rows: Vec<Key>,
}

/// A user who was erased. The key is held.
#[derive(Debug, Default)]
pub(super) struct LeavingUser {
    /// What is stored of the user's codes and tokens. Tracked messages are found by the user's key.
    pub rows: Vec<Key>,
}

impl Leaving {
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty() && self.users.is_empty()
    }

    pub fn has_device(&self, device: &DeviceId) -> bool {
        self.devices.contains_key(device)
    }

    pub fn has_user(&self, user: UserKey) -> bool {
        self.users.contains_key(&user)
    }

    pub fn has_device_of(&self, user: UserKey) -> bool {
        self.devices.values().any(|device| device.user == user)
    }

    /// Whether another row may be taken away in this turn; it counts as taken.
    pub fn take_one(&mut self) -> bool {
        let may_take = self.rows_left > 0;
        self.rows_left = self.rows_left.saturating_sub(1);
        may_take
    }
}
