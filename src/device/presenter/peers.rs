//! Calls to the services on one bus, none of which need be there: each call has an end, and one that is not
//! there is an answer like others. What the calls mean, it does not know.

use std::collections::HashSet;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zbus::blocking::Connection;
use zbus::message::Message;
use zbus::zvariant::{DynamicType, OwnedValue, Type, Value};

use crate::device::bus::sieved;

/// How long a service may take to answer. Starting a notification server on a slow phone takes a second or two;
/// what takes longer hangs.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// An object of a service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer<'a> {
    pub service: &'a str,
    pub path: &'a str,
    pub interface: &'a str,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// There is no such service, or no bus.
    Absent,
    /// It refuses, does not understand, or hangs.
    Failed,
}

/// The services on one bus, which is connected to when it is first needed, and again after it has gone.
pub(super) struct Peers {
    address: Option<String>,
    connection: Option<Connection>,
    /// What was said to be absent, so that it is said once.
    absent: HashSet<String>,
}

impl Peers {
    /// `None` is a bus that is never there.
    pub(super) fn new(address: Option<String>) -> Peers {
        Peers { address, connection: None, absent: HashSet::new() }
    }

    /// The connection, if there can be one.
    pub(super) fn connection(&mut self) -> Option<Connection> {
        self.connection.take_if(|connection| connection.is_closed());
        if self.connection.is_none() {
            self.connection = self.connect();
        }
        self.connection.clone()
    }

    fn connect(&mut self) -> Option<Connection> {
        let address = self.address.clone()?;
        let build = |address: &str| sieved(address.parse()?)?.method_timeout(ANSWER_MAX).build();
        match build(&address) {
            Ok(connection) => {
                self.absent.remove(&address);
                Some(connection)
            }
            Err(error) => {
                self.note_absent(&address, &error);
                None
            }
        }
    }

    /// Calls a method, and waits for its answer.
    pub(super) fn call(
        &mut self,
        peer: Peer<'_>,
        method: &str,
        body: &(impl Serialize + DynamicType),
    ) -> Result<Message, Unanswered> {
        let connection = self.connection().ok_or(Unanswered::Absent)?;
        let answer =
            connection.call_method(Some(peer.service), peer.path, Some(peer.interface), method, body);
        answer.inspect(|_| self.note_present(peer.service)).map_err(|error| self.judge(peer, method, &error))
    }

    /// Calls a method, and reads its answer.
    pub(super) fn ask<T: DeserializeOwned + Type>(
        &mut self,
        peer: Peer<'_>,
        method: &str,
        body: &(impl Serialize + DynamicType),
    ) -> Result<T, Unanswered> {
        let answer = self.call(peer, method, body)?;
        answer.body().deserialize().map_err(|error| self.judge(peer, method, &error))
    }

    /// A property of the peer; `None` if it cannot be had in this type.
    pub(super) fn property<T: TryFrom<OwnedValue>>(&mut self, peer: Peer<'_>, name: &str) -> Option<T> {
        let properties = Peer { interface: "org.freedesktop.DBus.Properties", ..peer };
        let value: OwnedValue = self.ask(properties, "Get", &(peer.interface, name)).ok()?;
        T::try_from(value).ok()
    }

    /// Sets a property of the peer.
    pub(super) fn set_property(
        &mut self,
        peer: Peer<'_>,
        name: &str,
        value: impl Into<Value<'static>>,
    ) -> Result<(), Unanswered> {
        let properties = Peer { interface: "org.freedesktop.DBus.Properties", ..peer };
        self.call(properties, "Set", &(peer.interface, name, value.into())).map(drop)
    }

    /// Closes the connection, for all who hold it.
    pub(super) fn leave(self) {
        let closed = self.connection.map(Connection::close);
        if let Some(Err(error)) = closed {
            log::debug!("a bus cannot be left in order: {error}");
        }
    }

    fn judge(&mut self, peer: Peer<'_>, method: &str, error: &zbus::Error) -> Unanswered {
        if is_absence(error) {
            self.note_absent(peer.service, error);
            return Unanswered::Absent;
        }
        log::debug!("{} does not do {method}: {error}", peer.service);
        Unanswered::Failed
    }

    fn note_absent(&mut self, name: &str, error: &zbus::Error) {
        if self.absent.insert(name.into()) {
            log::debug!("{name} is not there: {error}");
        }
    }

    fn note_present(&mut self, name: &str) {
        if self.absent.remove(name) {
            log::debug!("{name} is there now");
        }
    }
}

/// Whether an error says that there is no such service, rather than that it does not do what it should.
fn is_absence(error: &zbus::Error) -> bool {
    const ABSENT: [&str; 2] =
        ["org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner"];
    match error {
        zbus::Error::MethodError(name, ..) => {
            ABSENT.contains(&name.as_str()) || name.starts_with("org.freedesktop.DBus.Error.Spawn")
        }
        _ => false,
    }
}
