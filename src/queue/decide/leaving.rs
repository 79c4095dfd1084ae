//! The rules about those who leave: a revocation and an erasure end rights at once, in the batch that
//! writes a mark; what is stored is then taken away in bounded turns, so that nobody waits for it.

use crate::base::{DeviceId, Digest, Seq, UserId, Wall};

use crate::queue::answer::{Answer, Refusal, Status};
use crate::queue::fates::{Change, Fate, Tracked};
use crate::queue::leaving::{LeavingDevice, LeavingUser};
use crate::queue::names::{AppKey, DeviceKey, UserKey};
use crate::queue::rows::{DeviceRow, ErasedUserRow, Key};
use crate::queue::state::Queue;

/// Users whose rows are looked for in one turn; the others' turn comes when these are through.
const USERS_PER_TURN_MAX: usize = 16;
/// About what the row of a token, a code or a mark takes, in bytes.
const SMALL_ROW_BYTES: usize = 100;

impl Queue {
    /// The device's credential and tokens die and its session ends. What is pending for it is out of
    /// everybody's reach, and goes.
    pub(super) fn revoke(&mut self, device: &DeviceId) -> Result<Answer, Refusal> {
        if self.enrolments.get(device).is_none() {
            return self.revoke_unenrolled(device);
        }
        self.end_device(device);
        self.take_away();
        Ok(Answer::Done)
    }

    /// A device that has registered apps without a credential, as open mode lets it: it has no mark to leave, so
    /// all goes in one turn. Of what is pending a crash between its batches leaves some, until that expires.
    fn revoke_unenrolled(&mut self, device: &DeviceId) -> Result<Answer, Refusal> {
        let key = self.devices.find(device).ok_or(Refusal::UnknownDevice)?;
        let apps: Vec<AppKey> = self.registrations.of_device(key).map(|(app, _)| app).collect();
        if apps.is_empty() {
            return Err(Refusal::UnknownDevice);
        }
        while let Some(seq) = self.pending.first(key) {
            self.drop_message(key, seq, Change::Dropped(Status::Revoked));
        }
        apps.into_iter().for_each(|app| self.drop_registration(key, app));
        self.announce_revoked(device.clone());
        self.promise();
        Ok(Answer::Done)
    }

    /// A user leaves with all devices, codes and tokens, and with what became of messages. Codes are made
    /// for the same user again when all of it is gone.
    pub(super) fn erase_user(&mut self, user: &UserId) -> Result<Answer, Refusal> {
        let key = self.users.find(user).ok_or(Refusal::UnknownUser)?;
        if self.leaving.has_user(key) {
            return Ok(Answer::Done);
        }
        self.put_again(Key::erased_user(user), ErasedUserRow { user: user.clone() }.encode());
        self.hold_erased_user(user);
        self.end_user(key);
        let devices: Vec<DeviceKey> = self.enrolments.of_user(key).collect();
        let ids: Vec<DeviceId> = devices.iter().map(|&device| self.devices.name(device).clone()).collect();
        ids.iter().for_each(|device| self.end_device(device));
        self.take_away();
        Ok(Answer::Done)
    }

    /// The enrolled device's row becomes its mark, without the credential.
    fn end_device(&mut self, device: &DeviceId) {
        let member = self.enrolments.remove(device).expect("it is enrolled");
        let mark = DeviceRow {
            device: device.clone(),
            user: self.users.name(member.user).clone(),
            credential: Digest([0; 32]),
            enrolled: member.enrolled,
            revoked: Some(self.now),
        };
        self.put_over(Key::device(device), mark.encode());
        self.announce_revoked(device.clone());
        let leaving = LeavingDevice { key: member.key, user: member.user, since: self.now, rows: Vec::new() };
        self.leaving.devices.insert(device.clone(), leaving);
        self.end_registrations(device);
    }

    fn end_registrations(&mut self, device: &DeviceId) {
        let leaving = &self.leaving.devices[device];
        let (key, user) = (leaving.key, leaving.user);
        let apps: Vec<AppKey> = self.registrations.of_device(key).map(|(app, _)| app).collect();
        let mut rows = Vec::with_capacity(apps.len());
        for app in apps {
            rows.extend(self.forget_registration(key, app).map(Key::Registration));
            self.drop_user_token_if_last(user, app);
        }
        self.leaving.devices.get_mut(device).expect("it is leaving").rows = rows;
    }

    fn end_user(&mut self, user: UserKey) {
        let codes = self.codes.of_user(user).into_iter().filter_map(|secret| self.forget_code(&secret));
        let mut rows: Vec<Key> = codes.collect();
        let apps: Vec<AppKey> = self.registrations.of_user(user).collect();
        let tokens = apps.into_iter().filter_map(|app| self.forget_user_token(user, app));
        rows.extend(tokens.map(Key::UserToken));
        self.leaving.users.insert(user, LeavingUser { rows });
    }

    /// Enters a device by the mark of its revocation.
    pub(in crate::queue) fn hold_leaving_device(&mut self, row: &DeviceRow, since: Wall) {
        let (key, user) = (self.devices.hold(&row.device), self.users.hold(&row.user));
        let leaving = LeavingDevice { key, user, since, rows: Vec::new() };
        self.leaving.devices.insert(row.device.clone(), leaving);
    }

    /// Enters a user by the mark of the erasure.
    pub(in crate::queue) fn hold_erased_user(&mut self, user: &UserId) {
        let key = self.users.hold(user);
        self.leaving.users.insert(key, LeavingUser::default());
    }

    /// Ends rights of which rows were left when the queue was restored: they had ended before.
    pub(in crate::queue) fn end_rights_of_leaving(&mut self) {
        let users: Vec<UserKey> = self.leaving.users.keys().copied().collect();
        users.into_iter().for_each(|user| self.end_user(user));
        let devices: Vec<DeviceId> = self.leaving.devices.keys().cloned().collect();
        devices.iter().for_each(|device| self.end_registrations(device));
    }

    /// Takes away some of what is stored of those who leave. Users come first: what became of messages need
    /// not be written for who is not to be asked about any more.
    pub(in crate::queue) fn take_away(&mut self) {
        if self.leaving.is_empty() {
            return;
        }
        self.promise();
        let users: Vec<UserKey> = self.leaving.users.keys().take(USERS_PER_TURN_MAX).copied().collect();
        users.iter().for_each(|&user| self.take_away_of_user(user));
        self.take_away_of_devices();
        users.into_iter().for_each(|user| self.see_user_off(user));
    }

    fn take_away_of_user(&mut self, user: UserKey) {
        while let Some(seq) = self.fates.first_of_user(user)
            && self.may_take_away()
        {
            self.forget_fate(seq);
        }
        while self.may_take_away()
            && let Some(row) = self.leaving.users.get_mut(&user).and_then(|leaving| leaving.rows.pop())
        {
            self.erase(row, SMALL_ROW_BYTES);
        }
    }

    /// From each an equal share: copies of the same messages lie next to each other in the store, so that
    /// they cost half as much together.
    fn take_away_of_devices(&mut self) {
        let devices: Vec<DeviceId> =
            self.leaving.devices.keys().take(self.leaving.rows_left).cloned().collect();
        let share = self.leaving.rows_left / devices.len().max(1);
        for device in devices {
            for _ in 0..share {
                if !self.may_take_away() || !self.take_one_away(&device) {
                    break;
                }
            }
        }
    }

    /// Whether there is more.
    fn take_one_away(&mut self, device: &DeviceId) -> bool {
        let leaving = self.leaving.devices.get_mut(device).expect("it is leaving");
        let key = leaving.key;
        if let Some(row) = leaving.rows.pop() {
            self.erase(row, SMALL_ROW_BYTES);
        } else if let Some(seq) = self.pending.first(key) {
            self.drop_message(key, seq, Change::Dropped(Status::Revoked));
        } else {
            self.see_device_off(device);
            return false;
        }
        true
    }

    /// The mark goes in the same batch as what it stands for, or in a later one.
    fn see_device_off(&mut self, device: &DeviceId) {
        let gone = self.leaving.devices.remove(device).expect("it is leaving");
        self.erase(Key::device(device), SMALL_ROW_BYTES);
        self.devices.release(gone.key);
        self.users.release(gone.user);
    }

    fn see_user_off(&mut self, user: UserKey) {
        let has_rows = !self.leaving.users[&user].rows.is_empty();
        if has_rows || self.fates.first_of_user(user).is_some() || self.leaving.has_device_of(user) {
            return;
        }
        self.leaving.users.remove(&user);
        self.erase(Key::erased_user(self.users.name(user)), SMALL_ROW_BYTES);
        self.users.release(user);
    }

    /// A message's fate, unless its user was erased: then nobody may ask any more.
    pub(super) fn fate_of(&self, seq: Seq) -> Option<&Tracked> {
        self.fates.get(seq).filter(|tracked| tracked.user.is_none_or(|user| !self.leaving.has_user(user)))
    }

    /// What became of a message on a device, and since when. A revoked device's will be written when the
    /// message is taken away, but hold already.
    pub(super) fn outcome(&self, fate: &Fate) -> (Status, Wall) {
        match self.leaving.devices.get(self.devices.name(fate.device)) {
            Some(leaving) if fate.status == Status::Queued => (Status::Revoked, leaving.since),
            _ => (fate.status, fate.since),
        }
    }
}
