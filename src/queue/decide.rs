//! What the queue makes of each command: the rules about tokens, limits, replacing, clearing and
//! levels. A command that is refused has changed nothing.

use std::sync::Arc;

use crate::base::{
    AppId, ChannelId, DeviceId, Level, MessageId, Payload, Random, Seq, SessionId, Token, Urgency, Wall,
};

use super::answer::{Answer, Broadcast, PendingMessage, Refusal, Registered};
use super::command::{Address, Command, Notify};
use super::limits::MESSAGE_BYTES_MAX;
use super::names::DeviceKey;
use super::pending::Pending;
use super::rows::{BroadcastRow, Key, MessageRow, RegistrationRow};
use super::state::Queue;

/// The name of the one channel.
const SYSTEM_CHANNEL: &str = "system";

/// What is to be answered once the turn's batch is durable.
#[derive(Debug)]
pub enum Decision {
    /// This.
    Answer(Answer),
    /// [`Refusal::TooManyPending`] with this message's payload: read it before the batch is applied,
    /// from the store or, if it is younger than that, from [`Queue::queued`].
    TooManyPending(Seq),
    /// [`Command::Acked`] for those of these that are pending under the whole id, of which the index
    /// holds a part: read the others' as for [`Decision::TooManyPending`], and decide that at once.
    Stored {
        /// Who.
        device: DeviceId,
        /// Which.
        ids: Vec<MessageId>,
    },
    /// The page that [`Queue::list`] gives when the batch is durable.
    Fetch {
        /// Whose messages.
        device: DeviceId,
        /// Who asks.
        session: SessionId,
        /// What it asks for.
        wanted: Wanted,
    },
}

/// Which part of what is pending a session asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What comes after this message.
    pub after: Seq,
    /// All of it, or nothing if none is this urgent.
    pub least: Urgency,
    /// Most messages in the page.
    pub messages_max: usize,
}

/// A page of what is pending for a device, without the payloads.
#[derive(Debug, PartialEq, Eq)]
pub struct Listing {
    /// In order of arrival; live in this turn.
    pub seqs: Vec<Seq>,
    /// Whether there are more.
    pub more: bool,
    /// The device's newest live message, or what was asked for, whichever is later.
    pub newest: Seq,
}

/// What stands in the way of a command.
enum Obstacle {
    Refusal(Refusal),
    TooManyPending(Seq),
}

impl From<Refusal> for Obstacle {
    fn from(refusal: Refusal) -> Obstacle {
        Obstacle::Refusal(refusal)
    }
}

impl From<Result<Answer, Obstacle>> for Decision {
    fn from(result: Result<Answer, Obstacle>) -> Decision {
        match result {
            Ok(answer) => Decision::Answer(answer),
            Err(Obstacle::Refusal(refusal)) => Decision::Answer(Answer::Refused(refusal)),
            Err(Obstacle::TooManyPending(seq)) => Decision::TooManyPending(seq),
        }
    }
}

/// What a new message finds pending for its device.
#[derive(Default)]
struct Survey {
    /// Those that it clears or replaces.
    dropped: Vec<Seq>,
    dropped_bytes: u64,
    /// The others.
    kept: usize,
    /// Of these, the live ones of the same app that are at least as urgent, and the newest of them. What is
    /// less urgent may wait by the device's own wish, and must not keep a call from it.
    same_app: usize,
    newest: Option<Seq>,
}

impl Queue {
    /// Decides one command.
    pub fn decide(&mut self, command: Command, random: &mut Random) -> Decision {
        match command {
            Command::Notify(notify) => self.notify(notify, random).into(),
            Command::Broadcast { channel, expires, payload } => {
                self.broadcast(&channel, expires, payload).into()
            }
            Command::Register { device, app, .. } => self.register(device, app, random).into(),
            Command::Unregister { device, app, .. } => Ok(self.unregister(&device, &app)).into(),
            Command::Acked { device, seqs } => Ok(self.ack(&device, &seqs)).into(),
            Command::Stored { device, ids } => Decision::Stored { device, ids },
            Command::Fetch { device, session, after, least, messages_max } => {
                Decision::Fetch { device, session, wanted: Wanted { after, least, messages_max } }
            }
            Command::Probe => self.probe().into(),
            _ => Decision::Answer(Answer::Refused(Refusal::Unavailable)),
        }
    }

    fn notify(&mut self, notify: Notify, random: &mut Random) -> Result<Answer, Obstacle> {
        let device = self.addressee(&notify)?;
        self.check_live(notify.expires)?;
        let tag = notify.replace_tag.as_deref().filter(|tag| !tag.is_empty());
        if tag.map_or(0, str::len) + notify.payload.len() > MESSAGE_BYTES_MAX {
            return Err(Refusal::Unavailable.into());
        }
        let survey = self.survey(&device, &notify, tag);
        let row = MessageRow {
            id: MessageId::new(self.head.next_seq, draw(random)),
            device,
            app: notify.app,
            expires: notify.expires,
            urgency: notify.urgency,
            tag,
            payload: notify.payload.as_bytes(),
        };
        let value = row.encode();
        self.check_message_room(&survey, value.len())?;
        self.enqueue(row, value, &notify.payload, &survey.dropped);
        Ok(Answer::Done)
    }

    /// App servers take a past expiry as final. While the clock is in doubt they are told so only of
    /// what has expired by every account.
    fn check_live(&self, expires: Wall) -> Result<(), Refusal> {
        if expires > self.now {
            return Ok(());
        }
        let is_in_doubt = self.clock_lag().is_some() && expires > self.clock;
        Err(if is_in_doubt { Refusal::Unavailable } else { Refusal::PastExpiration })
    }

    fn addressee(&self, notify: &Notify) -> Result<DeviceId, Refusal> {
        match &notify.to {
            Address::Device(device) => Ok(device.clone()),
            Address::Token(token) => {
                let (device, app) = self.registrations.owner(*token).ok_or(Refusal::UnknownToken)?;
                let is_owner = *self.apps.name(app) == notify.app;
                if is_owner { Ok(self.devices.name(device).clone()) } else { Err(Refusal::Unauthorized) }
            }
        }
    }

    fn probe(&self) -> Result<Answer, Obstacle> {
        if self.clock_lag().is_some() {
            return Err(Refusal::Unavailable.into());
        }
        self.check_room(0, 0, 0).map(|()| Answer::Done)
    }

    fn survey(&self, device: &DeviceId, notify: &Notify, tag: Option<&str>) -> Survey {
        let mut survey = Survey::default();
        let Some(device) = self.devices.find(device) else { return survey };
        let (app, clear) = (self.apps.find(&notify.app), notify.clear_pending);
        for (seq, pending) in self.pending.after(device, Seq(0)) {
            let is_same_app = Some(pending.app) == app;
            if is_same_app && (clear || (tag.is_some() && pending.tag.as_deref() == tag)) {
                survey.dropped.push(seq);
                survey.dropped_bytes += u64::from(pending.size);
                continue;
            }
            survey.kept += 1;
            if is_same_app && pending.urgency >= notify.urgency && pending.expires > self.now {
                survey.same_app += 1;
                survey.newest = Some(seq);
            }
        }
        survey
    }

    fn check_message_room(&self, survey: &Survey, size: usize) -> Result<(), Obstacle> {
        if survey.same_app >= self.limits.messages_per_app_max {
            return Err(survey.newest.map_or(Refusal::Unavailable.into(), Obstacle::TooManyPending));
        }
        if survey.kept >= self.limits.messages_per_device_max {
            return Err(Refusal::Unavailable.into());
        }
        self.check_room(size as u64, survey.dropped.len(), survey.dropped_bytes)
    }

    /// Whether the queue as a whole has room for one more message once `dropped` others are gone.
    fn check_room(&self, size: u64, dropped: usize, dropped_bytes: u64) -> Result<(), Obstacle> {
        let fits = self.pending.len() - dropped < self.limits.messages_max
            && self.pending.bytes() - dropped_bytes + size <= self.limits.bytes_max;
        if fits && self.has_disk_room() { Ok(()) } else { Err(Refusal::Unavailable.into()) }
    }

    fn has_disk_room(&self) -> bool {
        self.free_disk_bytes >= self.limits.free_disk_min_bytes
    }

    fn enqueue(&mut self, row: MessageRow, value: Vec<u8>, payload: &Payload, dropped: &[Seq]) {
        let size = u16::try_from(value.len()).expect("rows are bounded by MESSAGE_BYTES_MAX");
        let ((device, seq), pending) = self.hold_message(&row, size);
        self.pending.insert(device, seq, pending);
        for &seq in dropped {
            self.drop_message(device, seq);
        }
        self.head.next_seq = Seq(seq.0 + 1);
        self.put(Key::Message(seq), value);
        let app = self.shared_app(row.app);
        let MessageRow { id, expires, urgency, .. } = row;
        self.announce_message(
            device,
            Arc::new(PendingMessage { id, app, expires, urgency, payload: payload.clone() }),
        );
    }

    /// A message as the index knows it; its names are held from now on.
    pub(super) fn hold_message(&mut self, row: &MessageRow, size: u16) -> ((DeviceKey, Seq), Pending) {
        let device = self.devices.hold(&row.device);
        let pending = Pending {
            expires: row.expires,
            app: self.apps.hold(&row.app),
            size,
            urgency: row.urgency,
            tag: row.tag.map(Box::from),
        };
        ((device, row.id.seq()), pending)
    }

    fn broadcast(&mut self, channel: &str, expires: Wall, payload: Payload) -> Result<Answer, Obstacle> {
        if channel != SYSTEM_CHANNEL {
            return Err(Refusal::UnknownChannel.into());
        }
        self.check_live(expires)?;
        let is_full = self.channel.live.len() >= self.limits.broadcasts_live_max;
        if is_full || payload.len() > MESSAGE_BYTES_MAX || !self.has_disk_room() {
            return Err(Refusal::Unavailable.into());
        }
        let level = Level(self.channel.top.0 + 1);
        let key = Key::Broadcast(ChannelId::SYSTEM, level);
        self.put(key, BroadcastRow { expires, payload: payload.as_bytes() }.encode(key));
        self.announce_broadcast(Arc::new(Broadcast { level, expires, payload }));
        Ok(Answer::Done)
    }

    fn register(&mut self, device: DeviceId, app: AppId, random: &mut Random) -> Result<Answer, Obstacle> {
        if let Some(token) = self.token(&device, &app) {
            return Ok(Answer::Registered(Registered { token, user_token: None }));
        }
        if self.registrations.len() >= self.limits.registrations_max || !self.has_disk_room() {
            return Err(Refusal::Unavailable.into());
        }
        let token = Token(draw(random));
        let row = RegistrationRow { device, app };
        assert!(self.hold_registration(&row, token), "128 random bits are drawn once");
        let key = Key::Registration(token);
        self.put(key, row.encode(key));
        Ok(Answer::Registered(Registered { token, user_token: None }))
    }

    fn token(&self, device: &DeviceId, app: &AppId) -> Option<Token> {
        self.registrations.token(self.devices.find(device)?, self.apps.find(app)?)
    }

    /// Enters a registration; false if the owner or the token had one.
    #[must_use]
    pub(super) fn hold_registration(&mut self, row: &RegistrationRow, token: Token) -> bool {
        let device = self.devices.hold(&row.device);
        let app = self.apps.hold(&row.app);
        self.registrations.insert(device, app, token)
    }

    /// The token dies. What is pending stays until it is acked or expires: it was promised.
    fn unregister(&mut self, device: &DeviceId, app: &AppId) -> Answer {
        let bytes = device.as_str().len() + app.as_str().len();
        let (device, app) = (self.devices.find(device), self.apps.find(app));
        if let (Some(device), Some(app)) = (device, app)
            && let Some(token) = self.registrations.remove(device, app)
        {
            self.devices.release(device);
            self.apps.release(app);
            self.erase(Key::Registration(token), bytes);
            self.promise();
        }
        Answer::Done
    }

    fn ack(&mut self, device: &DeviceId, seqs: &[Seq]) -> Answer {
        if let Some(device) = self.devices.find(device) {
            for &seq in seqs {
                self.drop_message(device, seq);
            }
        }
        Answer::Done
    }

    /// What is pending for `device` and wanted, as much as one page takes.
    pub fn list(&self, device: &DeviceId, wanted: Wanted) -> Listing {
        let Wanted { after, least, messages_max } = wanted;
        let mut listing = Listing { seqs: Vec::new(), more: false, newest: after };
        let Some(device) = self.devices.find(device) else { return listing };
        listing.newest = self.newest_live(device, after);
        if !self.live(device, after).any(|(_, pending)| pending.urgency >= least) {
            return listing;
        }
        let messages_max = messages_max.min(self.limits.page_messages_max);
        let mut bytes = 0;
        for (seq, pending) in self.live(device, after) {
            bytes += pending.size as usize;
            let is_first = listing.seqs.is_empty();
            let is_full = listing.seqs.len() >= messages_max || bytes > self.limits.page_bytes_max;
            if is_full && !is_first {
                listing.more = true;
                break;
            }
            listing.seqs.push(seq);
        }
        listing
    }

    fn live(&self, device: DeviceKey, after: Seq) -> impl DoubleEndedIterator<Item = (Seq, &Pending)> {
        self.pending.after(device, after).filter(|(_, pending)| pending.expires > self.now)
    }

    fn newest_live(&self, device: DeviceKey, after: Seq) -> Seq {
        self.live(device, after).next_back().map_or(after, |(seq, _)| seq)
    }
}

fn draw<const N: usize>(random: &mut Random) -> [u8; N] {
    let mut bytes = [0; N];
    random(&mut bytes);
    bytes
}
