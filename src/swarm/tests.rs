//! Who of a swarm resumes, by the tickets that all of its devices share.

use std::sync::Arc;

use crate::base::Wall;
use crate::tls::{
    Certificates, ClientConfig, DeviceOptions, Resuming, ServerConfig, ServerName, ServerOptions,
    SharedTickets, TicketKeys, Tickets, Tls, Trust, Versions, device_config, server_config,
};

/// Rounds of a handshake, more than any takes.
const ROUNDS_MAX: usize = 10;

/// A server with tickets, and what all devices share.
struct World {
    server: Arc<ServerConfig>,
    devices: Arc<ClientConfig>,
}

impl World {
    fn new(versions: Versions, resuming: Resuming) -> World {
        let made = rcgen::generate_simple_self_signed(["push.example.org".into()]).expect("a valid name");
        let key = made.signing_key.serialize_pem();
        let certificates = Certificates::new(made.cert.pem().as_bytes(), key.as_bytes()).expect("made above");
        let mut count = 0;
        let mut random = |bytes: &mut [u8]| {
            count += 1;
            bytes.fill(count);
        };
        let keys = TicketKeys::new(Wall(1_800_000_000_000), &mut random);
        let tickets = Some(Tickets::new(&keys, certificates.clone()));
        let options = DeviceOptions { versions, resuming, slim: true, ..DeviceOptions::default() };
        World {
            server: server_config(&certificates, &ServerOptions { tickets, ..ServerOptions::default() }),
            devices: device_config(&Trust::Insecure, options).expect("valid"),
        }
    }

    /// One more device says its first word.
    fn begin(&self) -> Coming {
        let name = ServerName::try_from("push.example.org").expect("a valid name");
        let mut coming = Coming {
            device: Tls::connect(&self.devices, name).expect("valid"),
            server: Tls::accept(&self.server).expect("valid"),
            up: Vec::new(),
        };
        coming.device.read(&mut [], &mut Vec::new(), &mut coming.up).expect("it may begin");
        coming
    }

    /// So many come at once: how many of them resume.
    fn resumed(&self, devices: usize) -> usize {
        let all: Vec<Coming> = (0..devices).map(|_| self.begin()).collect();
        all.into_iter().map(Coming::resumes).filter(|resumes| *resumes).count()
    }
}

struct Coming {
    device: Tls,
    server: Tls,
    up: Vec<u8>,
}

impl Coming {
    /// Goes on until the server has said something, its ticket included.
    fn resumes(mut self) -> bool {
        let (mut down, mut said) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS_MAX {
            self.server.read(&mut self.up, &mut said, &mut down).expect("both agree");
            self.up.clear();
            self.device.read(&mut down, &mut said, &mut self.up).expect("both agree");
            down.clear();
        }
        self.server.write(b"hello", &mut down).expect("the handshake is over");
        self.device.read(&mut down, &mut said, &mut self.up).expect("both agree");
        assert_eq!(said, b"hello");
        self.device.is_resumed()
    }
}

/// Room for so many, which are given to whoever comes.
fn given(tickets_max: usize) -> Arc<SharedTickets> {
    let tickets = Arc::new(SharedTickets::new(tickets_max));
    tickets.give();
    tickets
}

#[test]
fn all_come_back_by_tickets_at_once_as_nobody_took_one_to_come() {
    let tickets = Arc::new(SharedTickets::new(5));
    let world = World::new(Versions::Tls13, Resuming::Shared(tickets.clone()));
    assert_eq!((world.resumed(2), world.resumed(3)), (0, 0), "these come for the first time");
    tickets.give();
    assert_eq!(world.resumed(5), 5);
}

#[test]
fn whoever_comes_next_takes_a_ticket_and_nobody_takes_it_again() {
    let world = World::new(Versions::Tls13, Resuming::Shared(given(10)));
    assert_eq!(world.resumed(1), 0, "there is none yet");
    assert_eq!(world.resumed(3), 1, "of the one ticket");
    assert_eq!(world.resumed(5), 3, "of those that the three have brought");
    assert_eq!(world.resumed(5), 5);
}

#[test]
fn no_more_tickets_are_kept_than_there_are_devices() {
    let world = World::new(Versions::Tls13, Resuming::Shared(given(2)));
    assert_eq!(world.resumed(5), 0);
    assert_eq!(world.resumed(5), 2);
}

#[test]
fn nobody_resumes_with_tls_1_2_or_where_that_is_not_wanted() {
    for (versions, resuming) in
        [(Versions::Tls12, Resuming::Shared(given(10))), (Versions::Tls13, Resuming::Never)]
    {
        let world = World::new(versions, resuming);
        assert_eq!((world.resumed(2), world.resumed(2)), (0, 0), "{versions:?}");
    }
}
