//! How the queue keeps what became of messages: from their keys to their rows and back, each change
//! written, and forgotten in time. What a change means stands in `fates`.

use crate::base::{DeviceId, Seq};

use super::answer::Status;
use super::fates::{Change, Fate, Tracked, TrackedRow};
use super::names::DeviceKey;
use super::state::{EXPIRED_PER_TURN_MAX, Queue};

impl Queue {
    /// Something has happened to a message that may be tracked. No answer waits for its row. If its device was
    /// revoked, that came first.
    pub(super) fn note(&mut self, device: DeviceKey, seq: Seq, change: Change) {
        let Some(tracked) = self.fates.get_mut(seq) else { return };
        let Some(fate) = tracked.fates.iter_mut().find(|fate| fate.device == device) else { return };
        let leaving = self.leaving.devices.get(self.devices.name(device));
        let is_new = match leaving {
            Some(leaving) => fate.note(Change::Dropped(Status::Revoked), leaving.since),
            None => fate.note(change, self.now),
        };
        if is_new {
            self.put_tracked_again(seq);
        }
    }

    /// A tracked message as its row has it.
    pub(super) fn tracked_row(&self, seq: Seq) -> Option<TrackedRow> {
        let tracked = self.fates.get(seq)?;
        let fate = |fate: &Fate| Fate {
            device: self.devices.name(fate.device).clone(),
            status: fate.status,
            since: fate.since,
            delivered: fate.delivered,
        };
        Some(Tracked {
            id: tracked.id,
            app: self.apps.name(tracked.app).clone(),
            user: tracked.user.map(|user| self.users.name(user).clone()),
            token: tracked.token,
            sent: tracked.sent,
            repeat: tracked.repeat,
            fates: tracked.fates.iter().map(fate).collect(),
        })
    }

    /// Enters a tracked message; its names are held from now on.
    pub(super) fn hold_tracked(&mut self, row: TrackedRow) {
        let mut hold = |fate: Fate<DeviceId>| Fate {
            device: self.devices.hold(&fate.device),
            status: fate.status,
            since: fate.since,
            delivered: fate.delivered,
        };
        let fates = row.fates.into_iter().map(&mut hold).collect();
        let app = self.apps.hold(&row.app);
        let user = row.user.map(|user| self.users.hold(&user));
        let Tracked { id, token, sent, repeat, .. } = row;
        let tracked = Tracked { id, app, user, token, sent, repeat, fates };
        let until = self.limits.tracked_until(&tracked);
        self.fates.insert(tracked, until);
    }

    /// Nobody may ask for this message's fate any more.
    pub(super) fn forget_fate(&mut self, seq: Seq) {
        let Some(row) = self.tracked_row(seq) else { return };
        let until = self.limits.tracked_until(&row);
        let Some(gone) = self.fates.remove(seq, until) else { return };
        self.apps.release(gone.app);
        if let Some(user) = gone.user {
            self.users.release(user);
        }
        for fate in &gone.fates {
            self.devices.release(fate.device);
        }
        self.erase_tracked(seq, row.encode().len());
    }

    /// Forgets what nobody may ask for any more.
    pub(super) fn forget_fates(&mut self) {
        for _ in 0..EXPIRED_PER_TURN_MAX {
            match self.fates.first_to_go() {
                Some((until, seq)) if until <= self.now => self.forget_fate(seq),
                _ => return,
            }
        }
    }
}
