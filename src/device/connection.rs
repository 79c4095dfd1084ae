//! One connection of a device to its server: a blocking socket, TLS, and the session over them. It does not
//! connect again, and stores nothing.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::clock::{nap_until, now};
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
    stream: Arc<TcpStream>,
    tls: Tls,
    session: Session,
    incoming: Box<[u8]>,
    is_interrupted: Arc<AtomicBool>,
}

/// Calls the owner of a connection away from [`Connection::next_event`], from another thread.
pub struct Interrupter {
    /// Weak, for a connection that is dropped must close.
    stream: Weak<TcpStream>,
    is_interrupted: Arc<AtomicBool>,
}

impl Connection {
    /// Connects, waiting no longer than the exchange timeout for each of the server's addresses. The
    /// handshake is done by the first [`Connection::next_event`].
    pub fn open(server: &Server, options: Options) -> Result<Connection, ConnectError> {
        let patience = options.exchange_timeout;
        let unreachable = |source| ConnectError::Unreachable { addr: server.addr.clone(), source };
        let stream = dial(&server.addr, patience).map_err(unreachable)?.into();
        let session = Session::new(options, now())?;
        let tls = Tls::connect(&server.tls, server.name.clone())?;
        let incoming = vec![0; READ_BYTES].into_boxed_slice();
        let mut connection = Connection { stream, tls, session, incoming, is_interrupted: Arc::default() };
        connection.take_ciphertext(0);
        Ok(connection)
    }

    /// Waits for what comes next, but not beyond `until` by the [device's clock](now). None if that has
    /// passed, if the end has been told already, or from when an [`Interrupter`] has asked for it.
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
            self.receive(until.map_or(deadline, |until| until.min(deadline)));
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

    /// A way to end the wait for events from elsewhere.
    pub fn interrupter(&self) -> Interrupter {
        Interrupter { stream: Arc::downgrade(&self.stream), is_interrupted: self.is_interrupted.clone() }
    }

    /// Closes in order: what was acked goes out, the session takes its leave, and TLS does.
    pub fn close(mut self) {
        self.session.leave();
        self.transmit();
        let mut out = Vec::new();
        self.tls.close(&mut out);
        // The server may be gone already; then there is nobody to say goodbye to.
        if (&*self.stream).write_all(&out).is_ok() {
            self.drop_unread();
        }
    }

    /// The system breaks off a connection on which something is left unread when it closes, and may drop
    /// what is still to be sent.
    fn drop_unread(&mut self) {
        let is_nonblocking = self.stream.set_nonblocking(true).is_ok();
        for _ in 0..LAST_READS_MAX {
            if !is_nonblocking || !matches!((&*self.stream).read(&mut self.incoming), Ok(1..)) {
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

    /// Waits for bytes until `deadline`, or less.
    fn receive(&mut self, deadline: Monotonic) {
        let patience = Some(nap_until(deadline));
        let read =
            self.stream.set_read_timeout(patience).and_then(|()| (&*self.stream).read(&mut self.incoming));
        match read {
            Ok(0) if self.is_interrupted() => {}
            Ok(0) => self.session.end(EndReason::Eof),
            Ok(count) => self.take_ciphertext(count),
            Err(error) if is_timeout(&error) => self.session.handle_timeout(now()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => self.session.end(EndReason::Eof),
            Err(error) => self.fail(&error),
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
        match (&*self.stream).write_all(out) {
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
        if let Some(stream) = self.stream.upgrade() {
            // This ends the read that waits. If it fails, the server has closed, and none waits.
            let _ = stream.shutdown(Shutdown::Read);
        }
    }
}

/// A connected socket that waits no longer than `patience` to write.
fn dial(addr: &str, patience: Duration) -> io::Result<TcpStream> {
    let mut outcome = Err(io::Error::new(ErrorKind::NotFound, "no such host"));
    for addr in addr.to_socket_addrs()? {
        outcome = TcpStream::connect_timeout(&addr, patience);
        if outcome.is_ok() {
            break;
        }
    }
    let stream = outcome?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(patience))?;
    Ok(stream)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread::{self, JoinHandle};

    use super::*;
    use crate::base::{MessageId, Urgency, Wall};
    use crate::protocol::wire0::{Connect, Notification, ServerMessage};
    use crate::protocol::wire1::{self, AppNumber, Connack, ServerFrame};
    use crate::tls::{
        Certificates, DeviceOptions, ServerConfig, ServerOptions, Trust, device_config, server_config,
    };

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A certificate for `localhost`, and a listener whose first connection `serve` gets.
    fn server<T: Send + 'static>(serve: impl FnOnce(Peer) -> T + Send + 'static) -> (Server, JoinHandle<T>) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a valid name");
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let certificates = Certificates::new(chain.as_bytes(), key.as_bytes()).expect("made above");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let server = Server {
            addr: listener.local_addr().expect("bound").to_string(),
            name: ServerName::try_from("localhost").expect("a name"),
            tls: device_config(&Trust::CaPem(chain.into_bytes()), DeviceOptions::default())
                .expect("a certificate"),
        };
        let thread = thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a device");
            serve(Peer::new(stream, &server_config(&certificates, &ServerOptions::default())))
        });
        (server, thread)
    }

    /// The server's side of one connection, without a session: it says what it is told to.
    struct Peer {
        stream: TcpStream,
        tls: Tls,
        heard: Vec<u8>,
        /// Whether TLS said goodbye.
        is_closed: bool,
    }

    impl Peer {
        fn new(stream: TcpStream, config: &Arc<ServerConfig>) -> Peer {
            Peer {
                stream,
                tls: Tls::accept(config).expect("a configuration"),
                heard: Vec::new(),
                is_closed: false,
            }
        }

        /// Reads until the plaintext ends in `end`.
        fn hear(&mut self, end: &str) {
            while !self.heard.ends_with(end.as_bytes()) {
                self.read();
            }
        }

        fn hear_goodbye(&mut self) {
            while !self.is_closed {
                self.read();
            }
        }

        fn read(&mut self) {
            let (mut buffer, mut out) = ([0; 4096], Vec::new());
            let count = self.stream.read(&mut buffer).expect("connected");
            assert!(count > 0, "more was due, not the end");
            let status = self.tls.read(&mut buffer[..count], &mut self.heard, &mut out).expect("TLS");
            self.is_closed |= status.peer_closed;
            self.stream.write_all(&out).expect("connected");
        }

        fn say(&mut self, message: &ServerMessage) {
            self.write(&message.encode().expect("fits"));
        }

        fn write(&mut self, plaintext: &[u8]) {
            let mut out = Vec::new();
            self.tls.write(plaintext, &mut out).expect("TLS");
            self.stream.write_all(&out).expect("connected");
        }

        fn let_in(&mut self) {
            self.hear("}");
            self.say(&ServerMessage::Connack { ping_interval: PATIENCE });
        }
    }

    fn carol(exchange_timeout: Duration) -> Options {
        Options { exchange_timeout, ..Options::new(Connect::new("carol".parse().expect("valid")).into()) }
    }

    fn open(server: &Server) -> Connection {
        Connection::open(server, carol(PATIENCE)).expect("a server")
    }

    fn message() -> Notification {
        Notification {
            app: "chatter".parse().expect("valid"),
            id: "AAAAAAAAAAEAAAAAAAAAAA==".parse().expect("valid"),
            payload: crate::base::Payload::from_json(b"{}").expect("JSON"),
        }
    }

    #[test]
    fn what_comes_is_told_and_acked_and_pings_are_answered() {
        let (server, served) = server(|mut peer| {
            peer.let_in();
            peer.say(&ServerMessage::Ping);
            peer.hear("{\"T\":\"pong\"}");
            peer.say(&ServerMessage::Notifications(vec![message()]));
            peer.hear("{\"T\":\"ack\"}");
        });
        let mut device = open(&server);
        assert_eq!(device.next_event(None), Some(Event::Connected { interval: PATIENCE }));
        assert_eq!(device.next_event(None), Some(Event::Message(message().into())));
        device.ack();
        served.join().expect("the server heard the ack");
        assert_eq!(device.next_event(None), Some(Event::Ended(EndReason::Eof)));
        assert_eq!(device.next_event(None), None);
    }

    #[test]
    fn waiting_ends_when_it_should() {
        let (server, served) = server(|mut peer| {
            peer.let_in();
            peer.hear("never said");
        });
        let mut device = open(&server);
        device.next_event(None).expect("let in");
        assert_eq!(device.next_event(Some(now() + Duration::from_millis(5))), None);
        device.close();
        served.join().expect_err("the server saw the end");
    }

    #[test]
    fn a_silent_server_is_given_up() {
        let (server, served) = server(|mut peer| peer.stream.read_to_end(&mut Vec::new()));
        let options = carol(Duration::from_millis(30));
        let mut device = Connection::open(&server, options).expect("a server");
        assert_eq!(device.next_event(None), Some(Event::Ended(EndReason::Timeout)));
        drop(device);
        served.join().expect("no panic").expect("the connection was closed");
    }

    #[test]
    fn an_interrupted_device_acks_what_is_stored_and_takes_its_leave() {
        let (server, served) = server(|mut peer| {
            peer.hear("\0\0\0");
            peer.write(&two_messages());
            // An ACK of one, and BYE.
            peer.hear("@\x01F\0");
            peer.hear_goodbye();
        });
        let connect = wire1::Connect::new("carol".parse().expect("valid"), PATIENCE);
        let mut device = Connection::open(&server, Options::new(connect.into())).expect("a server");
        let interrupter = device.interrupter();
        device.next_event(None).expect("let in");
        assert!(matches!(device.next_event(None), Some(Event::Message(_))));
        device.ack();
        interrupter.interrupt();
        assert_eq!(device.next_event(None), None, "what comes now is not stored any more");
        device.close();
        served.join().expect("the server heard all of it");
    }

    /// CONNACK and two messages, on wire 1.
    fn two_messages() -> Vec<u8> {
        let (number, Notification { app, payload, .. }) = (AppNumber::new(0).expect("valid"), message());
        let message = |id| wire1::Message {
            app: number,
            urgency: Urgency::Normal,
            expires: PATIENCE,
            id: MessageId([id; 16]),
            payload: payload.clone(),
        };
        let connack = Connack { time: Wall(0), keepalive_max: PATIENCE, window: 2 };
        let mut out = Vec::new();
        ServerFrame::Connack(connack).encode(&mut out);
        ServerFrame::App(number, app).encode(&mut out);
        [1, 2].iter().for_each(|id| ServerFrame::Message(message(*id)).encode(&mut out));
        out
    }

    #[test]
    fn what_the_device_says_first_comes_with_the_end_of_the_handshake() {
        let (server, served) = server(|mut peer| {
            while peer.tls.is_handshaking() {
                peer.read();
            }
            peer.heard.first().copied()
        });
        let mut device = open(&server);
        device.next_event(None).expect("the end");
        assert_eq!(served.join().expect("no panic"), Some(0));
    }

    #[test]
    fn an_interrupter_ends_the_wait_from_another_thread() {
        let (server, served) = server(|mut peer| {
            peer.let_in();
            peer.hear_goodbye();
        });
        let mut device = open(&server);
        device.next_event(None).expect("let in");
        let interrupter = device.interrupter();
        let interrupting = thread::spawn(move || interrupter.interrupt());
        assert_eq!(device.next_event(None), None);
        interrupting.join().expect("no panic");
        device.close();
        served.join().expect("the server heard the goodbye");
    }

    #[test]
    fn a_server_that_is_not_trusted_is_told_apart() {
        let (mut server, _served) = server(|mut peer| peer.hear("nothing"));
        server.name = ServerName::try_from("elsewhere").expect("a name");
        let Some(Event::Ended(EndReason::Transport(reason))) = open(&server).next_event(None) else {
            panic!("the certificate is for another name")
        };
        assert!(reason.starts_with("TLS: invalid peer certificate"), "{reason}");
    }

    #[test]
    fn a_server_that_is_not_there_is_named() {
        let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let addr = gone.expect("a free port").to_string();
        let (server, _) = server(|_| ());
        let error = Connection::open(&Server { addr: addr.clone(), ..server }, carol(PATIENCE)).err();
        assert_eq!(
            error.expect("nobody listens").to_string(),
            format!("{addr}: Connection refused (os error 111)")
        );
    }
}
