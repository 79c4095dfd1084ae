//! One server with one device at a time behind the counting proxy, and what each act of theirs costs.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use lomiri_push::base::{ChannelId, DeviceId, Level};
use lomiri_push::device::{self, Connection, clock};
use lomiri_push::protocol::{wire0, wire1};
use lomiri_push::reactor::{Addresses, Clock, Options, PeerOptions, Server};
use lomiri_push::session::device::{Event, Options as DeviceSide};
use lomiri_push::store::{DurableQueue, Memory};
use lomiri_push::tls::{
    Certificates, ClientConfig, DeviceOptions, ServerName, ServerOptions, TicketKeys, Tickets, Trust,
    Versions, device_config, server_config,
};
use lomiri_push::{api, queue, session};

use crate::certificates::{Made, NAME};
use crate::proxy::Proxy;

/// How long the side that pings stays silent: as short as whole seconds allow.
const SILENCE: Duration = Duration::from_secs(1);
/// Longer than any measurement, so that no ping comes between.
const LONG_SILENCE: Duration = Duration::from_secs(1_700);
/// Connects that are measured: the length of signatures differs, and the largest one counts.
const CONNECTS: usize = 20;
/// How often to look whether a keepalive has passed: the device has to be driven meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const DEVICE: &str = "R3J8q0Yt5mWc1Zk2bXv7Lw";
const APP: &str = "com.example.chatter_chatter";
/// JSON of exactly so many bytes.
const PAYLOAD_BYTES: usize = 100;

/// What a device speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Zero,
    One,
}

/// Whether a server gives tickets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ticket {
    None,
    One,
}

/// A server, and the proxy before it.
pub struct Bench {
    addresses: Addresses,
    proxy: Proxy,
    trust: Trust,
}

impl Bench {
    /// Starts a server with its queue in memory that shows `made`. It serves as long as the process runs.
    pub fn start(made: &Made, ticket: Ticket) -> Result<Bench, String> {
        let fail = |error: &dyn std::error::Error| error.to_string();
        let queue = DurableQueue::open(Memory::new(), queue::Limits::default(), Clock::new().now())
            .map_err(|error| fail(&error))?;
        let server = Server::start(options(made, ticket), queue).map_err(|error| fail(&error))?;
        let addresses = server.addresses();
        std::thread::spawn(move || server.wait());
        let proxy = Proxy::start(addresses.devices).map_err(|error| fail(&error))?;
        let bench = Bench { addresses, proxy, trust: Trust::CaPem(made.trusted.clone().into()) };
        // So that the channel stands at the level that devices name.
        bench.post("broadcast", r#""channel":"system","data":{}"#)?;
        Ok(bench)
    }

    /// The most bytes of a connect by devices that have no ticket.
    pub fn connect_full(&self, wire: Wire) -> usize {
        let connect = |_| self.connect(&self.tls(wire), wire, LONG_SILENCE).1;
        (0..CONNECTS).map(connect).max().expect("at least one")
    }

    /// The most bytes of a connect by a device that comes again and again.
    pub fn connect_resumed(&self, wire: Wire) -> usize {
        let tls = self.tls(wire);
        self.connect(&tls, wire, LONG_SILENCE);
        let connect = |_| {
            let (connection, bytes) = self.connect(&tls, wire, LONG_SILENCE);
            assert!(connection.is_resumed(), "the server gives tickets");
            bytes
        };
        (0..CONNECTS).map(connect).max().expect("at least one")
    }

    /// The bytes of a ping and its answer.
    pub fn keepalive(&self, wire: Wire) -> usize {
        let (mut connection, _) = self.connect(&self.tls(wire), wire, SILENCE);
        self.both_ways(&mut connection)
    }

    /// The bytes of a message whose app the session has named before, and of its ack.
    pub fn unicast(&self, wire: Wire) -> Result<usize, String> {
        let (mut connection, _) = self.connect(&self.tls(wire), wire, LONG_SILENCE);
        self.deliver(&mut connection)?;
        self.deliver(&mut connection)
    }

    fn deliver(&self, connection: &mut Connection) -> Result<usize, String> {
        let data = format!("\"{}\"", "x".repeat(PAYLOAD_BYTES - 2));
        let to = format!(r#""userid":"carol","deviceid":"{DEVICE}","appid":"{APP}""#);
        self.post("notify", &format!(r#"{to},"data":{data}"#))?;
        match connection.next_event(None) {
            Some(Event::Message(_)) => connection.ack(),
            other => return Err(format!("{other:?} came in place of a message")),
        }
        Ok(self.both_ways(connection))
    }

    /// Drives the connection until a record has passed on each way; the bytes of both.
    fn both_ways(&self, connection: &mut Connection) -> usize {
        while !self.proxy.has_passed_both_ways() {
            connection.next_event(Some(clock::now() + LOOK_AGAIN));
        }
        self.proxy.passed()
    }

    /// Posts what expires in the far future.
    fn post(&self, path: &str, fields: &str) -> Result<(), String> {
        let url = format!("http://{}/{path}", self.addresses.http);
        let body = format!(r#"{{{fields},"expire_on":"2100-01-01T00:00:00Z"}}"#);
        let posted = ureq::post(url).content_type("application/json").send(body);
        posted.map(drop).map_err(|error| format!("cannot post: {error}"))
    }

    /// A device without tickets.
    fn tls(&self, wire: Wire) -> Arc<ClientConfig> {
        let versions = if wire == Wire::One { Versions::Tls13 } else { Versions::Both };
        let options = DeviceOptions { versions, ..DeviceOptions::default() };
        device_config(&self.trust, options).expect("made to fit")
    }

    /// Connects, and tells how many bytes passed until the device was let in.
    fn connect(&self, tls: &Arc<ClientConfig>, wire: Wire, silence: Duration) -> (Connection, usize) {
        let name = ServerName::try_from(NAME).expect("a name");
        let server = device::Server { addr: self.proxy.address.to_string(), name, tls: tls.clone() };
        let mut connection = Connection::open(&server, introduction(wire, silence)).expect("it listens");
        let event = connection.next_event(None);
        assert!(matches!(event, Some(Event::Connected { .. })), "{event:?}");
        (connection, self.proxy.passed())
    }
}

/// A server as `serve` sets it up, but one that pings soon.
fn options(made: &Made, ticket: Ticket) -> Options {
    let certificates = Certificates::new(made.chain.as_bytes(), made.key.as_bytes()).expect("made to fit");
    let clock = Clock::new();
    let tickets = (ticket == Ticket::One).then(|| {
        let keys = TicketKeys::new(clock.now().wall, &mut |bytes| bytes.fill(7));
        Tickets::new(&keys, certificates.clone())
    });
    let localhost = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Options {
        devices: localhost,
        http: localhost,
        tls: server_config(&certificates, &ServerOptions { tickets, slim: true, ..ServerOptions::default() }),
        http_tls: None,
        shards: 1,
        connections_max: None,
        peers: PeerOptions::default(),
        is_auth_required: false,
        api_url: String::new(),
        session: session::server::Options {
            ping_interval: SILENCE,
            exchange_timeout: Duration::from_secs(30),
            keepalive_max: Duration::from_secs(7_200),
        },
        api: api::Options {
            body_bytes_max: 6_144,
            payload_bytes_max: 4_096,
            read_timeout: Duration::from_secs(10),
            hosts: Vec::new(),
            domain: NAME.into(),
            is_auth_required: false,
            operator: None,
            enrolling: None,
            stats: None,
        },
        http_write_timeout: Duration::from_secs(10),
    }
}

/// What a phone says of itself: typical ids, one channel, and on wire 1 a credential of 32 bytes.
fn introduction(wire: Wire, silence: Duration) -> DeviceSide {
    let device_id: DeviceId = DEVICE.parse().expect("valid");
    let levels = [(ChannelId::SYSTEM, Level(1))].into();
    DeviceSide::new(match wire {
        Wire::Zero => wire0::Connect {
            client_ver: "0.1.0".into(),
            model: "fairphone-4".into(),
            image_channel: "ubports-touch/20.04/stable".into(),
            levels,
            ..wire0::Connect::new(device_id)
        }
        .into(),
        Wire::One => wire1::Connect {
            credential: vec![7; 32],
            image: "ubports-touch/20.04/stable/fairphone-4".into(),
            levels,
            ..wire1::Connect::new(device_id, silence)
        }
        .into(),
    })
}
