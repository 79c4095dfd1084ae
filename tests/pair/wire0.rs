//! Both sides of a wire 0 conversation in memory, on a clock that jumps from deadline to deadline.

use std::sync::Arc;
use std::time::Duration;

use lomiri_push::base::{AppId, ChannelId, Level, MessageId, Monotonic, Now, Payload, Seq, Wall};
use lomiri_push::protocol::broadcast::Missing;
use lomiri_push::protocol::wire0::{
    self, Connect, Notification, ServerMessage, encode_broadcast, encode_notifications,
};
use lomiri_push::protocol::wire1::Reason;
use lomiri_push::session::{EndReason, device, server};

const PING_INTERVAL: Duration = Duration::from_secs(10);
const SERVER_PATIENCE: Duration = Duration::from_secs(5);
const DEVICE_PATIENCE: Duration = Duration::from_secs(30);
const IMAGE: &str = "img1/m1";

/// A server's session and a device's, and the bytes between them.
struct Pair {
    now: Monotonic,
    server: server::Session,
    device: device::Session,
    /// How many bytes arrive at once.
    chunk_bytes: usize,
}

/// What the two owners were told, in the order of the telling.
#[derive(Default)]
struct Told {
    server: Vec<server::Event>,
    device: Vec<device::Event>,
}

impl Pair {
    fn new(chunk_bytes: usize) -> Pair {
        let now = Monotonic::default();
        let options = Arc::new(server::Options {
            ping_interval: PING_INTERVAL,
            exchange_timeout: SERVER_PATIENCE,
            keepalive_max: Duration::from_secs(7_200),
        });
        let device = device::Session::new(device_options(), now).expect("a short CONNECT");
        Pair { now, server: server::Session::new(now, &options), device, chunk_bytes }
    }

    /// A pair whose device has been let in.
    fn connected(chunk_bytes: usize) -> Pair {
        let mut pair = Pair::new(chunk_bytes);
        let told = pair.run();
        assert!(matches!(told.server[..], [server::Event::Connect(_)]));
        pair.server.accept(Now { monotonic: pair.now, wall: Wall(0) });
        let told = pair.run();
        assert_eq!(told.device, [device::Event::Connected { interval: PING_INTERVAL }]);
        pair
    }

    /// Carries bytes to and fro until both sides are silent. The device's owner acks at once.
    fn run(&mut self) -> Told {
        let mut told = Told::default();
        loop {
            let mut moved = false;
            while let Some(bytes) = self.device.poll_transmit(self.now) {
                moved = true;
                bytes.chunks(self.chunk_bytes).for_each(|chunk| self.server.handle_bytes(chunk, self.now));
            }
            while let Some(bytes) = self.server.poll_transmit() {
                moved = true;
                bytes.chunks(self.chunk_bytes).for_each(|chunk| self.device.handle_bytes(chunk, self.now));
            }
            told.server.extend(std::iter::from_fn(|| self.server.poll_event()));
            while let Some(event) = self.device.poll_event() {
                if matches!(event, device::Event::Message(_) | device::Event::Broadcast(_)) {
                    self.device.ack();
                }
                told.device.push(event);
            }
            if !moved {
                return told;
            }
        }
    }

    /// Lets time pass up to the next deadline of either side, and runs.
    fn jump(&mut self) -> Told {
        let deadlines = [self.server.next_deadline(), self.device.next_deadline()];
        let next = deadlines.into_iter().flatten().min().expect("someone waits for something");
        assert!(next > self.now, "whoever had a deadline has dealt with it");
        self.now = next;
        self.server.handle_timeout(self.now);
        self.device.handle_timeout(self.now);
        self.run()
    }

    fn deliver(&mut self, notification: &Notification) {
        let part =
            encode_notifications([(&notification.app, notification.id, &notification.payload)]).expect("one");
        self.server.deliver_broadcast(part.frame, self.now);
    }
}

fn connect() -> Connect {
    Connect {
        cookie: "cookie".into(),
        client_ver: "1".into(),
        model: "m1".into(),
        image_channel: "img1".into(),
        levels: [(ChannelId::SYSTEM, Level(2))].into(),
        ..Connect::new("carol".parse().expect("valid"))
    }
}

fn device_options() -> device::Options {
    device::Options { exchange_timeout: DEVICE_PATIENCE, ..device::Options::new(connect().into()) }
}

fn notification(seq: u64) -> Notification {
    Notification {
        app: "chatter".parse::<AppId>().expect("valid"),
        id: MessageId::new(Seq(seq), [7; 8]),
        payload: Payload::from_json(br#"{"from":"bob"}"#).expect("JSON"),
    }
}

fn tell(pair: &mut Pair, message: ServerMessage) -> Vec<device::Event> {
    pair.server.tell(message.encode().expect("short"));
    pair.run().device
}

#[test]
fn the_server_learns_what_the_device_says_of_itself() {
    let told = Pair::new(usize::MAX).run();
    let [server::Event::Connect(heard)] = &told.server[..] else { panic!("{:?}", told.server) };
    let said = connect();
    assert_eq!((&heard.device, &heard.levels), (&said.device_id, &said.levels));
    assert_eq!(heard.image, IMAGE);
}

#[test]
fn a_delivery_is_acked_once_however_the_bytes_arrive() {
    for chunk_bytes in [1, 2, 3, 7, usize::MAX] {
        let mut pair = Pair::connected(chunk_bytes);
        for seq in 1..4 {
            pair.deliver(&notification(seq));
            let told = pair.run();
            assert_eq!(told.device, [device::Event::Message(notification(seq).into())]);
            assert_eq!(told.server, [server::Event::Acked(1)]);
            assert!(pair.server.room() > 0);
        }
    }
}

#[test]
fn a_device_catches_up_over_several_broadcasts() {
    let json = format!(r#"{{"{IMAGE}":"{}"}}"#, "x".repeat(30 * 1024));
    let live = vec![Payload::from_json(json.as_bytes()).expect("JSON"); 5];
    let (mut level, top) = (Level(2), Level(7));
    let mut counts = Vec::new();
    let mut pair = Pair::connected(1000);
    while let Some(part) = encode_broadcast(Missing::of(level, top, live.len()), top, &live, IMAGE) {
        pair.server.deliver_broadcast(part.frame, pair.now);
        let told = pair.run();
        let [device::Event::Broadcast(news)] = &told.device[..] else { panic!("{:?}", told.device) };
        assert_eq!(told.server, [server::Event::Acked(1)]);
        assert_eq!(news.level, part.reached);
        counts.push(news.payloads.len());
        level = news.level;
    }
    assert_eq!((level, counts), (top, vec![2, 2, 1]));
}

#[test]
fn a_ping_is_due_an_interval_after_the_last_completed_exchange() {
    let mut pair = Pair::connected(usize::MAX);
    assert_eq!(pair.server.next_deadline(), Some(pair.now + PING_INTERVAL));

    pair.now = pair.now + Duration::from_secs(7);
    pair.deliver(&notification(1));
    pair.now = pair.now + Duration::from_secs(1);
    pair.run();
    assert_eq!(pair.server.next_deadline(), Some(Monotonic(Duration::from_secs(8)) + PING_INTERVAL));

    let early = pair.now + (PING_INTERVAL - Duration::from_nanos(1));
    pair.server.handle_timeout(early);
    assert_eq!(pair.server.poll_transmit(), None);

    pair.jump();
    assert_eq!(pair.now, Monotonic(Duration::from_secs(18)));
    assert!(pair.server.room() > 0);
    assert_eq!(pair.server.next_deadline(), Some(pair.now + PING_INTERVAL));
}

#[test]
fn pings_keep_a_silent_pair_together_for_weeks() {
    let mut pair = Pair::connected(usize::MAX);
    while pair.now.0 < Duration::from_secs(3 * 7 * 24 * 3600) {
        let told = pair.jump();
        assert!(told.server.is_empty() && told.device.is_empty());
    }
    assert!(pair.server.room() > 0);
}

#[test]
fn what_needs_no_answer_does_not_put_off_the_ping() {
    let mut pair = Pair::connected(usize::MAX);
    let ping_due = pair.server.next_deadline();
    pair.now = pair.now + Duration::from_secs(4);
    let warned = tell(&mut pair, ServerMessage::Connwarn { reason: wire0::UNAUTHORIZED.into() });
    assert_eq!(warned, [device::Event::Warned { reason: "unauthorized".into() }]);
    let kept = tell(&mut pair, ServerMessage::SetParams { cookie: "new".into() });
    assert_eq!(kept, [device::Event::Cookie("new".into())]);
    assert!(pair.server.room() > 0);
    assert_eq!(pair.server.next_deadline(), ping_due);
}

#[test]
fn a_device_that_is_turned_away_learns_why() {
    let broken = device::Event::Broken { reason: "host-mismatch".into() };
    let ended = device::Event::Ended(EndReason::BrokenOff);

    let mut pair = Pair::new(usize::MAX);
    pair.run();
    pair.server.refuse(Reason::HostMismatch);
    let told = pair.run();
    assert_eq!(told.server, [server::Event::Ended(EndReason::Refused(Reason::HostMismatch))]);
    let connected = device::Event::Connected { interval: PING_INTERVAL };
    assert_eq!(told.device, [connected, broken.clone(), ended.clone()]);

    let mut pair = Pair::connected(usize::MAX);
    pair.server.refuse(Reason::HostMismatch);
    assert_eq!(pair.run().device, [broken, ended]);
}

#[test]
fn a_device_that_is_not_known_is_warned_in_place_of_a_connack() {
    let warned = device::Event::Warned { reason: "unauthorized".into() };
    let mut pair = Pair::new(usize::MAX);
    pair.run();
    pair.server.refuse(Reason::Unauthorized);
    let told = pair.run();
    assert_eq!(told.server, [server::Event::Ended(EndReason::Refused(Reason::Unauthorized))]);
    assert_eq!(told.device, [warned]);
}

#[test]
fn a_device_that_is_not_let_in_in_time_is_not_kept_waiting() {
    let mut pair = Pair::new(usize::MAX);
    pair.run();
    assert_eq!(pair.server.next_deadline(), Some(pair.now + SERVER_PATIENCE));
    assert_eq!(pair.jump().server, [server::Event::Ended(EndReason::Timeout)]);
}

#[test]
fn a_device_that_does_not_ack_ends_by_timeout() {
    let mut pair = Pair::connected(usize::MAX);
    pair.deliver(&notification(1));
    assert!(pair.server.poll_transmit().is_some(), "written, and lost on the way");
    let deadline = pair.now + SERVER_PATIENCE;
    assert_eq!(pair.server.next_deadline(), Some(deadline));
    let told = pair.jump();
    assert_eq!(pair.now, deadline);
    assert_eq!(told.server, [server::Event::Ended(EndReason::Timeout)]);
    assert_eq!(pair.server.next_deadline(), None);
}

#[test]
fn a_server_that_falls_silent_is_dead_after_a_ping_interval_and_the_devices_patience() {
    let mut pair = Pair::connected(usize::MAX);
    let deadline = pair.now + PING_INTERVAL + DEVICE_PATIENCE;
    assert_eq!(pair.device.next_deadline(), Some(deadline));
    pair.device.handle_timeout(deadline);
    assert_eq!(pair.device.poll_event(), Some(device::Event::Ended(EndReason::Timeout)));

    let mut pair = Pair::connected(usize::MAX);
    pair.jump();
    assert_eq!(pair.device.next_deadline(), Some(pair.now + PING_INTERVAL + DEVICE_PATIENCE));
}

#[test]
fn a_server_that_never_accepts_is_dead_after_the_devices_patience() {
    let mut pair = Pair::new(usize::MAX);
    pair.run();
    let deadline = pair.now + DEVICE_PATIENCE;
    assert_eq!(pair.device.next_deadline(), Some(deadline));
    pair.device.handle_timeout(deadline);
    assert_eq!(pair.device.poll_event(), Some(device::Event::Ended(EndReason::Timeout)));
}
