//! The server under attack: a process of its own, so that its memory is its own.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lomiri_push::tls::{ClientConfig, DeviceOptions, Trust, device_config};
use tempfile::TempDir;

use super::phone::Phone;

/// How long anything may take that should come at once: only a broken server takes so long.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const MIB: u64 = 1 << 20;

/// What a server needs beside what it keeps in its folder.
const OPEN: &str = "device_auth = \"open\"\n";
pub const REQUIRED: &str = "device_auth = \"required\"\n";
pub const HTTPS: &str =
    "device_auth = \"open\"\nhttp_cert_pem_file = \"certificate.pem\"\nhttp_key_pem_file = \"key.pem\"\n";

/// A running server. Killed when it is dropped.
pub struct Victim {
    process: Child,
    pub devices: SocketAddr,
    pub http: SocketAddr,
    pub trust: Arc<ClientConfig>,
    /// What it had in memory before the attack, in bytes.
    at_rest: u64,
    folder: TempDir,
}

impl Victim {
    /// A server as phones know it, over plain HTTP.
    pub fn start() -> Victim {
        Victim::with(OPEN)
    }

    pub fn with(configuration: &str) -> Victim {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let certificate = prepare(&folder, configuration);
        let trust = device_config(&Trust::CaPem(certificate.into()), DeviceOptions::default());
        let mut process = Command::new(env!("CARGO_BIN_EXE_lomiri-push"))
            .args(["serve", "--addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--config"])
            .arg(folder.path().join("push.toml"))
            .env_remove("RUST_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut lines = BufReader::new(process.stderr.take().expect("piped"));
        let http = address_in(&mut lines, "listening for http on ");
        let devices = address_in(&mut lines, "listening for devices on ");
        // Its log must not stop it.
        thread::spawn(move || lines.lines().map_while(Result::ok).for_each(drop));
        let trust = trust.expect("made to fit");
        let mut victim = Victim { process, devices, http, trust, at_rest: 0, folder };
        victim.settle();
        victim
    }

    /// Whatever is allocated once is allocated now; from here on the peak is measured.
    fn settle(&mut self) {
        drop(Phone::connect(self.devices, &self.trust));
        let pid = self.process.id();
        fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("a process of ours");
        self.at_rest = self.status_bytes("VmRSS:");
    }

    /// By how many bytes its memory has exceeded, at its peak, what it had before.
    pub fn grown_bytes(&self) -> u64 {
        self.status_bytes("VmHWM:").saturating_sub(self.at_rest)
    }

    /// Asserts that the attack has cost no more memory than that.
    pub fn assert_grown_by_at_most(&self, bytes: u64) {
        let grown = self.grown_bytes();
        assert!(grown <= bytes, "{} KiB, not {} KiB", grown >> 10, bytes >> 10);
    }

    fn status_bytes(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux tells it");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    /// What its folder keeps under this name.
    pub fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).expect("it is there")
    }

    /// Queues a message.
    pub fn notify(&self, device: &str, payload: &str) {
        let body = format!(
            r#"{{"userid":"u","deviceid":"{device}","appid":"chatter","expire_on":"2100-01-01T00:00:00Z","data":{payload}}}"#
        );
        let answer = self.ask(&post("/notify", &body));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// A connection to the API.
    pub fn caller(&self) -> TcpStream {
        connect(self.http)
    }

    /// Whatever the API says to these bytes until it closes.
    pub fn ask(&self, request: &str) -> String {
        let mut socket = self.caller();
        // Who says too much may be cut off in the middle.
        let _ = socket.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Asserts that somebody new is served from end to end.
    pub fn assert_serves(&self) {
        let mut bob = Phone::connect(self.devices, &self.trust);
        bob.introduce("bob");
        self.notify("bob", "\"hello\"");
        bob.await_text("hello");
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A certificate and a configuration; returns the certificate.
fn prepare(folder: &TempDir, configuration: &str) -> String {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("valid names");
    let configuration = format!(
        "data_dir = \"data\"\ncert_pem_file = \"certificate.pem\"\nkey_pem_file = \"key.pem\"\n{configuration}"
    );
    for (name, text) in [
        ("certificate.pem", made.cert.pem()),
        ("key.pem", made.signing_key.serialize_pem()),
        ("push.toml", configuration),
    ] {
        fs::write(folder.path().join(name), text).expect("writable");
    }
    made.cert.pem()
}

fn address_in(lines: &mut impl std::io::BufRead, before: &str) -> SocketAddr {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(lines.read_line(&mut line).expect("text") > 0, "the server has stopped");
        if let Some((_, address)) = line.split_once(before) {
            return address.trim().parse().expect("an address");
        }
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("it listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a valid timeout");
    socket
}

/// A request that is in order, and the last on its connection.
pub fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: push\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}
