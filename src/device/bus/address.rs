//! Where the bus is.

use std::fmt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use zbus::blocking::Connection;
use zbus::blocking::connection::Builder;

use super::socket::sieved;

/// How long the bus, or the push service, may take to answer: it syncs a disk or asks a server, at most.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// How many messages wait to be dealt with, of at most 1 MiB each. The bus keeps the rest.
const QUEUED_MAX: usize = 16;

/// Where the push service is to be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// On the bus of the user's session.
    Session,
    /// On the bus at this D-Bus address, such as `unix:path=/run/user/1000/bus`.
    At(String),
    /// At a Unix socket of its own, without a bus: for machines that have none. There are no names then, nor
    /// labels of callers; who may open the socket may ask.
    Peer(PathBuf),
}

impl Address {
    /// Connects. On a bus, nobody who is there, too, can end the connection or fill this program's memory
    /// by what they send.
    ///
    /// # Errors
    /// When nobody is there, or the one who is there does not speak D-Bus.
    pub fn connect(&self) -> zbus::Result<Connection> {
        let builder = match self {
            Address::Session => sieved(zbus::Address::session()?)?,
            Address::At(address) => sieved(address.parse()?)?,
            Address::Peer(path) => Builder::async_io_unix_stream(UnixStream::connect(path)?).p2p(),
        };
        builder.method_timeout(ANSWER_TIME_MAX).max_queued(QUEUED_MAX).build()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Session => out.write_str("the session bus"),
            Address::At(address) => out.write_str(address),
            Address::Peer(path) => path.display().fmt(out),
        }
    }
}
