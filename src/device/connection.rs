//! One connection of a device to its server: a socket, TLS, and the session over them. It wakes up for bytes,
//! for deadlines and when it is called, and for nothing else. It does not connect again, and stores nothing.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::clock::now;
use super::dial::dial;
use super::power::Alarm;
use super::watch::{Side, Until, Waker, Watch, Woken};
use crate::base::Monotonic;
use crate::session::EndReason;
use crate::session::device::{Event, OpenError, Options, Session};
use crate::tls::{ClientConfig, ServerName, Tls, TlsError};

/// What one read takes from the socket: a full TLS record.
const READ_BYTES: usize = 16 * 1024 + 256;
/// So many reads at most take what nobody wants any more, when a connection closes: a window of deliveries
/// and what TLS adds. A server that sends on and on must not keep the device.
const LAST_READS_MAX: usize = 16;

/// A server as a device knows it.
#[derive(Clone)]
pub struct Server {
    /// Its address, `HOST:PORT`.
    pub addr: String,
    /// The name that its certificate must carry.
    pub name: ServerName<'static>,
    /// Whom to believe.
    pub tls: Arc<ClientConfig>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The server cannot be found or reached.
    #[error("{addr}: {source}")]
    Unreachable {
        /// Where it was looked for.
        addr: String,
        /// What the system said.
        source: io::Error,
    },
    /// A [`Waker`] called while the server was being reached.
    #[error("called away while {addr} was being reached")]
    Called {
        /// Where the server was looked for.
        addr: String,
    },
    /// The process may have no more descriptors.
    #[error("cannot wait for a connection: {0}")]
    Watch(io::Error),
    /// TLS could not even begin.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// What the device would say of itself does not fit the wire.
    #[error("the device cannot introduce itself: {0}")]
    Options(#[from] OpenError),
}

/// An open connection with its session.
///
/// Call [`Connection::next_event`] all the time: it is what moves bytes, answers pings and notices
/// that the server is gone. After [`Event::Broadcast`] and [`Event::Message`] store what came, then
/// [`Connection::ack`]. [`Event::Ended`] is the last event. Dropping the connection closes it abruptly.
pub struct Connection {
    stream: TcpStream,
    watch: Arc<Watch>,
    tls: Tls,
    session: Session,
    incoming: Box<[u8]>,
    is_interrupted: Arc<AtomicBool>,
}

/// Calls the owner of a connection away from [`Connection::next_event`], from another thread.
pub struct Interrupter {
    waker: Waker,
    is_interrupted: Arc<AtomicBool>,
}

impl Connection {
    /// Connects, waiting no longer than the exchange timeout for each of the server's addresses. The
    /// handshake is done by the first [`Connection::next_event`].
    pub fn open(server: &Server, options: Options) -> Result<Connection, ConnectError> {
        let watch = Watch::new(Alarm::default()).map_err(ConnectError::Watch)?;
        let patience = options.exchange_timeout;
        Connection::open_by(server, options, patience, watch.into())
    }

    /// The same, with `patience` for each address, and waiting by `watch` for as long as the connection lives:
    /// its waker calls the owner away from here and from [`Connection::next_event`], and its alarm wakes the
    /// machine for the session's deadlines.
    pub fn open_by(
        server: &Server,
        options: Options,
        patience: Duration,
        watch: Arc<Watch>,
    ) -> Result<Connection, ConnectError> {
        let stream = dial(&server.addr, patience, &watch).map_err(|source| {
            let addr = server.addr.clone();
            match source.kind() {
                ErrorKind::Interrupted => ConnectError::Called { addr },
                _ => ConnectError::Unreachable { addr, source },
            }
        })?;
        let session = Session::new(options, now())?;
        let tls = Tls::connect(&server.tls, server.name.clone())?;
        let incoming = vec![0; READ_BYTES].into_boxed_slice();
        let is_interrupted = Arc::default();
        let mut connection = Connection { stream, watch, tls, session, incoming, is_interrupted };
        connection.take_ciphertext(0);
        Ok(connection)
    }

    /// Waits for what comes next, but not beyond `until` by the [device's clock](now). None if that has
    /// passed, if the end has been told already, if a [`Waker`] called, or from when an [`Interrupter`] has
    /// asked for it.
    pub fn next_event(&mut self, until: Option<Monotonic>) -> Option<Event> {
        loop {
            if self.is_interrupted() {
                return None;
            }
            if let Some(event) = self.session.poll_event() {
                return Some(event);
            }
            self.transmit();
            if self.session.has_events() {
                continue;
            }
            let deadline = self.session.next_deadline()?;
            if until.is_some_and(|until| now() >= until) {
                return None;
            }
            if self.receive(until.map_or(deadline, |until| until.min(deadline)), deadline) == Woken::Called {
                return None;
            }
        }
    }

    /// Tells the server that all that came is stored. While more has come already and waits to be told,
    /// this waits too, so that one ack goes for all.
    pub fn ack(&mut self) {
        self.session.ack();
        if !self.session.has_events() {
            self.transmit();
        }
    }

    /// The session, to be told what the device wants; what it says goes with the next
    /// [`Connection::next_event`].
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Whether TLS resumed an earlier connection to this server.
    pub fn is_resumed(&self) -> bool {
        self.tls.is_resumed()
    }

    /// A way to end the wait for events from elsewhere, for good.
    pub fn interrupter(&self) -> Interrupter {
        Interrupter { waker: self.waker(), is_interrupted: self.is_interrupted.clone() }
    }

    /// A way to end the wait for events from elsewhere once, so that the owner can say something.
    pub fn waker(&self) -> Waker {
        self.watch.waker()
    }

    /// Closes in order: what was acked goes out, the session takes its leave, and TLS does.
    pub fn close(mut self) {
        self.session.leave();
        self.transmit();
        let mut out = Vec::new();
        self.tls.close(&mut out);
        // The server may be gone already; then there is nobody to say goodbye to.
        if self.stream.write_all(&out).is_ok() {
            self.drop_unread();
        }
    }

    /// The system breaks off a connection on which something is left unread when it closes, and may drop
    /// what is still to be sent.
    fn drop_unread(&mut self) {
        let is_nonblocking = self.stream.set_nonblocking(true).is_ok();
        for _ in 0..LAST_READS_MAX {
            if !is_nonblocking || !matches!(self.stream.read(&mut self.incoming), Ok(1..)) {
                return;
            }
        }
    }

    fn is_interrupted(&self) -> bool {
        self.is_interrupted.load(Ordering::SeqCst)
    }

    /// Sends what the session wants to say, once TLS can carry it.
    fn transmit(&mut self) {
        let mut out = Vec::new();
        self.seal(&mut out);
        self.write(&out);
    }

    /// Adds what the session wants to say to what is to be sent.
    fn seal(&mut self, out: &mut Vec<u8>) {
        if self.tls.is_handshaking() {
            return;
        }
        let mut plaintext = Vec::new();
        while let Some(frames) = self.session.poll_transmit(now()) {
            plaintext.extend_from_slice(&frames);
        }
        if !plaintext.is_empty()
            && let Err(error) = self.tls.write(&plaintext, out)
        {
            self.fail(&error);
        }
    }

    /// Waits for bytes until `late`, and takes what comes. A machine that sleeps wakes at `wake`.
    fn receive(&mut self, late: Monotonic, wake: Monotonic) -> Woken {
        let ready = Some((self.stream.as_fd(), Side::Read));
        let woken = self.watch.wait(Until { ready, late: Some(late), wake: Some(wake) });
        match &woken {
            Ok(Woken::Called) => {}
            Ok(Woken::Late) => self.session.handle_timeout(now()),
            Ok(Woken::Ready) => self.read(),
            Err(error) => self.fail(error),
        }
        woken.unwrap_or(Woken::Ready)
    }

    /// Takes bytes that are there.
    fn read(&mut self) {
        match self.stream.read(&mut self.incoming) {
            Ok(0) => self.hung_up(),
            Ok(count) => self.take_ciphertext(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => self.hung_up(),
            Err(error) => self.fail(&error),
        }
    }

    /// Who hangs up before TLS knows whom, be it a proxy whose server is down, has not heard the device.
    fn hung_up(&mut self) {
        match self.tls.is_handshaking() {
            true => self.fail(&io::Error::new(ErrorKind::UnexpectedEof, "cut off in the TLS handshake")),
            false => self.session.end(EndReason::Eof),
        }
    }

    /// Takes the first `count` bytes of what came in. None at all bring TLS to its first flight.
    fn take_ciphertext(&mut self, count: usize) {
        let (mut plaintext, mut out) = (Vec::new(), Vec::new());
        let status = self.tls.read(&mut self.incoming[..count], &mut plaintext, &mut out);
        if status.is_ok() && !out.is_empty() {
            // The end of the handshake takes CONNECT along in its segment.
            self.seal(&mut out);
        }
        self.write(&out);
        self.session.handle_bytes(&plaintext, now());
        match status {
            Ok(status) if status.peer_closed => self.session.end(EndReason::Eof),
            Ok(_) => {}
            Err(error) => self.fail(&error),
        }
    }

    fn write(&mut self, out: &[u8]) {
        match self.stream.write_all(out) {
            Ok(()) => {}
            Err(error) if is_timeout(&error) => self.session.end(EndReason::Timeout),
            // The server closed: what it sent before may still be read, and then the end will be.
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {}
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&mut self, error: &dyn std::error::Error) {
        self.session.end(EndReason::Transport(error.to_string().into()));
    }
}

impl Interrupter {
    /// Ends the wait for events. The connection can still [`close`](Connection::close) in order, and
    /// should: it reads nothing more.
    pub fn interrupt(&self) {
        self.is_interrupted.store(true, Ordering::SeqCst);
        self.waker.wake();
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests;
