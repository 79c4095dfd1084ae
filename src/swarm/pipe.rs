//! A socket, perhaps with TLS, for a loop that holds very many: it keeps no buffer while nothing is on its way. Knows
//! neither devices nor HTTP.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::tls::{Tls, TlsError};

/// What one read takes: some full TLS records.
const READ_BYTES: usize = 64 * 1024;

/// What the loop lends to its sockets, and what has gone through them.
pub(super) struct Scratch {
    incoming: Box<[u8]>,
    sealed: Vec<u8>,
    /// What the last [`Pipe::receive`] has brought.
    pub(super) plaintext: Vec<u8>,
    pub(super) bytes_up: u64,
    pub(super) bytes_down: u64,
}

impl Scratch {
    pub(super) fn new() -> Scratch {
        Scratch {
            incoming: vec![0; READ_BYTES].into(),
            sealed: Vec::new(),
            plaintext: Vec::new(),
            bytes_up: 0,
            bytes_down: 0,
        }
    }
}

/// What came of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// The socket had no bytes.
    Nothing,
    /// It had fewer than were asked for, and has no more now.
    Some,
    /// It may have more.
    More,
}

/// Why a pipe is of no use any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The peer has closed.
    #[error("closed by the server")]
    Closed,
    /// TLS failed.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The socket did.
    #[error("{}", .0.kind())]
    Io(#[from] io::Error),
}

/// One connection.
pub(super) struct Pipe {
    socket: TcpStream,
    tls: Option<Tls>,
    unsent: Vec<u8>,
}

impl Pipe {
    /// Begins to connect to `to`, from `from` if that is given. Its first event says that it is connected, or not.
    pub(super) fn dial(to: SocketAddr, from: Option<IpAddr>, tls: Option<Tls>) -> Result<Pipe, Broken> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(from) = from {
            socket.bind(&SocketAddr::new(from, 0).into())?;
        }
        match socket.connect(&to.into()) {
            Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
                return Err(error.into());
            }
            _ => {}
        }
        Ok(Pipe { socket: TcpStream::from_std(socket.into()), tls, unsent: Vec::new() })
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Cuts the connection without a word. Its port is free at once, so that very many can come and go.
    pub(super) fn cut(self) {
        // If it cannot be, then a port waits a minute longer.
        let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }

    pub(super) fn is_resumed(&self) -> bool {
        self.tls.as_ref().is_some_and(Tls::is_resumed)
    }

    /// Whether plaintext can go.
    pub(super) fn is_open(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| !tls.is_handshaking())
    }

    /// Lets TLS begin; it says its first word.
    pub(super) fn begin(&mut self, scratch: &mut Scratch) -> Result<(), Broken> {
        self.open(0, scratch)
    }

    /// Reads once, at most so many bytes; the plaintext is in [`Scratch::plaintext`].
    pub(super) fn receive(&mut self, bytes_max: usize, scratch: &mut Scratch) -> Result<Received, Broken> {
        scratch.plaintext.clear();
        let length = bytes_max.min(scratch.incoming.len());
        let bytes = match self.socket.read(&mut scratch.incoming[..length]) {
            Ok(0) => return Err(Broken::Closed),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Received::Nothing),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(Received::More),
            Err(error) => return Err(error.into()),
        };
        scratch.bytes_down += bytes as u64;
        self.open(bytes, scratch)?;
        Ok(if bytes == length { Received::More } else { Received::Some })
    }

    fn open(&mut self, bytes: usize, scratch: &mut Scratch) -> Result<(), Broken> {
        let Scratch { incoming, sealed, plaintext, .. } = scratch;
        let Some(tls) = &mut self.tls else {
            plaintext.extend_from_slice(&incoming[..bytes]);
            return Ok(());
        };
        sealed.clear();
        let read = tls.read(&mut incoming[..bytes], plaintext, sealed);
        let sealed = std::mem::take(sealed);
        let sent = self.transmit(&sealed, scratch);
        scratch.sealed = sealed;
        // What came before the end counts, so the end is told by the socket.
        read?;
        sent
    }

    /// Sends `plaintext`, now or when the socket takes it.
    pub(super) fn send(&mut self, plaintext: &[u8], scratch: &mut Scratch) -> Result<(), Broken> {
        let Some(tls) = &mut self.tls else { return self.transmit(plaintext, scratch) };
        let mut sealed = std::mem::take(&mut scratch.sealed);
        sealed.clear();
        let written = tls.write(plaintext, &mut sealed);
        let sent = self.transmit(&sealed, scratch);
        scratch.sealed = sealed;
        written?;
        sent
    }

    /// Takes leave in order.
    pub(super) fn close(mut self, scratch: &mut Scratch) {
        let mut sealed = Vec::new();
        if let Some(tls) = &mut self.tls {
            tls.close(&mut sealed);
        }
        // Whoever has gone need not be told.
        let _ = self.transmit(&sealed, scratch);
    }

    /// Sends what is left, as far as the socket takes it.
    pub(super) fn flush(&mut self, scratch: &mut Scratch) -> Result<(), Broken> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let unsent = std::mem::take(&mut self.unsent);
        self.transmit(&unsent, scratch)
    }

    fn transmit(&mut self, bytes: &[u8], scratch: &mut Scratch) -> Result<(), Broken> {
        let written = if self.unsent.is_empty() { self.write(bytes)? } else { 0 };
        scratch.bytes_up += written as u64;
        self.unsent.extend_from_slice(&bytes[written..]);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        let mut written = 0;
        while written < bytes.len() {
            match self.socket.write(&bytes[written..]) {
                Ok(0) => return Err(Broken::Closed),
                Ok(taken) => written += taken,
                Err(error) if [ErrorKind::WouldBlock, ErrorKind::NotConnected].contains(&error.kind()) => {
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(written)
    }
}
