//! What is read of the queue and changes nothing: pages for sessions, states for senders, lists for
//! devices and the operator.

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::base::{Credential, DeviceId, MessageId, Seq, UserId};

use super::{Listing, Wanted};
use crate::queue::answer::{
    Answer, DeviceState, Devices, EnrolledDevice, MessageState, Refusal, Registered, Registration,
};
use crate::queue::command::Holder;
use crate::queue::enrolments::Member;
use crate::queue::fates::Tracked;
use crate::queue::names::DeviceKey;
use crate::queue::pending::Pending;
use crate::queue::rows::Place;
use crate::queue::state::Queue;

impl Queue {
    /// What is pending for `device` and wanted, as much as one page takes.
    pub fn list(&self, device: &DeviceId, wanted: Wanted) -> Listing {
        let Wanted { after, least, messages_max } = wanted;
        let mut listing = Listing { places: Vec::new(), more: false, newest: after };
        let Some(device) = self.device(device) else { return listing };
        listing.newest = self.newest_live(device, after);
        if !self.live(device, after).any(|(_, pending)| pending.urgency >= least) {
            return listing;
        }
        let messages_max = messages_max.min(self.limits.page_messages_max);
        let mut bytes = 0;
        for (place, pending) in self.live(device, after) {
            bytes += pending.size as usize;
            let is_first = listing.places.is_empty();
            let is_full = listing.places.len() >= messages_max || bytes > self.limits.page_bytes_max;
            if is_full && !is_first {
                listing.more = true;
                break;
            }
            listing.places.push(place);
        }
        listing
    }

    fn live(&self, device: DeviceKey, after: Seq) -> impl DoubleEndedIterator<Item = (Place, &Pending)> {
        self.pending.after(device, after).filter(|(_, pending)| pending.expires > self.now)
    }

    fn newest_live(&self, device: DeviceKey, after: Seq) -> Seq {
        self.live(device, after).next_back().map_or(after, |(place, _)| place.seq)
    }

    /// Whether the device proves by this that it is the one it says.
    pub fn admits(&self, device: &DeviceId, credential: &[u8]) -> bool {
        Credential::from_slice(credential).is_some_and(|credential| self.is_device(device, &credential))
    }

    pub(super) fn is_device(&self, device: &DeviceId, credential: &Credential) -> bool {
        self.enrolments.get(device).is_some_and(|member| member.credential.is_of(credential))
    }

    /// Somebody else's message and none at all are the same answer.
    pub(super) fn query(&self, message: MessageId, by: &Holder) -> Result<Answer, Refusal> {
        let tracked = self.fate_of(message.seq()).filter(|tracked| {
            tracked.id == message
                && tracked.sent + self.limits.tracked_for > self.now
                && self.may_ask(tracked, by)
        });
        let tracked = tracked.ok_or(Refusal::UnknownMessage)?;
        let devices = tracked.fates.iter().map(|fate| {
            let (status, since) = self.outcome(fate);
            let device = self.devices.name(fate.device).clone();
            DeviceState { device, status, since, delivered: fate.delivered }
        });
        Ok(Answer::State(MessageState {
            id: tracked.id,
            app: self.apps.name(tracked.app).clone(),
            sent: tracked.sent,
            devices: devices.collect(),
        }))
    }

    fn may_ask(&self, tracked: &Tracked, by: &Holder) -> bool {
        match by {
            Holder::Token(token) => verify_slices_are_equal(&token.0, &tracked.token.0).is_ok(),
            Holder::AppKey(key) => {
                let bound = self.bound_apps.get(self.apps.name(tracked.app));
                bound.is_some_and(|digest| digest.is_of(key))
            }
        }
    }

    pub(super) fn registrations(
        &self,
        device: &DeviceId,
        credential: Option<&Credential>,
    ) -> Result<Answer, Refusal> {
        self.check_device(device, credential)?;
        let user = self.enrolments.get(device).map(|member| member.user);
        let Some(device) = self.device(device) else { return Ok(Answer::Registrations(Vec::new())) };
        let tokens = self.registrations.of_device(device).map(|(app, token)| Registration {
            app: self.apps.name(app).clone(),
            tokens: Registered {
                token,
                user_token: user.and_then(|user| self.registrations.user_token(user, app)),
            },
        });
        let mut registrations: Vec<_> = tokens.collect();
        registrations.sort_by(|one, other| one.app.cmp(&other.app));
        Ok(Answer::Registrations(registrations))
    }

    pub(super) fn devices(
        &self,
        after: Option<&DeviceId>,
        user: Option<&UserId>,
        devices_max: usize,
    ) -> Answer {
        let devices_max = devices_max.clamp(1, self.limits.page_devices_max);
        let mut devices: Vec<EnrolledDevice> = match user {
            None => self.enrolments.after(after).take(devices_max + 1).map(|of| self.view(of)).collect(),
            Some(user) => self.devices_of(user, after),
        };
        let more = devices.len() > devices_max;
        devices.truncate(devices_max);
        Answer::Devices(Devices { devices, more })
    }

    fn devices_of(&self, user: &UserId, after: Option<&DeviceId>) -> Vec<EnrolledDevice> {
        let Some(user) = self.users.find(user) else { return Vec::new() };
        let mut ids: Vec<&DeviceId> =
            self.enrolments.of_user(user).map(|device| self.devices.name(device)).collect();
        ids.sort();
        let members = ids.into_iter().filter(|&id| after.is_none_or(|after| id > after));
        members.filter_map(|id| Some(self.view((id, self.enrolments.get(id)?)))).collect()
    }

    fn view(&self, (device, member): (&DeviceId, &Member)) -> EnrolledDevice {
        EnrolledDevice {
            device: device.clone(),
            user: self.users.name(member.user).clone(),
            enrolled: member.enrolled,
            apps: self.registrations.of_device(member.key).count(),
            pending: self.live(member.key, Seq(0)).count(),
        }
    }

    pub(super) fn bound_apps(&self) -> Answer {
        Answer::BoundApps(self.bound_apps.keys().cloned().collect())
    }
}
