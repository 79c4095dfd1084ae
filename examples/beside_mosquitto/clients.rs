//! MQTT clients, as many as there are devices, and one who publishes to all: just as much of MQTT 3.1.1 as that takes.

use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use lomiri_push::swarm::{Gauge, Reading};
use lomiri_push::tls::{
    ClientConfig, DeviceOptions, Resuming, ServerName, Tls, Trust, Versions, device_config,
};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde::Serialize;

use super::broker::Mosquitto;
use super::{PATIENCE, Problem};

/// Connects under way at once.
const CONNECTING_MAX: usize = 64;
/// How long all are held before memory is read.
const HOLD: Duration = Duration::from_secs(2);
const TOPIC: &[u8] = b"all";
const PAYLOAD: &[u8] = br#"{"?/?":[1234567]}"#;
/// First bytes of packets (MQTT 3.1.1, section 2.2).
const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const AT_LEAST_ONCE: u8 = 0x02;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;

/// What was found.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Measured {
    pub rss_bytes_per_connection: f64,
    pub connect_cpu_us: f64,
    pub delivery_cpu_us: f64,
}

struct Client {
    socket: TcpStream,
    tls: Tls,
    unsent: Vec<u8>,
    /// The front of a packet whose rest has not come.
    partial: Vec<u8>,
    is_introduced: bool,
}

/// All of them; the last one publishes.
pub struct Clients {
    poll: Poll,
    config: Arc<ClientConfig>,
    address: std::net::SocketAddr,
    clients: Vec<Client>,
    incoming: Vec<u8>,
    subscribed: usize,
    delivered: usize,
    acked: usize,
}

impl Clients {
    /// Connects so many, holds them, and publishes so often to all.
    pub fn measure(broker: &Mosquitto, count: usize, publishes: usize) -> Result<Measured, Problem> {
        let gauge = Gauge::of(broker.process())?;
        let options = DeviceOptions {
            versions: Versions::Tls13,
            resuming: Resuming::Never,
            slim: true,
            ..DeviceOptions::default()
        };
        let mut all = Clients {
            poll: Poll::new()?,
            config: device_config(&Trust::Insecure, options)?,
            address: broker.address.parse()?,
            clients: Vec::new(),
            incoming: vec![0; 64 * 1024],
            subscribed: 0,
            delivered: 0,
            acked: 0,
        };
        let before = gauge.read()?;
        let bar = ProgressBar::new(count as u64);
        let await_all = |all: &mut Clients, is_done: &dyn Fn(&Clients) -> bool| {
            let start = Instant::now();
            while !is_done(all) {
                if start.elapsed() > PATIENCE {
                    return Err(Problem::from("Mosquitto does not answer"));
                }
                all.turn()?;
                bar.set_position(all.subscribed as u64);
            }
            Ok(())
        };
        while all.clients.len() < count {
            all.connect()?;
            let so_many = all.clients.len();
            await_all(&mut all, &|all| so_many - all.subscribed < CONNECTING_MAX)?;
        }
        await_all(&mut all, &|all| all.subscribed == count)?;
        let connected = gauge.read()?;
        let start = Instant::now();
        while start.elapsed() < HOLD {
            all.turn()?;
        }
        let held = gauge.read()?;
        for number in 1..=publishes {
            let last = all.clients.len() - 1;
            all.send(last, &publish(number as u16))?;
            await_all(&mut all, &|all| all.delivered == number * count && all.acked == number)?;
        }
        let after = gauge.read()?;
        bar.finish_and_clear();
        Ok(Measured {
            rss_bytes_per_connection: (held.rss_bytes as f64 - before.rss_bytes as f64) / count as f64,
            connect_cpu_us: cpu_us(before, connected) / count as f64,
            delivery_cpu_us: cpu_us(held, after) / (count * publishes) as f64,
        })
    }

    fn connect(&mut self) -> Result<(), Problem> {
        let mut socket = TcpStream::connect(self.address)?;
        let number = self.clients.len();
        self.poll.registry().register(&mut socket, Token(number), Interest::READABLE | Interest::WRITABLE)?;
        let tls = Tls::connect(&self.config, ServerName::try_from("localhost")?)?;
        let mut client =
            Client { socket, tls, unsent: Vec::new(), partial: Vec::new(), is_introduced: false };
        client.tls.read(&mut [], &mut Vec::new(), &mut client.unsent)?;
        self.clients.push(client);
        Ok(())
    }

    fn turn(&mut self) -> Result<(), Problem> {
        let mut events = Events::with_capacity(1_024);
        self.poll.poll(&mut events, Some(Duration::from_millis(100)))?;
        for event in &events {
            let Token(number) = event.token();
            self.clients[number].flush()?;
            self.read(number)?;
        }
        Ok(())
    }

    fn read(&mut self, number: usize) -> Result<(), Problem> {
        loop {
            let client = &mut self.clients[number];
            let bytes = match client.socket.read(&mut self.incoming) {
                Ok(0) => return Err("Mosquitto has closed a connection".into()),
                Ok(bytes) => bytes,
                Err(error) if [ErrorKind::WouldBlock, ErrorKind::NotConnected].contains(&error.kind()) => {
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            client.tls.read(&mut self.incoming[..bytes], &mut client.partial, &mut client.unsent)?;
        }
        let client = &mut self.clients[number];
        client.flush()?;
        if !client.tls.is_handshaking() && !std::mem::replace(&mut client.is_introduced, true) {
            self.send(number, &connect(number))?;
        }
        self.take_packets(number)
    }

    fn take_packets(&mut self, number: usize) -> Result<(), Problem> {
        while let Some(packet) = self.clients[number].packet() {
            match packet[0] & 0xf0 {
                CONNACK => self.send(number, &subscribe())?,
                SUBACK => self.subscribed += 1,
                PUBACK => self.acked += 1,
                PUBLISH => {
                    let id = 2 + 2 + TOPIC.len();
                    self.delivered += 1;
                    self.send(number, &[PUBACK, 2, packet[id], packet[id + 1]])?;
                }
                other => return Err(format!("Mosquitto says {other:#x}").into()),
            }
        }
        Ok(())
    }

    fn send(&mut self, number: usize, packet: &[u8]) -> Result<(), Problem> {
        let client = &mut self.clients[number];
        client.tls.write(packet, &mut client.unsent)?;
        client.flush()
    }
}

impl Client {
    fn flush(&mut self) -> Result<(), Problem> {
        while !self.unsent.is_empty() {
            match self.socket.write(&self.unsent) {
                Ok(bytes) => drop(self.unsent.drain(..bytes)),
                Err(error) if [ErrorKind::WouldBlock, ErrorKind::NotConnected].contains(&error.kind()) => {
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The next whole packet. None here is longer than 127 bytes.
    fn packet(&mut self) -> Option<Vec<u8>> {
        let length = 2 + usize::from(*self.partial.get(1)?);
        (self.partial.len() >= length).then(|| self.partial.drain(..length).collect())
    }
}

fn connect(number: usize) -> Vec<u8> {
    let (id, clean_session, never) = (format!("c{number}"), 0x02, [0, 0]);
    let body = [&text(b"MQTT")[..], &[4, clean_session], &never, &text(id.as_bytes())].concat();
    packet(CONNECT, &body)
}

fn subscribe() -> Vec<u8> {
    packet(SUBSCRIBE, &[&[0, 1][..], &text(TOPIC), &[1]].concat())
}

fn publish(number: u16) -> Vec<u8> {
    packet(PUBLISH | AT_LEAST_ONCE, &[&text(TOPIC)[..], &number.to_be_bytes(), PAYLOAD].concat())
}

fn text(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text].concat()
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    [&[first, body.len() as u8][..], body].concat()
}

fn cpu_us(before: Reading, after: Reading) -> f64 {
    after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6
}
