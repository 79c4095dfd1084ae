//! A server in this process, on a real disk. 127.0.0.1 is exempt from limits per address, as the others are
//! not who is looked at; 127.0.0.2 is not.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lomiri_push::queue::{Limits, Rates};
use lomiri_push::reactor::{Addresses, Clock, Options, PeerOptions, Server};
use lomiri_push::store::{Disk, DurableQueue};
use lomiri_push::tls::{
    Certificates, ClientConfig, DeviceOptions, ServerOptions, Trust, device_config, server_config,
};
use lomiri_push::{api, session};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Longest wait for anything that should come at once.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Besieged {
    pub addresses: Addresses,
    pub trust: Arc<ClientConfig>,
    _folder: TempDir,
}

impl Besieged {
    pub fn start() -> Besieged {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a valid name");
        let certificate = made.cert.pem();
        let certificates =
            Certificates::new(certificate.as_bytes(), made.signing_key.serialize_pem().as_bytes())
                .expect("made to fit");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Disk::open(&folder.path().join("queue")).expect("a fresh folder");
        let limits = Limits { rates: Rates::STRANGERS, ..Limits::default() };
        let queue = DurableQueue::open(store, limits, Clock::new().now()).expect("a fresh store");
        let server = Server::start(options(&certificates), queue).expect("free ports");
        let addresses = server.addresses();
        // It ends with the process.
        thread::spawn(move || server.wait());
        let trust = device_config(&Trust::CaPem(certificate.into()), DeviceOptions::default());
        Besieged { addresses, trust: trust.expect("made to fit"), _folder: folder }
    }

    /// A connection of the address that misbehaves.
    pub fn dial_as_attacker(&self, to: SocketAddr) -> Option<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
        socket.bind(&SocketAddr::from((ATTACKER, 0)).into()).ok()?;
        socket.set_read_timeout(Some(PATIENCE)).ok()?;
        socket.set_write_timeout(Some(Duration::from_millis(100))).ok()?;
        socket.connect(&to.into()).ok()?;
        Some(socket.into())
    }

    /// A connection of somebody who behaves.
    pub fn dial(&self, to: SocketAddr) -> TcpStream {
        let socket = TcpStream::connect(to).expect("it listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a valid timeout");
        socket.set_nodelay(true).expect("a TCP socket");
        socket
    }
}

fn options(certificates: &Arc<Certificates>) -> Options {
    let localhost = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Options {
        devices: localhost,
        http: localhost,
        tls: server_config(certificates, &ServerOptions { tickets: None, post_quantum: false }),
        http_tls: None,
        shards: thread::available_parallelism().map_or(1, usize::from),
        connections_max: None,
        peers: PeerOptions {
            exempt: vec!["127.0.0.1".parse().expect("a network")],
            ..PeerOptions::default()
        },
        is_auth_required: false,
        api_url: String::new(),
        session: session::server::Options {
            ping_interval: Duration::from_secs(3_600),
            exchange_timeout: Duration::from_secs(30),
            keepalive_max: Duration::from_secs(7_200),
        },
        api: api::Options {
            body_bytes_max: 6_144,
            payload_bytes_max: 4_096,
            read_timeout: Duration::from_secs(10),
            hosts: Vec::new(),
            domain: "localhost".into(),
            is_auth_required: false,
            operator: None,
            enrolling: None,
            stats: Some(api::StatsCredential::new("ops", "secret")),
        },
        http_write_timeout: Duration::from_secs(10),
    }
}
