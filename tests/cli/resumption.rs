//! Devices resume their TLS sessions with whatever server has the ticket keys.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;

use lomiri_push::protocol::wire0;
use lomiri_push::tls::{ClientConfig, DeviceOptions, ServerName, Trust, device_config};
use rustix::process::Signal;
use rustls::{ClientConnection, HandshakeKind, Stream};
use tempfile::TempDir;

use crate::process::{Serving, folder, serve};

fn device(folder: &TempDir) -> Arc<ClientConfig> {
    let ca = fs::read(folder.path().join("data/certificate.pem")).expect("made");
    device_config(&Trust::CaPem(ca), DeviceOptions::default()).expect("a certificate")
}

/// Connects until the server's first answer has come, and the ticket with it.
fn connect(server: &Serving, config: &Arc<ClientConfig>) -> HandshakeKind {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut tls = ClientConnection::new(config.clone(), name).expect("a configuration");
    let mut socket = TcpStream::connect(server.devices).expect("it listens");
    let connect = wire0::Connect::new("carol".parse().expect("a device id"));
    let connect = wire0::DeviceMessage::Connect(connect).encode().expect("short");
    let opening = [&[wire0::VERSION], &connect[..]].concat();
    Stream::new(&mut tls, &mut socket).write_all(&opening).expect("the server is there");
    std::io::Read::read_exact(&mut Stream::new(&mut tls, &mut socket), &mut [0; 2]).expect("let in");
    tls.handshake_kind().expect("done")
}

#[test]
fn a_device_resumes_after_a_restart_of_the_server() {
    let folder = folder("");
    let server = serve(&folder);
    let device = device(&folder);
    assert_eq!(connect(&server, &device), HandshakeKind::Full);
    assert_eq!(connect(&server, &device), HandshakeKind::Resumed);
    server.process.signal(Signal::KILL);
    server.process.wait();

    let server = serve(&folder);
    assert_eq!(connect(&server, &device), HandshakeKind::Resumed);
    server.process.signal(Signal::KILL);
    server.process.wait();

    fs::remove_file(folder.path().join("data/ticket-keys.json")).expect("made at the first start");
    assert_eq!(connect(&serve(&folder), &device), HandshakeKind::Full);
}

#[test]
fn tickets_can_be_switched_off() {
    let folder = folder("tls_tickets = false");
    let server = serve(&folder);
    let device = device(&folder);
    for _ in 0..2 {
        assert_eq!(connect(&server, &device), HandshakeKind::Full);
    }
    assert!(!folder.path().join("data/ticket-keys.json").exists());
}
