//! A phone in the demo: it connects over real TLS, acks what arrives, and remembers all of it.

use std::collections::HashSet;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::http::Http;
use super::{Failure, WAIT_MAX};
use crate::base::{ChannelId, Credential, DeviceId, Level, MessageId, Payload};
use crate::cli::device::enrol::trade;
use crate::device::{Connection, Server, clock};
use crate::protocol::enrolment_code::EnrolmentCode;
use crate::protocol::wire1::Connect;
use crate::session::device::{Event, Message, Options};
use crate::tls::{ClientConfig, DeviceOptions, ServerName, Trust, device_config};

/// What the phones are, and so which system broadcasts are for them: `CHANNEL/MODEL`.
pub const IMAGE: &str = "stable/pinephone";

/// How long a phone stays silent: longer than the demo.
const KEEPALIVE: Duration = Duration::from_secs(240);

/// A friend's phone.
pub struct Phone {
    name: &'static str,
    id: DeviceId,
    credential: Credential,
    tls: Arc<ClientConfig>,
    connection: Option<Connection>,
    /// The last system broadcast it has had.
    level: Level,
    seen: HashSet<MessageId>,
    got: Vec<Value>,
}

impl Phone {
    /// A phone that becomes its owner's by a one-time code, and is off then. From the code it knows the server.
    pub fn enrol(name: &'static str, code: &str) -> Result<Phone, Failure> {
        let code: EnrolmentCode =
            code.parse().map_err(|error| Failure::Run(format!("{name}'s code: {error}")))?;
        let (enrolled, connection) = trade(&code, &code.server, code.server.host())?;
        connection.close();
        let options = DeviceOptions { tls13_only: true, post_quantum: false };
        Ok(Phone {
            name,
            id: enrolled.device,
            credential: enrolled.credential,
            tls: device_config(&Trust::Pin(code.pin), options).expect("a pin cannot be wrong"),
            connection: None,
            level: Level(0),
            seen: HashSet::new(),
            got: Vec::new(),
        })
    }

    /// Asks the push server for a token for an app on this phone.
    pub fn register(&self, http: &Http, app: &str) -> Result<String, Failure> {
        let body = json!({ "deviceid": self.id.as_str(), "appid": app });
        let answer = http.post("/register", Some(&self.credential.reveal()), &body)?;
        match answer["token"].as_str() {
            Some(token) => Ok(token.to_owned()),
            None => Err(Failure::Run("/register gave no token".into())),
        }
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
        let connect = Connect {
            credential: self.credential.as_bytes().to_vec(),
            image: IMAGE.into(),
            levels: [(ChannelId::SYSTEM, self.level)].into(),
            ..Connect::new(self.id.clone(), KEEPALIVE)
        };
        Options::new(connect.into())
    }

    /// Its id.
    pub fn id(&self) -> &DeviceId {
        &self.id
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

    /// What comes next. That a server which stops says when to come back is no news here.
    fn next(&mut self, wish: &str) -> Result<Event, Failure> {
        let until = clock::now() + WAIT_MAX;
        let mut events =
            iter::from_fn(|| self.connection.as_mut().and_then(|open| open.next_event(Some(until))));
        let event = events.find(|event| !matches!(event, Event::Goaway(_)));
        event.ok_or_else(|| Failure::Run(format!("{}'s phone waited {WAIT_MAX:?} for {wish}", self.name)))
    }

    fn surprise(&self, wish: &str, event: &Event) -> Failure {
        Failure::Run(format!("{}'s phone waited for {wish}, and this came: {event:?}", self.name))
    }
}
