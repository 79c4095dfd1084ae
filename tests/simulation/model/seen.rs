//! What devices and senders see, held against what ought to be.

use lomiri_push::base::{AppId, MessageId, Now, Payload};
use lomiri_push::queue::{DeviceState, MessageState, Status};

use super::super::mail::Mail;
use super::posts::Copy;
use super::{EXPIRY_ROUNDING, Model, Sure};

impl Model {
    /// A message has come to a device, and was sent then at the earliest.
    pub fn came(&mut self, device: usize, id: MessageId, app: &AppId, payload: &Payload, sent: Now) {
        let Some(Mail::Message(number)) = Mail::read(payload.as_bytes()) else {
            return self.complain(format!("no number in {payload:?}"));
        };
        let Some(post) = self.posts.get(number) else { return self.complain(format!("no message {number}")) };
        let what = format!("message {number} came to device {device}");
        let Some(copy) = post.copies.get(&device) else {
            return self.complain(format!("{what}, and is not for it"));
        };
        let is_gone = copy.gone().is_some_and(|(_, at)| sent.monotonic > at);
        let revoked = self.owners[device].revoked;
        let checks = [
            (self.apps[post.draft.app] != *app, "for another app"),
            (post.is_there == Sure::No, "though it was refused"),
            (post.draft.expires <= sent.wall, "sent after its expiry"),
            (is_gone, "sent after it was replaced, cleared or revoked"),
            (revoked.is_some_and(|at| sent.monotonic > at), "sent after the device was revoked"),
            (post.id.is_some_and(|known| known != id), "under another id"),
        ];
        for (_, wrong) in checks.into_iter().filter(|(is_wrong, _)| *is_wrong) {
            self.complain(format!("{what}, {wrong}"));
        }
    }

    /// One that a device has had may come again when a later one has expired: the wire counts from the last of
    /// those that live. So that it came at all is what can be wrong.
    pub fn news_came(&mut self, device: usize, number: usize) {
        let is_announced = self.broadcasts.get(number).is_some_and(|news| news.is_there != Sure::No);
        self.check(is_announced, || format!("device {device} got broadcast {number}, which there is not"));
    }

    pub fn came_late(&mut self, device: usize, id: MessageId) {
        let number = self.by_id.get(&id).copied();
        if let Some(copy) = number.and_then(|number| self.posts[number].copies.get_mut(&device)) {
            copy.is_late = true;
        }
    }

    pub fn copy(&mut self, device: usize, mail: Mail) -> Option<&mut Copy> {
        let Mail::Message(number) = mail else { return None };
        self.posts.get_mut(number)?.copies.get_mut(&device)
    }

    /// A device has followed the channel to here, for good.
    pub fn at_level(&mut self, device: usize, level: i64) {
        let before = std::mem::replace(&mut self.owners[device].level, level);
        let top = self.count_news(|news| news.is_there != Sure::No);
        self.check(level >= before, || {
            format!("device {device} stepped back from level {before} to {level}")
        });
        self.check(level <= top, || format!("device {device} is at level {level} of {top}"));
    }

    /// A device was let in, over a connection that it opened after this.
    pub fn let_in(&mut self, device: usize, opened: lomiri_push::base::Monotonic) {
        let is_fair = self.owners[device].revoked.is_none_or(|at| opened <= at);
        self.check(is_fair, || format!("device {device} was let in after it was revoked"));
    }

    /// A device was turned away.
    pub fn turned_away(&mut self, device: usize) {
        let may_be = self.owners[device].may_be_revoked;
        self.check(may_be, || format!("device {device} was turned away"));
    }

    /// The server tells what became of a message; `is_over` if nothing can change any more.
    pub fn state_told(&mut self, number: usize, state: &MessageState, is_over: bool) {
        for DeviceState { device: id, status, delivered, .. } in &state.devices {
            let Some(device) = self.owners.iter().position(|owner| owner.id.as_ref() == Some(id)) else {
                return self.complain(format!("message {number} is told to be on an unknown device"));
            };
            let post = &self.posts[number];
            let Some(copy) = post.copies.get(&device) else { continue };
            let has_expired = post.draft.expires <= self.latest;
            // By the device's count, which is in whole seconds.
            let may_have_expired = post.draft.expires <= self.latest + EXPIRY_ROUNDING;
            let gone = copy.gone().map(|(why, _)| why);
            let may_be_gone = gone.map_or(!copy.is_owed(), |why| why.is_none_or(|why| why == *status));
            let is_had = copy.is_stored && delivered.is_some();
            let is_fair = match status {
                Status::Queued => gone.is_none() && !(is_over && (copy.is_stored || has_expired)),
                Status::Delivered => is_had || copy.is_late,
                Status::Shown => is_had && copy.is_noticed,
                Status::Opened => is_had && copy.is_opened,
                Status::Expired => may_have_expired || copy.is_late,
                Status::Replaced | Status::Cleared | Status::Revoked => may_be_gone,
                Status::TooManyPending | Status::NoRoom => {
                    may_be_gone && gone.is_none_or(|why| why.is_none())
                }
                Status::Refused => false,
            };
            let is_told =
                format!("message {number} on device {device} is told to be {status:?}, and is {copy:?}");
            self.check(is_fair, || is_told);
        }
    }
}
