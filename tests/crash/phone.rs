//! A device over real TLS, on either wire, that acks what it has stored. On a whim it loses what came before it is
//! stored, or the connection before the ack, or goes and comes back.

use std::time::Duration;

use jiff::Timestamp;
use lomiri_push::base::{ChannelId, Level};
use lomiri_push::device::state::State;
use lomiri_push::device::{Connection, Server};
use lomiri_push::protocol::{wire0, wire1};
use lomiri_push::session::device::{Broadcast, Event, Message, Options};

use super::dice::Dice;
use super::ledger::Visit;
use super::shared::Shared;

/// What all devices are, and so which system broadcasts are for them: `CHANNEL/MODEL`.
pub const IMAGE: &str = "stable/pinephone";
pub const IMAGE_CHANNEL: &str = "stable";
pub const MODEL: &str = "pinephone";
/// One frame in so many meets each whim: of messages, a frame of wire 0 has many, and one of wire 1 one.
const WHIMS_ON_WIRE_0: u64 = 12;
const WHIMS_ON_WIRE_1: u64 = 100;
/// The silence that a device on wire 1 announces: longer than any round.
const KEEPALIVE: Duration = Duration::from_secs(1_700);

/// What a device speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Zero,
    One,
}

pub struct Phone {
    name: String,
    wire: Wire,
    dice: Dice,
    /// Whether it has no whims.
    is_calm: bool,
}

/// What becomes of a frame.
#[derive(Clone, Copy, PartialEq)]
enum Whim {
    /// It is stored and acked.
    None,
    /// It is lost before it is stored.
    Lose,
    /// It is stored, and the connection is lost before the ack.
    Silence,
    /// It is stored and acked, and the connection closed at once.
    Leave,
}

/// How a session goes on.
#[derive(PartialEq)]
enum Next {
    Stay,
    /// Close the connection, and come back.
    Return,
    /// The server has gone.
    End,
}

impl Phone {
    pub fn new(name: &str, wire: Wire, dice: Dice) -> Phone {
        Phone { name: name.into(), wire, dice, is_calm: false }
    }

    /// From here on it has no whims.
    pub fn calm_down(&mut self) {
        self.is_calm = true;
    }

    /// Is connected, again and again, until the server goes.
    pub fn stay(&mut self, identity: &State, server: &Server, shared: &Shared) {
        while self.hold_session(identity, server, shared) == Next::Return {}
    }

    fn hold_session(&mut self, identity: &State, server: &Server, shared: &Shared) -> Next {
        let (mut visit, level) = shared.with(|ledger| ledger.visit(&self.name, Timestamp::now()));
        let options = options(self.wire, identity, level);
        let mut connection = match Connection::open(server, options) {
            Ok(connection) => connection,
            Err(error) => return self.end(shared, &error),
        };
        loop {
            let next = match connection.next_event(None) {
                // The session itself tells the server of what came too late.
                Some(Event::Connected { .. } | Event::Expired(_)) => Next::Stay,
                Some(Event::Message(first)) => self.take(&mut connection, &mut visit, first, shared),
                Some(Event::Broadcast(news)) => self.take_news(&mut connection, &visit, &news, shared),
                Some(Event::Ended(reason)) => self.end(shared, &reason),
                other => self.end(shared, &format!("{other:?} came")),
            };
            if next != Next::Stay {
                return next;
            }
        }
    }

    fn take(
        &mut self,
        connection: &mut Connection,
        visit: &mut Visit,
        first: Message,
        shared: &Shared,
    ) -> Next {
        let all = match self.wire {
            Wire::Zero => all_together(connection, first),
            Wire::One => vec![first],
        };
        shared.with(|ledger| ledger.came(visit, &all));
        let whim = self.whim();
        if whim == Whim::Lose {
            return Next::Return;
        }
        shared.with(|ledger| ledger.stored(visit, &all));
        self.ack(connection, whim)
    }

    fn take_news(
        &mut self,
        connection: &mut Connection,
        visit: &Visit,
        news: &Broadcast,
        shared: &Shared,
    ) -> Next {
        shared.with(|ledger| ledger.broadcast_came(visit, news));
        let whim = self.whim();
        self.ack(connection, whim)
    }

    fn whim(&mut self) -> Whim {
        let whims = if self.wire == Wire::Zero { WHIMS_ON_WIRE_0 } else { WHIMS_ON_WIRE_1 };
        match self.dice.below(whims) {
            _ if self.is_calm => Whim::None,
            0 => Whim::Lose,
            1 => Whim::Silence,
            2 => Whim::Leave,
            _ => Whim::None,
        }
    }

    /// What came is stored.
    fn ack(&self, connection: &mut Connection, whim: Whim) -> Next {
        if whim == Whim::Silence {
            return Next::Return;
        }
        connection.ack();
        if whim == Whim::Leave { Next::Return } else { Next::Stay }
    }

    fn end(&self, shared: &Shared, reason: &dyn std::fmt::Display) -> Next {
        shared.failed(&self.name, &format!("the session ended with: {reason}"));
        Next::End
    }
}

/// What a device says of itself.
pub fn options(wire: Wire, identity: &State, level: i64) -> Options {
    let levels = [(ChannelId::SYSTEM, Level(level))].into();
    let (device_id, credential) = (identity.device.clone(), &identity.credential);
    Options::new(match wire {
        Wire::Zero => wire0::Connect {
            authorization: format!("Bearer {}", credential.reveal()),
            model: MODEL.into(),
            image_channel: IMAGE_CHANNEL.into(),
            levels,
            ..wire0::Connect::new(device_id)
        }
        .into(),
        Wire::One => wire1::Connect {
            credential: credential.as_bytes().to_vec(),
            image: IMAGE.into(),
            levels,
            ..wire1::Connect::new(device_id, KEEPALIVE)
        }
        .into(),
    })
}

/// The messages that came in one frame of wire 0: one ack is for all, so one whim is too.
fn all_together(connection: &mut Connection, first: Message) -> Vec<Message> {
    let mut all = vec![first];
    while connection.session().has_events() {
        match connection.next_event(None) {
            Some(Event::Message(message)) => all.push(message),
            // The end: what comes next is nothing.
            _ => break,
        }
    }
    all
}
