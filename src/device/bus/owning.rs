//! What the bus is asked once, when the service comes: which label it has itself, and for its names.

use zbus::blocking::Connection;
use zbus::fdo::RequestNameFlags;
use zbus::message::Message;

use super::BusError;
use super::desk::label_in;
use super::names::{BUS, BUS_PATH};

/// The answer to `RequestName` when the name is ours.
const PRIMARY_OWNER: u32 = 1;

fn ask<B>(connection: &Connection, method: &str, body: &B) -> zbus::Result<Message>
where
    B: serde::Serialize + zbus::zvariant::DynamicType,
{
    connection.call_method(Some(BUS), BUS_PATH, Some(BUS), method, body)
}

/// The security label of this process, where the bus knows it.
pub(super) fn own_label(connection: &Connection) -> Option<String> {
    let name = connection.unique_name()?.to_string();
    label_in(&ask(connection, "GetConnectionCredentials", &name).ok()?)
}

/// Takes a name, which nobody else has.
pub(super) fn own(connection: &Connection, name: &'static str) -> Result<(), BusError> {
    let flags = RequestNameFlags::DoNotQueue as u32;
    let reply = ask(connection, "RequestName", &(name, flags));
    match reply.and_then(|reply| reply.body().deserialize::<u32>()) {
        Ok(PRIMARY_OWNER) => Ok(()),
        Ok(_) => Err(BusError::Taken { name, pid: owner(connection, name) }),
        Err(error) => Err(BusError::Refused { name, error: error.into() }),
    }
}

fn owner(connection: &Connection, name: &str) -> Option<u32> {
    ask(connection, "GetConnectionUnixProcessID", &name).ok()?.body().deserialize().ok()
}
