//! Those who behave: devices, and one app server that posts to one of them after the other.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use lomiri_push::device::{Connection, Server};
use lomiri_push::protocol::wire1::Connect;
use lomiri_push::session::device::{Event, Options};
use lomiri_push::tls::ServerName;

use super::server::Besieged;

pub struct Bystanders<'a> {
    besieged: &'a Besieged,
    devices: Vec<Connection>,
}

impl Bystanders<'_> {
    /// So many devices, which are connected from here on.
    pub fn connect(besieged: &Besieged, count: usize) -> Bystanders<'_> {
        let devices = (0..count).map(|number| device(besieged, number)).collect();
        Bystanders { besieged, devices }
    }

    /// Posts so many messages, each when the last has arrived; how long each took.
    pub fn deliver(&mut self, count: usize, bar: &ProgressBar) -> Vec<Duration> {
        let mut times = Vec::new();
        for number in (0..self.devices.len()).cycle().take(count) {
            times.push(self.deliver_to(number));
            bar.inc(1);
        }
        times
    }

    fn deliver_to(&mut self, number: usize) -> Duration {
        let mut app_server = self.besieged.dial(self.besieged.target.http);
        let start = Instant::now();
        app_server.write_all(post(number).as_bytes()).expect("the server reads");
        let device = &mut self.devices[number];
        let event = device.next_event(None);
        let time = start.elapsed();
        assert!(matches!(event, Some(Event::Message(_))), "{event:?}");
        device.ack();
        let mut answer = String::new();
        app_server.read_to_string(&mut answer).expect("the server answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        time
    }
}

fn device(besieged: &Besieged, number: usize) -> Connection {
    let server = Server {
        addr: besieged.target.devices.to_string(),
        name: ServerName::try_from("localhost").expect("a name"),
        tls: besieged.target.trust.clone(),
    };
    let connect = Connect::new(name(number).parse().expect("a device id"), Duration::from_secs(3_600));
    let mut device = Connection::open(&server, Options::new(connect.into())).expect("it listens");
    let event = device.next_event(None);
    assert!(matches!(event, Some(Event::Connected { .. })), "{event:?}");
    device
}

fn name(number: usize) -> String {
    format!("bystander-{number}")
}

fn post(number: usize) -> String {
    let device = name(number);
    let body = format!(
        r#"{{"userid":"u","deviceid":"{device}","appid":"chatter","expire_on":"2100-01-01T00:00:00Z","data":"hello"}}"#
    );
    let length = body.len();
    format!(
        "POST /notify HTTP/1.1\r\nHost: push\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}
