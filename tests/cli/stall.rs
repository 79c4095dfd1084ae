//! A server that is held up, as by a machine that was suspended, forgives its devices what they could
//! not know of.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use lomiri_push::protocol::wire0::{self, Connect, DeviceMessage, ServerMessage};
use lomiri_push::tls::{DeviceOptions, ServerName, Trust, device_config};
use rustix::process::Signal;

use crate::process::{folder, serve};

/// Much longer than the server waits for an answer, and than its loop may be late.
const HELD_UP: Duration = Duration::from_secs(2);

type Stream = rustls::StreamOwned<rustls::ClientConnection, TcpStream>;

fn send(stream: &mut Stream, message: DeviceMessage) {
    stream.write_all(&message.encode().expect("short")).expect("the server is there");
}

/// The next message; an error if the server has closed.
fn receive(stream: &mut Stream) -> std::io::Result<ServerMessage> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut body = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut body)?;
    Ok(ServerMessage::decode(&body).expect("a message of the server's"))
}

#[test]
fn a_device_that_answered_while_the_server_was_held_up_stays_connected() {
    let folder = folder("ping_interval = \"50ms\"\nexchange_timeout = \"500ms\"");
    let server = serve(&folder);
    let ca = fs::read(folder.path().join("data/certificate.pem")).expect("made");
    let config = device_config(&Trust::CaPem(ca), DeviceOptions::default()).expect("a certificate");
    let name = ServerName::try_from("localhost").expect("a name");
    let tls = rustls::ClientConnection::new(config, name).expect("a configuration");
    let mut stream = Stream::new(tls, TcpStream::connect(server.devices).expect("it listens"));
    stream.write_all(&[wire0::VERSION]).expect("the server is there");
    send(&mut stream, DeviceMessage::Connect(Connect::new("carol".parse().expect("a device id"))));
    assert!(matches!(receive(&mut stream).expect("let in"), ServerMessage::Connack { .. }));
    assert_eq!(receive(&mut stream).expect("a ping is due"), ServerMessage::Ping);

    server.process.signal(Signal::STOP);
    send(&mut stream, DeviceMessage::Pong);
    // Time itself is what the server has to miss.
    thread::sleep(HELD_UP);
    server.process.signal(Signal::CONT);
    assert_eq!(receive(&mut stream).expect("the session goes on"), ServerMessage::Ping);
}
