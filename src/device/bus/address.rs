//! Where the bus is.

use std::fmt;
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
            Address::Peer(path) => {
                Builder::address(format!("unix:path={}", escaped(&path.to_string_lossy())).as_str())?.p2p()
            }
        };
        builder.method_timeout(ANSWER_TIME_MAX).max_queued(QUEUED_MAX).build()
    }
}

/// A value in a D-Bus address.
fn escaped(value: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_/.\\*".contains(&byte);
    let escape = |byte: u8| if is_plain(byte) { char::from(byte).into() } else { format!("%{byte:02x}") };
    value.bytes().map(escape).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_steers_nothing_in_an_address() {
        assert_eq!(escaped("/run/user/1000/push-1.sock"), "/run/user/1000/push-1.sock");
        assert_eq!(escaped("/tmp/a b,guid=0;tcp:ü"), "/tmp/a%20b%2cguid%3d0%3btcp%3a%c3%bc");
    }
}
