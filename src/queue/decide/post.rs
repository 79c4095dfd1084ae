//! The rules about messages: whom a token stands for, limits, replacing and clearing, and what is kept
//! of a message for its sender.

use std::sync::Arc;
use std::time::Duration;

use crate::base::{AppId, Credential, DeviceId, MessageId, Random, Seq, Token, UserId};

use super::{Obstacle, draw};
use crate::queue::answer::{Answer, PendingMessage, Refusal, Sent, Status};
use crate::queue::command::{Address, Notify, Submission};
use crate::queue::fates::{Change, Fate, Tracked, TrackedRow};
use crate::queue::limits::MESSAGE_BYTES_MAX;
use crate::queue::names::{AppKey, DeviceKey};
use crate::queue::pending::{Pending, PendingKey};
use crate::queue::registrations::Owner;
use crate::queue::rows::{Key, MessageRow, Place};
use crate::queue::state::Queue;

/// A copy's device and app, looked for once. What is not known yet is not found.
#[derive(Clone, Copy, Default)]
pub(in crate::queue) struct Found {
    device: Option<DeviceKey>,
    app: Option<AppKey>,
}

/// What a new message finds pending for its device.
#[derive(Default)]
struct Survey {
    /// Those that it clears or replaces, and which of the two.
    dropped: Vec<(Seq, Status)>,
    dropped_bytes: u64,
    /// The others.
    kept: usize,
    /// Of these, the live ones of the same app that are at least as urgent, and the newest of them. What is
    /// less urgent may wait by the device's own wish, and must not keep a call from it.
    same_app: usize,
    newest: Option<Place>,
}

impl Queue {
    pub(super) fn notify(&mut self, notify: &Notify, random: &mut Random) -> Result<Answer, Obstacle> {
        self.post(notify, random).map(|_| Answer::Done)
    }

    pub(super) fn send(&mut self, submissions: &[Submission], random: &mut Random) -> Answer {
        Answer::Sent(submissions.iter().map(|submission| self.submit(submission, random)).collect())
    }

    /// Posts a message and keeps what becomes of it; or, if the request was made before, says again what
    /// was said then.
    fn submit(&mut self, submission: &Submission, random: &mut Random) -> Result<Sent, Refusal> {
        let Submission { notify, repeat } = submission;
        let Address::Token(token) = notify.to else { return Err(Refusal::UnknownToken) };
        if let Some(repeat) = repeat
            && let Some(seq) = self.fates.repeated(token, repeat.key)
            && let Some(tracked) = self.fate_of(seq)
        {
            self.check_app_key(self.apps.name(tracked.app), notify.app_key.as_ref())?;
            let is_same = tracked.repeat.is_some_and(|known| known.request == repeat.request);
            return if is_same { Ok(self.as_sent(tracked)) } else { Err(Refusal::AnotherRequest) };
        }
        let sent = self.post(notify, random).map_err(Obstacle::into_refusal)?;
        let fate = |(device, status): &(DeviceId, Status)| Fate::new(device.clone(), *status, self.now);
        self.track(Tracked {
            id: sent.id,
            app: notify.app.clone(),
            user: self.user_behind(token),
            token,
            sent: self.now,
            repeat: *repeat,
            fates: sent.devices.iter().map(fate).collect(),
        });
        Ok(sent)
    }

    /// What was answered when this message was sent.
    fn as_sent(&self, tracked: &Tracked) -> Sent {
        let first = |status: Status| if status.is_unqueued() { status } else { Status::Queued };
        let devices =
            tracked.fates.iter().map(|fate| (self.devices.name(fate.device).clone(), first(fate.status)));
        Sent { id: tracked.id, devices: devices.collect() }
    }

    fn track(&mut self, row: TrackedRow) {
        while self.fates.len() >= self.limits.tracked_max.max(1) {
            let first = self.fates.first_to_yield().expect("there are some");
            self.forget_fate(first);
        }
        let seq = row.id.seq();
        self.hold_tracked(row);
        self.put_tracked(seq);
    }

    /// Queues a message for each device that it is for and that has room for it; refuses it if none has.
    fn post(&mut self, notify: &Notify, random: &mut Random) -> Result<Sent, Obstacle> {
        let mut devices = self.recipients(notify)?;
        self.check_live(notify.expires)?;
        let tag = notify.replace_tag.as_deref().filter(|tag| !tag.is_empty());
        if tag.map_or(0, str::len) + notify.payload.len() > MESSAGE_BYTES_MAX {
            return Err(Refusal::Unavailable.into());
        }
        self.check_rates(notify)?;
        let id = MessageId::new(self.head.next_seq, draw(random));
        let mut first_obstacle = None;
        for (copy, (device, status)) in (0..).zip(&mut devices) {
            if let Err(obstacle) = self.post_copy(id, copy, device, notify, tag) {
                *status = obstacle.status();
                first_obstacle.get_or_insert(obstacle);
            }
        }
        if !devices.iter().any(|(_, status)| *status == Status::Queued) {
            return Err(first_obstacle.unwrap_or(Refusal::UnknownToken.into()));
        }
        self.head.next_seq = Seq(id.seq().0 + 1);
        Ok(Sent { id, devices })
    }

    /// The devices that a message is for, if its sender may post to them: all as if it were queued for them.
    fn recipients(&self, notify: &Notify) -> Result<Vec<(DeviceId, Status)>, Refusal> {
        let devices = match &notify.to {
            Address::Device(device) if self.leaving.has_device(device) => return Err(Refusal::Unavailable),
            Address::Device(device) => vec![(device.clone(), Status::Queued)],
            Address::Token(token) => {
                let owner = self.registrations.owner(*token).ok_or(Refusal::UnknownToken)?;
                if *self.apps.name(owner.app()) != notify.app {
                    return Err(Refusal::Unauthorized);
                }
                self.devices_behind(owner)
            }
        };
        self.check_app_key(&notify.app, notify.app_key.as_ref())?;
        Ok(devices)
    }

    /// Whether this key, or none, will do for the app.
    fn check_app_key(&self, app: &AppId, key: Option<&Credential>) -> Result<(), Refusal> {
        let bound = self.bound_apps.get(app);
        let is_allowed = bound.is_none_or(|bound| key.is_some_and(|key| bound.is_of(key)));
        if is_allowed { Ok(()) } else { Err(Refusal::AppKeyNeeded) }
    }

    /// Counts the message against its token, its app and its user, unless one of them is over its rate:
    /// then against none, for it costs next to nothing.
    fn check_rates(&mut self, notify: &Notify) -> Result<(), Refusal> {
        let Address::Token(token) = notify.to else { return Ok(()) };
        let (rates, now) = (self.limits.rates, self.monotonic.0);
        let user = rates.user.and_then(|rate| Some((rate, self.user_behind(token)?)));
        let waits = [
            rates.token.map(|rate| self.by_token.wait(&token, rate, now)),
            rates.app.map(|rate| self.by_app.wait(&notify.app, rate, now)),
            user.as_ref().map(|(rate, user)| self.by_user.wait(user, *rate, now)),
        ];
        let wait = waits.into_iter().flatten().max().unwrap_or_default();
        if !wait.is_zero() {
            let retry_after = Duration::from_secs(wait.as_millis().div_ceil(1_000).max(1) as u64);
            return Err(Refusal::TooManyRequests { retry_after });
        }
        if let Some(rate) = rates.token {
            self.by_token.take(token, rate, now);
        }
        if let Some(rate) = rates.app {
            self.by_app.take(self.shared_app(notify.app.clone()), rate, now);
        }
        if let Some((rate, user)) = user {
            self.by_user.take(user, rate, now);
        }
        Ok(())
    }

    fn user_behind(&self, token: Token) -> Option<UserId> {
        let user = match self.registrations.owner(token)? {
            Owner::Device(device, _) => self.enrolments.get(self.devices.name(device))?.user,
            Owner::User(user, _) => user,
        };
        Some(self.users.name(user).clone())
    }

    fn devices_behind(&self, owner: Owner) -> Vec<(DeviceId, Status)> {
        let queued = |device: DeviceKey| (self.devices.name(device).clone(), Status::Queued);
        match owner {
            Owner::Device(device, _) => vec![queued(device)],
            Owner::User(user, app) => {
                let has_app = |device: &_| self.registrations.token(*device, app).is_some();
                self.enrolments.of_user(user).filter(has_app).map(queued).collect()
            }
        }
    }

    fn post_copy(
        &mut self,
        id: MessageId,
        copy: u16,
        device: &DeviceId,
        notify: &Notify,
        tag: Option<&str>,
    ) -> Result<(), Obstacle> {
        let found = Found { device: self.device(device), app: self.apps.find(&notify.app) };
        let survey = self.survey(found, notify, tag);
        let row = MessageRow {
            id,
            copy,
            device: device.clone(),
            app: notify.app.clone(),
            expires: notify.expires,
            urgency: notify.urgency,
            tag,
            payload: notify.payload.as_bytes(),
        };
        let value = row.encode();
        self.check_message_room((device, found.device), &survey, value.len())?;
        self.enqueue(row, value, notify, found, survey.dropped);
        Ok(())
    }

    fn survey(&self, found: Found, notify: &Notify, tag: Option<&str>) -> Survey {
        let mut survey = Survey::default();
        let Some(device) = found.device else { return survey };
        survey.kept = self.pending.count(device);
        let Some(app) = found.app else { return survey };
        for (place, pending) in self.pending.of_app(device, app) {
            let is_replaced = tag.is_some() && pending.tag.as_deref() == tag;
            if notify.clear_pending || is_replaced {
                let why = if is_replaced { Status::Replaced } else { Status::Cleared };
                survey.dropped.push((place.seq, why));
                survey.dropped_bytes += u64::from(pending.size);
            } else if pending.urgency >= notify.urgency && pending.expires > self.now {
                survey.same_app += 1;
                survey.newest = Some(place);
            }
        }
        survey.kept -= survey.dropped.len();
        survey
    }

    fn check_message_room(
        &self,
        device: (&DeviceId, Option<DeviceKey>),
        survey: &Survey,
        size: usize,
    ) -> Result<(), Obstacle> {
        if survey.same_app >= self.limits.messages_per_app_max {
            return Err(survey.newest.map_or(Refusal::Unavailable.into(), Obstacle::TooManyPending));
        }
        if survey.kept >= self.limits.messages_per_device_max
            || self.pending_of_user_of(device) - survey.dropped.len() >= self.limits.messages_per_user_max
        {
            return Err(Refusal::Unavailable.into());
        }
        Ok(self.check_room(size as u64, survey.dropped.len(), survey.dropped_bytes)?)
    }

    /// What is pending for the device's user; for the device alone if it is nobody's.
    fn pending_of_user_of(&self, (device, key): (&DeviceId, Option<DeviceKey>)) -> usize {
        match self.enrolments.get(device) {
            Some(member) => {
                self.enrolments.of_user(member.user).map(|device| self.pending.count(device)).sum()
            }
            None => key.map_or(0, |key| self.pending.count(key)),
        }
    }

    fn enqueue(
        &mut self,
        row: MessageRow,
        value: Vec<u8>,
        notify: &Notify,
        found: Found,
        dropped: Vec<(Seq, Status)>,
    ) {
        let size = u16::try_from(value.len()).expect("rows are bounded by MESSAGE_BYTES_MAX");
        let (key, pending) = self.hold_message(&row, size, found);
        let (device, _, copy) = key;
        let app = self.apps.name(pending.app).clone();
        self.pending.insert(key, pending);
        for (seq, why) in dropped {
            self.drop_message(device, seq, Change::Dropped(why));
        }
        self.put(Key::Message(row.place()), value);
        let MessageRow { id, expires, urgency, .. } = row;
        let payload = notify.payload.clone();
        self.announce_message(device, copy, Arc::new(PendingMessage { id, app, expires, urgency, payload }));
    }

    /// A message as the index knows it; its names are held from now on.
    pub(in crate::queue) fn hold_message(
        &mut self,
        row: &MessageRow,
        size: u16,
        found: Found,
    ) -> (PendingKey, Pending) {
        let device = self.devices.hold_found(found.device, &row.device);
        let pending = Pending {
            expires: row.expires,
            app: self.apps.hold_found(found.app, &row.app),
            size,
            urgency: row.urgency,
            tag: row.tag.map(Box::from),
        };
        ((device, row.id.seq(), row.copy), pending)
    }
}

impl Obstacle {
    /// What it means for one of several devices.
    fn status(&self) -> Status {
        match self {
            Obstacle::TooManyPending(_) => Status::TooManyPending,
            Obstacle::Refusal(_) => Status::NoRoom,
        }
    }

    fn into_refusal(self) -> Refusal {
        match self {
            Obstacle::TooManyPending(_) => Refusal::TooManyPending(None),
            Obstacle::Refusal(refusal) => refusal,
        }
    }
}
