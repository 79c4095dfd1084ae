//! A peer of the device port that says whatever it likes, inside TLS.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use lomiri_push::protocol::wire0;
use lomiri_push::protocol::wire1;
use lomiri_push::tls::{ClientConfig, ServerName, Tls};

use super::victim::connect;

pub struct Phone {
    pub socket: TcpStream,
    tls: Tls,
    /// All that it has sent, as it went over the network.
    pub sent: Vec<u8>,
}

impl Phone {
    /// A connection whose handshake is done.
    pub fn connect(address: SocketAddr, trust: &Arc<ClientConfig>) -> Phone {
        Phone::over(connect(address), trust)
    }

    pub fn over(socket: TcpStream, trust: &Arc<ClientConfig>) -> Phone {
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = Tls::connect(trust, name).expect("a good configuration");
        let mut phone = Phone { socket, tls, sent: Vec::new() };
        phone.exchange(&mut []);
        while phone.tls.is_handshaking() {
            phone.read().expect("the server goes on");
        }
        phone
    }

    /// Says this; who is not listened to any more does not notice.
    pub fn write(&mut self, plaintext: &[u8]) {
        let mut out = Vec::new();
        self.tls.write(plaintext, &mut out).expect("the handshake is done");
        self.transmit(&out);
    }

    /// The same; says whether it was taken.
    pub fn try_write(&mut self, plaintext: &[u8]) -> bool {
        let mut out = Vec::new();
        self.tls.write(plaintext, &mut out).is_ok() && self.socket.write_all(&out).is_ok()
    }

    /// What the server says next; none at the end.
    pub fn read(&mut self) -> Option<Vec<u8>> {
        let mut bytes = [0; 16 * 1024];
        match self.socket.read(&mut bytes) {
            Ok(count) if count > 0 => self.exchange(&mut bytes[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("the server is silent"),
            _ => None,
        }
    }

    fn exchange(&mut self, ciphertext: &mut [u8]) -> Option<Vec<u8>> {
        let (mut plaintext, mut out) = (Vec::new(), Vec::new());
        let status = self.tls.read(ciphertext, &mut plaintext, &mut out).ok()?;
        self.transmit(&out);
        (!status.peer_closed || !plaintext.is_empty()).then_some(plaintext)
    }

    fn transmit(&mut self, bytes: &[u8]) {
        self.sent.extend_from_slice(bytes);
        // Whoever has been closed on learns it when he reads.
        let _ = self.socket.write_all(bytes);
    }

    /// All that the server still says.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        std::iter::from_fn(|| self.read()).flatten().collect()
    }

    /// Reads on until the server has said `text`.
    pub fn await_text(&mut self, text: &str) {
        let mut said = Vec::new();
        while !String::from_utf8_lossy(&said).contains(text) {
            said.extend(self.read().unwrap_or_else(|| panic!("ended without {text:?}")));
        }
    }

    /// Connects as this device, on wire 0.
    pub fn introduce(&mut self, device: &str) {
        self.write(&opening(device));
        self.await_text("connack");
    }
}

/// With what a device opens on wire 0.
pub fn opening(device: &str) -> Vec<u8> {
    opening_with(device, "")
}

pub fn opening_with(device: &str, authorization: &str) -> Vec<u8> {
    let connect = wire0::Connect::new(device.parse().expect("a device id"));
    let connect = wire0::Connect { authorization: authorization.into(), ..connect };
    [&[0][..], &wire0::DeviceMessage::Connect(connect).encode().expect("short")].concat()
}

/// With what a device opens on wire 1.
pub fn opening_on_wire1(device: &str) -> Vec<u8> {
    let connect = wire1::Connect::new(device.parse().expect("a device id"), Duration::from_secs(3_600));
    frame(&wire1::DeviceFrame::Connect(Box::new(connect)))
}

/// The version byte of wire 1 and a frame.
pub fn frame(frame: &wire1::DeviceFrame) -> Vec<u8> {
    let mut bytes = vec![wire1::VERSION];
    frame.encode(&mut bytes).expect("short");
    bytes
}
