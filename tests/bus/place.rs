//! Where the tests meet the service: a bus of their own, or a socket without one.

use std::path::PathBuf;

use lomiri_push::device::bus::Address;
use tempfile::TempDir;

use super::private_bus::PrivateBus;

/// A D-Bus daemon, or a folder for a socket. Gone when dropped.
pub struct Place {
    bus: Option<PrivateBus>,
    address: Address,
    _folder: Option<TempDir>,
}

/// A socket without a bus.
pub fn peer() -> Place {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let address = Address::Peer(folder.path().join("push.sock"));
    Place { bus: None, address, _folder: Some(folder) }
}

/// A bus of its own; `None`, and a word about it, on a machine without.
pub fn bus() -> Option<Place> {
    let bus = PrivateBus::start()?;
    let address = Address::At(bus.address().into());
    Some(Place { bus: Some(bus), address, _folder: None })
}

impl Place {
    /// Where the service is to be called.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The bus's address as tools take it.
    pub fn bus_address(&self) -> &str {
        match &self.address {
            Address::At(address) => address,
            _ => panic!("there is no bus"),
        }
    }

    /// Where the socket is, without a bus.
    pub fn socket(&self) -> Option<&PathBuf> {
        match &self.address {
            Address::Peer(path) => Some(path),
            _ => None,
        }
    }

    /// Ends the bus, as a session's end does.
    pub fn end(&mut self) {
        self.bus = None;
    }
}
