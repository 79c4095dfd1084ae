//! Whole lives of a device in memory: behind a NAT that forgets, and with a server that says what it is
//! told to.

use super::*;
use crate::base::{ChannelId, Level, MessageId, Payload, Wall};
use crate::device::reconnect::AWAY_SECONDS_MAX;
use crate::protocol::wire1::{
    AppNumber, Connack, DEVICE_BODY_BYTES_MAX, DeviceFrame, Message, Outcome, Receipt, ServerFrame,
    split_frame,
};

const RTT: Duration = Duration::from_millis(300);
const TWO_HOURS: Duration = minutes(120);

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

/// A device, and what it lives with.
struct World {
    now: Monotonic,
    lifeline: Lifeline,
    /// How long a connection may be silent before the NAT forgets it.
    nat: Duration,
    /// The longest silence that the server grants.
    keepalive_max: Duration,
    /// What the server has heard, all connections together.
    heard: Vec<DeviceFrame>,
    /// How many sessions have ended.
    ends: usize,
}

/// A session, and when something last passed its NAT.
struct Link {
    session: Session,
    passed: Monotonic,
    is_open: bool,
}

impl World {
    fn behind(nat: Duration) -> World {
        let connect = Connect::new("carol".parse().expect("valid"), TWO_HOURS);
        World {
            now: Monotonic::default(),
            lifeline: Lifeline::new(connect, Learner::default(), "home"),
            nat,
            keepalive_max: TWO_HOURS,
            heard: Vec::new(),
            ends: 0,
        }
    }

    /// Connects and is let in.
    fn connect(&mut self) -> Link {
        let session = Session::new(self.lifeline.options(), self.now).expect("within the limits");
        let mut link = Link { session, passed: self.now, is_open: true };
        assert_eq!(self.settle(&mut link), None);
        link
    }

    /// Lets everything that is to be said be said and answered; the wait if the session has ended.
    fn settle(&mut self, link: &mut Link) -> Option<Wait> {
        loop {
            while let Some(event) = link.session.poll_event() {
                link.session.ack();
                if let Event::Ended(reason) = event {
                    self.ends += 1;
                    return Some(self.lifeline.ended(&reason, &link.session, self.now, 1.0));
                }
                self.lifeline.handle_event(&event, &mut link.session, self.now);
            }
            let bytes = link.session.poll_transmit(self.now)?;
            let answer = if self.passes(link) { self.answer(&bytes) } else { Vec::new() };
            if !answer.is_empty() {
                self.now = self.now + RTT;
                link.passed = self.now;
                link.session.handle_bytes(&answer, self.now);
            }
        }
    }

    /// Whether the NAT still knows the connection, and so for a while again.
    fn passes(&self, link: &mut Link) -> bool {
        link.is_open &= self.now.since(link.passed) <= self.nat;
        link.passed = self.now;
        link.is_open
    }

    /// What the server says to `bytes`.
    fn answer(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut rest = if bytes[0] == crate::protocol::wire1::VERSION { &bytes[1..] } else { bytes };
        let mut out = Vec::new();
        while let Some((raw, length)) = split_frame(rest, DEVICE_BODY_BYTES_MAX).expect("well-formed") {
            let frame = DeviceFrame::decode(raw).expect("well-formed").expect("known");
            match &frame {
                DeviceFrame::Connect(connect) => self.connack(connect.window).encode(&mut out),
                DeviceFrame::Ping => ServerFrame::Pong.encode(&mut out),
                _ => {}
            }
            self.heard.push(frame);
            rest = &rest[length..];
        }
        out
    }

    fn connack(&self, window: usize) -> ServerFrame {
        ServerFrame::Connack(Connack { time: Wall(0), keepalive_max: self.keepalive_max, window })
    }

    /// The server says this.
    fn say(&mut self, link: &mut Link, frames: &[ServerFrame]) -> Option<Wait> {
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.encode(&mut bytes));
        link.passed = self.now;
        link.session.handle_bytes(&bytes, self.now);
        self.settle(link)
    }

    fn send_away(&mut self, link: &mut Link, reason: Reason, after: u64, spread: u64) -> Wait {
        let [after, spread] = [after, spread].map(Duration::from_secs);
        let goaway = ServerFrame::Goaway(Goaway { reason, after, spread });
        self.say(link, &[goaway]).expect("the session has ended")
    }

    /// Jumps to when the session has something to do.
    fn jump(&mut self, link: &mut Link) -> Option<Wait> {
        self.now = link.session.next_deadline().expect("it stands");
        link.session.handle_timeout(self.now);
        self.settle(link)
    }

    /// Jumps until the session ends: how long to wait.
    fn live_out(&mut self, link: &mut Link) -> Wait {
        loop {
            if let Some(wait) = self.jump(link) {
                return wait;
            }
        }
    }

    /// Lives for so many PINGs.
    fn live(&mut self, pings: usize) {
        let mut link = self.connect();
        for _ in 0..pings {
            if let Some(wait) = self.jump(&mut link) {
                self.now = self.now + wait.duration;
                link = self.connect();
            }
        }
    }

    fn wait(&mut self, wait: Wait) {
        self.now = self.now + wait.duration;
    }

    /// Ends the session, as a server does that crashes.
    fn crash(&mut self, link: &mut Link) -> Wait {
        link.session.end(EndReason::Eof);
        self.settle(link).expect("the session has ended")
    }

    fn silence(&self) -> Duration {
        self.lifeline.silence()
    }

    fn keepalives_heard(&self) -> Vec<u64> {
        let keepalive = |frame: &DeviceFrame| match frame {
            DeviceFrame::Keepalive(keepalive) => Some(keepalive.as_secs()),
            _ => None,
        };
        self.heard.iter().filter_map(keepalive).collect()
    }

    fn last_connect(&self) -> &Connect {
        let mut connects = self.heard.iter().rev().filter_map(|frame| match frame {
            DeviceFrame::Connect(connect) => Some(&**connect),
            _ => None,
        });
        connects.next().expect("it has connected")
    }
}

fn message(id: u8) -> [ServerFrame; 2] {
    let number = AppNumber::new(0).expect("valid");
    let message = Message {
        app: number,
        urgency: Urgency::Normal,
        expires: minutes(600),
        id: MessageId([id; 16]),
        payload: Payload::from_json(b"1").expect("JSON"),
    };
    [ServerFrame::App(number, "chatter".parse().expect("valid")), ServerFrame::Message(message)]
}

fn news(channel: ChannelId, level: i64) -> ServerFrame {
    ServerFrame::Broadcast(Broadcast { channel, level: Level(level), payloads: Vec::new() })
}

#[test]
fn it_finds_what_its_nat_bears_within_five_lost_connections_and_stays_there() {
    for nat in [4, 5, 10, 30, 120].map(minutes) {
        let mut world = World::behind(nat);
        world.live(40);
        let (losses, silence) = (world.ends, world.silence());
        assert!(losses <= 5, "{nat:?}: {losses}");
        assert!(silence <= nat && silence.as_secs() * 100 >= nat.as_secs() * 85, "{silence:?} of {nat:?}");
        world.live(200);
        assert_eq!(world.silence(), silence, "{nat:?}");
        assert!(world.ends <= losses + 2, "it looks for more seldom");
    }
}

#[test]
fn the_server_hears_of_a_longer_silence_before_it_begins_and_of_none_twice() {
    let mut world = World::behind(TWO_HOURS);
    world.keepalive_max = minutes(10);
    world.live(50);
    assert_eq!(world.keepalives_heard(), [120, 240, 480, 600]);
}

#[test]
fn a_lost_silence_is_shortened_right_after_coming_back() {
    let mut world = World::behind(minutes(3));
    let mut link = world.connect();
    let wait = world.live_out(&mut link);
    assert_eq!(wait, Wait { duration: Duration::from_secs(1), cause: Cause::Lost });
    world.wait(wait);
    world.connect();
    assert_eq!(world.last_connect().keepalive, minutes(4), "nothing is proved yet");
    assert_eq!(world.keepalives_heard().last(), Some(&140));
}

#[test]
fn a_network_that_was_gone_teaches_nothing() {
    let away: [fn(&mut World, Wait); 4] = [
        |world, _| {
            world.lifeline.unreachable(0.0);
        },
        |world, _| world.now = world.now + RIGHT_AFTER + Duration::from_secs(1),
        |world, _| world.lifeline.move_to("café"),
        |world, _| {
            let mut link = Link {
                session: Session::new(world.lifeline.options(), world.now).expect("within the limits"),
                passed: world.now,
                is_open: true,
            };
            world.crash(&mut link);
        },
    ];
    for go in away {
        let mut world = World::behind(minutes(3));
        let mut link = world.connect();
        let wait = world.live_out(&mut link);
        let learnt = world.lifeline.learner().clone();
        go(&mut world, wait);
        world.connect();
        assert_eq!(world.lifeline.learner(), &learnt);
    }
}

#[test]
fn an_end_between_pings_or_explained_by_the_server_teaches_nothing() {
    let ends: [fn(&mut World, &mut Link); 3] = [
        |world, link| {
            world.crash(link);
        },
        |world, link| {
            world.send_away(link, Reason::Restart, 0, 0);
        },
        |world, link| {
            world.now = link.session.next_deadline().expect("it stands");
            link.session.handle_timeout(world.now);
            world.send_away(link, Reason::Timeout, 0, 0);
        },
    ];
    for end in ends {
        let mut world = World::behind(TWO_HOURS);
        let mut link = world.connect();
        world.jump(&mut link);
        let learnt = world.lifeline.learner().clone();
        end(&mut world, &mut link);
        world.connect();
        assert_eq!(world.lifeline.learner(), &learnt);
    }
}

#[test]
fn a_device_that_overslept_learns_nothing_from_a_server_that_gave_it_up() {
    let mut world = World::behind(TWO_HOURS);
    let mut link = world.connect();
    world.now = link.session.next_deadline().expect("it stands") + minutes(2);
    link.session.handle_timeout(world.now);
    world.lifeline.handle_event(&link.session.poll_event().expect("a PING"), &mut link.session, world.now);
    let wait = world.crash(&mut link);
    world.wait(wait);
    world.connect();
    world.live(30);
    assert_eq!(world.silence(), TWO_HOURS);
}

#[test]
fn a_device_that_overslept_and_is_still_known_has_learnt_that_much() {
    let mut world = World::behind(TWO_HOURS);
    let mut link = world.connect();
    world.now = link.session.next_deadline().expect("it stands") + minutes(9);
    link.session.handle_timeout(world.now);
    assert_eq!(world.settle(&mut link), None);
    assert_eq!(world.silence(), minutes(20));
}

#[test]
fn each_network_has_its_own_silence() {
    let mut world = World::behind(minutes(30));
    world.live(40);
    let home = world.silence();
    world.lifeline.move_to("mobile");
    assert_eq!(world.silence(), minutes(1));
    world.nat = minutes(5);
    world.live(40);
    assert!(world.silence() < minutes(5));
    world.lifeline.move_to("home");
    assert_eq!(world.silence(), home);
}

#[test]
fn what_the_server_may_not_have_heard_is_said_again() {
    let mut world = World::behind(TWO_HOURS);
    let mut link = world.connect();
    world.say(&mut link, &message(1));
    world.jump(&mut link);
    world.say(&mut link, &message(2));
    let receipt = Receipt { message: MessageId([2; 16]), outcome: Outcome::Shown };
    link.session.receipt(receipt);
    world.crash(&mut link);
    for _ in 0..2 {
        world.lifeline.unreachable(0.0);
        link = world.connect();
        let stored = &world.last_connect().stored;
        assert_eq!(stored, &[MessageId([2; 16])], "a PONG confirmed the first");
        world.crash(&mut link);
    }
    link = world.connect();
    world.jump(&mut link);
    assert!(world.heard.contains(&DeviceFrame::Receipt(receipt)));
    world.crash(&mut link);
    world.connect();
    assert_eq!(world.last_connect().stored, []);
}

#[test]
fn it_says_where_it_stands_and_what_it_wants_now() {
    let mut world = World::behind(TWO_HOURS);
    let mut link = world.connect();
    let made_up = |number: u8| ChannelId([number; 16]);
    world.say(&mut link, &[news(ChannelId::SYSTEM, 7)]);
    (1..=30).for_each(|number| assert_eq!(world.say(&mut link, &[news(made_up(number), 1)]), None));
    world.say(&mut link, &[news(ChannelId::SYSTEM, 8)]);
    world.lifeline.want(Urgency::High);
    world.crash(&mut link);
    world.connect();
    let connect = world.last_connect();
    assert_eq!((connect.levels.len(), connect.levels[&ChannelId::SYSTEM]), (LEVELS_MAX, Level(8)));
    assert_eq!(connect.least, Urgency::High);
}

#[test]
fn it_comes_back_when_the_server_says() {
    let cases = [
        (Reason::Restart, 1, 10, 11),
        (Reason::Drain, 1, 300, 301),
        (Reason::TakenOver, 0, 0, 60),
        (Reason::Unauthorized, 0, 0, AWAY_SECONDS_MAX),
    ];
    for (reason, after, spread, seconds) in cases {
        let mut world = World::behind(TWO_HOURS);
        let mut link = world.connect();
        let wait = world.send_away(&mut link, reason, after, spread);
        let expected = Wait { duration: Duration::from_secs(seconds), cause: Cause::SentAway(reason) };
        assert_eq!(wait, expected);
        world.wait(wait);
        let mut link = world.connect();
        assert_eq!(world.crash(&mut link).cause, Cause::Lost, "the goaway was another session's");
    }
}

#[test]
fn it_backs_off_until_a_session_proves_itself() {
    let mut world = World::behind(TWO_HOURS);
    let mut waits = Vec::new();
    for _ in 0..3 {
        waits.push(world.lifeline.unreachable(1.0).duration.as_secs());
        let mut link = world.connect();
        waits.push(world.crash(&mut link).duration.as_secs());
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32], "to be let in proves nothing");
    let proofs: [fn(&mut World, &mut Link); 4] = [
        |world, link| assert_eq!(world.jump(link), None),
        |world, link| assert_eq!(world.say(link, &message(1)), None),
        |world, link| assert_eq!(world.say(link, &[news(ChannelId::SYSTEM, 1)]), None),
        |world, _| world.lifeline.move_to("café"),
    ];
    for prove in proofs {
        world.lifeline.unreachable(1.0);
        let mut link = world.connect();
        prove(&mut world, &mut link);
        assert_eq!(world.crash(&mut link).duration.as_secs(), 1);
    }
}

#[test]
fn a_device_behind_a_nat_that_forgets_at_once_backs_off_and_stays_at_the_shortest_silence() {
    let mut world = World::behind(Duration::from_secs(30));
    world.live(30);
    assert_eq!(world.silence(), minutes(1));
    let mut link = world.connect();
    assert!(world.live_out(&mut link).duration > minutes(3));
}
