//! Random bytes, and random damage to real conversations: no peer makes either side panic, and
//! whoever has ended stays silent. Seeded, so that a failure replays.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lomiri_push::base::{ChannelId, MessageId, Monotonic, Now, Payload, Urgency, Wall};
use lomiri_push::protocol::wire0::{Broadcast, Connect, DeviceMessage, ServerMessage};
use lomiri_push::protocol::wire1;
use lomiri_push::session::{device, server};

const ROUNDS: u64 = 3_000;

/// Xorshift: repeatable, and good enough to hit odd places.
struct Noise(u64);

impl Noise {
    fn new(seed: u64) -> Noise {
        Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % bound
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }

    /// Changes, drops or doubles some bytes, mostly few.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..self.below(4) {
            let at = self.below(bytes.len());
            match self.below(3) {
                0 => bytes[at] = self.below(256) as u8,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, bytes[at]),
            }
        }
    }

    /// Cuts `bytes` into pieces as they might arrive.
    fn pieces(&mut self, mut bytes: Vec<u8>) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            let rest = bytes.split_off(1 + self.below(bytes.len()));
            pieces.push(std::mem::replace(&mut bytes, rest));
        }
        pieces
    }
}

fn connect() -> Bytes {
    let connect = Connect {
        device_id: "carol".parse().expect("valid"),
        authorization: "secret".into(),
        cookie: String::new(),
        client_ver: "1".into(),
        model: "m1".into(),
        image_channel: "img1".into(),
        levels: [(ChannelId::SYSTEM, Default::default())].into(),
    };
    DeviceMessage::Connect(connect).encode().expect("short")
}

fn ping() -> Bytes {
    ServerMessage::Ping.encode().expect("short")
}

fn broadcast() -> Bytes {
    let payloads = vec![Payload::from_json(br#"{"img1/m1":[1,"x"]}"#).expect("JSON")];
    let broadcast = Broadcast {
        app_id: String::new(),
        channel: ChannelId::SYSTEM,
        top_level: Default::default(),
        payloads: Some(payloads),
    };
    ServerMessage::Broadcast(broadcast).encode().expect("short")
}

/// Feeds a server's session, which delivers whenever it may.
fn feed_server(pieces: Vec<Vec<u8>>) -> bool {
    let options = Arc::new(server::Options {
        ping_interval: Duration::from_secs(10),
        exchange_timeout: Duration::from_secs(5),
        keepalive_max: Duration::from_secs(7_200),
    });
    let now = Monotonic::default();
    let mut session = server::Session::new(now, &options);
    let mut ended = false;
    for piece in pieces {
        session.handle_bytes(&piece, now);
        while let Some(event) = session.poll_event() {
            assert!(!ended, "nothing comes after the end");
            match event {
                server::Event::Connect(_) => session.accept(Now { monotonic: now, wall: Wall(0) }),
                server::Event::Ended(_) => ended = true,
                _ => {}
            }
        }
        while session.poll_transmit().is_some() {}
        if session.room() > 0 {
            session.deliver_broadcast(broadcast(), now);
            while session.poll_transmit().is_some() {}
        }
    }
    ended
}

fn on_wire0() -> device::Options {
    device::Options::new(Connect::new("carol".parse().expect("valid")).into())
}

/// Feeds a device's session, whose owner acks at once.
fn feed_device(options: device::Options, pieces: Vec<Vec<u8>>) -> bool {
    let now = Monotonic::default();
    let mut session = device::Session::new(options, now).expect("short");
    let mut ended = false;
    for piece in pieces {
        session.handle_bytes(&piece, now);
        while let Some(event) = session.poll_event() {
            assert!(!ended, "nothing comes after the end");
            match event {
                device::Event::Message(_) | device::Event::Broadcast(_) => session.ack(),
                device::Event::Ended(_) => ended = true,
                _ => {}
            }
        }
        while session.poll_transmit(now).is_some() {}
    }
    ended
}

/// Random bytes behind a good start, of which nothing needs to be good.
fn noise(noise: &mut Noise, start: &[u8]) -> Vec<u8> {
    let mut bytes = start[..noise.below(start.len() + 1)].to_vec();
    let len = noise.below(300);
    bytes.extend(noise.bytes(len));
    bytes
}

#[test]
fn random_bytes_never_make_a_server_session_panic() {
    let start = [&[0][..], &connect()].concat();
    for seed in 0..ROUNDS {
        let mut random = Noise::new(seed);
        let bytes = noise(&mut random, &start);
        feed_server(random.pieces(bytes));
    }
}

#[test]
fn damaged_conversations_never_make_a_server_session_panic() {
    let ack = DeviceMessage::Ack.encode().expect("short");
    let mut survived = 0;
    for seed in 0..ROUNDS {
        let mut random = Noise::new(seed);
        let mut pieces = vec![[&[0][..], &connect()].concat(), ack.to_vec(), ack.to_vec(), ack.to_vec()];
        let damaged = random.below(pieces.len());
        random.damage(&mut pieces[damaged]);
        survived += u64::from(!feed_server(pieces));
    }
    assert!((1..ROUNDS).contains(&survived), "{survived}: the damage must sometimes matter");
}

#[test]
fn random_bytes_never_make_a_device_session_panic() {
    let connack = ServerMessage::Connack { ping_interval: Duration::from_secs(1) }.encode().expect("short");
    for seed in 0..ROUNDS {
        let mut random = Noise::new(seed);
        let bytes = noise(&mut random, &connack);
        feed_device(on_wire0(), random.pieces(bytes));
    }
}

#[test]
fn damaged_conversations_never_make_a_device_session_panic() {
    let connack = ServerMessage::Connack { ping_interval: Duration::from_secs(1) }.encode().expect("short");
    let mut survived = 0;
    for seed in 0..ROUNDS {
        let mut random = Noise::new(seed);
        let mut pieces = vec![connack.to_vec(), broadcast().to_vec(), ping().to_vec(), broadcast().to_vec()];
        let damaged = random.below(pieces.len());
        random.damage(&mut pieces[damaged]);
        survived += u64::from(!feed_device(on_wire0(), pieces));
    }
    assert!((1..ROUNDS).contains(&survived), "{survived}: the damage must sometimes matter");
}

fn wire1_connect() -> Vec<u8> {
    let connect = wire1::Connect::new("carol".parse().expect("valid"), Duration::from_secs(60));
    let mut bytes = vec![wire1::VERSION];
    wire1::DeviceFrame::Connect(Box::new(connect)).encode(&mut bytes).expect("short");
    bytes
}

fn wire1_server_frames() -> Vec<Vec<u8>> {
    let id = wire1::AppNumber::new(0).expect("the first");
    let message = wire1::Message {
        app: id,
        urgency: Urgency::Normal,
        expires: Duration::from_secs(60),
        id: MessageId([1; 16]),
        payload: Payload::from_json(b"{}").expect("JSON"),
    };
    let connack = wire1::Connack { time: Wall(1), keepalive_max: Duration::from_secs(60), window: 8 };
    let frames = [
        wire1::ServerFrame::Connack(connack),
        wire1::ServerFrame::App(id, "chatter".parse().expect("valid")),
        wire1::ServerFrame::Message(message.clone()),
        wire1::ServerFrame::Message(message),
    ];
    let encode = |frame: &wire1::ServerFrame| {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        bytes
    };
    frames.iter().map(encode).collect()
}

fn on_wire1() -> device::Options {
    let connect = wire1::Connect::new("carol".parse().expect("valid"), Duration::from_secs(60));
    device::Options::new(connect.into())
}

#[test]
fn neither_side_of_wire_1_panics_at_random_bytes() {
    for seed in 0..ROUNDS {
        let mut random = Noise::new(seed);
        let bytes = noise(&mut random, &wire1_connect());
        feed_server(random.pieces(bytes));
        let bytes = noise(&mut random, &wire1_server_frames().concat());
        feed_device(on_wire1(), random.pieces(bytes));
    }
}

#[test]
fn neither_side_of_wire_1_panics_at_damaged_conversations() {
    let (mut server_survived, mut device_survived) = (0, 0);
    for seed in 0..ROUNDS {
        let mut random = Noise::new(seed);
        let ack_and_ping = vec![0x40, 1, 0x02];
        let mut pieces = vec![wire1_connect(), ack_and_ping.clone(), ack_and_ping];
        let damaged = random.below(pieces.len());
        random.damage(&mut pieces[damaged]);
        server_survived += u64::from(!feed_server(pieces));
        let mut pieces = wire1_server_frames();
        let damaged = random.below(pieces.len());
        random.damage(&mut pieces[damaged]);
        device_survived += u64::from(!feed_device(on_wire1(), pieces));
    }
    for survived in [server_survived, device_survived] {
        assert!((1..ROUNDS).contains(&survived), "{survived}: the damage must sometimes matter");
    }
}
