//! Who resumes, with which tickets, and who does not.

use rustls::HandshakeKind;

use super::*;
use crate::base::{Random, Wall};

const NOW: Wall = Wall(1_800_000_000_000);

/// A server with tickets, and one device that comes again and again.
struct World {
    keys: TicketKeys,
    tickets: Arc<Tickets>,
    certificates: Arc<Certificates>,
    server: Arc<ServerConfig>,
    device: Arc<ClientConfig>,
}

/// Each key differs from the one before.
fn counter() -> impl FnMut(&mut [u8]) {
    let mut count = 0;
    move |bytes| {
        count += 1;
        bytes.fill(count);
    }
}

fn with_tickets(certificates: &Arc<Certificates>, tickets: &Arc<Tickets>) -> Arc<ServerConfig> {
    let options = ServerOptions { tickets: Some(tickets.clone()), ..ServerOptions::default() };
    server_config(certificates, &options)
}

impl World {
    fn new(random: &mut Random) -> World {
        World::for_device(random, |made| device(&made.trust()))
    }

    fn for_device(random: &mut Random, device: impl FnOnce(&Made) -> Arc<ClientConfig>) -> World {
        let made = self_signed("push.example.org");
        let certificates = made.certificates();
        let keys = TicketKeys::new(NOW, random);
        let tickets = Tickets::new(&keys, certificates.clone());
        let server = with_tickets(&certificates, &tickets);
        World { keys, tickets, certificates, server, device: device(&made) }
    }

    /// Connects, and tells how the handshake went and how many bytes it took up and down.
    fn connect(&self) -> (HandshakeKind, usize) {
        let mut pair = Pair::new(&self.server, &self.device);
        let bytes = pair.shake_counting(usize::MAX).expect("both agree");
        pair.exchange(usize::MAX);
        let Side::Server(whole) = &pair.server.tls.side else { unreachable!("it accepted") };
        let connection = &whole.connection;
        (connection.handshake_kind().expect("done"), bytes)
    }

    fn resumes(&self) -> bool {
        self.connect().0 == HandshakeKind::Resumed
    }

    fn rotate(&mut self, now: Wall, random: &mut Random) {
        self.keys = self.keys.rotated(now, random);
        self.tickets.use_keys(&self.keys);
    }
}

fn device(trust: &Trust) -> Arc<ClientConfig> {
    device_config(trust, DeviceOptions::default()).expect("valid")
}

#[test]
fn each_connection_resumes_the_one_before_it() {
    let world = World::new(&mut counter());
    assert!(!world.resumes(), "there is nothing to resume yet");
    for _ in 0..20 {
        assert!(world.resumes());
    }
}

#[test]
fn a_ticket_is_used_once() {
    let world = World::new(&mut counter());
    world.connect();
    // The server does not answer, so there is no fresh ticket.
    let mut unanswered = Pair::new(&world.server, &world.device);
    unanswered.device.read(&mut []).expect("a first flight");
    assert!(!world.resumes());
}

#[test]
fn a_ticket_outlives_the_server_that_gave_it() {
    let mut world = World::new(&mut counter());
    world.connect();
    let keys = TicketKeys::from_json(world.keys.to_json().as_bytes()).expect("just made");
    world.tickets = Tickets::new(&keys, world.certificates.clone());
    world.server = with_tickets(&world.certificates, &world.tickets);
    assert!(world.resumes());
}

#[test]
fn a_ticket_outlives_one_rotation_and_not_two() {
    let random = &mut counter();
    let mut world = World::new(random);
    world.connect();
    world.rotate(NOW + ROTATION, random);
    assert!(world.resumes());
    world.rotate(NOW + 2 * ROTATION, random);
    assert!(world.resumes(), "its ticket is of the second key");
    world.rotate(NOW + 3 * ROTATION, random);
    world.rotate(NOW + 4 * ROTATION, random);
    assert!(!world.resumes());
}

#[test]
fn a_key_that_has_waited_too_long_for_its_rotation_opens_nothing() {
    let random = &mut counter();
    let mut world = World::new(random);
    world.connect();
    world.rotate(NOW + 2 * ROTATION, random);
    assert!(!world.resumes());
}

#[test]
fn a_new_certificate_ends_all_tickets() {
    let mut world = World::new(&mut counter());
    world.device = device(&Trust::Insecure);
    world.connect();
    let renewed = self_signed("push.example.org");
    world.certificates.replace(renewed.certificate.as_bytes(), renewed.key.as_bytes()).expect("a good pair");
    assert!(!world.resumes(), "the device must see it");
    assert!(world.resumes());
}

#[test]
fn devices_of_tls_1_2_never_resume() {
    let tls12 = |_: &Made| {
        let mut config = (*device_of(&rustls::version::TLS12)).clone();
        config.resumption = rustls::client::Resumption::in_memory_sessions(8);
        Arc::new(config)
    };
    let world = World::for_device(&mut counter(), tls12);
    for _ in 0..3 {
        assert!(!world.resumes());
    }
}

#[test]
fn without_tickets_nobody_resumes() {
    let mut world = World::new(&mut counter());
    world.server = server_config(&world.certificates, &ServerOptions::default());
    for _ in 0..3 {
        assert!(!world.resumes());
    }
}

#[test]
fn tickets_from_elsewhere_are_no_harm() {
    use rustls::server::ProducesTickets as _;
    let state = |version: u16| [&[1, 4][..], b"push", &version.to_be_bytes(), b"secret"].concat();
    let random = &mut counter();
    let made = self_signed("push.example.org");
    let ours = Tickets::new(&TicketKeys::new(NOW, random), made.certificates());
    let theirs = Tickets::new(&TicketKeys::new(NOW, random), made.certificates());
    let ticket = ours.encrypt(&state(0x0304)).expect("TLS 1.3");
    assert_eq!(ours.decrypt(&ticket).expect("just sealed"), state(0x0304));
    assert_eq!(theirs.decrypt(&ticket), None);
    for place in 0..ticket.len() {
        let mut damaged = ticket.clone();
        damaged[place] ^= 1;
        assert_eq!(ours.decrypt(&damaged), None, "byte {place}");
        assert_eq!(ours.decrypt(&ticket[..place]), None, "{place} bytes");
    }
    assert_eq!(ours.encrypt(&state(0x0303)), None, "TLS 1.2");
    for cut in [&[][..], &[0], &[0, 3], &[1], &[1, 200, 3, 4]] {
        assert_eq!(ours.encrypt(cut), None, "{cut:?}");
    }
}

#[test]
fn only_keys_as_they_were_stored_are_taken() {
    let keys = TicketKeys::new(NOW, &mut counter());
    let text = keys.rotated(NOW + ROTATION, &mut counter()).to_json();
    assert!(TicketKeys::from_json(text.as_bytes()).is_some());
    for damaged in
        ["null", "{}", &text[1..], &text.replace('A', "!"), &text.replace("\"secret\":\"AQ", "\"secret\":\"")]
    {
        assert!(TicketKeys::from_json(damaged.as_bytes()).is_none(), "{damaged}");
    }
}

#[test]
fn post_quantum_costs_two_kilobytes_where_both_want_it() {
    let made = self_signed("push.example.org");
    let shake = |by_server, by_device| {
        let server = ServerOptions { post_quantum: by_server, ..ServerOptions::default() };
        let device = DeviceOptions { post_quantum: by_device, ..DeviceOptions::default() };
        let device = device_config(&made.trust(), device).expect("valid");
        let mut pair = Pair::new(&server_config(&made.certificates(), &server), &device);
        let bytes = pair.shake_counting(usize::MAX).expect("both agree");
        let Side::Server(whole) = &pair.server.tls.side else { unreachable!("it accepted") };
        let connection = &whole.connection;
        (connection.negotiated_key_exchange_group().expect("agreed").name(), bytes)
    };
    let (group, plain) = shake(true, false);
    assert_eq!(group, rustls::NamedGroup::X25519);
    assert_eq!(shake(false, true).0, rustls::NamedGroup::X25519);
    let (group, bytes) = shake(true, true);
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
    let extra = bytes - plain;
    assert!((2_200..2_500).contains(&extra), "{extra}");
}

#[test]
fn a_slim_device_resumes_with_the_ticket_that_came_before() {
    let made = self_signed("push.example.org");
    let certificates = made.certificates();
    let tickets = Tickets::new(&TicketKeys::new(NOW, &mut counter()), certificates.clone());
    let server = ServerOptions { tickets: Some(tickets), slim: true, ..ServerOptions::default() };
    let server = server_config(&certificates, &server);
    let device = DeviceOptions { slim: true, ..DeviceOptions::default() };
    let device = device_config(&made.trust(), device).expect("valid");
    let resumed = [(); 3].map(|()| {
        let mut pair = Pair::new(&server, &device);
        pair.shake(usize::MAX).expect("both agree");
        pair.exchange(usize::MAX);
        assert!(pair.server.is_slim() && pair.device.is_slim());
        assert_eq!(pair.server.tls.is_resumed(), pair.device.tls.is_resumed());
        pair.device.tls.is_resumed()
    });
    assert_eq!(resumed, [false, true, true]);
}

/// What may wait for the server's first word: its tickets, and nothing that a device waits for.
#[test]
fn only_the_end_of_a_handshake_brings_only_tickets() {
    let made = self_signed("push.example.org");
    let tickets = Tickets::new(&TicketKeys::new(NOW, &mut counter()), made.certificates());
    for slim in [false, true] {
        let options = ServerOptions { tickets: Some(tickets.clone()), slim, ..ServerOptions::default() };
        let server = server_config(&made.certificates(), &options);
        for (version, says) in [(&rustls::version::TLS12, false), (&rustls::version::TLS13, true)] {
            let Pair { mut server, mut device } = Pair::new(&server, &device_of(version));
            device.read(&mut []).expect("a first flight");
            let status = server.read_from(&mut device, usize::MAX).expect("a hello");
            assert!(!status.only_tickets, "the server's hello");
            device.read_from(&mut server, usize::MAX).expect("both agree");
            let status = server.read_from(&mut device, usize::MAX).expect("both agree");
            assert!(!server.tls.is_handshaking());
            assert_eq!(status.only_tickets, says, "{version:?}");
            assert!(!server.out.is_empty(), "a ticket, or the end of the handshake");
            device.read_from(&mut server, usize::MAX).expect("both agree");
            device.write(b"more");
            let status = server.read_from(&mut device, usize::MAX).expect("intact");
            assert!(!status.only_tickets, "{version:?}");
        }
    }
}
