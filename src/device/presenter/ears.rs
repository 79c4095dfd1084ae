//! Hears what a notification server says of its own accord: clicks, closed bubbles, and its own coming and
//! going. Which bubbles are whose, it does not know.

use std::sync::mpsc::SyncSender;
use std::thread;

use zbus::blocking::{Connection, MessageIterator};
use zbus::message::{Message, Type};

use super::Ask;
use super::peers::Peer;

/// The notification server.
pub(super) const NOTIFICATIONS: Peer<'static> = Peer {
    service: "org.freedesktop.Notifications",
    path: "/org/freedesktop/Notifications",
    interface: "org.freedesktop.Notifications",
};
const BUS: Peer<'static> = Peer {
    service: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
};

/// What a notification server said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// Who said it: a bus name that nobody else can have.
    pub sender: String,
    pub what: What,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A bubble, or a button of it, was clicked.
    Invoked { bubble: u32, action: String },
    /// A bubble is gone.
    Closed { bubble: u32, reason: u32 },
    /// The server that had this bus name has gone.
    Gone { owner: String },
    /// The bus itself has gone.
    BusGone,
}

/// Hands what is heard on this connection to the worker, in a thread that ends with the connection.
pub(super) fn listen(connection: &Connection, worker: SyncSender<Ask>) -> zbus::Result<()> {
    let messages = MessageIterator::from(connection);
    let of_server =
        format!("type='signal',interface='{0}',path='{1}'", NOTIFICATIONS.interface, NOTIFICATIONS.path);
    let of_owner = format!(
        "type='signal',sender='{0}',interface='{0}',member='NameOwnerChanged',arg0='{1}'",
        BUS.interface, NOTIFICATIONS.service
    );
    for rule in [of_server, of_owner] {
        connection.call_method(Some(BUS.service), BUS.path, Some(BUS.interface), "AddMatch", &rule)?;
    }
    let hand_over = move || {
        for heard in messages.map_while(Result::ok).filter_map(|message| Heard::of(&message)) {
            tell(&worker, heard);
        }
        tell(&worker, Heard { sender: String::new(), what: What::BusGone });
    };
    thread::Builder::new().name("notifications".into()).spawn(hand_over)?;
    Ok(())
}

/// A worker whose queue is full has a server that hangs; what that says is not worth waiting for.
fn tell(worker: &SyncSender<Ask>, heard: Heard) {
    if worker.try_send(Ask::Heard(heard)).is_err() {
        log::debug!("too much is queued to hear what the notification server says");
    }
}

impl Heard {
    fn of(message: &Message) -> Option<Heard> {
        let header = message.header();
        let is_signal = header.message_type() == Type::Signal;
        let (interface, member) = (header.interface()?.as_str(), header.member()?.as_str());
        let what = match (interface, member) {
            _ if !is_signal => None,
            ("org.freedesktop.Notifications", "ActionInvoked") => {
                let (bubble, action) = message.body().deserialize().ok()?;
                Some(What::Invoked { bubble, action })
            }
            ("org.freedesktop.Notifications", "NotificationClosed") => {
                let (bubble, reason) = message.body().deserialize().ok()?;
                Some(What::Closed { bubble, reason })
            }
            ("org.freedesktop.DBus", "NameOwnerChanged") if header.sender()? == BUS.service => {
                let (name, owner, _): (String, String, String) = message.body().deserialize().ok()?;
                (name == NOTIFICATIONS.service).then_some(What::Gone { owner })
            }
            _ => None,
        };
        Some(Heard { sender: header.sender()?.to_string(), what: what? })
    }
}
