//! A server for tests of the device's side: it has a certificate, and says what it is told to.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Server;
use crate::protocol::wire0::ServerMessage;
use crate::tls::{
    Certificates, DeviceOptions, ServerConfig, ServerName, ServerOptions, Tls, Trust, device_config,
    server_config,
};

/// How long anything may take that should come at once: only a broken device takes so long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A certificate for `localhost`, and a listener whose first connection `serve` gets.
pub fn server<T: Send + 'static>(serve: impl FnOnce(Peer) -> T + Send + 'static) -> (Server, JoinHandle<T>) {
    let mut serve = Some(serve);
    let (server, served) = server_of_many(1, move |_, peer| serve.take().map(|serve| serve(peer)));
    (server, thread::spawn(|| served.join().expect("no panic").expect("one connection came")))
}

/// The same, for `count` connections one after the other, each of which `serve` gets with its number. The
/// last one's result remains.
pub fn server_of_many<T: Send + 'static>(
    count: usize,
    mut serve: impl FnMut(usize, Peer) -> T + Send + 'static,
) -> (Server, JoinHandle<T>) {
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
        let config = server_config(&certificates, &ServerOptions::default());
        let each = (0..count).map(|number| {
            let (stream, _) = listener.accept().expect("a device");
            serve(number, Peer::new(stream, &config))
        });
        each.last().expect("at least one")
    });
    (server, thread)
}

/// The server's side of one connection, without a session: it says what it is told to.
pub struct Peer {
    pub stream: TcpStream,
    pub tls: Tls,
    pub heard: Vec<u8>,
    /// Whether TLS said goodbye.
    is_closed: bool,
}

impl Peer {
    pub fn new(stream: TcpStream, config: &Arc<ServerConfig>) -> Peer {
        Peer {
            stream,
            tls: Tls::accept(config).expect("a configuration"),
            heard: Vec::new(),
            is_closed: false,
        }
    }

    /// Reads until the plaintext ends in `end`.
    pub fn hear(&mut self, end: &str) {
        while !self.heard.ends_with(end.as_bytes()) {
            self.read();
        }
    }

    pub fn hear_goodbye(&mut self) {
        while !self.is_closed {
            self.read();
        }
    }

    pub fn read(&mut self) {
        let (mut buffer, mut out) = ([0; 4096], Vec::new());
        let count = self.stream.read(&mut buffer).expect("connected");
        assert!(count > 0, "more was due, not the end");
        let status = self.tls.read(&mut buffer[..count], &mut self.heard, &mut out).expect("TLS");
        self.is_closed |= status.peer_closed;
        self.stream.write_all(&out).expect("connected");
    }

    pub fn say(&mut self, message: &ServerMessage) {
        self.write(&message.encode().expect("fits"));
    }

    pub fn write(&mut self, plaintext: &[u8]) {
        let mut out = Vec::new();
        self.tls.write(plaintext, &mut out).expect("TLS");
        self.stream.write_all(&out).expect("connected");
    }

    pub fn let_in(&mut self) {
        self.hear("}");
        self.say(&ServerMessage::Connack { ping_interval: PATIENCE });
    }
}
