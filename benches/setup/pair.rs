//! Both ends of one TLS connection. What is measured is not known here.

use lomiri_push::tls::{
    Certificates, DeviceOptions, ServerName, ServerOptions, Tls, Trust, device_config, server_config,
};

/// A server and its device, which have shaken hands.
pub struct Pair {
    pub server: Tls,
    device: Tls,
}

impl Pair {
    pub fn new(slim: bool) -> Pair {
        let made = rcgen::generate_simple_self_signed(["push.example.org".to_owned()]).expect("a valid name");
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let certificates = Certificates::new(certificate.as_bytes(), key.as_bytes()).expect("just made");
        let server = server_config(&certificates, &ServerOptions { slim, ..ServerOptions::default() });
        let device = device_config(&Trust::Insecure, DeviceOptions::default()).expect("nothing to go wrong");
        let name = ServerName::try_from("push.example.org").expect("a valid name");
        let mut server = Tls::accept(&server).expect("a good configuration");
        let mut device = Tls::connect(&device, name).expect("a good configuration");
        let (mut up, mut down) = (Vec::new(), Vec::new());
        device.read(&mut [], &mut Vec::new(), &mut up).expect("a first flight");
        while server.is_handshaking() {
            server.read(&mut std::mem::take(&mut up), &mut Vec::new(), &mut down).expect("agreed");
            device.read(&mut std::mem::take(&mut down), &mut Vec::new(), &mut up).expect("agreed");
        }
        Pair { server, device }
    }

    /// So many records, one behind the other.
    pub fn device_says(&mut self, records: usize, bytes: usize) -> Vec<u8> {
        let mut sealed = Vec::new();
        (0..records).for_each(|_| self.device.write(&vec![7; bytes], &mut sealed).expect("open"));
        sealed
    }
}
