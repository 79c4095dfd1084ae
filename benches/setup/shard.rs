//! One shard, and devices that answer whatever they are sent. What is measured is not known here.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lomiri_push::base::{DeviceId, Level, MessageId, Now, Payload, Seq, SessionId, ShardId, Wall};
use lomiri_push::broker::{Action, Broker, Options, SessionKey};
use lomiri_push::protocol::Wire;
use lomiri_push::protocol::wire0::{self, DeviceMessage};
use lomiri_push::protocol::wire1::{self, DeviceFrame};
use lomiri_push::queue::{Broadcast, Channel, Command, Event, Page, PendingMessage};
use lomiri_push::session::server;

/// So long a device may be silent.
pub const SILENCE: Duration = Duration::from_secs(300);

/// A shard whose devices all speak one wire.
pub struct Shard {
    pub broker: Broker,
    pub now: Now,
    wire: Wire,
    ack: Bytes,
}

impl Shard {
    pub fn empty(wire: Wire) -> Shard {
        let session = server::Options {
            ping_interval: SILENCE,
            exchange_timeout: Duration::from_secs(30),
            keepalive_max: Duration::from_secs(7_200),
        };
        let options = Options {
            shard: ShardId(0),
            shards: 1,
            is_auth_required: false,
            api_url: "".into(),
            session: Arc::new(session),
        };
        let broker = Broker::new(options, Arc::new(Channel::default()));
        Shard { broker, now: Now::default(), wire, ack: ack(wire) }
    }

    pub fn with_devices(wire: Wire, count: u32) -> Shard {
        let mut shard = Shard::empty(wire);
        (0..count).for_each(|number| shard.connect(number));
        shard
    }

    /// From the first byte of a device to where it waits.
    pub fn connect(&mut self, number: u32) {
        let key = SessionKey(number);
        self.broker.handle_accepted(key, SessionId(number.into()), self.now);
        self.broker.handle_bytes(key, &hello(self.wire, number), self.now);
        while let Some(action) = self.broker.poll_action() {
            if let Action::Command(Command::Fetch { device, session, after, .. }) = action {
                let page = Page { device, session, messages: Vec::new(), more: false, newest: after };
                self.broker.handle_page(&page, self.now);
            }
        }
    }

    /// Takes an event of the queue's to the last ack of it, and says how many devices it went to.
    pub fn deliver(&mut self, event: Event) -> u32 {
        self.broker.handle_event(event, self.now);
        self.settle(&self.ack.clone())
    }

    /// Does what is to be done until the shard waits again; devices answer with `answer`.
    pub fn settle(&mut self, answer: &[u8]) -> u32 {
        let mut sent = 0;
        loop {
            while let Some(action) = self.broker.poll_action() {
                if let Action::Send(key, _) = action {
                    sent += 1;
                    self.broker.handle_bytes(key, answer, self.now);
                }
            }
            if !self.broker.has_work() {
                return sent;
            }
            self.broker.work(self.now);
        }
    }
}

/// What a device says first.
fn hello(wire: Wire, number: u32) -> Vec<u8> {
    match wire {
        Wire::Zero => {
            let connect = DeviceMessage::Connect(wire0::Connect::new(device(number)));
            [&[wire0::VERSION], &connect.encode().expect("short")[..]].concat()
        }
        Wire::One => {
            let connect = DeviceFrame::Connect(Box::new(wire1::Connect::new(device(number), SILENCE)));
            let mut bytes = vec![wire1::VERSION];
            connect.encode(&mut bytes).expect("within the limits");
            bytes
        }
    }
}

/// What a device says that has stored one delivery.
fn ack(wire: Wire) -> Bytes {
    match wire {
        Wire::Zero => DeviceMessage::Ack.encode().expect("short"),
        Wire::One => Bytes::from_static(&[wire1::kinds::ACK, 1]),
    }
}

fn device(number: u32) -> DeviceId {
    format!("device-{number}").parse().expect("a device id")
}

/// The queue has a message of 100 bytes for this device.
pub fn queued(number: u32, seq: u64) -> Event {
    let payload = format!("\"{}\"", "x".repeat(98));
    let message = PendingMessage {
        id: MessageId::new(Seq(seq), [0; 8]),
        app: "com.example.chatter_chatter".parse().expect("an app id"),
        expires: Wall(u64::MAX),
        urgency: Default::default(),
        payload: Payload::from_json(payload.as_bytes()).expect("JSON"),
    };
    Event::Queued { device: device(number), message: Arc::new(message) }
}

/// The queue has a broadcast for all who stand below this level.
pub fn broadcast(level: i64) -> Event {
    let payload = Payload::from_json(br#"{"?/?":[7,""]}"#).expect("JSON");
    let broadcast = Broadcast { level: Level(level), expires: Wall(u64::MAX), payload };
    Event::Channel(Arc::new(Channel { top: Level(level), live: vec![Arc::new(broadcast)] }))
}
