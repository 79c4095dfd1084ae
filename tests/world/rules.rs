//! What may be sent to a session, and what must have been once nobody has anything to do: order, acks,
//! expiry, replacement, and the urgency that the device wants.

use std::collections::BTreeSet;

use lomiri_push::base::{AppId, MessageId, Urgency, Wall};
use lomiri_push::protocol::wire1::Reason;
use lomiri_push::session::EndReason;

use crate::model::{Ack, Fate, Model, Posted, Reach, number};
use crate::tap::Passed;
use crate::world::{Entry, World};

/// A session as it has gone on the wire.
pub struct Session {
    device: String,
    least: Urgency,
    /// What the device named as stored.
    stored: Vec<MessageId>,
    /// One more than the last number that was sent.
    next: usize,
    /// Whether what is less urgent than `least` may go along: something has just been delivered, or
    /// the device has asked, and not all has gone since.
    is_releasing: bool,
    /// What was there at the last release: that must go.
    released_to: Reach,
}

/// A message as it goes to a device.
struct Sending {
    number: usize,
    app: AppId,
    urgency: Option<Urgency>,
}

impl Session {
    fn release(&mut self, reach: Reach) {
        self.is_releasing = true;
        self.released_to = reach;
    }
}

impl Model {
    /// Holds what has passed since the last step against the rules.
    pub fn follow(&mut self, world: &mut World) {
        for Entry { connection, device, at, passed } in world.take_log() {
            self.follow_one(connection, &device, at, passed);
        }
        let devices: BTreeSet<&str> = self.sessions.values().map(|session| session.device.as_str()).collect();
        assert_eq!(devices.len(), self.sessions.len(), "one session a device");
        self.check_rest(world);
        self.before = self.reach();
    }

    /// The server has crashed: all sessions are gone, and acks may be.
    pub fn crashed(&mut self) {
        self.sessions.clear();
        for posted in self.posted.iter_mut().filter(|posted| posted.ack == Ack::Heard) {
            posted.ack = Ack::HeardBeforeCrash;
        }
    }

    fn follow_one(&mut self, connection: u64, device: &str, at: Wall, passed: Passed) {
        let before = self.before;
        match passed {
            Passed::Connect { least, stored } => self.begin(connection, device, least, stored),
            Passed::Acked(ids) => ids.iter().for_each(|id| self.acked(id)),
            Passed::Receipt(receipt) => {
                self.receipts.insert((receipt.message, receipt.outcome.code()));
            }
            Passed::Closed(reason) => {
                assert!(is_nobodys_mistake(&reason), "{device}: {reason}");
                self.sessions.remove(&connection);
            }
            Passed::Message { id, app, urgency, payload } => {
                let number = number(&String::from_utf8_lossy(payload.as_bytes()));
                self.numbers.insert(id, number);
                self.check_message(connection, at, id, &Sending { number, app, urgency });
                let session = self.session(connection);
                session.next = number + 1;
                session.release(before);
            }
            Passed::Broadcast => {
                let session = &self.sessions[&connection];
                let is_wanted = session.least <= Urgency::Normal || session.is_releasing;
                assert!(is_wanted, "{device}: a broadcast, and only {} is wanted", session.least);
                self.session(connection).release(before);
            }
            Passed::Flush => self.session(connection).release(before),
            Passed::Least(least) => self.session(connection).least = least,
        }
    }

    fn begin(&mut self, connection: u64, device: &str, least: Urgency, stored: Vec<MessageId>) {
        stored.iter().for_each(|id| self.acked(id));
        let session = Session {
            device: device.into(),
            least,
            stored,
            next: 0,
            is_releasing: false,
            released_to: Reach::default(),
        };
        self.sessions.insert(connection, session);
    }

    fn session(&mut self, connection: u64) -> &mut Session {
        self.sessions.get_mut(&connection).expect("CONNECT comes first")
    }

    fn acked(&mut self, id: &MessageId) {
        let number = self.numbers[id];
        self.posted[number].ack = Ack::Heard;
    }

    fn check_message(&self, connection: u64, at: Wall, id: MessageId, sending: &Sending) {
        let session = &self.sessions[&connection];
        let Sending { number, app, urgency } = sending;
        let Posted { post, fate, ack } = &self.posted[*number];
        let what = format!("{number} to {}", session.device);
        assert_eq!((post.device, post.app), (session.device.as_str(), app.as_str()), "{what}");
        assert!(post.expires > at, "{what}, which had expired");
        assert!(*fate != Fate::Dropped, "{what}, which had been replaced or cleared");
        assert!(*ack != Ack::Heard && !session.stored.contains(&id), "{what}, which has it");
        assert!(*number >= session.next, "{what}, out of order");
        assert!(urgency.is_none_or(|urgency| urgency == post.urgency), "{what}: urgency");
        let goes_along = session.is_releasing || self.wants_any_after(session, *number, at);
        assert!(post.urgency >= session.least || goes_along, "{what}, less urgent than wanted");
    }

    /// Whether something waits behind this message that is urgent enough, so that it goes along.
    fn wants_any_after(&self, session: &Session, number: usize, at: Wall) -> bool {
        let mut waiting = self.waiting(session, number + 1, at);
        waiting.any(|(_, posted)| posted.post.urgency >= session.least)
    }

    /// What waits, or may wait, for the session's device, from this number on.
    fn waiting(&self, session: &Session, from: usize, at: Wall) -> impl Iterator<Item = (usize, &Posted)> {
        let waits = move |(_, posted): &(usize, &Posted)| {
            let Posted { post, fate, ack } = posted;
            let is_there = *fate != Fate::Dropped && *ack != Ack::Heard && post.expires > at;
            post.device == session.device && is_there
        };
        self.posted.iter().enumerate().skip(from).filter(waits)
    }

    /// A device that has acked all that came has had all that it wants, and what went along with it.
    fn check_rest(&mut self, world: &World) {
        for device in world.devices.values().filter(|device| device.is_attentive()) {
            let Some(connection) = &device.connection else { continue };
            let Some(session) = self.sessions.get(&connection.number) else { continue };
            for (number, Posted { post, fate, ack }) in self.waiting(session, session.next, world.now.wall) {
                let is_held = post.urgency < session.least && number >= session.released_to.messages;
                let is_owed = *fate == Fate::Owed && *ack == Ack::None;
                assert!(is_held || !is_owed, "{number} waits for {}, which could have it", device.name);
            }
            let are_wanted = session.least <= Urgency::Normal;
            let reach = if are_wanted { self.reach() } else { session.released_to };
            self.check_broadcasts(device, reach, world.now.wall);
            self.session(connection.number).is_releasing = false;
        }
    }
}

/// Whether sessions may end so when all parties keep to the rules.
fn is_nobodys_mistake(reason: &EndReason) -> bool {
    matches!(
        reason,
        EndReason::Eof
            | EndReason::Timeout
            | EndReason::Terminated
            | EndReason::Shutdown
            | EndReason::Left(Reason::Closing | Reason::Timeout)
    )
}
