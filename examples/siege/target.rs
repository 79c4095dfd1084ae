//! What an attacker knows of the server.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use lomiri_push::tls::{ClientConfig, DeviceOptions, Trust, device_config};
use socket2::{Domain, Socket, Type};

const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Longest wait for anything that should come at once.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Target {
    pub devices: SocketAddr,
    pub http: SocketAddr,
    pub trust: Arc<ClientConfig>,
}

impl Target {
    /// A server with this certificate, in PEM.
    pub fn new(devices: SocketAddr, http: SocketAddr, certificate: String) -> Target {
        let trust = device_config(&Trust::CaPem(certificate.into()), DeviceOptions::default());
        Target { devices, http, trust: trust.expect("made to fit") }
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
}
