//! What goes out on one connection: a bounded queue, and the thread that empties it, so that whoever answers
//! never waits for a bus or a peer that does not read. The one who reads does, so that a flood of calls
//! waits where it comes from and leaves room for the answers to others.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use zbus::blocking::Connection;
use zbus::message::{Flags, Header, Message};
use zbus::zvariant::Value;

use super::call::Answer;
use super::error::CallError;
use super::names::Facade;

/// How many messages wait to go out. A peer that has left so many unread gets no more.
const MESSAGES_MAX: usize = 256;
/// With more than so many, no more calls are read.
const MESSAGES_WHILE_READING_MAX: usize = 64;

/// Takes messages for a connection. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// The queue has changed.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Message>,
    is_closed: bool,
}

impl Outbox {
    /// One for `connection`, emptied by a thread that ends with it.
    pub(super) fn open(connection: Connection) -> std::io::Result<Outbox> {
        let outbox = Outbox::default();
        let sent = outbox.clone();
        thread::Builder::new().name("bus-out".into()).spawn(move || sent.send_all(&connection))?;
        Ok(outbox)
    }

    /// Sends a message, now or soon. Whether there was room for it, and a connection.
    pub(super) fn send(&self, message: Message) -> bool {
        let mut queue = self.queue();
        if queue.is_closed {
            return false;
        }
        if queue.messages.len() >= MESSAGES_MAX {
            log::warn!("a message to the bus is dropped: {MESSAGES_MAX} wait to be read");
            return false;
        }
        queue.messages.push_back(message);
        self.0.changed.notify_all();
        true
    }

    /// Waits until few enough messages wait that more calls may be read.
    pub(super) fn wait_for_room(&self) {
        let is_full =
            |queue: &mut Queue| !queue.is_closed && queue.messages.len() > MESSAGES_WHILE_READING_MAX;
        drop(self.0.changed.wait_while(self.queue(), is_full).expect(UNHARMED));
    }

    /// There is no connection any more.
    pub(super) fn close(&self) {
        self.queue().is_closed = true;
        self.0.changed.notify_all();
    }

    /// The next message, once there is one; `None` when the connection has ended.
    fn next(&self) -> Option<Message> {
        let is_idle = |queue: &mut Queue| !queue.is_closed && queue.messages.is_empty();
        let mut queue = self.0.changed.wait_while(self.queue(), is_idle).expect(UNHARMED);
        let next = if queue.is_closed { None } else { queue.messages.pop_front() };
        self.0.changed.notify_all();
        next
    }

    /// The next message, if there is one.
    #[cfg(test)]
    pub(super) fn try_next(&self) -> Option<Message> {
        self.queue().messages.pop_front()
    }

    fn send_all(&self, connection: &Connection) {
        while let Some(message) = self.next() {
            if let Err(error) = connection.send(&message) {
                log::debug!("the bus takes no more: {error}");
                self.close();
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().expect(UNHARMED)
    }

    /// Replies to `call`, if that is expected.
    pub(super) fn reply(&self, call: &Message, reply: &Reply) {
        let header = call.header();
        if header.primary().flags().contains(Flags::NoReplyExpected) {
            return;
        }
        match reply.build(&header) {
            Ok(message) => {
                self.send(message);
            }
            Err(error) => log::debug!("a call cannot be answered: {error}"),
        }
    }
}

const UNHARMED: &str = "nothing panics while it holds this";

/// What a caller gets.
#[derive(Debug)]
pub(super) enum Reply {
    /// Nothing but that it went well.
    Nothing,
    /// `s`
    Text(String),
    /// `as`
    Texts(Vec<String>),
    /// `u`
    Number(u32),
    /// `a{sv}`, empty.
    NoProperties,
    /// An error.
    Error(CallError),
}

impl Reply {
    fn build(&self, call: &Header<'_>) -> zbus::Result<Message> {
        let went_well = || Message::method_return(call);
        match self {
            Reply::Nothing => went_well()?.build(&()),
            Reply::Text(text) => went_well()?.build(&sayable(text)),
            Reply::Texts(texts) => {
                went_well()?.build(&texts.iter().map(|text| sayable(text)).collect::<Vec<_>>())
            }
            Reply::Number(number) => went_well()?.build(number),
            Reply::NoProperties => went_well()?.build(&HashMap::<&str, Value<'_>>::new()),
            Reply::Error(error) => Message::error(call, error.name())?.build(&sayable(&error.to_string())),
        }
    }
}

/// `text` without zero bytes: a bus ends the connection of whoever sends one, and the tags that helpers give, for
/// one, may have them.
fn sayable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

impl From<CallError> for Reply {
    fn from(error: CallError) -> Reply {
        Reply::Error(error)
    }
}

impl From<Result<Answer, CallError>> for Reply {
    fn from(outcome: Result<Answer, CallError>) -> Reply {
        match outcome {
            Ok(Answer::Done) => Reply::Nothing,
            Ok(Answer::Token(text) | Answer::Status(text)) => Reply::Text(text),
            Ok(Answer::Messages(texts) | Answer::Tags(texts)) => Reply::Texts(texts),
            Ok(Answer::Cleared(number)) => Reply::Number(number),
            Err(error) => Reply::Error(error),
        }
    }
}

/// The signal by which an app learns that its mailbox has something.
pub(super) fn post_signal(facade: &Facade, package: &str, app: &str) -> zbus::Result<Message> {
    Message::signal(facade.path(package), facade.name, "Post")?.build(&app)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        post_signal(&crate::device::bus::names::POSTAL, "ab", "ab_c").expect("a signal")
    }

    #[test]
    fn a_flood_stops_the_reading_before_answers_are_lost() {
        let outbox = Outbox::default();
        for _ in 0..=MESSAGES_WHILE_READING_MAX {
            outbox.wait_for_room();
            assert!(outbox.send(message()));
        }
        let reading = outbox.clone();
        let reading = thread::spawn(move || reading.wait_for_room());
        assert!(!reading.is_finished() && outbox.send(message()));
        assert!(outbox.next().is_some() && outbox.next().is_some());
        reading.join().expect("it reads on");
    }

    #[test]
    fn a_peer_that_reads_nothing_costs_bounded_memory() {
        let outbox = Outbox::default();
        let taken = (0..2 * MESSAGES_MAX).filter(|_| outbox.send(message())).count();
        assert_eq!(taken, MESSAGES_MAX);
    }

    #[test]
    fn all_who_wait_go_on_when_the_connection_ends() {
        let outbox = Outbox::default();
        let sending = outbox.clone();
        let sending = thread::spawn(move || sending.next().is_none());
        outbox.close();
        assert!(sending.join().expect("it ends"));
        assert!(!outbox.send(message()));
        outbox.wait_for_room();
    }
}
