//! Connections to buses. Those to a bus on which others may send anything are read through a [`Sieve`]. The sockets
//! are opened here, for the library would open them on a thread that wakes twice a second ever after.

use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::sync::Arc;

use async_io::Async;
use zbus::address::transport::{Transport, UnixSocket};
use zbus::blocking::connection::Builder;
use zbus::connection::socket::{BoxedSplit, ReadHalf};
use zbus::export::async_trait::async_trait;

use super::sieve::Sieve;

/// How much is read at once.
const READ_BYTES: usize = 8 * 1024;

/// What builds a connection to the session's bus: nobody there can end it by what they send. It takes no
/// file descriptors. A bus that is at no Unix socket is read as it is.
///
/// # Errors
/// When nobody listens there.
pub fn sieved(address: zbus::Address) -> zbus::Result<Builder<'static>> {
    let Some(stream) = open(&address)? else { return Builder::address(address) };
    let socket = Arc::new(Async::new(stream)?);
    let read = Sieved { socket: socket.clone(), sieve: Sieve::new(), ready: Vec::new(), given: 0 };
    Ok(Builder::socket(BoxedSplit::new(Box::new(read), Box::new(socket))))
}

/// The same for the system's bus, whose own rules say who may send what.
///
/// # Errors
/// When nobody listens there.
pub fn plain(address: zbus::Address) -> zbus::Result<Builder<'static>> {
    match open(&address)? {
        Some(stream) => Ok(Builder::async_io_unix_stream(stream)),
        None => Builder::address(address),
    }
}

/// Where the system's bus is, in the form of `DBUS_SYSTEM_BUS_ADDRESS`: as that says, or else where it usually is.
pub fn system_address() -> Option<String> {
    zbus::Address::system().ok().map(|address| address.to_string())
}

/// A connected socket, if the address is that of one.
fn open(address: &zbus::Address) -> io::Result<Option<UnixStream>> {
    let Transport::Unix(unix) = address.transport() else { return Ok(None) };
    match unix.path() {
        UnixSocket::File(path) => UnixStream::connect(path).map(Some),
        UnixSocket::Abstract(name) => {
            let name = SocketAddr::from_abstract_name(name.as_encoded_bytes())?;
            UnixStream::connect_addr(&name).map(Some)
        }
        _ => Ok(None),
    }
}

/// The reading half.
#[derive(Debug)]
struct Sieved {
    socket: Arc<Async<UnixStream>>,
    sieve: Sieve,
    /// What has been let through.
    ready: Vec<u8>,
    /// How much of it has been given on.
    given: usize,
}

#[async_trait]
impl ReadHalf for Sieved {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        while self.given == self.ready.len() {
            (self.ready, self.given) = (Vec::new(), 0);
            let mut read = [0; READ_BYTES];
            let (count, _) = self.socket.recvmsg(&mut read).await?;
            if count == 0 {
                return Ok((0, Vec::new()));
            }
            self.sieve.take(&read[..count], &mut self.ready);
        }
        let ready = &self.ready[self.given..];
        let count = ready.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        self.given += count;
        Ok((count, Vec::new()))
    }
}
