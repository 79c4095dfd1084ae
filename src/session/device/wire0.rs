//! The device's side of wire 0. It answers pings by itself, and acks only when told to.
//!
//! ```text
//!  new (version, CONNECT) ──▶ AwaitConnack ──CONNACK──▶ Listening ◀───────────────┐
//!                              └─ CONNWARN  Connected     │  ▲ └─ PING: PONG ──┘  │
//!                                                        │  └─ CONNWARN, SETPARAMS
//!                              BROADCAST, NOTIFICATIONS ─┤                       │
//!                                                        └──▶ OwesAck ── ack: ACK┘
//!
//!  any ── CONNBROKEN, silence for too long, or what was not due ──▶ ended
//! ```

use std::mem;
use std::time::Duration;

use bytes::Bytes;

use super::{Broadcast, Event, Message, Rim};
use crate::base::{Monotonic, Urgency};
use crate::protocol::wire0::{self, Connect, DeviceMessage, Notification, ProtocolError, ServerMessage};
use crate::session::EndReason;

#[derive(Debug)]
pub(super) struct Conversation {
    exchange_timeout: Duration,
    state: State,
    /// The front of a frame whose rest has not come.
    partial: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    AwaitConnack { deadline: Monotonic },
    Listening { silence_max: Duration, deadline: Monotonic },
    OwesAck { silence_max: Duration, deadline: Monotonic },
}

impl Conversation {
    /// Opens the conversation. Fails if what the device says of itself does not fit a CONNECT.
    pub fn new(
        connect: Connect,
        exchange_timeout: Duration,
        rim: &mut Rim,
        now: Monotonic,
    ) -> Result<Conversation, ProtocolError> {
        let connect = DeviceMessage::Connect(connect).encode()?;
        rim.send([Bytes::from_static(&[wire0::VERSION]), connect].concat().into());
        let state = State::AwaitConnack { deadline: now + exchange_timeout };
        Ok(Conversation { exchange_timeout, state, partial: Vec::new() })
    }

    pub fn handle_bytes(&mut self, bytes: &[u8], rim: &mut Rim, now: Monotonic) -> Result<(), EndReason> {
        self.hear(now);
        let mut gathered = mem::take(&mut self.partial);
        gathered.extend_from_slice(bytes);
        let mut used = 0;
        while let Some((body, frame_bytes)) = wire0::split_frame(&gathered[used..]) {
            self.handle_message(ServerMessage::decode(body)?, rim, now)?;
            used += frame_bytes;
        }
        gathered.drain(..used);
        self.partial = gathered;
        Ok(())
    }

    /// All that came is stored.
    pub fn ack(&mut self, rim: &mut Rim) {
        if let State::OwesAck { silence_max, deadline } = self.state {
            send(DeviceMessage::Ack, rim);
            self.state = State::Listening { silence_max, deadline };
        }
    }

    pub fn next_deadline(&self) -> Monotonic {
        match self.state {
            State::AwaitConnack { deadline }
            | State::Listening { deadline, .. }
            | State::OwesAck { deadline, .. } => deadline,
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

    fn handle_message(
        &mut self,
        message: ServerMessage,
        rim: &mut Rim,
        now: Monotonic,
    ) -> Result<(), EndReason> {
        match (self.state, message) {
            (State::AwaitConnack { .. }, ServerMessage::Connack { ping_interval }) => {
                let silence_max = ping_interval.saturating_add(self.exchange_timeout);
                self.state = State::Listening { silence_max, deadline: now + silence_max };
                rim.tell(Event::Connected { interval: ping_interval });
                Ok(())
            }
            (State::Listening { silence_max, deadline }, message) => {
                self.listen(message, State::OwesAck { silence_max, deadline }, rim)
            }
            // A server that does not know the device says so in place of CONNACK, and closes.
            (State::AwaitConnack { .. }, ServerMessage::Connwarn { reason }) => {
                rim.tell(Event::Warned { reason });
                Ok(())
            }
            (State::AwaitConnack { .. }, _) => Err(EndReason::WrongMessage { due: "CONNACK" }),
            (State::OwesAck { .. }, _) => Err(EndReason::Unsolicited),
        }
    }

    /// Handles what comes after CONNACK while no ack is owed; `owing` is the state if it asks for one.
    fn listen(&mut self, message: ServerMessage, owing: State, rim: &mut Rim) -> Result<(), EndReason> {
        match message {
            ServerMessage::Ping => send(DeviceMessage::Pong, rim),
            ServerMessage::Broadcast(broadcast) => {
                self.state = owing;
                rim.tell(Event::Broadcast(broadcast.into()));
            }
            ServerMessage::Notifications(all) => {
                self.state = owing;
                // Nothing to store asks for an ack all the same.
                if all.is_empty() {
                    self.ack(rim);
                }
                all.into_iter().for_each(|notification| rim.tell(Event::Message(notification.into())));
            }
            ServerMessage::Connwarn { reason } => rim.tell(Event::Warned { reason }),
            ServerMessage::SetParams { cookie } => rim.tell(Event::Cookie(cookie)),
            ServerMessage::Connbroken { reason } => {
                rim.tell(Event::Broken { reason });
                return Err(EndReason::BrokenOff);
            }
            ServerMessage::Connack { .. } => return Err(EndReason::WrongMessage { due: "an exchange" }),
        }
        Ok(())
    }
}

impl From<Notification> for Message {
    fn from(notification: Notification) -> Message {
        let Notification { app, id, payload } = notification;
        Message { id, app, urgency: Urgency::default(), expires_in: None, payload }
    }
}

impl From<wire0::Broadcast> for Broadcast {
    fn from(broadcast: wire0::Broadcast) -> Broadcast {
        let wire0::Broadcast { channel, top_level: level, payloads, .. } = broadcast;
        Broadcast { channel, level, payloads: payloads.unwrap_or_default() }
    }
}

fn send(message: DeviceMessage, rim: &mut Rim) {
    rim.send(message.encode().expect("answers fit a frame"));
}

#[cfg(test)]
mod tests {
    use super::super::{Options, Session};
    use super::*;

    const NOW: Monotonic = Monotonic(Duration::from_secs(100));
    const BROADCAST: &str = r#"{"T":"broadcast","ChanId":"0","TopLevel":3,"Payloads":null}"#;

    fn options() -> Options {
        let connect = Connect::new("carol".parse().expect("valid"));
        Options::new(connect.into())
    }

    fn session() -> Session {
        let mut session = Session::new(options(), NOW).expect("short");
        assert!(session.poll_transmit(Monotonic::default()).is_some());
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
        assert_eq!(told, [Event::Connected { interval: Duration::from_secs(60) }]);
        session
    }

    #[test]
    fn it_opens_with_the_version_and_a_connect() {
        let mut session = Session::new(options(), NOW).expect("short");
        let opening = session.poll_transmit(Monotonic::default()).expect("the device speaks first");
        assert_eq!(opening[0], 0);
        let (body, used) = wire0::split_frame(&opening[1..]).expect("whole");
        assert_eq!(used, opening.len() - 1);
        assert!(matches!(DeviceMessage::decode(body), Ok(DeviceMessage::Connect(_))));
    }

    #[test]
    fn what_does_not_fit_a_connect_is_refused_before_it_is_sent() {
        let connect = Connect { cookie: "c".repeat(70_000), ..Connect::new("carol".parse().expect("valid")) };
        let refused = Session::new(Options::new(connect.into()), NOW).err();
        assert_eq!(refused, Some(ProtocolError::FrameTooLong.into()));
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
        assert_eq!(session.poll_transmit(Monotonic::default()), None);
        session.ack();
        assert_eq!(
            session.poll_transmit(Monotonic::default()).as_deref(),
            Some(&frame(r#"{"T":"ack"}"#)[..])
        );
    }

    #[test]
    fn a_server_that_does_not_wait_for_the_ack_is_left() {
        let mut session = connected();
        hear(&mut session, BROADCAST);
        assert_eq!(hear(&mut session, r#"{"T":"ping"}"#), [Event::Ended(EndReason::Unsolicited)]);
        session.ack();
        assert_eq!(session.poll_transmit(Monotonic::default()), None);
    }

    #[test]
    fn acking_what_was_not_sent_says_nothing() {
        let mut session = connected();
        session.ack();
        assert_eq!(session.poll_transmit(Monotonic::default()), None);
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
            let session = Session::new(Options::new(connect.into()), NOW);
            session.map(|mut session| session.poll_transmit(Monotonic::default()).expect("it begins").len())
        };
        let around = open(0).expect("short");
        let longest = 1 + 2 + wire0::CONNECT_BODY_BYTES_MAX;
        assert_eq!(open(longest - around), Ok(longest));
        assert_eq!(open(longest - around + 1), Err(ProtocolError::FrameTooLong.into()));
    }

    #[test]
    fn a_cookie_too_long_to_be_sent_back_ends_the_session() {
        let cookie = "c".repeat(wire0::COOKIE_BYTES_MAX + 1);
        let told = hear(&mut connected(), &format!(r#"{{"T":"setparams","SetCookie":"{cookie}"}}"#));
        assert_eq!(told, [Event::Ended(ProtocolError::TooLong("SetCookie").into())]);
    }
}
