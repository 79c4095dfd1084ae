//! Both sides of a wire 1 conversation in memory, on a clock that jumps from deadline to deadline.

use std::sync::Arc;
use std::time::Duration;

use lomiri_push::base::{AppId, ChannelId, Level, MessageId, Monotonic, Now, Payload, Seq, Urgency, Wall};
use lomiri_push::protocol::wire1::{
    APPS_MAX, Broadcast, Connect, DeviceFrame, Outcome, ProtocolError, Reason, Receipt, ServerFrame,
    WINDOW_BYTES_MAX, WINDOW_MAX,
};
use lomiri_push::session::{EndReason, device, server};

const KEEPALIVE: Duration = Duration::from_secs(1_700);
const KEEPALIVE_MAX: Duration = Duration::from_secs(7_200);
const SERVER_PATIENCE: Duration = Duration::from_secs(5);
const DEVICE_PATIENCE: Duration = Duration::from_secs(30);

pub struct Pair {
    pub now: Now,
    pub server: server::Session,
    pub device: device::Session,
    /// How many bytes arrive at once.
    chunk_bytes: usize,
    /// Whether the device's owner acks what it is told.
    acks: bool,
    /// What the server's session sent, in bytes, and in how many pieces.
    sent: Vec<usize>,
    /// What the device's session sent.
    said: Vec<Vec<u8>>,
}

#[derive(Default, Debug)]
pub struct Told {
    pub server: Vec<server::Event>,
    pub device: Vec<device::Event>,
}

/// What a device is told when it has been silent for so long, and the server is there.
fn confirmed_after(silence: Duration) -> [device::Event; 2] {
    [device::Event::Pinged { silence }, device::Event::Confirmed]
}

fn connect() -> Connect {
    Connect {
        image: "img1/m1".into(),
        levels: [(ChannelId::SYSTEM, Level(2))].into(),
        credential: vec![7; 32],
        ..Connect::new("carol".parse().expect("valid"), KEEPALIVE)
    }
}

impl Pair {
    pub fn new(connect: impl Into<device::Connect>, receipts: Vec<Receipt>, chunk_bytes: usize) -> Pair {
        let now = Now { monotonic: Monotonic::default(), wall: Wall(1_800_000_000_000) };
        let options = Arc::new(server::Options {
            ping_interval: Duration::from_secs(10),
            exchange_timeout: SERVER_PATIENCE,
            keepalive_max: KEEPALIVE_MAX,
        });
        let device = device::Options {
            exchange_timeout: DEVICE_PATIENCE,
            receipts,
            ..device::Options::new(connect.into())
        };
        Pair {
            now,
            server: server::Session::new(now.monotonic, &options),
            device: device::Session::new(device, now.monotonic).expect("within the limits"),
            chunk_bytes,
            acks: true,
            sent: Vec::new(),
            said: Vec::new(),
        }
    }

    /// A pair whose device has been let in.
    fn connected(chunk_bytes: usize) -> Pair {
        Pair::connected_as(connect(), Vec::new(), chunk_bytes)
    }

    fn connected_as(connect: Connect, receipts: Vec<Receipt>, chunk_bytes: usize) -> Pair {
        let mut pair = Pair::new(connect, receipts, chunk_bytes);
        let told = pair.run();
        assert!(matches!(told.server[..], [server::Event::Connect(_)]), "{told:?}");
        pair.server.accept(pair.now);
        let told = pair.run();
        assert!(matches!(told.device[..], [device::Event::Connected { .. }]), "{told:?}");
        pair
    }

    /// Carries bytes to and fro until both sides are silent.
    pub fn run(&mut self) -> Told {
        let mut told = Told::default();
        let now = self.now.monotonic;
        loop {
            let mut moved = false;
            while let Some(bytes) = self.device.poll_transmit(now) {
                moved = true;
                bytes.chunks(self.chunk_bytes).for_each(|chunk| self.server.handle_bytes(chunk, now));
                self.said.push(bytes.to_vec());
            }
            while let Some(bytes) = self.server.poll_transmit() {
                moved = true;
                bytes.chunks(self.chunk_bytes).for_each(|chunk| self.device.handle_bytes(chunk, now));
                self.sent.push(bytes.len());
            }
            told.server.extend(std::iter::from_fn(|| self.server.poll_event()));
            told.device.extend(std::iter::from_fn(|| self.device.poll_event()));
            if self.acks {
                self.device.ack();
            }
            if !moved {
                return told;
            }
        }
    }

    fn pass(&mut self, time: Duration) -> Told {
        self.now = self.now + time;
        self.server.handle_timeout(self.now.monotonic);
        self.device.handle_timeout(self.now.monotonic);
        self.run()
    }

    /// Lets time pass up to the next deadline of either side, and runs.
    pub fn jump(&mut self) -> Told {
        let deadlines = [self.server.next_deadline(), self.device.next_deadline()];
        let next = deadlines.into_iter().flatten().min().expect("someone waits for something");
        let time = next.since(self.now.monotonic);
        assert!(!time.is_zero(), "whoever had a deadline has dealt with it");
        self.pass(time)
    }

    fn deliver(&mut self, messages: &[Posted]) -> usize {
        self.server.deliver(messages.iter().map(Posted::message), self.now)
    }

    fn said_frame(&mut self, frame: &DeviceFrame) -> Told {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes).expect("within the limits");
        self.server.handle_bytes(&bytes, self.now.monotonic);
        self.run()
    }
}

struct Posted {
    id: MessageId,
    app: AppId,
    expires: Wall,
    payload: Payload,
}

impl Posted {
    fn new(seq: u64, app: &str, expires: Wall, payload_bytes: usize) -> Posted {
        let json = format!("\"{}\"", "x".repeat(payload_bytes - 2));
        let payload = Payload::from_json(json.as_bytes()).expect("JSON");
        Posted { id: MessageId::new(Seq(seq), [7; 8]), app: app.parse().expect("valid"), expires, payload }
    }

    fn message(&self) -> server::Message<'_> {
        let Posted { id, app, expires, payload } = self;
        server::Message { id: *id, app, expires: *expires, urgency: Urgency::High, payload }
    }
}

fn posted(pair: &Pair, seqs: std::ops::Range<u64>) -> Vec<Posted> {
    let expires = pair.now.wall + Duration::from_secs(3_600);
    seqs.map(|seq| Posted::new(seq, "chatter", expires, 100)).collect()
}

fn ids(told: &Told) -> Vec<u64> {
    let id = |event: &device::Event| match event {
        device::Event::Message(message) => Some(message.id.seq().0),
        _ => None,
    };
    told.device.iter().filter_map(id).collect()
}

#[test]
fn the_server_learns_what_the_device_says_of_itself() {
    let stored = vec![MessageId([1; 16]), MessageId([2; 16])];
    let said = Connect { stored: stored.clone(), least: Urgency::High, ..connect() };
    let told = Pair::new(said, Vec::new(), 1).run();
    let [server::Event::Connect(heard)] = &told.server[..] else { panic!("{told:?}") };
    assert_eq!((heard.device.as_str(), &heard.image[..], heard.least), ("carol", "img1/m1", Urgency::High));
    assert_eq!((&heard.stored, &heard.credential), (&stored, &vec![7; 32]));
    assert_eq!(heard.levels, connect().levels);
}

#[test]
fn deliveries_go_without_waiting_and_are_acked_together_however_the_bytes_arrive() {
    for chunk_bytes in [1, 2, 3, 7, usize::MAX] {
        let mut pair = Pair::connected(chunk_bytes);
        let messages = posted(&pair, 1..11);
        assert_eq!(pair.deliver(&messages), 10);
        pair.said.clear();
        let told = pair.run();
        assert_eq!(ids(&told), (1..11).collect::<Vec<_>>(), "{chunk_bytes}");
        assert_eq!(told.server, [server::Event::Acked(10)]);
        assert_eq!(pair.said, [[0x40, 10]], "one ACK for all");
    }
}

#[test]
fn how_long_a_message_is_worth_showing_does_not_depend_on_a_clock_that_is_set_meanwhile() {
    let mut pair = Pair::connected(usize::MAX);
    let years = Duration::from_secs(50 * 365 * 86_400);
    for wall in [pair.now.wall + years, Wall(1_000)] {
        pair.now = Now { wall, monotonic: pair.now.monotonic + Duration::from_secs(10) };
        let hour = Duration::from_secs(3_600);
        pair.deliver(&[Posted::new(1, "chatter", pair.now.wall + hour, 2)]);
        let told = pair.run();
        let [device::Event::Message(message)] = &told.device[..] else { panic!("{told:?}") };
        assert_eq!(message.expires_in, Some(hour));
    }
}

#[test]
fn an_app_is_named_once_and_a_delivery_then_costs_eight_bytes_at_most() {
    let mut pair = Pair::connected(usize::MAX);
    for (seq, around) in [(1, 8 + 3 + "chatter".len()), (2, 8)] {
        pair.sent.clear();
        let messages = posted(&pair, seq..seq + 1);
        pair.deliver(&messages);
        pair.run();
        let [bytes] = pair.sent[..] else { panic!("{:?}", pair.sent) };
        assert!(bytes <= around + 16 + 100, "{seq}: {bytes}");
    }
}

#[test]
fn more_apps_than_the_table_holds_are_named_again() {
    let mut pair = Pair::connected(usize::MAX);
    let expires = pair.now.wall + Duration::from_secs(60);
    let app = |number: u64| format!("app{}", number % (APPS_MAX as u64 + 1));
    for round in 0..3 {
        let messages: Vec<Posted> =
            (round * 20..round * 20 + 20).map(|seq| Posted::new(seq, &app(seq), expires, 2)).collect();
        pair.deliver(&messages);
        let told = pair.run();
        let apps: Vec<&str> = told
            .device
            .iter()
            .filter_map(|event| match event {
                device::Event::Message(message) => Some(message.app.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(apps, messages.iter().map(|message| message.app.as_str()).collect::<Vec<_>>());
    }
}

#[test]
fn no_more_is_in_flight_than_the_window_allows() {
    let mut pair = Pair::connected_as(Connect { window: 3, ..connect() }, Vec::new(), usize::MAX);
    pair.acks = false;
    let messages = posted(&pair, 1..6);
    assert_eq!((pair.server.room(), pair.deliver(&messages), pair.server.room()), (3, 3, 0));
    assert_eq!(ids(&pair.run()), [1, 2, 3]);
    pair.device.ack();
    assert_eq!(pair.run().server, [server::Event::Acked(3)]);
    assert_eq!((pair.server.room(), pair.deliver(&messages[3..])), (3, 2));
}

#[test]
fn long_messages_fill_the_window_by_their_bytes() {
    let mut pair = Pair::connected(usize::MAX);
    pair.acks = false;
    let expires = pair.now.wall + Duration::from_secs(60);
    let long: Vec<Posted> = (0..9).map(|seq| Posted::new(seq, "a", expires, 20_000)).collect();
    assert_eq!(pair.deliver(&long), WINDOW_BYTES_MAX.div_ceil(20_000));
    assert_eq!(pair.server.room(), 0);
}

#[test]
fn half_a_window_has_room_for_a_page_counted_in_deliveries_and_in_bytes() {
    let mut pair = Pair::connected(usize::MAX);
    pair.acks = false;
    let expires = pair.now.wall + Duration::from_secs(60);
    for (seq, payload_bytes, has_room) in [(0, 20_000, true), (1, 20_000, false)] {
        pair.deliver(&[Posted::new(seq, "a", expires, payload_bytes)]);
        assert_eq!((pair.server.room() > 0, pair.server.has_room_for_page()), (true, has_room));
    }
    pair.run();
    pair.device.ack();
    pair.run();
    let short: Vec<Posted> = (2..40).map(|seq| Posted::new(seq, "a", expires, 2)).collect();
    pair.deliver(&short[..WINDOW_MAX / 2]);
    assert!(pair.server.has_room_for_page());
    pair.deliver(&short[WINDOW_MAX / 2..WINDOW_MAX / 2 + 1]);
    assert!(!pair.server.has_room_for_page());
}

#[test]
fn a_keepalive_is_a_byte_each_way_and_the_device_paces_it() {
    let mut pair = Pair::connected(usize::MAX);
    (pair.sent, pair.said) = (Vec::new(), Vec::new());
    for round in 1..10 {
        let before = pair.now.monotonic;
        let told = pair.jump();
        assert_eq!(pair.now.monotonic.since(before), KEEPALIVE);
        assert_eq!(told.device, confirmed_after(KEEPALIVE));
        assert_eq!(
            (pair.sent.len(), pair.sent.iter().sum::<usize>(), pair.said.len()),
            (round, round, round)
        );
    }
}

#[test]
fn a_silence_beyond_the_servers_maximum_is_cut_to_it() {
    let patient = Connect { keepalive: Duration::from_secs(1_000_000), ..connect() };
    let mut pair = Pair::connected_as(patient, Vec::new(), usize::MAX);
    assert_eq!(pair.jump().device, confirmed_after(KEEPALIVE_MAX));
    assert_eq!(pair.now.monotonic.since(Monotonic::default()), KEEPALIVE_MAX);
}

#[test]
fn a_silent_device_and_one_that_does_not_ack_end_by_timeout() {
    for acks_are_due in [false, true] {
        let mut pair = Pair::connected(usize::MAX);
        let patience = if acks_are_due { Duration::ZERO } else { KEEPALIVE } + SERVER_PATIENCE;
        if acks_are_due {
            let messages = posted(&pair, 1..2);
            pair.deliver(&messages);
        }
        let deadline = pair.now.monotonic + patience;
        assert_eq!(pair.server.next_deadline(), Some(deadline));
        while pair.server.poll_transmit().is_some() {}
        pair.server.handle_timeout(deadline);
        assert_eq!(pair.server.poll_event(), Some(server::Event::Ended(EndReason::Timeout)));
    }
}

#[test]
fn a_server_that_does_not_answer_a_ping_is_gone() {
    let mut pair = Pair::connected(usize::MAX);
    pair.now = pair.now + KEEPALIVE;
    pair.device.handle_timeout(pair.now.monotonic);
    assert_eq!(pair.device.poll_event(), Some(device::Event::Pinged { silence: KEEPALIVE }));
    assert_eq!(pair.device.poll_transmit(pair.now.monotonic).as_deref(), Some(&[0x02][..]));
    let gone = pair.now.monotonic + DEVICE_PATIENCE;
    assert_eq!(pair.device.next_deadline(), Some(gone));
    pair.device.handle_timeout(gone);
    assert_eq!(pair.device.poll_event(), Some(device::Event::Ended(EndReason::Timeout)));
}

#[test]
fn what_comes_too_late_is_dropped_acked_and_receipted() {
    let mut pair = Pair::connected(usize::MAX);
    let late = Posted::new(1, "chatter", pair.now.wall + Duration::from_secs(5), 10);
    let live = Posted::new(2, "chatter", pair.now.wall + Duration::from_secs(60), 10);
    pair.deliver(&[late, live]);
    pair.now = pair.now + Duration::from_secs(6);
    let told = pair.run();
    assert!(
        matches!(told.device[..], [device::Event::Expired(id), device::Event::Message(_)] if id.seq() == Seq(1))
    );
    let receipt = Receipt { message: MessageId::new(Seq(1), [7; 8]), outcome: Outcome::Expired };
    assert_eq!(told.server, [server::Event::Acked(2), server::Event::Receipt(receipt)]);
}

#[test]
fn acks_and_receipts_that_may_be_lost_are_said_again_in_the_next_session_and_confirmed_once() {
    let mut pair = Pair::connected(usize::MAX);
    let messages = posted(&pair, 1..3);
    pair.deliver(&messages);
    pair.run();
    let receipt = Receipt { message: messages[0].id, outcome: Outcome::Shown };
    pair.device.receipt(receipt);
    assert!(
        pair.device.poll_transmit(pair.now.monotonic).is_none(),
        "a receipt is worth no wake-up of the radio"
    );
    pair.device.end(EndReason::Eof);
    let left = pair.device.unconfirmed();
    assert_eq!(left.stored, [messages[0].id, messages[1].id]);
    assert_eq!(left.receipts, [receipt]);

    let again = Connect { stored: left.stored.clone(), ..connect() };
    let mut pair = Pair::connected_as(again, left.receipts, usize::MAX);
    assert_eq!(pair.device.unconfirmed().stored, left.stored);
    assert_eq!(pair.jump().server, [server::Event::Receipt(receipt)], "along with the ping");
    assert_eq!(pair.device.unconfirmed().stored, [], "the pong confirmed what CONNECT said");
    pair.jump();
    assert_eq!(pair.device.unconfirmed(), device::Unconfirmed::default());
}

#[test]
fn what_came_with_the_end_and_was_stored_after_it_is_for_the_next_session_to_say() {
    for acks in [false, true] {
        let mut pair = Pair::connected(usize::MAX);
        pair.acks = acks;
        let messages = posted(&pair, 1..3);
        pair.deliver(&messages);
        pair.server.end(EndReason::Terminated);
        let told = pair.run();
        assert_eq!(ids(&told), [1, 2]);
        assert!(matches!(told.device.last(), Some(device::Event::Ended(_))));
        let receipt = Receipt { message: messages[0].id, outcome: Outcome::Shown };
        pair.device.receipt(receipt);
        assert_eq!(pair.device.unconfirmed().receipts, [receipt]);
        let stored = if acks { vec![messages[0].id, messages[1].id] } else { Vec::new() };
        assert_eq!(pair.device.unconfirmed().stored, stored);
    }
}

#[test]
fn the_device_says_what_it_wants_in_mid_session() {
    let mut pair = Pair::connected(usize::MAX);
    pair.device.want(Urgency::High);
    pair.device.flush();
    pair.device.keep_alive(Duration::from_secs(60));
    let told = pair.run();
    assert_eq!(told.server, [server::Event::Least(Urgency::High), server::Event::Flush]);
    let silence = Duration::from_secs(60) + SERVER_PATIENCE;
    assert_eq!(pair.server.next_deadline(), Some(pair.now.monotonic + silence));
    pair.device.keep_alive(Duration::from_secs(60));
    assert_eq!(pair.device.poll_transmit(pair.now.monotonic), None, "the server knows that");
    let before = pair.now.monotonic;
    pair.jump();
    assert_eq!(pair.now.monotonic.since(before), Duration::from_secs(60));
}

#[test]
fn what_the_device_wants_before_it_is_let_in_is_said_once_it_is() {
    let mut pair = Pair::new(connect(), Vec::new(), usize::MAX);
    pair.device.flush();
    pair.device.want(Urgency::Low);
    pair.device.want(Urgency::High);
    pair.device.keep_alive(Duration::from_secs(60));
    pair.run();
    pair.server.accept(pair.now);
    let told = pair.run();
    assert_eq!(told.server, [server::Event::Least(Urgency::High), server::Event::Flush]);
    let before = pair.now.monotonic;
    pair.jump();
    assert_eq!(pair.now.monotonic.since(before), Duration::from_secs(60));
}

#[test]
fn whatever_the_device_says_puts_its_next_ping_off() {
    let mut pair = Pair::connected(usize::MAX);
    pair.now = pair.now + KEEPALIVE / 2;
    pair.device.flush();
    pair.run();
    assert_eq!(pair.device.next_deadline(), Some(pair.now.monotonic + KEEPALIVE));
}

#[test]
fn broadcasts_share_the_window_and_its_acks() {
    let mut pair = Pair::connected(usize::MAX);
    let payloads = vec![Payload::from_json(b"{\"img1/m1\":1}").expect("JSON")];
    let mut frame = Vec::new();
    let news = Broadcast { channel: ChannelId::SYSTEM, level: Level(3), payloads: payloads.clone() };
    ServerFrame::Broadcast(news).encode(&mut frame);
    pair.server.deliver_broadcast(frame.into(), pair.now.monotonic);
    let messages = posted(&pair, 1..2);
    pair.deliver(&messages);
    assert_eq!(pair.server.room(), WINDOW_MAX - 2);
    let told = pair.run();
    let news = device::Broadcast { channel: ChannelId::SYSTEM, level: Level(3), payloads };
    assert_eq!(told.device[0], device::Event::Broadcast(news));
    assert_eq!(told.server, [server::Event::Acked(2)]);
}

#[test]
fn each_end_is_told_to_the_other_side() {
    let goaway = |told: &Told| match told.device[..] {
        [device::Event::Goaway(goaway), device::Event::Ended(EndReason::SentAway(reason))] => {
            assert_eq!(goaway.reason, reason);
            (reason, goaway.after.as_secs(), goaway.spread.as_secs())
        }
        _ => panic!("{told:?}"),
    };
    let mut pair = Pair::connected(usize::MAX);
    pair.server.end(EndReason::Terminated);
    assert_eq!(goaway(&pair.run()), (Reason::TakenOver, 60, 0));
    let mut pair = Pair::connected(usize::MAX);
    pair.server.shut_down(server::Stop::Restart, Duration::from_secs(300));
    assert_eq!(goaway(&pair.run()), (Reason::Restart, 1, 300));
    let mut pair = Pair::new(connect(), Vec::new(), usize::MAX);
    pair.run();
    pair.server.refuse(Reason::Unauthorized);
    assert_eq!(goaway(&pair.run()).0, Reason::Unauthorized);
    let mut pair = Pair::connected(usize::MAX);
    pair.device.leave();
    assert_eq!(pair.run().server, [server::Event::Ended(EndReason::Left(Reason::Closing))]);
}

#[test]
fn a_device_that_breaks_the_rules_is_told_which() {
    let cases: [(&[u8], ProtocolError); 7] = [
        (&[0x04], ProtocolError::Unexpected("PONG")),
        (&[0x00], ProtocolError::UnknownFrame(0)),
        (&[0x40, 1], ProtocolError::BadAck),
        (&[0x42, 4], ProtocolError::BadValue("urgency")),
        (&[0x44, 0x40, 1], ProtocolError::Malformed("number")),
        (&[0x80, 0x48, 0x01], ProtocolError::FrameTooLong),
        (&[0x8c, 0], ProtocolError::Malformed("code")),
    ];
    for (bytes, error) in cases {
        let mut pair = Pair::connected(usize::MAX);
        pair.server.handle_bytes(bytes, pair.now.monotonic);
        let told = pair.run();
        assert_eq!(told.server, [server::Event::Ended(EndReason::Frame(error))]);
        let [device::Event::Goaway(goaway), _] = told.device[..] else { panic!("{told:?}") };
        assert_eq!(goaway.reason, error.reason());
    }
}

#[test]
fn an_unknown_frame_that_may_be_skipped_is() {
    let mut pair = Pair::connected(usize::MAX);
    pair.server.handle_bytes(&[0x01, 0x41, 9, 0xff, 2, 1, 1], pair.now.monotonic);
    pair.device.handle_bytes(&[0x3f, 0x7f, 0, 0x81, 0], pair.now.monotonic);
    assert_eq!(pair.jump().device, confirmed_after(KEEPALIVE));
}

#[test]
fn a_server_that_breaks_the_rules_is_told_which() {
    let message = [0x86, 20, 0x2f, 5, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, b'1', b'2'];
    let cases: [(&[u8], Reason); 4] = [
        (&message, Reason::UnexpectedFrame),
        (&[0x04], Reason::UnexpectedFrame),
        (&[0x84, 2, 16, b'a'], Reason::BadValue),
        (&[0x88, 2, 0, 0x40], Reason::MalformedFrame),
    ];
    for (bytes, reason) in cases {
        let mut pair = Pair::connected(usize::MAX);
        pair.device.handle_bytes(bytes, pair.now.monotonic);
        let told = pair.run();
        assert!(matches!(told.device[..], [device::Event::Ended(EndReason::Frame(_))]), "{told:?}");
        assert_eq!(told.server, [server::Event::Ended(EndReason::Left(reason))], "{bytes:?}");
    }
}

#[test]
fn more_than_the_window_is_a_violation() {
    let mut pair = Pair::connected_as(Connect { window: 1, ..connect() }, Vec::new(), usize::MAX);
    let frame = [0x88, 2, 0, 3];
    pair.device.handle_bytes(&[frame, frame].concat(), pair.now.monotonic);
    let told = pair.run();
    assert!(matches!(
        told.device[..],
        [device::Event::Broadcast(_), device::Event::Ended(EndReason::Frame(_))]
    ));
}

#[test]
fn a_flood_of_pings_is_answered_by_one_pong() {
    let mut pair = Pair::connected(usize::MAX);
    pair.server.handle_bytes(&[0x02; 16 * 1024], pair.now.monotonic);
    assert_eq!(pair.server.poll_transmit().as_deref(), Some(&[0x04][..]));
    assert_eq!(pair.server.poll_transmit(), None);
}

#[test]
fn frames_before_connack_end_the_session() {
    let mut pair = Pair::new(connect(), Vec::new(), usize::MAX);
    let opening = pair.device.poll_transmit(pair.now.monotonic).expect("the device speaks first");
    pair.server.handle_bytes(&[&opening[..], &[0x02]].concat(), pair.now.monotonic);
    let told = pair.run();
    let due = ProtocolError::Unexpected("PING");
    assert_eq!(told.server, [server::Event::Ended(EndReason::Frame(due))], "and no device is announced");
}

#[test]
fn what_is_stored_is_acked_before_the_device_leaves_though_more_has_come() {
    let mut pair = Pair::connected(usize::MAX);
    let messages = posted(&pair, 1..4);
    pair.deliver(&messages);
    while let Some(bytes) = pair.server.poll_transmit() {
        pair.device.handle_bytes(&bytes, pair.now.monotonic);
    }
    assert!(matches!(pair.device.poll_event(), Some(device::Event::Message(_))));
    pair.device.ack();
    pair.device.receipt(Receipt { message: messages[0].id, outcome: Outcome::Shown });
    pair.device.leave();
    let told = pair.run();
    assert!(
        matches!(
            told.server[..],
            [
                server::Event::Acked(1),
                server::Event::Receipt(_),
                server::Event::Ended(EndReason::Left(Reason::Closing))
            ]
        ),
        "{told:?}"
    );
}

#[test]
fn a_device_may_leave_before_it_is_let_in() {
    let mut pair = Pair::new(connect(), Vec::new(), usize::MAX);
    let told = pair.run();
    assert!(matches!(told.server[..], [server::Event::Connect(_)]), "{told:?}");
    let told = pair.said_frame(&DeviceFrame::Bye(Reason::Timeout));
    assert_eq!(told.server, [server::Event::Ended(EndReason::Left(Reason::Timeout))]);
}

#[test]
fn a_second_connect_ends_the_session() {
    let mut pair = Pair::connected(usize::MAX);
    let told = pair.said_frame(&DeviceFrame::Connect(Box::new(connect())));
    let due = ProtocolError::Unexpected("CONNECT");
    assert_eq!(told.server, [server::Event::Ended(EndReason::Frame(due))]);
}
