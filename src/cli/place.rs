//! `--bus` and `--socket`: where the push service is called.

use std::path::PathBuf;

use crate::device::bus::Address;

/// Where the push service is.
#[derive(clap::Args)]
pub struct Place {
    /// The D-Bus address where the service is [default: the session bus]
    #[arg(long, value_name = "ADDRESS", global = true, conflicts_with = "socket")]
    bus: Option<String>,
    /// The socket of a service that runs without a bus
    #[arg(long, value_name = "PATH", global = true)]
    socket: Option<PathBuf>,
}

impl From<Place> for Address {
    fn from(place: Place) -> Address {
        match (place.bus, place.socket) {
            (Some(bus), _) => Address::At(bus),
            (None, Some(socket)) => Address::Peer(socket),
            (None, None) => Address::Session,
        }
    }
}
