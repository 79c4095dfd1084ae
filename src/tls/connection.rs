//! One TLS connection: over rustls' unbuffered API, and once the handshake is over perhaps over our own record layer.
//! It keeps no buffer of its own beyond a partial record; sockets, deadlines and what the plaintext says are its
//! owner's.

use std::mem;
use std::sync::Arc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus, WriteTraffic,
};
use rustls::{
    CipherSuite, ClientConfig, CommonState, ExtractedSecrets, HandshakeKind, ProtocolVersion, ServerConfig,
};

use super::slim::{Capture, HEADER_BYTES, Progress, RecordError, Role, Slim};
use super::trust::NOT_PINNED;
use crate::base::RareBytes;

/// Most bytes kept between two reads: the longest record there is (RFC 5246, section 6.2.3, which
/// allows more than TLS 1.3 does), so a peer's handshake message spread over records must fit it too.
const PARTIAL_BYTES_MAX: usize = 5 + 16_384 + 2_048;

/// One TLS connection, the server's or the device's side.
///
/// Feed what the socket gave to [`read`](Tls::read) and send what it appends to `out`: that alone
/// carries the handshake. A device's first flight comes from a `read` of nothing. Once
/// [`is_handshaking`](Tls::is_handshaking) is false, [`write`](Tls::write) seals plaintext. After an
/// error, send `out` (it may hold an alert), drop the connection and close the socket.
///
/// ```text
///        read: close_notify              close
/// Open ─────────────────────> PeerClosed ──────> Over
///   └───────────── close, or any error ───────────^
/// ```
pub struct Tls {
    pub(super) side: Side,
    /// The front of a record that has not come in full, or of a handshake message over several.
    /// rustls may have deciphered parts of it in place, so it goes back to rustls as it is.
    pub(super) partial: RareBytes,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The peer sends no more; we may.
    PeerClosed,
    /// Nothing goes either way. rustls must not be asked any more: it would send a second last alert.
    Over,
}

/// Where a connection stands after a [`Tls::read`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The peer has sent close_notify: all of its plaintext has come out, and no more will.
    pub peer_closed: bool,
    /// What this read has appended to `out` are a server's tickets (TLS 1.3), and perhaps its answer to a key update,
    /// for which nobody waits: they may leave together with the first plaintext.
    pub only_tickets: bool,
}

/// Why a TLS connection cannot go on. Its text is for the log and holds no bytes of the peer's.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The peer broke the protocol, its certificate did not hold, or no common ground was found.
    #[error("TLS: {0}")]
    Rustls(rustls::Error),
    /// The peer's certificate is not the one that it is known by.
    #[error("TLS: the certificate is not the pinned one")]
    NotPinned,
    /// The peer broke the protocol after the handshake.
    #[error("TLS: {0}")]
    Record(#[from] RecordError),
    /// What rustls and we have made of one handshake differs: one of us is mistaken.
    #[error("TLS: the handshake's secrets differ")]
    SecretsDiffer,
    /// The peer's handshake message is longer than any that makes sense here.
    #[error("TLS: handshake message too long")]
    HandshakeTooLong,
    /// So much was sent under one key (TLS 1.2) that it must not be used any more.
    #[error("TLS: keys used up")]
    KeysUsedUp,
    /// A read has left a whole record where only part of one may be kept: rustls' mistake or ours. To
    /// go on would be to lose what the peer said.
    #[error("TLS: plaintext was left behind")]
    LeftBehind,
    /// The owner wrote before the handshake was done.
    #[error("TLS: write before the end of the handshake")]
    Handshaking,
    /// The owner wrote to a connection that it had closed or that had failed.
    #[error("TLS: write to a closed connection")]
    Over,
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> TlsError {
        if error == NOT_PINNED { TlsError::NotPinned } else { TlsError::Rustls(error) }
    }
}

pub(super) enum Side {
    Server(Box<Whole<UnbufferedServerConnection>>),
    Device(Box<Whole<UnbufferedClientConnection>>),
    /// The handshake is over, and so is rustls' part.
    Slim(Box<Slim>),
    /// It failed in between.
    None,
}

/// A connection that is rustls' as a whole.
pub(super) struct Whole<C> {
    pub(super) connection: C,
    /// Takes down what a slim connection needs, if this is to become one.
    capture: Option<Arc<Capture>>,
}

/// What a drive of rustls is for, beside reading what came in.
#[derive(Clone, Copy)]
enum Task<'a> {
    Read,
    Write(&'a [u8]),
    Close,
}

impl Tls {
    /// The server's side of a connection that was just accepted.
    pub fn accept(config: &Arc<ServerConfig>) -> Result<Tls, TlsError> {
        let (mut config, mut capture) = (config.clone(), None);
        if config.enable_secret_extraction {
            Arc::make_mut(&mut config).key_log = capture.insert(Arc::new(Capture::default())).clone();
        }
        let connection = UnbufferedServerConnection::new(config)?;
        Ok(Tls::new(Side::Server(Box::new(Whole { connection, capture }))))
    }

    /// The device's side of a connection to the server that calls itself `name`.
    pub fn connect(config: &Arc<ClientConfig>, name: ServerName<'static>) -> Result<Tls, TlsError> {
        let (mut config, mut capture) = (config.clone(), None);
        if config.enable_secret_extraction {
            Arc::make_mut(&mut config).key_log = capture.insert(Arc::new(Capture::default())).clone();
        }
        let connection = UnbufferedClientConnection::new(config, name)?;
        Ok(Tls::new(Side::Device(Box::new(Whole { connection, capture }))))
    }

    fn new(side: Side) -> Tls {
        Tls { side, partial: RareBytes::default(), state: State::Open }
    }

    /// Takes what the socket gave, deciphering in place: appends the plaintext to `plaintext` and
    /// what must be sent (handshake, alerts) to `out`, on error too. Both may hold something already.
    /// What comes after the end is ignored.
    pub fn read(
        &mut self,
        ciphertext: &mut [u8],
        plaintext: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<Status, TlsError> {
        let was_shaking_hands = matches!(self.side, Side::Server(_)) && self.is_handshaking();
        if self.state == State::Open {
            let read = self.read_open(ciphertext, plaintext, out);
            self.over_if_failed(read)?;
        }
        let only_tickets = was_shaking_hands && !self.is_handshaking() && self.is_tls13();
        Ok(Status { peer_closed: self.state == State::PeerClosed, only_tickets })
    }

    /// Seals `plaintext` into as many records as it takes and appends them to `out`. Fails while the
    /// handshake is not done.
    pub fn write(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
        if self.state == State::Over {
            return Err(TlsError::Over);
        }
        if self.is_handshaking() {
            return Err(TlsError::Handshaking);
        }
        let written = self.drive_between_reads(Task::Write(plaintext), out);
        self.over_if_failed(written)
    }

    /// Ends both directions: appends close_notify to `out`, unless the handshake is not done or has
    /// failed, where it would say nothing.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if self.state != State::Over && !self.is_handshaking() {
            // Should it fail, then the peer sees the socket close, which tells it the same.
            let _ = self.drive_between_reads(Task::Close, out);
        }
        self.end();
    }

    /// Whether no plaintext can come any more: the peer has closed, or the connection has failed.
    pub fn reads_no_more(&self) -> bool {
        self.state != State::Open
    }

    /// Whether the handshake is still going on.
    pub fn is_handshaking(&self) -> bool {
        match &self.side {
            Side::Server(whole) => whole.connection.is_handshaking(),
            Side::Device(whole) => whole.connection.is_handshaking(),
            Side::Slim(_) | Side::None => false,
        }
    }

    /// Whether the handshake resumed an earlier connection, so that no certificate was shown.
    pub fn is_resumed(&self) -> bool {
        match &self.side {
            Side::Server(whole) => whole.is_resumed(),
            Side::Device(whole) => whole.is_resumed(),
            Side::Slim(slim) => slim.is_resumed(),
            Side::None => false,
        }
    }

    fn is_tls13(&self) -> bool {
        match &self.side {
            Side::Server(whole) => whole.is_tls13(),
            Side::Device(whole) => whole.is_tls13(),
            Side::Slim(_) => true,
            Side::None => false,
        }
    }

    fn read_open(
        &mut self,
        ciphertext: &mut [u8],
        plaintext: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), TlsError> {
        if self.partial.is_empty() {
            let used = self.take(ciphertext, plaintext, out)?;
            self.keep(&ciphertext[used..])
        } else {
            let mut gathered = self.partial.take();
            gathered.extend_from_slice(ciphertext);
            let used = self.take(&mut gathered, plaintext, out)?;
            self.keep(&gathered[used..])
        }
    }

    /// Takes what is there; record by record as long as rustls is to go after one of them, for it would take
    /// what follows that along. Returns how many bytes from the front are done with.
    fn take(
        &mut self,
        incoming: &mut [u8],
        plaintext: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<usize, TlsError> {
        let (mut used, mut end, before) = (0, 0, plaintext.len());
        loop {
            let (rest, tickets) = (&incoming[end..], self.tickets());
            end += if self.is_to_be_slim() { front_record_bytes(rest) } else { rest.len() };
            used += self.drive(&mut incoming[used..end], Task::Read, plaintext, out)?;
            if used == end && self.state == State::Open {
                let has_heard = plaintext.len() > before;
                if !has_heard && end > 0 && tickets.is_some() && tickets == self.tickets() {
                    self.stay_whole();
                }
                self.slim_down(has_heard)?;
            }
            if end == incoming.len() {
                return Ok(used);
            }
        }
    }

    fn is_to_be_slim(&self) -> bool {
        match &self.side {
            Side::Server(whole) => whole.capture.is_some(),
            Side::Device(whole) => whole.capture.is_some(),
            Side::Slim(_) | Side::None => false,
        }
    }

    /// How many tickets a device has been given that is to become slim; `None` while it shakes hands.
    fn tickets(&self) -> Option<u32> {
        match &self.side {
            Side::Device(whole) if whole.capture.is_some() && !whole.connection.is_handshaking() => {
                Some(whole.connection.tls13_tickets_received())
            }
            _ => None,
        }
    }

    /// A server that has said something else before its first word may have changed its keys, so that those which
    /// we have taken down are no longer theirs.
    fn stay_whole(&mut self) {
        if let Side::Device(whole) = &mut self.side {
            whole.capture = None;
        }
    }

    /// Lets rustls go once it is not needed. `has_heard`: the peer has said something since.
    fn slim_down(&mut self, has_heard: bool) -> Result<(), TlsError> {
        let is_due = match &mut self.side {
            Side::Server(whole) => whole.is_slim_due(),
            // Its tickets come before all else that a server says; rustls takes them for later connections.
            Side::Device(whole) => has_heard && whole.is_slim_due(),
            Side::Slim(_) | Side::None => false,
        };
        if is_due {
            self.side = match mem::replace(&mut self.side, Side::None) {
                Side::Server(whole) => Side::Slim(Box::new(whole.slim(Role::Server)?)),
                Side::Device(whole) => Side::Slim(Box::new(whole.slim(Role::Device)?)),
                side => side,
            };
        }
        Ok(())
    }

    fn keep(&mut self, rest: &[u8]) -> Result<(), TlsError> {
        if self.state != State::Open {
            return Ok(());
        }
        if rest.len() > PARTIAL_BYTES_MAX {
            return Err(TlsError::HandshakeTooLong);
        }
        self.partial.set(rest.to_vec());
        Ok(())
    }

    fn over_if_failed<T>(&mut self, result: Result<T, TlsError>) -> Result<T, TlsError> {
        if result.is_err() {
            self.end();
        }
        result
    }

    fn end(&mut self) {
        self.state = State::Over;
        self.partial = RareBytes::default();
    }

    /// A drive without fresh input. rustls still wants to see the partial record, for it remembers
    /// places in it.
    fn drive_between_reads(&mut self, task: Task, out: &mut Vec<u8>) -> Result<(), TlsError> {
        let mut partial = self.partial.take();
        let mut plaintext = Vec::new();
        let used = self.drive(&mut partial, task, &mut plaintext, out)?;
        if !plaintext.is_empty() {
            return Err(TlsError::LeftBehind);
        }
        partial.drain(..used);
        self.partial.set(partial);
        Ok(())
    }

    /// Returns how many bytes from the front of `incoming` are done with.
    fn drive(
        &mut self,
        incoming: &mut [u8],
        task: Task,
        plaintext: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<usize, TlsError> {
        let mut drive = Drive { task, plaintext, out, used: 0, state: &mut self.state };
        match &mut self.side {
            Side::Server(whole) => drive.run(&mut whole.connection, incoming)?,
            Side::Device(whole) => drive.run(&mut whole.connection, incoming)?,
            Side::Slim(slim) => drive.run_slim(slim, incoming)?,
            Side::None => return Err(TlsError::Over),
        }
        Ok(drive.used)
    }
}

/// How many bytes of the front belong to its first record, as far as they have come.
fn front_record_bytes(front: &[u8]) -> usize {
    let Some([_, _, _, high, low]) = front.first_chunk() else { return front.len() };
    front.len().min(HEADER_BYTES + usize::from(u16::from_be_bytes([*high, *low])))
}

impl<C: Records> Whole<C> {
    fn is_resumed(&self) -> bool {
        self.connection.state().handshake_kind() == Some(HandshakeKind::Resumed)
    }

    fn is_tls13(&self) -> bool {
        self.connection.state().protocol_version() == Some(ProtocolVersion::TLSv1_3)
    }

    /// Whether the handshake is over, and was one of TLS 1.3. One of TLS 1.2 stays as it is.
    fn is_slim_due(&mut self) -> bool {
        let is_over = self.capture.is_some() && !self.connection.state().is_handshaking();
        let is_tls13 = self.is_tls13();
        if is_over && !is_tls13 {
            self.capture = None;
        }
        is_over && is_tls13
    }

    fn slim(self, role: Role) -> Result<Slim, TlsError> {
        let state = self.connection.state();
        let suite = state.negotiated_cipher_suite().map_or(CipherSuite::Unknown(0), |suite| suite.suite());
        let is_resumed = self.is_resumed();
        let (capture, secrets) = (self.capture.unwrap_or_default(), self.connection.into_secrets()?);
        Slim::new(role, suite, &capture, &secrets, is_resumed).ok_or(TlsError::SecretsDiffer)
    }
}

/// What both of rustls' unbuffered connections can do; they share no public type.
pub(super) trait Records {
    type Data;
    fn state(&self) -> &CommonState;
    fn into_secrets(self) -> Result<ExtractedSecrets, rustls::Error>;
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    /// Whether there is something to encode, which `process` then hands out first.
    fn has_something_to_encode(&self) -> bool;
}

impl Records for UnbufferedServerConnection {
    type Data = ServerConnectionData;
    fn state(&self) -> &CommonState {
        self
    }
    fn into_secrets(self) -> Result<ExtractedSecrets, rustls::Error> {
        Ok(self.dangerous_into_kernel_connection()?.0)
    }
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
    fn has_something_to_encode(&self) -> bool {
        self.wants_write()
    }
}

impl Records for UnbufferedClientConnection {
    type Data = ClientConnectionData;
    fn state(&self) -> &CommonState {
        self
    }
    fn into_secrets(self) -> Result<ExtractedSecrets, rustls::Error> {
        Ok(self.dangerous_into_kernel_connection()?.0)
    }
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }
    fn has_something_to_encode(&self) -> bool {
        self.wants_write()
    }
}

/// One drive of rustls until it wants more input.
struct Drive<'a> {
    task: Task<'a>,
    plaintext: &'a mut Vec<u8>,
    out: &'a mut Vec<u8>,
    used: usize,
    state: &'a mut State,
}

/// Whether rustls has more to say about the same input.
enum Next {
    Again,
    Enough,
}

impl Drive<'_> {
    fn run_slim(&mut self, slim: &mut Slim, incoming: &mut [u8]) -> Result<(), TlsError> {
        match self.task {
            Task::Read => {
                let Progress { used, is_closed } = slim.read(incoming, self.plaintext, self.out)?;
                self.used = used;
                if is_closed {
                    *self.state = State::PeerClosed;
                }
            }
            Task::Write(plaintext) => slim.write(plaintext, self.out),
            Task::Close => slim.close(self.out),
        }
        Ok(())
    }

    fn run<C: Records>(&mut self, connection: &mut C, incoming: &mut [u8]) -> Result<(), TlsError> {
        loop {
            let UnbufferedStatus { discard, state } = connection.process(&mut incoming[self.used..]);
            let next = match state {
                Ok(state) => self.step(state),
                Err(error) => Err(error.into()),
            };
            self.used += discard;
            match next {
                Ok(Next::Again) => {}
                Ok(Next::Enough) => return Ok(()),
                Err(error) => {
                    self.encode_alerts(connection, &mut incoming[self.used..]);
                    return Err(error);
                }
            }
        }
    }

    fn step<D>(&mut self, state: ConnectionState<'_, '_, D>) -> Result<Next, TlsError> {
        match state {
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    self.used += record.discard;
                    self.plaintext.extend_from_slice(record.payload);
                }
            }
            ConnectionState::EncodeTlsData(mut data) => append(self.out, |room| data.encode(room))?,
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::PeerClosed => *self.state = State::PeerClosed,
            ConnectionState::WriteTraffic(traffic) => return self.write(traffic),
            ConnectionState::Closed | ConnectionState::BlockedHandshake => return Ok(Next::Enough),
            // Neither side's configuration allows early data, so rustls has refused it.
            state => return Err(rustls::Error::General(format!("unexpected {state:?}")).into()),
        }
        Ok(Next::Again)
    }

    fn write<D>(&mut self, mut traffic: WriteTraffic<'_, D>) -> Result<Next, TlsError> {
        match self.task {
            Task::Read => {}
            Task::Write(plaintext) => append(self.out, |room| traffic.encrypt(plaintext, room))?,
            Task::Close => append(self.out, |room| traffic.queue_close_notify(room))?,
        }
        Ok(Next::Enough)
    }

    /// What rustls wants the peer to know about the error it has just returned.
    fn encode_alerts<C: Records>(&mut self, connection: &mut C, rest: &mut [u8]) {
        while connection.has_something_to_encode() {
            let Ok(ConnectionState::EncodeTlsData(mut data)) = connection.process(rest).state else { return };
            if append(self.out, |room| data.encode(room)).is_err() {
                return;
            }
        }
    }
}

/// Why rustls did not write: it lacks room, or will not write at all.
enum Unwritten {
    Room(usize),
    Never(TlsError),
}

impl From<EncodeError> for Unwritten {
    fn from(error: EncodeError) -> Unwritten {
        match error {
            EncodeError::InsufficientSize(InsufficientSizeError { required_size }) => {
                Unwritten::Room(required_size)
            }
            error @ EncodeError::AlreadyEncoded => {
                Unwritten::Never(rustls::Error::General(error.to_string()).into())
            }
        }
    }
}

impl From<EncryptError> for Unwritten {
    fn from(error: EncryptError) -> Unwritten {
        match error {
            EncryptError::InsufficientSize(InsufficientSizeError { required_size }) => {
                Unwritten::Room(required_size)
            }
            EncryptError::EncryptExhausted => Unwritten::Never(TlsError::KeysUsedUp),
        }
    }
}

/// Appends to `out` what `write` writes: asks it for the size by giving no room, then gives just that.
fn append<E: Into<Unwritten>>(
    out: &mut Vec<u8>,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> Result<(), TlsError> {
    let start = out.len();
    loop {
        match write(&mut out[start..]).map_err(Into::into) {
            Ok(written) => {
                out.truncate(start + written);
                return Ok(());
            }
            Err(Unwritten::Room(bytes)) => out.resize(start + bytes, 0),
            Err(Unwritten::Never(error)) => return Err(error),
        }
    }
}
