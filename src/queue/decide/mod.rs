//! What the queue makes of each command. A command that is refused has changed nothing.
//!
//! `post` has the rules about messages, `devices` those about who may do what, `leaving` those about who
//! no longer may, `reading` what is read and changes nothing.

mod devices;
mod leaving;
mod post;
mod reading;

use std::sync::Arc;

use crate::base::{ChannelId, DeviceId, Level, MessageId, Payload, Random, Seq, SessionId, Urgency, Wall};
use crate::protocol::wire1::Receipt;

use super::answer::{Answer, Broadcast, Refusal};
use super::command::Command;
use super::fates::Change;
use super::limits::MESSAGE_BYTES_MAX;
use super::rows::{BroadcastRow, Key, Place};
use super::state::Queue;

pub(super) use self::post::Found;

/// The name of the one channel.
const SYSTEM_CHANNEL: &str = "system";

/// What is to be answered once the turn's batch is durable.
#[derive(Debug)]
pub enum Decision {
    /// This.
    Answer(Answer),
    /// [`Refusal::TooManyPending`] with this message's payload: read it at once, from the store or,
    /// if it is younger than that, from [`Queue::queued`].
    TooManyPending(Place),
    /// [`Command::Acked`] for those of these that are pending under the whole id, of which the index
    /// holds a part: read the others' as for [`Decision::TooManyPending`], and decide that at once.
    Stored {
        /// Who.
        device: DeviceId,
        /// Which.
        ids: Vec<MessageId>,
    },
    /// The answer that [`Queue::admits`] gives when the batch is durable, so that nobody is let in who was
    /// revoked in the same turn.
    Admit {
        /// Who it says it is.
        device: DeviceId,
        /// Who asks.
        session: SessionId,
        /// What is to prove it.
        credential: Vec<u8>,
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
    pub places: Vec<Place>,
    /// Whether there are more.
    pub more: bool,
    /// The device's newest live message, or what was asked for, whichever is later.
    pub newest: Seq,
}

/// What stands in the way of a command.
enum Obstacle {
    Refusal(Refusal),
    TooManyPending(Place),
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
            Err(Obstacle::TooManyPending(place)) => Decision::TooManyPending(place),
        }
    }
}

impl From<Result<Answer, Refusal>> for Decision {
    fn from(result: Result<Answer, Refusal>) -> Decision {
        Decision::Answer(result.unwrap_or_else(Answer::Refused))
    }
}

impl Queue {
    /// Decides one command.
    pub fn decide(&mut self, command: Command, random: &mut Random) -> Decision {
        match command {
            Command::Notify(notify) => self.notify(&notify, random).into(),
            Command::Send(submissions) => Decision::Answer(self.send(&submissions, random)),
            Command::Query { message, by } => self.query(message, &by).into(),
            Command::Broadcast { channel, expires, payload } => {
                self.broadcast(&channel, expires, payload).into()
            }
            Command::Register { device, app, credential } => {
                self.register(&device, &app, credential.as_ref(), random).into()
            }
            Command::Unregister { device, app, credential } => {
                self.unregister(&device, &app, credential.as_ref()).into()
            }
            Command::Registrations { device, credential } => {
                self.registrations(&device, credential.as_ref()).into()
            }
            Command::Admit { device, session, credential } => Decision::Admit { device, session, credential },
            Command::Enrol { session, code } => Decision::Answer(self.enrol(session, &code, random)),
            Command::MakeCode { user, valid_for } => self.make_code(&user, valid_for, random).into(),
            Command::Devices { after, user, devices_max } => {
                Decision::Answer(self.devices(after.as_ref(), user.as_ref(), devices_max))
            }
            Command::Revoke { device } => self.revoke(&device).into(),
            Command::EraseUser { user } => self.erase_user(&user).into(),
            Command::RevokeUserToken { user, app } => self.revoke_user_token(&user, &app).into(),
            Command::BindApp { app } => self.bind_app(&app, random).into(),
            Command::UnbindApp { app } => self.unbind_app(&app).into(),
            Command::BoundApps => Decision::Answer(self.bound_apps()),
            Command::Acked { device, seqs } => Decision::Answer(self.ack(&device, &seqs)),
            Command::Stored { device, ids } => self.stored(device, ids),
            Command::Receipt { device, receipt } => Decision::Answer(self.hear(&device, &receipt)),
            Command::Fetch { device, session, after, least, messages_max } => {
                Decision::Fetch { device, session, wanted: Wanted { after, least, messages_max } }
            }
            Command::Probe => self.probe().into(),
        }
    }

    fn probe(&self) -> Result<Answer, Refusal> {
        if self.clock_lag().is_some() {
            return Err(Refusal::Unavailable);
        }
        self.check_room(0, 0, 0).map(|()| Answer::Done)
    }

    /// App servers take a past expiry as final. While the clock is in doubt they are told so only of
    /// what has expired by every account.
    pub(super) fn check_live(&self, expires: Wall) -> Result<(), Refusal> {
        if expires > self.now {
            return Ok(());
        }
        let is_in_doubt = self.clock_lag().is_some() && expires > self.clock;
        Err(if is_in_doubt { Refusal::Unavailable } else { Refusal::PastExpiration })
    }

    fn broadcast(&mut self, channel: &str, expires: Wall, payload: Payload) -> Result<Answer, Refusal> {
        if channel != SYSTEM_CHANNEL {
            return Err(Refusal::UnknownChannel);
        }
        self.check_live(expires)?;
        let is_full = self.channel.live.len() >= self.limits.broadcasts_live_max;
        if is_full || payload.len() > MESSAGE_BYTES_MAX || !self.has_disk_room() {
            return Err(Refusal::Unavailable);
        }
        let level = Level(self.channel.top.0 + 1);
        let key = Key::Broadcast(ChannelId::SYSTEM, level);
        self.put(key, BroadcastRow { expires, payload: payload.as_bytes() }.encode(key));
        self.announce_broadcast(Arc::new(Broadcast { level, expires, payload }));
        Ok(Answer::Done)
    }

    /// Whether the queue as a whole has room for one more message once `dropped` others are gone.
    fn check_room(&self, size: u64, dropped: usize, dropped_bytes: u64) -> Result<(), Refusal> {
        let fits = self.pending.len() - dropped < self.limits.messages_max
            && self.pending.bytes() - dropped_bytes + size <= self.limits.bytes_max;
        if fits && self.has_disk_room() { Ok(()) } else { Err(Refusal::Unavailable) }
    }

    fn has_disk_room(&self) -> bool {
        self.free_disk_bytes >= self.limits.free_disk_min_bytes
    }

    fn ack(&mut self, device: &DeviceId, seqs: &[Seq]) -> Answer {
        if let Some(device) = self.device(device) {
            for &seq in seqs {
                self.drop_message(device, seq, Change::Stored);
            }
        }
        Answer::Done
    }

    /// Of what is tracked that is known at once, though it may have expired here meanwhile.
    fn stored(&mut self, device: DeviceId, ids: Vec<MessageId>) -> Decision {
        for &id in &ids {
            self.note_of(&device, id, Change::Stored);
        }
        Decision::Stored { device, ids }
    }

    fn hear(&mut self, device: &DeviceId, receipt: &Receipt) -> Answer {
        self.note_of(device, receipt.message, Change::Told(receipt.outcome));
        Answer::Done
    }

    /// Takes a device's word about a message, if the device knows its whole id.
    fn note_of(&mut self, device: &DeviceId, message: MessageId, change: Change) {
        let is_known = self.fates.get(message.seq()).is_some_and(|tracked| tracked.id == message);
        if let Some(device) = self.device(device).filter(|_| is_known) {
            self.note(device, message.seq(), change);
        }
    }
}

fn draw<const N: usize>(random: &mut Random) -> [u8; N] {
    let mut bytes = [0; N];
    random(&mut bytes);
    bytes
}
