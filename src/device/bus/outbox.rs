//! What goes out on one connection: a bounded queue, and the thread that empties it, so that whoever answers
//! never waits for a bus or a peer that does not read.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use zbus::blocking::Connection;
use zbus::message::{Flags, Header, Message};

use super::call::Answer;
use super::error::CallError;
use super::names::Facade;

/// How many messages wait to go out. A peer that has left so many unread gets no more.
const MESSAGES_MAX: usize = 256;

/// Takes messages for a connection. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Outbox(SyncSender<Message>);

impl Outbox {
    /// One for `connection`, emptied by a thread that ends with the connection or with the last clone.
    pub(super) fn open(connection: Connection) -> std::io::Result<Outbox> {
        let (sender, messages) = sync_channel(MESSAGES_MAX);
        thread::Builder::new().name("bus-out".into()).spawn(move || send_all(&connection, &messages))?;
        Ok(Outbox(sender))
    }

    /// One whose messages stay, to be looked at.
    #[cfg(test)]
    pub(super) fn held() -> (Outbox, Receiver<Message>) {
        let (sender, messages) = sync_channel(MESSAGES_MAX);
        (Outbox(sender), messages)
    }

    /// Sends a message, now or soon. Whether there was room for it, and a connection.
    pub(super) fn send(&self, message: Message) -> bool {
        match self.0.try_send(message) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                log::warn!("a message to the bus is dropped: {MESSAGES_MAX} wait to be read");
                false
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
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

fn send_all(connection: &Connection, messages: &Receiver<Message>) {
    for message in messages {
        if let Err(error) = connection.send(&message) {
            log::debug!("the bus takes no more: {error}");
            return;
        }
    }
}

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
            Reply::NoProperties => {
                went_well()?.build(&std::collections::HashMap::<&str, zbus::zvariant::Value<'_>>::new())
            }
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
