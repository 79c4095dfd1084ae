//! A server that knows wire 0 alone, and an API that names it: what deployed phones are served by.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use lomiri_push::protocol::wire0::ServerMessage;
use lomiri_push::tls::{Certificates, ServerConfig, ServerOptions, Tls, server_config};

use crate::outside::PATIENCE;

/// The version byte of wire 0.
const WIRE_0: u8 = 0;
/// It never comes to that in a test.
const PING_INTERVAL: Duration = Duration::from_secs(300);

/// What the server and the API saw.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// The API was asked for this.
    Asked(String),
    /// A device began to speak this wire.
    Version(u8),
}

/// It serves until the test is over.
pub struct OldServer {
    /// Where the API is.
    pub base: String,
    seen: Receiver<Seen>,
}

impl OldServer {
    /// Its certificate is written to this file. The first `wrong` devices that speak wire 0 are told that this is
    /// not their server.
    pub fn start(certificate: &Path, wrong: usize) -> OldServer {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a name");
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        std::fs::write(certificate, &chain).expect("writable");
        let certificates = Certificates::new(chain.as_bytes(), key.as_bytes()).expect("made above");
        let config = server_config(&certificates, &ServerOptions::default());
        let (tell, seen) = mpsc::channel();
        let (devices, api) = (listener(), listener());
        let addr = devices.local_addr().expect("bound").to_string();
        let base = format!("http://{}", api.local_addr().expect("bound"));
        let told = tell.clone();
        thread::spawn(move || api.incoming().flatten().for_each(|stream| name(stream, &addr, &told)));
        thread::spawn(move || {
            let mut wrong = wrong;
            devices.incoming().flatten().for_each(|stream| serve(stream, &config, &tell, &mut wrong));
        });
        OldServer { base, seen }
    }

    pub fn next(&self) -> Seen {
        self.seen.recv_timeout(PATIENCE).expect("something is to be seen")
    }
}

fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port")
}

/// Answers a request for the hosts.
fn name(mut stream: TcpStream, addr: &str, told: &Sender<Seen>) {
    let mut request = [0; 1024];
    let count = stream.read(&mut request).expect("a request");
    let line = String::from_utf8_lossy(&request[..count]).lines().next().map(str::to_owned);
    // The test may be over.
    let _ = told.send(Seen::Asked(line.unwrap_or_default()));
    let body = format!(r#"{{"hosts":["{addr}"],"domain":"localhost"}}"#);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).expect("connected");
}

/// Serves one device: until it leaves, or not at all.
fn serve(stream: TcpStream, config: &Arc<ServerConfig>, told: &Sender<Seen>, wrong: &mut usize) {
    let mut device = Device { stream, tls: Tls::accept(config).expect("ours"), heard: Vec::new() };
    while device.heard.is_empty() {
        if !device.read() {
            return;
        }
    }
    let _ = told.send(Seen::Version(device.heard[0]));
    if device.heard[0] != WIRE_0 {
        return;
    }
    while !device.heard.ends_with(b"}") && device.read() {}
    device.say(&ServerMessage::Connack { ping_interval: PING_INTERVAL });
    if *wrong > 0 {
        *wrong -= 1;
        return device.say(&ServerMessage::Connbroken { reason: "host-mismatch".into() });
    }
    while device.read() {}
}

/// A device as its server sees it.
struct Device {
    stream: TcpStream,
    tls: Tls,
    heard: Vec<u8>,
}

impl Device {
    /// Whether there can be more.
    fn read(&mut self) -> bool {
        let (mut buffer, mut out) = ([0; 4096], Vec::new());
        let count = self.stream.read(&mut buffer).unwrap_or(0);
        let status = self.tls.read(&mut buffer[..count], &mut self.heard, &mut out);
        // A device that has left takes nothing more.
        let _ = self.stream.write_all(&out);
        count > 0 && status.is_ok_and(|status| !status.peer_closed)
    }

    fn say(&mut self, message: &ServerMessage) {
        let mut out = Vec::new();
        self.tls.write(&message.encode().expect("short"), &mut out).expect("TLS");
        let _ = self.stream.write_all(&out);
    }
}
