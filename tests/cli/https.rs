//! The API over HTTPS, as an operator configures it.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use lomiri_push::tls::{DeviceOptions, ServerName, Trust, device_config};
use rustix::process::Signal;

use crate::process::{folder, serve};

/// A certificate and its key under the names that the configuration gives; returns the certificate.
fn make_certificate(folder: &Path) -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a valid name");
    fs::write(folder.join("http-key.pem"), made.signing_key.serialize_pem()).expect("writable");
    fs::write(folder.join("http.pem"), made.cert.pem()).expect("writable");
    made.cert.pem().into()
}

/// What `/healthz` says to a caller who believes `ca` alone, over a stock TLS connection.
fn ask_health(http: SocketAddr, ca: &[u8]) -> io::Result<String> {
    let config = device_config(&Trust::CaPem(ca.to_vec()), DeviceOptions::default()).expect("a certificate");
    let name = ServerName::try_from("localhost").expect("a name");
    let mut tls = rustls::ClientConnection::new(config, name).expect("a configuration");
    let mut socket = TcpStream::connect(http)?;
    let mut stream = rustls::Stream::new(&mut tls, &mut socket);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn the_api_speaks_https_from_its_own_files_and_takes_renewed_ones() {
    let folder = folder("http_cert_pem_file = \"http.pem\"\nhttp_key_pem_file = \"http-key.pem\"");
    let first = make_certificate(folder.path());
    let server = serve(&folder);
    assert!(ask_health(server.http, &first).expect("trusted").starts_with("HTTP/1.1 200 OK"));

    let renewed = make_certificate(folder.path());
    assert!(ask_health(server.http, &renewed).is_err(), "it was not told to renew yet");
    server.process.signal(Signal::HUP);
    server.process.line_after("http.pem");
    assert!(ask_health(server.http, &renewed).expect("trusted").starts_with("HTTP/1.1 200 OK"));
    assert!(ask_health(server.http, &first).is_err(), "the earlier one is shown no more");
}
