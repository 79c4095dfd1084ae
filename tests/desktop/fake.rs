//! Services of a desktop, played by the test: they note down each call, and answer as the test says.

use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zbus::blocking::connection::Builder;
use zbus::blocking::{Connection, MessageIterator};
use zbus::message::{Message, Type as MessageType};
use zbus::zvariant::{DynamicType, OwnedObjectPath, OwnedValue, Type};

/// How long anything may take that should come at once: only what is broken takes so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A unit of systemd's, as it tells of it.
pub type Unit =
    (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

/// How a call is answered.
pub enum Answer {
    Done,
    Text(&'static str),
    Texts(&'static [&'static str]),
    Number(u32),
    Flag(bool),
    Value(OwnedValue),
    Units(Vec<Unit>),
    Refused,
    Silence,
}

/// A call that came.
pub struct Call {
    pub member: String,
    pub path: String,
    message: Message,
}

impl Call {
    /// Who called, by a name that nobody else can have.
    pub fn sender(&self) -> String {
        self.message.header().sender().expect("a bus says so").to_string()
    }

    /// What it was called with.
    pub fn body<T: DeserializeOwned + Type>(&self) -> T {
        self.message.body().deserialize().expect("the documented types")
    }
}

/// A service that owns some names. It vanishes when it is dropped.
pub struct Fake {
    connection: Connection,
    calls: Receiver<Call>,
}

impl Fake {
    pub fn start(
        address: &str,
        names: &[&str],
        answer: impl FnMut(&Call) -> Answer + Send + 'static,
    ) -> Fake {
        let connection = Builder::address(address).and_then(Builder::build).expect("a bus");
        let messages = MessageIterator::from(&connection);
        let (noted, calls) = mpsc::channel();
        let (own, mut answer) = (connection.clone(), answer);
        thread::spawn(move || {
            for call in messages.map_while(Result::ok).filter_map(call_of) {
                let (message, answer) = (call.message.clone(), answer(&call));
                // Whoever has the answer can count on the note.
                let _ = noted.send(call);
                reply(&own, &message, answer);
            }
        });
        for name in names {
            // Nobody else has it, or it comes when whoever has it has gone.
            connection.request_name_with_flags(*name, Default::default()).expect("a name");
        }
        Fake { connection, calls }
    }

    /// The next call, which must be of this method.
    pub fn expect(&self, member: &str) -> Call {
        let call = self.calls.recv_timeout(PATIENCE).expect("a call");
        assert_eq!(call.member, member);
        call
    }

    /// Waits for a call of this method, past others.
    pub fn await_call(&self, member: &str) -> Call {
        loop {
            let call = self.calls.recv_timeout(PATIENCE).expect(member);
            if call.member == member {
                return call;
            }
        }
    }

    /// The next call of this method that has come, past others.
    pub fn next_of(&self, member: &str) -> Option<Call> {
        self.calls.try_iter().find(|call| call.member == member)
    }

    /// Calls that have come and nobody has looked at.
    pub fn others(&self) -> Vec<String> {
        self.calls.try_iter().map(|call| call.member).collect()
    }

    /// Says something of its own accord, to everybody.
    pub fn signal(&self, member: &str, body: &(impl Serialize + DynamicType)) {
        self.say(None, member, body);
    }

    /// Says something of its own accord, to one alone, who need not have asked for it.
    pub fn signal_to(&self, listener: &str, member: &str, body: &(impl Serialize + DynamicType)) {
        self.say(Some(listener), member, body);
    }

    fn say(&self, listener: Option<&str>, member: &str, body: &(impl Serialize + DynamicType)) {
        let (path, interface) = ("/org/freedesktop/Notifications", "org.freedesktop.Notifications");
        self.connection.emit_signal(listener, path, interface, member, body).expect("a bus");
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = self.connection.clone().close();
    }
}

fn call_of(message: Message) -> Option<Call> {
    let header = message.header();
    let is_call = header.message_type() == MessageType::MethodCall;
    let (member, path) = (header.member()?.to_string(), header.path()?.to_string());
    is_call.then(|| Call { member, path, message: message.clone() })
}

fn reply(connection: &Connection, call: &Message, answer: Answer) {
    let header = call.header();
    let sent = match answer {
        Answer::Done => connection.reply(&header, &()),
        Answer::Text(text) => connection.reply(&header, &text),
        Answer::Texts(texts) => connection.reply(&header, &texts),
        Answer::Number(number) => connection.reply(&header, &number),
        Answer::Flag(is_so) => connection.reply(&header, &is_so),
        Answer::Value(value) => connection.reply(&header, &value),
        Answer::Units(units) => connection.reply(&header, &units),
        Answer::Refused => connection.reply_error(&header, "org.example.Refused", &"no"),
        Answer::Silence => Ok(()),
    };
    // Whoever has vanished meanwhile answers no more.
    let _ = sent;
}
