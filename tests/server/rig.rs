//! A server for one test, its certificate, and HTTP requests to it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lomiri_push::reactor::{Addresses, Clock, Control, Failure, Options, PeerOptions, Server};
use lomiri_push::store::{DurableQueue, Memory, Store};
use lomiri_push::tls::{
    Certificates, ClientConfig, DeviceOptions, ServerConfig, ServerOptions, TicketKeys, Tickets, Trust,
    device_config, server_config,
};
use lomiri_push::{api, queue, session};

/// How long anything may take that should come at once: only a broken server takes so long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running server. Stops when it is dropped.
pub struct Rig {
    pub addresses: Addresses,
    pub certificates: Arc<Certificates>,
    pub trust: Arc<ClientConfig>,
    /// The certificate that it began with.
    pub certificate: Made,
    control: Control,
    thread: Option<JoinHandle<Result<(), Failure>>>,
}

/// A certificate and its key, in PEM.
pub struct Made {
    pub certificate: String,
    pub key: String,
}

impl Made {
    pub fn new() -> Made {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("valid names");
        Made { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    pub fn certificates(&self) -> Arc<Certificates> {
        Certificates::new(self.certificate.as_bytes(), self.key.as_bytes()).expect("made to fit")
    }

    pub fn tls(&self) -> Arc<ServerConfig> {
        server_config(&self.certificates(), &ServerOptions::default())
    }

    pub fn trust(&self) -> Arc<ClientConfig> {
        device_config(&Trust::CaPem(self.certificate.clone().into()), DeviceOptions::default())
            .expect("made to fit")
    }
}

/// TLS with tickets.
fn tls(certificates: &Arc<Certificates>, slim: bool) -> Arc<ServerConfig> {
    let keys = TicketKeys::new(Clock::new().now().wall, &mut |bytes| bytes.fill(7));
    let tickets = Some(Tickets::new(&keys, certificates.clone()));
    server_config(certificates, &ServerOptions { tickets, slim, ..ServerOptions::default() })
}

/// A server on free ports that pings once an hour and is patient.
pub fn options(certificates: &Arc<Certificates>) -> Options {
    let localhost = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Options {
        devices: localhost,
        http: localhost,
        tls: tls(certificates, true),
        http_tls: None,
        shards: 1,
        connections_max: None,
        peers: PeerOptions::default(),
        is_auth_required: false,
        api_url: String::new(),
        session: session::server::Options {
            ping_interval: Duration::from_secs(3600),
            exchange_timeout: PATIENCE,
            keepalive_max: Duration::from_secs(7_200),
        },
        api: api::Options {
            body_bytes_max: 8 * 1024,
            payload_bytes_max: queue::MESSAGE_BYTES_MAX,
            read_timeout: PATIENCE,
            hosts: vec!["localhost:9090".into()],
            domain: "localhost".into(),
            is_auth_required: false,
            operator: None,
            enrolling: None,
            stats: Some(api::StatsCredential::new("ops", "secret")),
        },
        http_write_timeout: PATIENCE,
    }
}

impl Rig {
    pub fn start() -> Rig {
        Rig::start_with(|_| {})
    }

    /// A server that leaves the records of TLS to rustls.
    pub fn start_whole() -> Rig {
        let certificate = Made::new();
        let certificates = certificate.certificates();
        let options = Options { tls: tls(&certificates, false), ..options(&certificates) };
        Rig::start_as(certificate, certificates, options, Memory::new())
    }

    pub fn start_with(change: impl FnOnce(&mut Options)) -> Rig {
        Rig::start_over(Memory::new(), change)
    }

    pub fn start_over<S>(store: S, change: impl FnOnce(&mut Options)) -> Rig
    where
        S: Store + Send + 'static,
    {
        let certificate = Made::new();
        let certificates = certificate.certificates();
        let mut options = options(&certificates);
        change(&mut options);
        Rig::start_as(certificate, certificates, options, store)
    }

    fn start_as<S>(certificate: Made, certificates: Arc<Certificates>, options: Options, store: S) -> Rig
    where
        S: Store + Send + 'static,
    {
        let queue =
            DurableQueue::open(store, queue::Limits::default(), Clock::new().now()).expect("an intact store");
        let server = Server::start(options, queue).expect("free ports");
        let (addresses, control) = (server.addresses(), server.control());
        let thread = Some(thread::spawn(move || server.wait()));
        Rig { addresses, certificates, trust: certificate.trust(), certificate, control, thread }
    }

    /// Tells the server to stop.
    pub fn terminate(&self) {
        self.control.terminate();
    }

    /// Waits for the server's end.
    pub fn wait(mut self) -> Result<(), Failure> {
        self.thread.take().expect("waited for once").join().expect("no panic outside the server's threads")
    }

    /// Posts `body` to `path`: the status and the answer's body.
    pub fn post(&self, path: &str, body: &str) -> (u16, String) {
        let length = body.len();
        self.request(&format!(
            "POST {path} HTTP/1.1\r\nHost: push\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        ))
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        self.request(&format!(
            "GET {path} HTTP/1.1\r\nHost: push\r\nAuthorization: Basic b3BzOnNlY3JldA==\r\n\
             Connection: close\r\n\r\n"
        ))
    }

    /// Sends a whole request that asks for the connection's end: the status and the answer's body.
    pub fn request(&self, request: &str) -> (u16, String) {
        let mut socket = self.caller();
        socket.write_all(request.as_bytes()).expect("the server reads");
        let mut response = String::new();
        socket.read_to_string(&mut response).expect("the server answers");
        read_response(&response)
    }

    /// A connection to the API.
    pub fn caller(&self) -> TcpStream {
        let socket = TcpStream::connect(self.addresses.http).expect("it listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a valid timeout");
        socket
    }

    /// Queues a message for `device`.
    pub fn notify(&self, device: &str, payload: &str) {
        let (status, answer) = self.post("/notify", &notify_body(device, payload));
        assert_eq!(status, 200, "{answer}");
    }

    /// One counter of `/stats`.
    pub fn counter(&self, name: &str) -> u64 {
        let (status, stats) = self.get("/stats");
        assert_eq!(status, 200, "{stats}");
        let stats: serde_json::Value = serde_json::from_str(&stats).expect("JSON");
        stats[name].as_u64().unwrap_or_else(|| panic!("no {name} in {stats}"))
    }

    /// Waits until a counter of `/stats` stands at `value`.
    pub fn await_counter(&self, name: &str, value: u64) {
        let clock = Clock::new();
        while self.counter(name) != value {
            assert!(clock.now().monotonic.0 < PATIENCE, "{name} stays at {}", self.counter(name));
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.control.terminate();
    }
}

/// The body of a `/notify` in open mode.
pub fn notify_body(device: &str, payload: &str) -> String {
    format!(
        r#"{{"userid":"u","deviceid":"{device}","appid":"chatter","expire_on":"2100-01-01T00:00:00Z","data":{payload}}}"#
    )
}

/// A whole request that queues a message and leaves the connection open.
pub fn notify_request(device: &str, payload: &str) -> String {
    let body = notify_body(device, payload);
    let length = body.len();
    format!(
        "POST /notify HTTP/1.1\r\nHost: push\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

/// The status and the body of one whole response.
pub fn read_response(response: &str) -> (u16, String) {
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or_else(|| panic!("cut off: {response:?}"));
    let status = head.split(' ').nth(1).expect("a status line").parse().expect("a status");
    (status, body.to_owned())
}
