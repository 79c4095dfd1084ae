//! A server in this process, on a real disk. 127.0.0.1 is exempt from limits per address, as the others are
//! not who is looked at; 127.0.0.2 is not.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lomiri_push::queue::{Limits, Rates};
use lomiri_push::reactor::{Clock, Options, PeerOptions, Server};
use lomiri_push::store::{Disk, DurableQueue};
use lomiri_push::tls::{Certificates, ServerOptions, server_config};
use lomiri_push::{api, session};
use tempfile::TempDir;

use super::target::{PATIENCE, Target};

pub struct Besieged {
    pub target: Target,
    /// In PEM.
    pub certificate: String,
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
        let target = Target::new(addresses.devices, addresses.http, certificate.clone());
        Besieged { target, certificate, _folder: folder }
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
        tls: server_config(certificates, &ServerOptions { slim: true, ..ServerOptions::default() }),
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
