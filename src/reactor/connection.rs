//! One connection's bytes: a socket, perhaps TLS over it, and what the socket has not taken yet. The
//! device loops and the API loop share it; it knows neither sessions nor HTTP.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::mem;
use std::net::Shutdown;
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::acceptor::Slot;
use crate::base::RareBytes;
use crate::tls::{Status, Tls, TlsError};

/// The loop's read buffer: at least one whole TLS record, so that a full one is not read in parts.
const READ_BYTES: usize = 32 * 1024;
/// Most bytes that wait for a peer to read on: two of the longest frames, sealed, which on wire 1 is also
/// the most that a window holds. Whoever lets more pile up does not read at all.
const UNSENT_BYTES_MAX: usize = 160 * 1024;
/// How long a connection that is to be closed waits for its peer to take the last bytes.
pub(super) const LINGER: Duration = Duration::from_secs(5);

/// What a loop lends to its connections while they read and write.
pub(super) struct Scratch {
    incoming: Box<[u8]>,
    /// What the last [`Connection::receive`] has brought.
    pub(super) plaintext: Vec<u8>,
    /// What is to be sealed.
    outgoing: Vec<u8>,
    sealed: Vec<u8>,
}

impl Scratch {
    pub(super) fn new() -> Scratch {
        Scratch {
            incoming: vec![0; READ_BYTES].into(),
            plaintext: Vec::new(),
            outgoing: Vec::new(),
            sealed: Vec::new(),
        }
    }
}

/// What came of reading a socket once; the bytes are in [`Scratch::plaintext`], whatever this says.
#[derive(Debug)]
pub(super) enum Received {
    /// There may be more.
    More,
    /// There is no more: an event will say when there is.
    Drained,
    /// The peer sends no more, orderly or not.
    Closed,
    /// It cannot go on.
    Failed(Fault),
}

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The peer does not speak TLS as it should.
    #[error(transparent)]
    Tls(TlsError),
    /// The socket is broken: the peer is gone.
    #[error("gone")]
    Gone,
    /// The peer does not read what it is sent.
    #[error("what was sent is not read")]
    Unread,
}

/// A socket with its TLS. Drop it to close the socket.
pub(super) struct Connection {
    socket: TcpStream,
    tls: Option<Tls>,
    unsent: RareBytes,
    /// What is unsent are tickets that wait for the first answer, to leave with it: one system call and one
    /// segment less for each connect.
    holds_tickets: bool,
    /// The last event said that the peer has shut down: then a short read is not the end.
    expects_end: bool,
    _slot: Slot,
}

impl Connection {
    pub(super) fn new(socket: TcpStream, tls: Option<Tls>, slot: Slot) -> Connection {
        Connection {
            socket,
            tls,
            unsent: RareBytes::default(),
            holds_tickets: false,
            expects_end: false,
            _slot: slot,
        }
    }

    /// Lets events of this socket come to a loop, under `token`. What is there already is an event.
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Stops events, before another loop takes the connection.
    pub(super) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(&mut self.socket)
    }

    /// An event has said that nothing comes any more after what is there.
    pub(super) fn expect_end(&mut self) {
        self.expects_end = true;
    }

    /// Reads the socket once, and answers what TLS itself must answer.
    pub(super) fn receive(&mut self, scratch: &mut Scratch) -> Received {
        scratch.plaintext.clear();
        if self.reads_no_more() {
            return Received::Closed;
        }
        let bytes = match self.socket.read(&mut scratch.incoming) {
            Ok(0) => return Received::Closed,
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Received::Drained,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Received::More,
            Err(_) => return Received::Closed,
        };
        match self.open(bytes, scratch) {
            Ok(true) => Received::Closed,
            // epoll(7): on a stream a short read has emptied the socket.
            Ok(false) if bytes < scratch.incoming.len() && !self.expects_end => Received::Drained,
            Ok(false) => Received::More,
            Err(fault) => Received::Failed(fault),
        }
    }

    /// Whether the peer has said that it says no more, though its socket may stay open.
    pub(super) fn reads_no_more(&self) -> bool {
        self.tls.as_ref().is_some_and(Tls::reads_no_more)
    }

    /// Deciphers the first `bytes` of the read buffer; says whether the peer has closed TLS.
    fn open(&mut self, bytes: usize, scratch: &mut Scratch) -> Result<bool, Fault> {
        let Scratch { incoming, plaintext, sealed, .. } = scratch;
        let incoming = &mut incoming[..bytes];
        let Some(tls) = &mut self.tls else {
            plaintext.extend_from_slice(incoming);
            return Ok(false);
        };
        sealed.clear();
        let read = tls.read(incoming, plaintext, sealed);
        if let Ok(Status { peer_closed, only_tickets: true }) = read
            && !plaintext.is_empty()
            && !sealed.is_empty()
        {
            self.unsent.extend(sealed);
            self.holds_tickets = true;
            return Ok(peer_closed);
        }
        // On error this is the alert, which need not arrive.
        let transmitted = self.transmit(sealed);
        let status = read.map_err(Fault::Tls)?;
        transmitted?;
        Ok(status.peer_closed)
    }

    /// Sends `parts` together: in one TLS record, as far as that goes.
    pub(super) fn send<'a>(
        &mut self,
        parts: impl IntoIterator<Item = &'a [u8]>,
        scratch: &mut Scratch,
    ) -> Result<(), Fault> {
        let Scratch { outgoing, sealed, .. } = scratch;
        outgoing.clear();
        parts.into_iter().for_each(|part| outgoing.extend_from_slice(part));
        let Some(tls) = &mut self.tls else { return self.transmit(outgoing) };
        sealed.clear();
        tls.write(outgoing, sealed).map_err(Fault::Tls)?;
        self.transmit(sealed)
    }

    /// Says the last word of TLS. What is unsent should still be flushed.
    pub(super) fn close(&mut self) -> Result<(), Fault> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        let mut sealed = Vec::new();
        tls.close(&mut sealed);
        self.transmit(&sealed)
    }

    /// Tells the peer that nothing more comes, while what it sends is still read.
    pub(super) fn shut_down_writing(&mut self) {
        // A socket that cannot be shut down any more is gone, which the next read says.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// Sends what was left over, as far as the socket takes it.
    pub(super) fn flush(&mut self) -> Result<(), Fault> {
        if !self.has_unsent() {
            return Ok(());
        }
        let mut unsent = self.unsent.take();
        unsent.drain(..write(&mut self.socket, &unsent)?);
        self.unsent.set(unsent);
        Ok(())
    }

    /// Whether the socket has not taken everything: an event will say when to [`Connection::flush`].
    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty() && !self.holds_tickets
    }

    fn transmit(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if mem::take(&mut self.holds_tickets) {
            self.unsent.extend(bytes);
            self.flush()?;
            return if self.unsent.len() > UNSENT_BYTES_MAX { Err(Fault::Unread) } else { Ok(()) };
        }
        let written = if self.unsent.is_empty() { write(&mut self.socket, bytes)? } else { 0 };
        let rest = &bytes[written..];
        if self.unsent.len() + rest.len() > UNSENT_BYTES_MAX {
            return Err(Fault::Unread);
        }
        self.unsent.extend(rest);
        Ok(())
    }
}

/// Writes until the socket takes no more; returns how many bytes it took.
fn write(socket: &mut TcpStream, bytes: &[u8]) -> Result<usize, Fault> {
    let mut written = 0;
    while written < bytes.len() {
        match socket.write(&bytes[written..]) {
            Ok(0) => return Err(Fault::Gone),
            Ok(taken) => written += taken,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Err(Fault::Gone),
        }
    }
    Ok(written)
}

/// What mio adds to a socket in debug builds: which selector it belongs to.
#[cfg(test)]
pub(super) const SELECTOR_BYTES: usize = if cfg!(debug_assertions) { 16 } else { 0 };

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::sync::Arc;

    use super::super::acceptor::Slots;
    use super::*;
    use crate::base::Wall;
    use crate::tls::{
        Certificates, DeviceOptions, ServerName, ServerOptions, TicketKeys, Tickets, Trust, device_config,
        server_config,
    };

    /// A connection without TLS, and the other end of its socket.
    fn connection() -> (Connection, std::net::TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let peer = std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        let (socket, _) = listener.accept().expect("one waits");
        socket.set_nonblocking(true).expect("a socket");
        let slots: Arc<Slots> = Slots::new(1);
        let slot = slots.take().expect("one is free");
        (Connection::new(TcpStream::from_std(socket), None, slot), peer)
    }

    #[test]
    fn a_connection_is_small() {
        assert!(size_of::<Connection>() <= 56 + SELECTOR_BYTES, "{}", size_of::<Connection>());
    }

    #[test]
    fn what_a_socket_does_not_take_follows_and_leaves_no_buffer() {
        let (mut connection, mut peer) = connection();
        let (mut scratch, part) = (Scratch::new(), [7; 10_000]);
        let mut sent = 0;
        while !connection.has_unsent() {
            connection.send([&part[..]], &mut scratch).expect("there is room");
            sent += part.len();
        }
        let mut received = 0;
        let mut bytes = [0; 64 * 1024];
        while received < sent {
            received += peer.read(&mut bytes).expect("it comes");
            connection.flush().expect("the peer is there");
        }
        assert_eq!(received, sent);
        assert!(connection.unsent.is_empty());
    }

    #[test]
    fn a_peer_that_does_not_read_is_given_up() {
        let (mut connection, _peer) = connection();
        let mut scratch = Scratch::new();
        let fault = loop {
            if let Err(fault) = connection.send([&[7; 10_000][..]], &mut scratch) {
                break fault;
            }
        };
        assert!(matches!(fault, Fault::Unread));
        assert!(connection.unsent.len() <= UNSENT_BYTES_MAX);
    }

    /// A device that says its first word right behind its handshake, and what the server has then.
    fn greeted(scratch: &mut Scratch) -> (Connection, std::net::TcpStream, Tls) {
        let made = rcgen::generate_simple_self_signed(["push.example.org".to_owned()]).expect("a name");
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let shown = Certificates::new(certificate.as_bytes(), key.as_bytes()).expect("made above");
        let keys = TicketKeys::new(Wall(0), &mut |bytes| bytes.fill(7));
        let tickets = Some(Tickets::new(&keys, shown.clone()));
        let options = ServerOptions { tickets, slim: true, ..ServerOptions::default() };
        let trusting = device_config(&Trust::Insecure, DeviceOptions::default()).expect("valid");
        let name = ServerName::try_from("push.example.org").expect("a name");
        let mut device = Tls::connect(&trusting, name).expect("a good configuration");

        let (mut connection, mut peer) = connection();
        connection.tls = Some(Tls::accept(&server_config(&shown, &options)).expect("a good configuration"));
        let (mut bytes, mut out) = (vec![0; 16 * 1024], Vec::new());
        device.read(&mut [], &mut Vec::new(), &mut out).expect("a hello");
        peer.write_all(&out).expect("connected");
        assert!(matches!(connection.receive(scratch), Received::Drained));
        assert!(!connection.holds_tickets);
        out.clear();
        while device.is_handshaking() {
            let read = peer.read(&mut bytes).expect("the server's flight");
            device.read(&mut bytes[..read], &mut Vec::new(), &mut out).expect("both agree");
        }
        device.write(b"hello", &mut out).expect("the handshake is done");
        peer.write_all(&out).expect("connected");
        assert!(matches!(connection.receive(scratch), Received::Drained));
        assert_eq!(scratch.plaintext, b"hello");
        (connection, peer, device)
    }

    #[test]
    fn tickets_leave_with_the_first_answer() {
        let mut scratch = Scratch::new();
        let (mut connection, mut peer, mut device) = greeted(&mut scratch);
        assert!(connection.holds_tickets && !connection.has_unsent());
        // An event, as when the connection moves to another loop.
        connection.flush().expect("the peer is there");
        peer.set_nonblocking(true).expect("a socket");
        let mut bytes = vec![0; 16 * 1024];
        assert_eq!(peer.read(&mut bytes).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));

        connection.send([&b"welcome"[..]], &mut scratch).expect("the peer is there");
        assert!(connection.unsent.is_empty());
        peer.set_nonblocking(false).expect("a socket");
        let (read, mut plaintext) = (peer.read(&mut bytes).expect("both"), Vec::new());
        device.read(&mut bytes[..read], &mut plaintext, &mut Vec::new()).expect("intact");
        assert_eq!(plaintext, b"welcome");
    }

    #[test]
    fn tickets_leave_before_the_last_word() {
        let mut scratch = Scratch::new();
        let (mut connection, mut peer, mut device) = greeted(&mut scratch);
        connection.close().expect("the peer is there");
        assert!(!connection.has_unsent());
        drop(connection);
        let mut bytes = Vec::new();
        peer.read_to_end(&mut bytes).expect("all of it");
        let status = device.read(&mut bytes, &mut Vec::new(), &mut Vec::new()).expect("intact");
        assert!(status.peer_closed);
    }

    #[test]
    fn one_end_after_the_last_bytes_is_noticed_with_them() {
        let (mut connection, mut peer) = connection();
        peer.write_all(b"last").expect("connected");
        drop(peer);
        connection.expect_end();
        let mut scratch = Scratch::new();
        assert!(matches!(connection.receive(&mut scratch), Received::More));
        assert_eq!(scratch.plaintext, b"last");
        assert!(matches!(connection.receive(&mut scratch), Received::Closed));
    }
}
