//! A device as the server sees it: an id, a mailbox that survives its sessions, and at most one
//! connection. It acks what it has stored, unless it is told to be silent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lomiri_push::base::{ChannelId, Level, Monotonic, Now, Payload, Wall};
use lomiri_push::broker::SessionKey;
use lomiri_push::protocol::wire0::Connect;
use lomiri_push::session::EndReason;
use lomiri_push::session::device::{Event, Message, Options, Session};

pub struct Device {
    pub name: String,
    pub connection: Option<Connection>,
    /// Payloads of the messages that it stored, each once.
    pub mailbox: Vec<String>,
    /// Payloads of all that came, doubles included, in order.
    pub received: Vec<String>,
    /// When each of them came.
    pub received_at: Vec<Wall>,
    /// Payloads of the broadcasts that it stored.
    pub broadcasts: Vec<String>,
    pub level: Level,
    /// Whether it leaves what comes without an ack.
    pub is_silent: bool,
    /// How its sessions ended.
    pub ends: Vec<EndReason>,
    seen: BTreeSet<String>,
}

pub struct Connection {
    pub shard: usize,
    pub key: SessionKey,
    session: Session,
}

impl Device {
    pub fn new(name: &str) -> Device {
        Device {
            name: name.into(),
            connection: None,
            mailbox: Vec::new(),
            received: Vec::new(),
            received_at: Vec::new(),
            broadcasts: Vec::new(),
            level: Level(0),
            is_silent: false,
            ends: Vec::new(),
            seen: BTreeSet::new(),
        }
    }

    pub fn connect(&mut self, shard: usize, key: SessionKey, now: Monotonic) {
        let connect = Connect {
            model: "m".into(),
            image_channel: "i".into(),
            levels: BTreeMap::from([(ChannelId::SYSTEM, self.level)]),
            ..Connect::new(self.name.parse().expect("a device id"))
        };
        let options = Options::new(connect.into());
        let session = Session::new(options, now).expect("a short CONNECT");
        self.connection = Some(Connection { shard, key, session });
    }

    /// What it sends now.
    pub fn outgoing(&mut self) -> VecDeque<u8> {
        let mut bytes = VecDeque::new();
        if let Some(Connection { session, .. }) = &mut self.connection {
            while let Some(part) = session.poll_transmit() {
                bytes.extend(part);
            }
        }
        bytes
    }

    pub fn handle_bytes(&mut self, bytes: &[u8], now: Now) {
        let had = self.received.len();
        self.session(|session| session.handle_bytes(bytes, now.monotonic));
        self.received_at.extend((had..self.received.len()).map(|_| now.wall));
    }

    pub fn handle_timeout(&mut self, now: Monotonic) {
        self.session(|session| session.handle_timeout(now));
    }

    /// The server has closed the connection.
    pub fn handle_close(&mut self) {
        self.session(|session| session.end(EndReason::Eof));
    }

    pub fn next_deadline(&self) -> Option<Monotonic> {
        self.connection.as_ref()?.session.next_deadline()
    }

    fn session(&mut self, input: impl FnOnce(&mut Session)) {
        if let Some(connection) = &mut self.connection {
            input(&mut connection.session);
        }
        while let Some(event) = self.connection.as_mut().and_then(|c| c.session.poll_event()) {
            self.handle_event(event);
        }
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Broadcast(broadcast) => {
                let text = |payload: &Payload| text(payload.as_bytes());
                self.broadcasts.extend(broadcast.payloads.iter().map(text));
                self.level = broadcast.level;
                self.ack();
            }
            Event::Message(message) => self.take(&message),
            Event::Ended(reason) => {
                self.ends.push(reason);
                self.connection = None;
            }
            _ => {}
        }
    }

    fn take(&mut self, message: &Message) {
        let payload = text(message.payload.as_bytes());
        self.received.push(payload.clone());
        if !self.is_silent && self.seen.insert(message.id.to_string()) {
            self.mailbox.push(payload);
        }
        self.ack();
    }

    fn ack(&mut self) {
        if let (false, Some(connection)) = (self.is_silent, &mut self.connection) {
            connection.session.ack();
        }
    }
}

fn text(json: &[u8]) -> String {
    String::from_utf8(json.to_vec()).expect("payloads are UTF-8")
}
