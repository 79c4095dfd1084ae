//! Learns from NetworkManager, where it runs, whether the device is online and by which connection.

use std::collections::HashMap;
use std::time::Duration;

use zbus::blocking::fdo::DBusProxy;
use zbus::blocking::{Connection, MessageIterator};
use zbus::message::Type;
use zbus::names::BusName;
use zbus::zvariant::{OwnedObjectPath, OwnedValue};
use zbus::{Address, MatchRule};

use super::Network;
use crate::device::bus::plain;

const NAME: &str = "org.freedesktop.NetworkManager";
const PATH: &str = "/org/freedesktop/NetworkManager";
const ACTIVE: &str = "org.freedesktop.NetworkManager.Connection.Active";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// `NM_STATE_CONNECTED_SITE`: there is a way to the world. Whether its own check of the web succeeds, which
/// makes that 70, does not matter: the push server is another place.
const ONLINE: u32 = 60;
/// A service that is slower than this is broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running NetworkManager.
pub(super) struct NetworkManager {
    bus: Connection,
    changes: MessageIterator,
}

impl NetworkManager {
    /// On this bus or the system's, if it is there.
    pub fn find(address: Option<Address>) -> zbus::Result<Option<NetworkManager>> {
        let address = address.map_or_else(Address::system, Ok)?;
        let bus = plain(address)?.method_timeout(PATIENCE).build()?;
        if !DBusProxy::new(&bus)?.name_has_owner(BusName::try_from(NAME)?)? {
            return Ok(None);
        }
        // No more than its own properties: those of access points change all the time.
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender(NAME)?
            .path(PATH)?
            .interface(PROPERTIES)?
            .member("PropertiesChanged")?
            .build();
        let changes = MessageIterator::for_match_rule(rule, &bus, None)?;
        Ok(Some(NetworkManager { bus, changes }))
    }

    /// Where the device stands now.
    pub fn network(&self) -> zbus::Result<Network> {
        let state: u32 = self.property(PATH, NAME, "State")?;
        if state < ONLINE {
            return Ok(Network::Offline);
        }
        let connection: OwnedObjectPath = self.property(PATH, NAME, "PrimaryConnection")?;
        if connection.as_str() == "/" {
            return Ok(Network::On(String::new()));
        }
        let kind: String = self.property(&connection, ACTIVE, "Type")?;
        let uuid: String = self.property(&connection, ACTIVE, "Uuid")?;
        Ok(Network::On(format!("{kind} {uuid}")))
    }

    /// Waits until that may have changed. Fails if the bus is gone.
    pub fn await_change(&mut self) -> zbus::Result<()> {
        loop {
            let change = self.changes.next().ok_or(zbus::Error::InputOutput(gone().into()))??;
            let body = change.body();
            let changed: (String, HashMap<String, OwnedValue>, Vec<String>) = body.deserialize()?;
            if ["State", "PrimaryConnection"].iter().any(|name| changed.1.contains_key(*name)) {
                return Ok(());
            }
        }
    }

    fn property<T>(&self, path: &str, interface: &str, name: &str) -> zbus::Result<T>
    where
        T: TryFrom<OwnedValue, Error = zbus::zvariant::Error>,
    {
        let answer = self.bus.call_method(Some(NAME), path, Some(PROPERTIES), "Get", &(interface, name))?;
        let value: OwnedValue = answer.body().deserialize()?;
        Ok(value.try_into()?)
    }
}

fn gone() -> std::io::Error {
    std::io::ErrorKind::BrokenPipe.into()
}
