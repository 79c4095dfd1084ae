//! The server's side of wire 0: half duplex, paced by the server.
//!
//! ```text
//!  AwaitConnect ──CONNECT──▶ AwaitAccept ──accept (CONNACK)──▶ Idle
//!                            Event::Connect
//!
//!          ┌── ping due: PING ──▶ AwaitPong ── PONG ──┐
//!  Idle ───┤                                          ├──▶ Idle, ping due an interval later
//!          └── deliver: frame ──▶ AwaitAck ─── ACK ───┘
//!                                          Event::Acked
//! ```

use bytes::Bytes;

use super::{Event, Introduction, Message, Rim};
use crate::base::{Credential, Monotonic, RareBytes};
use crate::protocol::wire0::{
    self, ANSWER_BODY_BYTES_MAX, CONNECT_BODY_BYTES_MAX, Connect, DeviceMessage, ProtocolError,
    ServerMessage, encode_notifications,
};
use crate::protocol::wire1::Reason;
use crate::session::EndReason;

/// A conversation that has begun with the version byte.
#[derive(Debug)]
pub(super) struct Conversation {
    state: State,
    /// The front of a frame whose rest has not come.
    partial: RareBytes,
}

#[derive(Debug)]
enum State {
    AwaitConnect {
        deadline: Monotonic,
    },
    /// The owner has until the deadline to let the device in.
    AwaitAccept {
        deadline: Monotonic,
    },
    Idle {
        ping_due: Monotonic,
    },
    AwaitPong {
        deadline: Monotonic,
    },
    /// So many messages are in flight, or one broadcast.
    AwaitAck {
        deadline: Monotonic,
        deliveries: usize,
    },
}

impl Conversation {
    pub fn new(deadline: Monotonic) -> Conversation {
        Conversation { state: State::AwaitConnect { deadline }, partial: RareBytes::default() }
    }

    pub fn handle_bytes(&mut self, bytes: &[u8], rim: &mut Rim, now: Monotonic) -> Result<(), EndReason> {
        match self.state {
            _ if bytes.is_empty() => Ok(()),
            State::AwaitConnect { .. } => self.gather(bytes, CONNECT_BODY_BYTES_MAX, rim, now),
            State::AwaitPong { .. } | State::AwaitAck { .. } => {
                self.gather(bytes, ANSWER_BODY_BYTES_MAX, rim, now)
            }
            State::AwaitAccept { .. } | State::Idle { .. } => Err(EndReason::Unsolicited),
        }
    }

    /// The deadline has passed.
    pub fn handle_timeout(&mut self, rim: &mut Rim, now: Monotonic) -> Result<(), EndReason> {
        let State::Idle { .. } = self.state else { return Err(EndReason::Timeout) };
        rim.send(Bytes::from_static(wire0::PING_FRAME));
        self.state = State::AwaitPong { deadline: now + rim.options.exchange_timeout };
        Ok(())
    }

    pub fn accept(&mut self, rim: &mut Rim, now: Monotonic) {
        assert!(matches!(self.state, State::AwaitAccept { .. }), "accept follows Event::Connect");
        rim.send(connack(rim));
        self.become_idle(rim, now);
    }

    /// Says why the device is turned away.
    pub fn refuse(&mut self, reason: Reason, rim: &mut Rim) {
        match reason {
            Reason::Unauthorized => self.warn_unauthorized(rim),
            reason => self.break_off(reason, rim),
        }
    }

    /// Without a CONNACK, from which a stranger would take courage. While an answer is due nothing may be said.
    fn warn_unauthorized(&mut self, rim: &mut Rim) {
        if matches!(self.state, State::AwaitAccept { .. } | State::Idle { .. }) {
            rim.send(encode(ServerMessage::Connwarn { reason: wire0::UNAUTHORIZED.into() }));
        }
    }

    /// A device that was not accepted yet gets its CONNACK first: until then it would not understand.
    fn break_off(&mut self, reason: Reason, rim: &mut Rim) {
        match self.state {
            State::AwaitAccept { .. } => rim.send(connack(rim)),
            State::Idle { .. } => {}
            _ => panic!("refuse answers Event::Connect or starts from idle"),
        }
        rim.send(encode(ServerMessage::Connbroken { reason: reason.name().into() }));
    }

    /// Sends as many of the first messages as share a frame.
    pub fn deliver<'a>(
        &mut self,
        messages: impl IntoIterator<Item = Message<'a>>,
        rim: &mut Rim,
        now: Monotonic,
    ) -> usize {
        let messages = messages.into_iter().map(|message| (message.app, message.id, message.payload));
        let Some(part) = encode_notifications(messages) else { return 0 };
        self.begin(part.frame, part.count, rim, now);
        part.count
    }

    /// Starts an exchange of a frame that carries so many deliveries.
    pub fn begin(&mut self, frame: Bytes, deliveries: usize, rim: &mut Rim, now: Monotonic) {
        assert!(self.is_idle(), "an exchange starts from idle");
        rim.send(frame);
        self.state = State::AwaitAck { deadline: now + rim.options.exchange_timeout, deliveries };
    }

    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle { .. })
    }

    pub fn next_deadline(&self) -> Monotonic {
        match self.state {
            State::AwaitConnect { deadline }
            | State::AwaitAccept { deadline }
            | State::AwaitPong { deadline }
            | State::AwaitAck { deadline, .. } => deadline,
            State::Idle { ping_due } => ping_due,
        }
    }

    /// Adds `bytes` to the frame that is due, and handles it once it is complete.
    fn gather(
        &mut self,
        bytes: &[u8],
        body_bytes_max: usize,
        rim: &mut Rim,
        now: Monotonic,
    ) -> Result<(), EndReason> {
        let mut gathered = self.partial.take();
        let available = if gathered.is_empty() {
            bytes
        } else {
            gathered.extend_from_slice(bytes);
            &gathered
        };
        if wire0::announced_body_bytes(available).is_some_and(|announced| announced > body_bytes_max) {
            return Err(ProtocolError::FrameTooLong.into());
        }
        match wire0::split_frame(available) {
            Some((body, used)) => {
                self.handle_message(DeviceMessage::decode(body)?, rim, now)?;
                if used < available.len() { Err(EndReason::Unsolicited) } else { Ok(()) }
            }
            None => {
                self.partial.set(if gathered.is_empty() { bytes.to_vec() } else { gathered });
                Ok(())
            }
        }
    }

    fn handle_message(
        &mut self,
        message: DeviceMessage,
        rim: &mut Rim,
        now: Monotonic,
    ) -> Result<(), EndReason> {
        match (&self.state, message) {
            (State::AwaitConnect { .. }, DeviceMessage::Connect(connect)) => {
                self.state = State::AwaitAccept { deadline: now + rim.options.exchange_timeout };
                rim.tell(Event::Connect(Box::new(connect.into())));
            }
            (State::AwaitPong { .. }, DeviceMessage::Pong) => self.become_idle(rim, now),
            (&State::AwaitAck { deliveries, .. }, DeviceMessage::Ack) => {
                self.become_idle(rim, now);
                rim.tell(Event::Acked(deliveries));
            }
            (State::AwaitConnect { .. }, _) => return Err(EndReason::WrongMessage { due: "CONNECT" }),
            (State::AwaitPong { .. }, _) => return Err(EndReason::WrongMessage { due: "PONG" }),
            (_, _) => return Err(EndReason::WrongMessage { due: "ACK" }),
        }
        Ok(())
    }

    fn become_idle(&mut self, rim: &Rim, now: Monotonic) {
        self.state = State::Idle { ping_due: now + rim.options.ping_interval };
    }

    #[cfg(test)]
    pub fn buffered_bytes(&self) -> usize {
        self.partial.len()
    }
}

impl From<Connect> for Introduction {
    fn from(connect: Connect) -> Introduction {
        Introduction {
            image: connect.image(),
            credential: credential(&connect.authorization),
            levels: connect.levels,
            ..Introduction::new(connect.device_id)
        }
    }
}

/// `Bearer` and the credential's text, or the text alone; anything else is none.
fn credential(authorization: &str) -> Vec<u8> {
    let credential = Credential::from_bearer(authorization).or_else(|| authorization.parse().ok());
    credential.map_or_else(Vec::new, |credential| credential.as_bytes().to_vec())
}

fn connack(rim: &Rim) -> Bytes {
    encode(ServerMessage::Connack { ping_interval: rim.options.ping_interval })
}

/// The frame of a message that is this side's own and short.
fn encode(message: ServerMessage) -> Bytes {
    message.encode().expect("a message without payloads fits a frame")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::{Options, Session};
    use super::*;
    use crate::base::{IdError, Now, Wall};

    const NOW: Monotonic = Monotonic(Duration::from_secs(100));
    const OPTIONS: Options = Options {
        ping_interval: Duration::from_secs(10),
        exchange_timeout: Duration::from_secs(5),
        keepalive_max: Duration::from_secs(7_200),
    };
    const CONNECT: &str = r#"{"T":"connect","DeviceId":"carol"}"#;
    const ACK: &str = r#"{"T":"ack"}"#;
    const PONG: &str = r#"{"T":"pong"}"#;

    fn frame(body: &str) -> Vec<u8> {
        let length = u16::try_from(body.len()).expect("fits a frame");
        [&length.to_be_bytes()[..], body.as_bytes()].concat()
    }

    fn session() -> Session {
        Session::new(NOW, &Arc::new(OPTIONS))
    }

    fn events(session: &mut Session) -> Vec<Event> {
        std::iter::from_fn(|| session.poll_event()).collect()
    }

    /// A session that has been sent the version and then `bytes`, and what its owner was told.
    fn opened_with(bytes: &[u8]) -> (Session, Vec<Event>) {
        let mut session = session();
        session.handle_bytes(&[wire0::VERSION], NOW);
        session.handle_bytes(bytes, NOW);
        let told = events(&mut session);
        (session, told)
    }

    fn idle() -> Session {
        let (mut session, told) = opened_with(&frame(CONNECT));
        assert!(matches!(told[..], [Event::Connect(_)]));
        session.accept(Now { monotonic: NOW, wall: Wall(0) });
        assert!(session.poll_transmit().is_some());
        assert!(session.room() > 0);
        session
    }

    fn awaiting_ack() -> Session {
        let mut session = idle();
        session.deliver_broadcast(Bytes::from_static(b"a frame"), NOW);
        assert_eq!(session.poll_transmit().as_deref(), Some(&b"a frame"[..]));
        session
    }

    fn awaiting_pong() -> Session {
        let mut session = idle();
        session.handle_timeout(NOW + OPTIONS.ping_interval);
        assert_eq!(session.poll_transmit().as_deref(), Some(wire0::PING_FRAME));
        session
    }

    /// How a session ends that gets `bytes`, having told nothing else.
    fn end_of(mut session: Session, bytes: &[u8]) -> EndReason {
        session.handle_bytes(bytes, NOW);
        assert_eq!(session.room(), 0);
        assert_eq!(session.next_deadline(), None);
        match &events(&mut session)[..] {
            [Event::Ended(reason)] => reason.clone(),
            told => panic!("{told:?}"),
        }
    }

    #[test]
    fn a_session_is_small_and_an_idle_one_holds_no_buffer() {
        assert!(size_of::<Session>() <= 64, "{} bytes", size_of::<Session>());
        let mut session = awaiting_pong();
        session.handle_bytes(&frame(PONG)[..5], NOW);
        session.handle_bytes(&frame(PONG)[5..], NOW);
        assert!(session.room() > 0);
        assert_eq!(session.buffered_bytes(), 0);
    }

    #[test]
    fn a_first_byte_that_is_no_version_ends_the_session() {
        for byte in [2, 0x16, b'G', 0xff] {
            let mut session = session();
            session.handle_bytes(&[byte, 0, 0], NOW);
            assert_eq!(events(&mut session), [Event::Ended(EndReason::UnknownVersion(byte))]);
        }
    }

    #[test]
    fn a_device_that_stays_silent_or_trickles_ends_by_timeout() {
        let deadline = NOW + OPTIONS.exchange_timeout;
        let bytes = [&[wire0::VERSION][..], &frame(CONNECT)].concat();
        for sent in 0..bytes.len() {
            let mut session = session();
            for (index, byte) in bytes[..sent].iter().enumerate() {
                session.handle_bytes(&[*byte], NOW + Duration::from_millis(1 + index as u64));
            }
            assert_eq!(session.next_deadline(), Some(deadline), "{sent}");
            session.handle_timeout(NOW + (OPTIONS.exchange_timeout - Duration::from_nanos(1)));
            assert_eq!(session.poll_event(), None, "{sent}");
            session.handle_timeout(deadline);
            assert_eq!(events(&mut session), [Event::Ended(EndReason::Timeout)], "{sent}");
        }
    }

    #[test]
    fn the_first_message_must_be_a_connect_with_a_good_device_id() {
        let bad_id = ProtocolError::BadId("DeviceId", IdError::Device).into();
        let with_id = |id: &str| frame(&format!(r#"{{"T":"connect","DeviceId":"{id}"}}"#));
        let cases: [(Vec<u8>, EndReason); 7] = [
            (frame(PONG), EndReason::WrongMessage { due: "CONNECT" }),
            (frame(ACK), EndReason::WrongMessage { due: "CONNECT" }),
            (frame(r#"{"T":"hello"}"#), ProtocolError::UnknownKind.into()),
            (frame(""), ProtocolError::NotAnObject.into()),
            (b"\x00\x02\xff\xfe".to_vec(), ProtocolError::NotAnObject.into()),
            (with_id(""), EndReason::clone(&bad_id)),
            (with_id(&"c".repeat(16_000)), bad_id),
        ];
        for (bytes, reason) in cases {
            let (session, told) = opened_with(&bytes);
            assert_eq!(told, [Event::Ended(reason)]);
            assert_eq!(session.buffered_bytes(), 0);
        }
    }

    #[test]
    fn a_connect_of_16_kib_is_read_whatever_it_is_made_of_and_however_it_arrives() {
        let around = CONNECT.len() + r#","x":"#.len();
        let room = CONNECT_BODY_BYTES_MAX - around;
        let string = format!("\"{}\"", "x".repeat(room - 2));
        let deep = "[".repeat(room / 2) + &"]".repeat(room / 2);
        let keys = format!("0{}", r#","T":"""#.repeat((room - 1) / 7));
        for filling in [string, deep, keys] {
            let body = format!(r#"{{"x":{filling},{}"#, &CONNECT[1..]);
            let bytes = frame(&format!("{body:CONNECT_BODY_BYTES_MAX$}"));
            assert_eq!(bytes.len(), 2 + CONNECT_BODY_BYTES_MAX);
            let (_, at_once) = opened_with(&bytes);
            let mut session = session();
            session.handle_bytes(&[wire0::VERSION], NOW);
            bytes.chunks(1).for_each(|byte| session.handle_bytes(byte, NOW));
            assert_eq!(events(&mut session), at_once);
            assert!(matches!(at_once[..], [Event::Connect(_)]), "{at_once:?}");
        }
    }

    #[test]
    fn a_connect_that_announces_too_much_is_not_waited_for() {
        let too_long = (CONNECT_BODY_BYTES_MAX + 1) as u16;
        let (session, told) = opened_with(&too_long.to_be_bytes());
        assert_eq!(told, [Event::Ended(ProtocolError::FrameTooLong.into())]);
        assert_eq!(session.buffered_bytes(), 0);
    }

    #[test]
    fn a_connect_with_more_behind_it_is_not_announced() {
        let (_, told) = opened_with(&[&frame(CONNECT)[..], b"x"].concat());
        assert_eq!(told, [Event::Ended(EndReason::Unsolicited)]);
    }

    #[test]
    fn bytes_out_of_turn_end_the_session() {
        let (waiting, _) = opened_with(&frame(CONNECT));
        assert_eq!(end_of(waiting, &frame(ACK)), EndReason::Unsolicited);
        assert_eq!(end_of(idle(), &frame(PONG)), EndReason::Unsolicited);
        assert_eq!(end_of(idle(), b"x"), EndReason::Unsolicited);
        assert_eq!(end_of(awaiting_pong(), &[frame(PONG), frame(PONG)].concat()), EndReason::Unsolicited);
    }

    #[test]
    fn an_ack_counts_even_if_the_device_misbehaves_right_behind_it() {
        let mut session = awaiting_ack();
        session.handle_bytes(&[frame(ACK), b"x".to_vec()].concat(), NOW);
        assert_eq!(events(&mut session), [Event::Acked(1), Event::Ended(EndReason::Unsolicited)]);
    }

    #[test]
    fn a_wrong_answer_ends_the_session() {
        for wrong in [PONG, CONNECT] {
            assert_eq!(end_of(awaiting_ack(), &frame(wrong)), EndReason::WrongMessage { due: "ACK" });
        }
        for wrong in [ACK, CONNECT] {
            assert_eq!(end_of(awaiting_pong(), &frame(wrong)), EndReason::WrongMessage { due: "PONG" });
        }
        for session in [awaiting_ack(), awaiting_pong()] {
            assert_eq!(end_of(session, &frame("{}")), ProtocolError::UnknownKind.into());
        }
    }

    #[test]
    fn an_answer_that_announces_too_much_is_not_waited_for() {
        let padded = |len: usize| frame(&format!("{ACK:len$}"));
        let mut session = awaiting_ack();
        session.handle_bytes(&padded(ANSWER_BODY_BYTES_MAX), NOW);
        assert_eq!(events(&mut session), [Event::Acked(1)]);
        let too_long = padded(ANSWER_BODY_BYTES_MAX + 1);
        assert_eq!(end_of(awaiting_ack(), &too_long[..2]), ProtocolError::FrameTooLong.into());
    }

    #[test]
    fn a_ping_without_answer_ends_the_session_by_timeout() {
        let mut session = awaiting_pong();
        let deadline = NOW + OPTIONS.ping_interval + OPTIONS.exchange_timeout;
        assert_eq!(session.next_deadline(), Some(deadline));
        session.handle_timeout(deadline);
        assert_eq!(events(&mut session), [Event::Ended(EndReason::Timeout)]);
    }

    #[test]
    fn the_first_reason_to_end_stays() {
        for mut session in [session(), idle(), awaiting_ack()] {
            session.end(EndReason::Terminated);
            session.end(EndReason::Eof);
            session.handle_bytes(b"more", NOW);
            session.handle_timeout(NOW + Duration::from_secs(1_000));
            assert_eq!(events(&mut session), [Event::Ended(EndReason::Terminated)]);
            assert_eq!(session.poll_transmit(), None);
        }
    }

    #[test]
    fn reasons_are_plain_words_without_what_the_peer_wrote() {
        let cases = [
            (EndReason::Eof, "EOF"),
            (EndReason::Timeout, "timeout"),
            (EndReason::Terminated, "terminated"),
            (EndReason::UnknownVersion(71), "wire version 71 is not spoken here"),
            (EndReason::WrongMessage { due: "ACK" }, "ACK was due, and something else came"),
            (ProtocolError::WrongType("Cookie").into(), "field Cookie is not of its type"),
            (EndReason::Transport("line\nbreak".into()), "line\\nbreak"),
        ];
        for (reason, text) in cases {
            assert_eq!(reason.to_string(), text);
        }
    }
}
