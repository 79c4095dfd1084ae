//! A phone in the demo: it connects over real TLS, acks what arrives, and remembers all of it.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;

use super::{Failure, WAIT_MAX};
use crate::base::{ChannelId, DeviceId, Level, MessageId, Payload};
use crate::device::{Connection, Server, clock};
use crate::protocol::wire0::Connect;
use crate::session::device::{Event, Message, Options};
use crate::tls::{ClientConfig, DeviceOptions, ServerName, Trust, device_config};

/// What the phones are, and so which system broadcasts are for them: `CHANNEL/MODEL`.
pub const IMAGE: &str = "stable/pinephone";

/// A friend's phone.
pub struct Phone {
    name: &'static str,
    tls: Arc<ClientConfig>,
    connection: Option<Connection>,
    /// The last system broadcast it has had.
    level: Level,
    seen: HashSet<MessageId>,
    got: Vec<Value>,
}

impl Phone {
    /// A phone that is off, and believes a server with the certificate `ca_pem`.
    pub fn new(name: &'static str, ca_pem: &[u8]) -> Result<Phone, Failure> {
        let tls = device_config(&Trust::CaPem(ca_pem.to_vec()), DeviceOptions::default())
            .map_err(|error| Failure::Run(format!("the server's certificate: {error}")))?;
        Ok(Phone { name, tls, connection: None, level: Level(0), seen: HashSet::new(), got: Vec::new() })
    }

    /// Connects; returns when the server has let it in.
    pub fn connect(&mut self, addr: std::net::SocketAddr) -> Result<(), Failure> {
        let name = ServerName::try_from("localhost").expect("a name");
        let server = Server { addr: addr.to_string(), name, tls: self.tls.clone() };
        let connection = Connection::open(&server, self.options())
            .map_err(|error| Failure::Run(format!("{}'s phone cannot connect: {error}", self.name)))?;
        self.connection = Some(connection);
        match self.next("to be let in")? {
            Event::Connected { .. } => Ok(()),
            event => Err(self.surprise("to be let in", &event)),
        }
    }

    fn options(&self) -> Options {
        let (image_channel, model) = IMAGE.split_once('/').expect("a channel and a model");
        let connect = Connect {
            client_ver: env!("CARGO_PKG_VERSION").into(),
            model: model.into(),
            image_channel: image_channel.into(),
            levels: [(ChannelId::SYSTEM, self.level)].into(),
            ..Connect::new(self.id())
        };
        Options::new(connect.into())
    }

    /// Its id.
    pub fn id(&self) -> DeviceId {
        format!("{}s-phone", self.name.to_lowercase()).parse().expect("short ASCII")
    }

    /// Goes offline, in order.
    pub fn disconnect(&mut self) {
        self.connection.take().into_iter().for_each(Connection::close);
    }

    /// Waits until `count` payloads have come in all; acks them.
    pub fn receive(&mut self, count: usize) -> Result<&[Value], Failure> {
        let before = self.got.len();
        while self.got.len() < before + count {
            let wish = "a message";
            match self.next(wish)? {
                Event::Message(message) => self.keep_new(&message),
                Event::Broadcast(news) => {
                    self.level = news.level;
                    self.keep(news.payloads.iter());
                }
                event => return Err(self.surprise(wish, &event)),
            }
        }
        Ok(&self.got[before..])
    }

    /// Waits until the server is gone.
    pub fn wait_for_end(&mut self) -> Result<(), Failure> {
        match self.next("the server to be gone")? {
            Event::Ended(_) => {
                self.connection = None;
                Ok(())
            }
            event => Err(self.surprise("the server to be gone", &event)),
        }
    }

    /// All that has ever arrived, in order.
    pub fn got(&self) -> &[Value] {
        &self.got
    }

    /// An ack that a crash swallowed brings its message again. Phones know it by its id.
    fn keep_new(&mut self, message: &Message) {
        let is_new = self.seen.insert(message.id);
        self.keep(is_new.then_some(&message.payload).into_iter());
    }

    fn keep<'a>(&mut self, payloads: impl Iterator<Item = &'a Payload>) {
        let json = |payload: &Payload| serde_json::from_slice(payload.as_bytes()).expect("a payload is JSON");
        self.got.extend(payloads.map(json));
        self.connection.iter_mut().for_each(Connection::ack);
    }

    fn next(&mut self, wish: &str) -> Result<Event, Failure> {
        let until = clock::now() + WAIT_MAX;
        let event = self.connection.as_mut().and_then(|connection| connection.next_event(Some(until)));
        event.ok_or_else(|| Failure::Run(format!("{}'s phone waited {WAIT_MAX:?} for {wish}", self.name)))
    }

    fn surprise(&self, wish: &str, event: &Event) -> Failure {
        Failure::Run(format!("{}'s phone waited for {wish}, and this came: {event:?}", self.name))
    }
}
