//! Hears what a notification server says of its own accord: clicks, closed bubbles, and its own coming and
//! going. Which bubbles are whose, it does not know.

use std::sync::Arc;
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
/// The bus itself.
pub(super) const BUS: Peer<'static> = Peer {
    service: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
};

/// What of all that is said waits to be taken up, at most: more clicks than anybody makes, and half of the worker's
/// queue, so that a server that talks without end leaves room for what is to be shown.
const WAITING_MAX: usize = 32;

/// What a notification server said.
#[derive(Debug)]
pub(super) struct Heard {
    /// Who said it: a bus name that nobody else can have.
    pub sender: String,
    pub what: What,
    /// Counts what waits, by how many hold it.
    _waiting: Arc<()>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A bubble, or a button of it, was clicked.
    Invoked { bubble: u32, action: String },
    /// A bubble is gone.
    Closed { bubble: u32, reason: u32 },
    /// The server that had this bus name has gone.
    Gone { owner: String },
    /// The bus to which this connection led has gone.
    BusGone { connection: String },
}

/// What tells a connection from all others, on whichever bus.
pub(super) fn name_of(connection: &Connection) -> String {
    let name = connection.unique_name().map_or("", |name| name.as_str());
    format!("{} {name}", connection.server_guid())
}

/// Hands what is heard on this connection to the worker, in a thread that ends with the connection.
pub(super) fn listen(connection: &Connection, worker: SyncSender<Ask>) -> zbus::Result<()> {
    let messages = MessageIterator::from(connection);
    let of_server = format!(
        "type='signal',sender='{}',interface='{}',path='{}'",
        NOTIFICATIONS.service, NOTIFICATIONS.interface, NOTIFICATIONS.path
    );
    let of_owner = format!(
        "type='signal',sender='{0}',interface='{0}',member='NameOwnerChanged',arg0='{1}'",
        BUS.interface, NOTIFICATIONS.service
    );
    for rule in [of_server, of_owner] {
        connection.call_method(Some(BUS.service), BUS.path, Some(BUS.interface), "AddMatch", &rule)?;
    }
    let name = name_of(connection);
    thread::Builder::new().name("notifications".into()).spawn(move || hand_over(messages, name, worker))?;
    Ok(())
}

fn hand_over(messages: MessageIterator, connection: String, worker: SyncSender<Ask>) {
    let ear = Ear { worker, waiting: Arc::new(()) };
    for (sender, what) in messages.map_while(Result::ok).filter_map(|message| read(&message)) {
        ear.tell(sender, what);
    }
    ear.tell(String::new(), What::BusGone { connection });
}

/// Tells the worker, as much as it takes up.
struct Ear {
    worker: SyncSender<Ask>,
    waiting: Arc<()>,
}

impl Ear {
    /// A worker that has so much to take up has a server that hangs, or talks without end: more is not worth
    /// waiting for.
    fn tell(&self, sender: String, what: What) {
        let heard = Heard { sender, what, _waiting: self.waiting.clone() };
        // One of them is the ear's own.
        let is_taken = Arc::strong_count(&self.waiting) <= WAITING_MAX + 1;
        if !is_taken || self.worker.try_send(Ask::Heard(heard)).is_err() {
            log::debug!("what the notification server says is too much");
        }
    }
}

/// Who said what, if it is of interest.
fn read(message: &Message) -> Option<(String, What)> {
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
    Some((header.sender()?.to_string(), what?))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::super::QUEUE_MAX;
    use super::*;

    #[test]
    fn a_server_that_talks_without_end_leaves_room_for_what_is_to_be_shown() {
        let (worker, inbox) = sync_channel(QUEUE_MAX);
        let ear = Ear { worker: worker.clone(), waiting: Arc::new(()) };
        let talk =
            || (0..1_000).for_each(|bubble| ear.tell(":1.5".into(), What::Closed { bubble, reason: 1 }));
        talk();
        let room = (0..QUEUE_MAX).take_while(|_| worker.try_send(Ask::Wake).is_ok()).count();
        assert_eq!(room, QUEUE_MAX - WAITING_MAX);
        let heard = inbox.try_iter().filter(|ask| matches!(ask, Ask::Heard(_))).count();
        assert_eq!(heard, WAITING_MAX);
        talk();
        assert_eq!(inbox.try_iter().count(), WAITING_MAX, "what was taken up has made room");
    }
}
