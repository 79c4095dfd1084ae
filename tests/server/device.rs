//! A device over a blocking socket: the library's own TLS and session, and raw bytes for those that
//! behave badly.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use lomiri_push::protocol::wire0::Connect;
use lomiri_push::reactor::Clock;
use lomiri_push::session::EndReason;
use lomiri_push::session::device::{Event, Message, Options, Session};
use lomiri_push::tls::{ClientConfig, ServerName, Tls};
use socket2::{Domain, Socket, Type};

use super::rig::{PATIENCE, Rig};

/// A TLS connection to a server.
pub struct Secured {
    pub socket: TcpStream,
    tls: Tls,
}

impl Secured {
    pub fn connect(address: SocketAddr, trust: &Arc<ClientConfig>) -> Secured {
        Secured::over(TcpStream::connect(address).expect("it listens"), trust)
    }

    /// A connection whose buffer here is too small for a frame.
    pub fn narrow(address: SocketAddr, trust: &Arc<ClientConfig>) -> Secured {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(2048).expect("a valid size");
        socket.set_tcp_mss(536).expect("a valid size");
        socket.connect(&address.into()).expect("it listens");
        Secured::over(socket.into(), trust)
    }

    pub fn over(socket: TcpStream, trust: &Arc<ClientConfig>) -> Secured {
        socket.set_read_timeout(Some(PATIENCE)).expect("a valid timeout");
        socket.set_nodelay(true).expect("a TCP socket");
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = Tls::connect(trust, name).expect("a good configuration");
        let mut secured = Secured { socket, tls };
        let mut early = secured.exchange(&mut []).expect("an intact connection");
        while secured.tls.is_handshaking() {
            early = secured.read().expect("the server goes on");
        }
        assert!(early.is_empty(), "the server waits for the device");
        secured
    }

    pub fn write(&mut self, plaintext: &[u8]) {
        let mut out = Vec::new();
        self.tls.write(plaintext, &mut out).expect("the handshake is done");
        self.socket.write_all(&out).expect("the server reads");
    }

    /// The next plaintext, none if TLS had something to say. `Err` at the end of the connection.
    pub fn read(&mut self) -> Result<Vec<u8>, ()> {
        let mut bytes = [0; 16 * 1024];
        match self.socket.read(&mut bytes) {
            Ok(0) => Err(()),
            Ok(count) => self.exchange(&mut bytes[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(()),
            Err(error) => panic!("the server is silent: {error}"),
        }
    }

    fn exchange(&mut self, ciphertext: &mut [u8]) -> Result<Vec<u8>, ()> {
        let (mut plaintext, mut out) = (Vec::new(), Vec::new());
        let status = self.tls.read(ciphertext, &mut plaintext, &mut out).expect("the server speaks TLS");
        self.socket.write_all(&out).expect("the server reads");
        if status.peer_closed && plaintext.is_empty() { Err(()) } else { Ok(plaintext) }
    }

    /// Reads until the server closes; returns what it still said.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Ok(plaintext) = self.read() {
            all.extend(plaintext);
        }
        all
    }

    pub fn close(&mut self) {
        self.write_and_close(b"");
    }

    /// Writes and says goodbye in one segment; the socket stays open.
    pub fn write_and_close(&mut self, plaintext: &[u8]) {
        let mut out = Vec::new();
        self.tls.write(plaintext, &mut out).expect("the handshake is done");
        self.tls.close(&mut out);
        self.socket.write_all(&out).expect("the server reads");
    }

    /// The address that the server logs.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("connected")
    }
}

/// A device that behaves.
pub struct Device {
    pub secured: Secured,
    session: Session,
    clock: Clock,
}

pub fn device_options(name: &str) -> Options {
    let connect = Connect {
        model: "m1".into(),
        image_channel: "img1".into(),
        ..Connect::new(name.parse().expect("a device id"))
    };
    Options { exchange_timeout: PATIENCE, ..Options::new(connect.into()) }
}

/// The version byte and the CONNECT with which a device opens.
pub fn opening(name: &str) -> Vec<u8> {
    let mut session = Session::new(device_options(name), Clock::new().now().monotonic).expect("it fits");
    session.poll_transmit(Clock::new().now().monotonic).expect("it begins").to_vec()
}

impl Device {
    /// A device whose session the server has accepted.
    pub fn connect(rig: &Rig, name: &str) -> Device {
        Device::over(Secured::connect(rig.addresses.devices, &rig.trust), name)
    }

    pub fn over(secured: Secured, name: &str) -> Device {
        let mut device = Device::with(secured, device_options(name));
        let event = device.next_event();
        assert!(matches!(event, Event::Connected { .. }), "{event:?}");
        device
    }

    /// A device that introduces itself like this; what the server makes of that is the first event.
    pub fn with(secured: Secured, options: Options) -> Device {
        let clock = Clock::new();
        let session = Session::new(options, clock.now().monotonic).expect("it fits");
        Device { secured, session, clock }
    }

    /// What happens next; the connection's end is [`Event::Ended`].
    pub fn next_event(&mut self) -> Event {
        loop {
            self.transmit();
            if let Some(event) = self.session.poll_event() {
                return event;
            }
            match self.secured.read() {
                Ok(plaintext) => self.session.handle_bytes(&plaintext, self.clock.now().monotonic),
                Err(()) => self.session.end(EndReason::Eof),
            }
        }
    }

    /// The next messages' payloads, not acked.
    pub fn next_payloads(&mut self) -> Vec<String> {
        let text = |payload: &lomiri_push::base::Payload| {
            String::from_utf8(payload.as_bytes().to_vec()).expect("JSON is UTF-8")
        };
        self.next_messages().iter().map(|message| text(&message.payload)).collect()
    }

    /// The next messages that come together, not acked.
    pub fn next_messages(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while messages.is_empty() || self.session.has_events() {
            match self.next_event() {
                Event::Message(message) => messages.push(message),
                event => panic!("{event:?}"),
            }
        }
        messages
    }

    pub fn ack(&mut self) {
        self.session.ack();
        self.transmit();
    }

    /// Takes its leave; the server closes.
    pub fn leave(&mut self) {
        self.session.leave();
        self.transmit();
    }

    fn transmit(&mut self) {
        while let Some(bytes) = self.session.poll_transmit(self.clock.now().monotonic) {
            self.secured.write(&bytes);
        }
    }

    /// Asserts that the server has closed the connection.
    pub fn assert_ended(&mut self) {
        assert_eq!(self.next_event(), Event::Ended(EndReason::Eof));
    }
}
