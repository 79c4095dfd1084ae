//! A blocking connection to an HTTP server: the socket, and TLS over it where that is spoken.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::AskError;
use crate::tls::{ClientConfig, ServerName, Tls};

/// What one read takes from the socket: a full TLS record.
const READ_BYTES: usize = 16 * 1024 + 256;

/// An open connection. No call on it lasts beyond its deadline.
pub struct Channel {
    stream: TcpStream,
    tls: Option<Tls>,
    deadline: Instant,
}

impl Channel {
    /// In plain text, to an address of this machine or nowhere.
    pub fn to_this_machine(addr: &str, patience: Duration) -> Result<Channel, AskError> {
        let deadline = Instant::now() + patience;
        let addrs: Vec<SocketAddr> = addr.to_socket_addrs()?.collect();
        match addrs.iter().all(|addr| addr.ip().to_canonical().is_loopback()) {
            true => Ok(Channel { stream: dial(&addrs, deadline)?, tls: None, deadline }),
            false => Err(AskError::Exposed),
        }
    }

    /// In plain text, to any address: for what is no secret.
    pub fn in_plain_text(addr: &str, patience: Duration) -> Result<Channel, AskError> {
        let deadline = Instant::now() + patience;
        let addrs: Vec<SocketAddr> = addr.to_socket_addrs()?.collect();
        Ok(Channel { stream: dial(&addrs, deadline)?, tls: None, deadline })
    }

    /// Over TLS, with the handshake done.
    pub fn over_tls(
        addr: &str,
        name: ServerName<'static>,
        config: &Arc<ClientConfig>,
        patience: Duration,
    ) -> Result<Channel, AskError> {
        let deadline = Instant::now() + patience;
        let addrs: Vec<SocketAddr> = addr.to_socket_addrs()?.collect();
        let stream = dial(&addrs, deadline)?;
        let tls = Some(Tls::connect(config, name)?);
        let mut channel = Channel { stream, tls, deadline };
        channel.shake_hands()?;
        Ok(channel)
    }

    /// Nothing can come before the request, so what plaintext there is with the handshake is none.
    fn shake_hands(&mut self) -> Result<(), AskError> {
        let mut nothing = Vec::new();
        self.decipher(&mut [], &mut nothing)?;
        while self.tls.as_ref().is_some_and(Tls::is_handshaking) {
            if !self.receive(&mut nothing)? {
                return Err(io::Error::from(ErrorKind::UnexpectedEof).into());
            }
        }
        Ok(())
    }

    /// Sends all of `plaintext`.
    pub fn send(&mut self, plaintext: &[u8]) -> Result<(), AskError> {
        let Some(tls) = &mut self.tls else { return self.write(plaintext) };
        let mut out = Vec::new();
        tls.write(plaintext, &mut out)?;
        self.write(&out)
    }

    /// Waits for more, and appends it to `plaintext`; false if there is no more to come.
    pub fn receive(&mut self, plaintext: &mut Vec<u8>) -> Result<bool, AskError> {
        let mut bytes = [0; READ_BYTES];
        self.stream.set_read_timeout(Some(left_until(self.deadline)?))?;
        let count = loop {
            match self.stream.read(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.map_err(|error| told(&error))?,
            }
        };
        Ok(count > 0 && self.decipher(&mut bytes[..count], plaintext)?)
    }

    /// Takes what came; false if the server has said goodbye.
    fn decipher(&mut self, bytes: &mut [u8], plaintext: &mut Vec<u8>) -> Result<bool, AskError> {
        let Some(tls) = &mut self.tls else {
            plaintext.extend_from_slice(bytes);
            return Ok(true);
        };
        let mut out = Vec::new();
        let status = tls.read(bytes, plaintext, &mut out);
        let written = self.write(&out);
        let status = status?;
        written.map(|()| !status.peer_closed)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), AskError> {
        self.stream.set_write_timeout(Some(left_until(self.deadline)?))?;
        Ok(self.stream.write_all(bytes).map_err(|error| told(&error))?)
    }
}

/// The first address that answers.
fn dial(addrs: &[SocketAddr], deadline: Instant) -> io::Result<TcpStream> {
    let mut outcome = Err(io::Error::new(ErrorKind::NotFound, "no such host"));
    for addr in addrs {
        outcome = TcpStream::connect_timeout(addr, left_until(deadline)?);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn left_until(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(timeout()) } else { Ok(left) }
}

/// Sockets call their time-out "temporarily unavailable".
fn told(error: &io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => timeout(),
        kind => error.raw_os_error().map_or(kind.into(), io::Error::from_raw_os_error),
    }
}

fn timeout() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "no answer in time")
}
