//! What one shard costs without sockets, TLS and disk: CPU for each connect, message, keepalive and
//! broadcast. Times are of one thread that does nothing else.

use std::sync::Arc;
use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;
use lomiri_push::base::{Level, MessageId, Now, Payload, Seq, SessionId, ShardId, Wall};
use lomiri_push::broker::{Action, Broker, Options, SessionKey};
use lomiri_push::protocol::wire0::{self, Connect, DeviceMessage};
use lomiri_push::queue::{Broadcast, Channel, Command, Event, Page, PendingMessage};
use lomiri_push::session::server;

const DEVICES: u32 = 10_000;

fn main() {
    divan::main();
}

/// A shard and devices that answer whatever they are sent.
struct Shard {
    broker: Broker,
    now: Now,
    ack: Vec<u8>,
    pong: Vec<u8>,
}

impl Shard {
    fn empty() -> Shard {
        let session = server::Options {
            ping_interval: Duration::from_secs(300),
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
        let bytes = |message: DeviceMessage| message.encode().expect("short").to_vec();
        Shard {
            broker: Broker::new(options, Arc::new(Channel::default())),
            now: Now::default(),
            ack: bytes(DeviceMessage::Ack),
            pong: bytes(DeviceMessage::Pong),
        }
    }

    fn with_devices(count: u32) -> Shard {
        let mut shard = Shard::empty();
        (0..count).for_each(|number| shard.connect(number));
        shard
    }

    fn connect(&mut self, number: u32) {
        let key = SessionKey(number);
        self.broker.handle_accepted(key, SessionId(number.into()), self.now);
        self.broker.handle_bytes(key, &hello(number), self.now);
        while let Some(action) = self.broker.poll_action() {
            if let Action::Command(Command::Fetch { device, session, after, .. }) = action {
                let page = Page { device, session, messages: Vec::new(), more: false, newest: after };
                self.broker.handle_page(&page, self.now);
            }
        }
    }

    /// Does what is to be done until the shard waits again; devices answer with `answer`.
    fn settle(&mut self, answer: impl Fn(&Shard) -> Vec<u8>) -> u32 {
        let answer = answer(self);
        let mut sent = 0;
        loop {
            while let Some(action) = self.broker.poll_action() {
                if let Action::Send(key, _) = action {
                    sent += 1;
                    self.broker.handle_bytes(key, &answer, self.now);
                }
            }
            if !self.broker.has_work() {
                return sent;
            }
            self.broker.work(self.now);
        }
    }
}

fn hello(number: u32) -> Vec<u8> {
    let connect = Connect::new(format!("device-{number}").parse().expect("a device id"));
    let frame = DeviceMessage::Connect(connect).encode().expect("short");
    [&[wire0::VERSION], &frame[..]].concat()
}

fn payload(bytes: usize) -> Payload {
    Payload::from_json(format!("\"{}\"", "x".repeat(bytes - 2)).as_bytes()).expect("JSON")
}

/// Version byte and CONNECT to CONNACK and the first question to the queue.
#[divan::bench]
fn connect(bencher: Bencher) {
    bencher.counter(ItemsCount::new(1_000_u32)).with_inputs(Shard::empty).bench_local_values(|mut shard| {
        (0..1_000).for_each(|number| shard.connect(number));
        shard
    });
}

/// A message of 100 bytes, from the queue's event to the device's ack, among 10,000 devices.
#[divan::bench]
fn unicast(bencher: Bencher) {
    let mut shard = Shard::with_devices(DEVICES);
    let payload = payload(100);
    let mut seq = 0;
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        seq += 1;
        let device = format!("device-{}", seq % u64::from(DEVICES)).parse().expect("a device id");
        let message = Arc::new(PendingMessage {
            id: MessageId::new(Seq(seq), [0; 8]),
            app: "com.example.chatter_chatter".parse().expect("an app id"),
            expires: Wall(u64::MAX),
            urgency: Default::default(),
            payload: payload.clone(),
        });
        shard.broker.handle_event(Event::Queued { device, message }, shard.now);
        assert_eq!(shard.settle(|shard| shard.ack.clone()), 1);
    });
}

/// One ping and its pong, for each of 10,000 devices at once.
#[divan::bench]
fn keepalive(bencher: Bencher) {
    let mut shard = Shard::with_devices(DEVICES);
    bencher.counter(ItemsCount::new(DEVICES)).bench_local(|| {
        shard.now = shard.now + Duration::from_secs(301);
        while shard.broker.next_deadline().is_some_and(|due| due <= shard.now.monotonic) {
            shard.broker.handle_timeout(shard.now);
            shard.settle(|shard| shard.pong.clone());
        }
    });
}

/// One broadcast to each of 10,000 devices, to the last ack.
#[divan::bench]
fn broadcast(bencher: Bencher) {
    let mut shard = Shard::with_devices(DEVICES);
    let mut top = 0;
    let payload = Payload::from_json(br#"{"?/?":[7,""]}"#).expect("JSON");
    bencher.counter(ItemsCount::new(DEVICES)).bench_local(|| {
        top += 1;
        let broadcast = Broadcast { level: Level(top), expires: Wall(u64::MAX), payload: payload.clone() };
        let channel = Channel { top: Level(top), live: vec![Arc::new(broadcast)] };
        shard.broker.handle_event(Event::Channel(Arc::new(channel)), shard.now);
        assert_eq!(shard.settle(|shard| shard.ack.clone()), DEVICES);
    });
}
