//! The device's side of one conversation over wire 0. It answers pings by itself; it acks only when
//! told to, because only its owner knows when what came is stored. It drops no doubles and keeps no levels.
//!
//! ```text
//!  new (version, CONNECT) ──▶ AwaitConnack ──CONNACK──▶ Listening ◀───────────────┐
//!                                          Connected     │  ▲ └─ PING: PONG ──┘  │
//!                                                        │  └─ CONNWARN, SETPARAMS
//!                              BROADCAST, NOTIFICATIONS ─┤                       │
//!                                                        └──▶ OwesAck ── ack: ACK┘
//!
//!  any ── end, CONNBROKEN, silence for too long, or what was not due ──▶ Ended
//! ```

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use bytes::Bytes;

use super::EndReason;
use crate::base::Monotonic;
use crate::protocol::wire0::{
    self, Broadcast, Connect, DeviceMessage, Notification, ProtocolError, ServerMessage,
};

/// How long devices wait for an answer unless told otherwise: what deployed ones do.
pub const EXCHANGE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// A device, and how patient it is.
#[derive(Clone, Debug)]
pub struct Options {
    /// What it says of itself.
    pub connect: Connect,
    /// How long the server may take for CONNACK, and be late with what is due each ping interval.
    pub exchange_timeout: Duration,
}

/// One session. The owner feeds it what happens (`handle_*`, `ack`, `end`), and after each of these
/// takes out all that [`Session::poll_transmit`] and [`Session::poll_event`] have, and notes
/// [`Session::next_deadline`].
#[derive(Debug)]
pub struct Session {
    exchange_timeout: Duration,
    state: State,
    /// The front of a frame whose rest has not come.
    partial: Vec<u8>,
    outgoing: VecDeque<Bytes>,
    events: VecDeque<Event>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    AwaitConnack { deadline: Monotonic },
    Listening { silence_max: Duration, deadline: Monotonic },
    OwesAck { silence_max: Duration, deadline: Monotonic },
    Ended,
}

/// What the owner has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The server let the device in.
    Connected {
        /// How often it will ping.
        ping_interval: Duration,
    },
    /// News of a channel: to be stored together with the level, then [acked](Session::ack).
    Broadcast(Broadcast),
    /// Messages: to be stored, then [acked](Session::ack).
    Notifications(Vec<Notification>),
    /// The server warns; the session goes on.
    Warned {
        /// What the server says.
        reason: String,
    },
    /// The server breaks the session off; [`Event::Ended`] follows.
    Broken {
        /// What the server says.
        reason: String,
    },
    /// To be stored, for [`Connect::cookie`] of the next session.
    Cookie(String),
    /// The session is over. Comes once, and last.
    Ended(EndReason),
}

impl Session {
    /// A session on a connection that stands at `now`. Fails if what the device says of itself does
    /// not fit a CONNECT.
    pub fn new(options: Options, now: Monotonic) -> Result<Session, ProtocolError> {
        let Options { connect, exchange_timeout } = options;
        let opening =
            [Bytes::from_static(&[wire0::VERSION]), DeviceMessage::Connect(connect).encode()?].concat();
        Ok(Session {
            exchange_timeout,
            state: State::AwaitConnack { deadline: now + exchange_timeout },
            partial: Vec::new(),
            outgoing: VecDeque::from([opening.into()]),
            events: VecDeque::new(),
        })
    }

    /// Takes plaintext from the server.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Monotonic) {
        if bytes.is_empty() || matches!(self.state, State::Ended) {
            return;
        }
        self.hear(now);
        let mut gathered = mem::take(&mut self.partial);
        gathered.extend_from_slice(bytes);
        let used = self.handle_frames(&gathered, now);
        if !matches!(self.state, State::Ended) {
            gathered.drain(..used);
            self.partial = gathered;
        }
    }

    /// Lets time pass. Does nothing before [`Session::next_deadline`]; then the server counts as gone.
    pub fn handle_timeout(&mut self, now: Monotonic) {
        if self.next_deadline().is_some_and(|deadline| now >= deadline) {
            self.end(EndReason::Timeout);
        }
    }

    /// Ends the session, whatever its state. The first reason stays.
    pub fn end(&mut self, reason: EndReason) {
        if !matches!(self.state, State::Ended) {
            self.state = State::Ended;
            self.events.push_back(Event::Ended(reason));
        }
    }

    /// Acks the last [`Event::Broadcast`] or [`Event::Notifications`]: it is stored. Does nothing if
    /// the session has ended since.
    ///
    /// # Panics
    /// If no ack is owed.
    pub fn ack(&mut self) {
        match self.state {
            State::OwesAck { silence_max, deadline } => {
                self.send(DeviceMessage::Ack);
                self.state = State::Listening { silence_max, deadline };
            }
            State::Ended => {}
            State::AwaitConnack { .. } | State::Listening { .. } => panic!("no ack is owed"),
        }
    }

    /// What is to be sent next.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.outgoing.pop_front()
    }

    /// What the owner has to know next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The time at which [`Session::handle_timeout`] has something to do.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        match self.state {
            State::AwaitConnack { deadline }
            | State::Listening { deadline, .. }
            | State::OwesAck { deadline, .. } => Some(deadline),
            State::Ended => None,
        }
    }

    /// Something came: the server is there, and may be silent for a while again.
    fn hear(&mut self, now: Monotonic) {
        if let State::Listening { silence_max, deadline } | State::OwesAck { silence_max, deadline } =
            &mut self.state
        {
            *deadline = now + *silence_max;
        }
    }

    /// Handles the frames at the front of `bytes`; returns how many bytes they take.
    fn handle_frames(&mut self, bytes: &[u8], now: Monotonic) -> usize {
        let mut used = 0;
        while let Some((body, frame_bytes)) = wire0::split_frame(&bytes[used..]) {
            match ServerMessage::decode(body) {
                Ok(message) => self.handle_message(message, now),
                Err(error) => self.end(error.into()),
            }
            used += frame_bytes;
        }
        used
    }

    fn handle_message(&mut self, message: ServerMessage, now: Monotonic) {
        match (self.state, message) {
            (State::AwaitConnack { .. }, ServerMessage::Connack { ping_interval }) => {
                let silence_max = ping_interval.saturating_add(self.exchange_timeout);
                self.state = State::Listening { silence_max, deadline: now + silence_max };
                self.events.push_back(Event::Connected { ping_interval });
            }
            (State::Listening { silence_max, deadline }, message) => {
                self.listen(message, State::OwesAck { silence_max, deadline });
            }
            (State::AwaitConnack { .. }, _) => self.end(EndReason::WrongMessage { due: "CONNACK" }),
            (State::OwesAck { .. }, _) => self.end(EndReason::Unsolicited),
            (State::Ended, _) => {}
        }
    }

    /// Handles what comes after CONNACK while no ack is owed; `owing` is the state if it asks for one.
    fn listen(&mut self, message: ServerMessage, owing: State) {
        match message {
            ServerMessage::Ping => self.send(DeviceMessage::Pong),
            ServerMessage::Broadcast(broadcast) => {
                self.state = owing;
                self.events.push_back(Event::Broadcast(broadcast));
            }
            ServerMessage::Notifications(all) => {
                self.state = owing;
                self.events.push_back(Event::Notifications(all));
            }
            ServerMessage::Connwarn { reason } => self.events.push_back(Event::Warned { reason }),
            ServerMessage::SetParams { cookie } => self.events.push_back(Event::Cookie(cookie)),
            ServerMessage::Connbroken { reason } => {
                self.events.push_back(Event::Broken { reason });
                self.end(EndReason::BrokenOff);
            }
            ServerMessage::Connack { .. } => self.end(EndReason::WrongMessage { due: "an exchange" }),
        }
    }

    fn send(&mut self, message: DeviceMessage) {
        self.outgoing.push_back(message.encode().expect("answers fit a frame"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Monotonic = Monotonic(Duration::from_secs(100));
    const BROADCAST: &str = r#"{"T":"broadcast","ChanId":"0","TopLevel":3,"Payloads":null}"#;

    fn options() -> Options {
        let connect = Connect::new("carol".parse().expect("valid"));
        Options { connect, exchange_timeout: EXCHANGE_TIMEOUT_DEFAULT }
    }

    fn session() -> Session {
        let mut session = Session::new(options(), NOW).expect("short");
        assert!(session.poll_transmit().is_some());
        session
    }

    fn frame(body: &str) -> Vec<u8> {
        let length = u16::try_from(body.len()).expect("fits a frame");
        [&length.to_be_bytes()[..], body.as_bytes()].concat()
    }

    fn hear(session: &mut Session, body: &str) -> Vec<Event> {
        session.handle_bytes(&frame(body), NOW);
        std::iter::from_fn(|| session.poll_event()).collect()
    }

    fn connected() -> Session {
        let mut session = session();
        let told = hear(&mut session, r#"{"T":"connack","Params":{"PingInterval":"1m0s"}}"#);
        assert_eq!(told, [Event::Connected { ping_interval: Duration::from_secs(60) }]);
        session
    }

    #[test]
    fn it_opens_with_the_version_and_a_connect() {
        let mut session = Session::new(options(), NOW).expect("short");
        let opening = session.poll_transmit().expect("the device speaks first");
        assert_eq!(opening[0], 0);
        let (body, used) = wire0::split_frame(&opening[1..]).expect("whole");
        assert_eq!(used, opening.len() - 1);
        assert!(matches!(DeviceMessage::decode(body), Ok(DeviceMessage::Connect(_))));
    }

    #[test]
    fn what_does_not_fit_a_connect_is_refused_before_it_is_sent() {
        let mut options = options();
        options.connect.cookie = "c".repeat(70_000);
        assert_eq!(Session::new(options, NOW).err(), Some(ProtocolError::FrameTooLong));
    }

    #[test]
    fn only_a_connack_lets_the_device_in() {
        for body in [r#"{"T":"ping"}"#, BROADCAST, r#"{"T":"connbroken","Reason":"host-mismatch"}"#] {
            let told = hear(&mut session(), body);
            assert_eq!(told, [Event::Ended(EndReason::WrongMessage { due: "CONNACK" })], "{body}");
        }
    }

    #[test]
    fn an_ack_is_sent_when_the_owner_says_so_and_no_sooner() {
        let mut session = connected();
        assert!(matches!(hear(&mut session, BROADCAST)[..], [Event::Broadcast(_)]));
        assert_eq!(session.poll_transmit(), None);
        session.ack();
        assert_eq!(session.poll_transmit().as_deref(), Some(&frame(r#"{"T":"ack"}"#)[..]));
    }

    #[test]
    fn a_server_that_does_not_wait_for_the_ack_is_left() {
        let mut session = connected();
        hear(&mut session, BROADCAST);
        assert_eq!(hear(&mut session, r#"{"T":"ping"}"#), [Event::Ended(EndReason::Unsolicited)]);
        session.ack();
        assert_eq!(session.poll_transmit(), None);
    }

    #[test]
    #[should_panic(expected = "no ack is owed")]
    fn acking_what_was_not_sent_is_the_owners_mistake() {
        connected().ack();
    }

    #[test]
    fn what_is_no_message_of_a_server_ends_the_session() {
        for body in ["", "{}", r#"{"T":"ack"}"#, r#"{"T":"connack","Params":{"PingInterval":"1m0s"}}"#] {
            let told = hear(&mut connected(), body);
            assert!(matches!(told[..], [Event::Ended(_)]), "{body}: {told:?}");
        }
    }

    #[test]
    fn a_device_says_no_more_of_itself_than_a_connect_may_hold() {
        let open = |authorization_bytes| {
            let authorization = "a".repeat(authorization_bytes);
            let connect = Connect { authorization, ..Connect::new("carol".parse().expect("an id")) };
            let session = Session::new(Options { connect, exchange_timeout: EXCHANGE_TIMEOUT_DEFAULT }, NOW);
            session.map(|mut session| session.poll_transmit().expect("it begins").len())
        };
        let around = open(0).expect("short");
        let longest = 1 + 2 + wire0::CONNECT_BODY_BYTES_MAX;
        assert_eq!(open(longest - around), Ok(longest));
        assert_eq!(open(longest - around + 1), Err(ProtocolError::FrameTooLong));
    }

    #[test]
    fn a_cookie_too_long_to_be_sent_back_ends_the_session() {
        let cookie = "c".repeat(wire0::COOKIE_BYTES_MAX + 1);
        let told = hear(&mut connected(), &format!(r#"{{"T":"setparams","SetCookie":"{cookie}"}}"#));
        assert_eq!(told, [Event::Ended(ProtocolError::TooLong("SetCookie").into())]);
    }
}
