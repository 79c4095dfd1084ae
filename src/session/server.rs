//! The server's side of one conversation. It knows whose turn it is and until when; what is
//! delivered, and to whom else, is its owner's business.
//!
//! ```text
//!  AwaitVersion ──0x00──▶ AwaitConnect ──CONNECT──▶ AwaitAccept ──accept (CONNACK)──▶ Idle
//!                                                   Event::Connect
//!
//!          ┌── ping due: PING ──▶ AwaitPong ── PONG ──┐
//!  Idle ───┤                                          ├──▶ Idle, ping due an interval later
//!          └── deliver: frame ──▶ AwaitAck ─── ACK ───┘
//!                                          Event::Acked
//!
//!  any ── end, refuse, a deadline missed, or bytes that were not due ──▶ Ended
//!                                                                        Event::Ended
//! ```
//!
//! The first byte decides the wire. Wire 0 is the only one, so its states stand here; another wire
//! brings its own conversation, and this file then keeps no more than `AwaitVersion` and `Ended`.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::EndReason;
use crate::base::Monotonic;
use crate::protocol::wire0::{
    self, ANSWER_BODY_BYTES_MAX, CONNECT_BODY_BYTES_MAX, Connect, DeviceMessage, ProtocolError, ServerMessage,
};

/// What the sessions of a server have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long after the last completed exchange a ping is due.
    pub ping_interval: Duration,
    /// How long a device may take for CONNECT (from accept) and for each answer.
    pub exchange_timeout: Duration,
}

/// One session. The owner feeds it what happens (`handle_*`) and tells it what to do (`accept`,
/// `deliver`, …), and after each of these takes out all that [`Session::poll_transmit`] and
/// [`Session::poll_event`] have, and notes [`Session::next_deadline`]. An idle session holds no buffer.
#[derive(Debug)]
pub struct Session {
    options: Arc<Options>,
    state: State,
    /// The front of a frame whose rest has not come.
    partial: Vec<u8>,
    outgoing: Option<Bytes>,
    event: Option<Event>,
}

#[derive(Debug)]
enum State {
    AwaitVersion { deadline: Monotonic },
    AwaitConnect { deadline: Monotonic },
    AwaitAccept,
    Idle { ping_due: Monotonic },
    AwaitPong { deadline: Monotonic },
    AwaitAck { deadline: Monotonic },
    Ended { untold: Option<EndReason> },
}

/// What the owner has to know.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A device has introduced itself: it waits for [`Session::accept`] or [`Session::refuse`].
    Connect(Box<Connect>),
    /// The device has acked what was delivered last; the session is idle again.
    Acked,
    /// The session is over. Comes once, and last; what [`Session::poll_transmit`] still has is to be sent.
    Ended(EndReason),
}

impl Session {
    /// A session on a connection that was accepted at `now`.
    pub fn new(now: Monotonic, options: &Arc<Options>) -> Session {
        let deadline = now + options.exchange_timeout;
        Session {
            options: Arc::clone(options),
            state: State::AwaitVersion { deadline },
            partial: Vec::new(),
            outgoing: None,
            event: None,
        }
    }

    /// Takes plaintext from the device.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Monotonic) {
        let Some((&first, rest)) = bytes.split_first() else { return };
        match self.state {
            State::AwaitVersion { deadline } if first == wire0::VERSION => {
                self.state = State::AwaitConnect { deadline };
                self.handle_bytes(rest, now);
            }
            State::AwaitVersion { .. } => self.end(EndReason::UnknownVersion(first)),
            State::AwaitConnect { .. } => self.gather(bytes, CONNECT_BODY_BYTES_MAX, now),
            State::AwaitPong { .. } | State::AwaitAck { .. } => {
                self.gather(bytes, ANSWER_BODY_BYTES_MAX, now);
            }
            State::AwaitAccept | State::Idle { .. } => self.end(EndReason::Unsolicited),
            State::Ended { .. } => {}
        }
    }

    /// Lets time pass. Does nothing before [`Session::next_deadline`]; then pings, or gives up on the device.
    pub fn handle_timeout(&mut self, now: Monotonic) {
        if self.next_deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.state {
            State::Idle { .. } => {
                self.send(Bytes::from_static(wire0::PING_FRAME));
                self.state = State::AwaitPong { deadline: now + self.options.exchange_timeout };
            }
            _ => self.end(EndReason::Timeout),
        }
    }

    /// Ends the session, whatever its state: the connection failed, or the owner wants it so. The
    /// first reason stays.
    pub fn end(&mut self, reason: EndReason) {
        if matches!(self.state, State::Ended { .. }) {
            return;
        }
        // A device that is gone before the owner has heard of it need not be announced.
        self.event.take_if(|event| matches!(event, Event::Connect(_)));
        self.partial = Vec::new();
        self.state = State::Ended { untold: Some(reason) };
    }

    /// Lets in the device that [`Event::Connect`] introduced.
    ///
    /// # Panics
    /// If none waits for it.
    pub fn accept(&mut self, now: Monotonic) {
        assert!(matches!(self.state, State::AwaitAccept), "accept follows Event::Connect");
        self.send(self.connack());
        self.become_idle(now);
    }

    /// Turns the device away, telling it the reason, such as [`wire0::HOST_MISMATCH`]. A device that
    /// was not accepted yet gets its CONNACK first: until then it would not understand.
    ///
    /// # Panics
    /// If the device neither waits for [`Session::accept`] nor is idle.
    pub fn refuse(&mut self, reason: &'static str) {
        let connbroken = encode(ServerMessage::Connbroken { reason: reason.into() });
        match self.state {
            State::AwaitAccept => self.send([self.connack(), connbroken].concat().into()),
            State::Idle { .. } => self.send(connbroken),
            _ => panic!("refuse answers Event::Connect or starts from idle"),
        }
        self.end(EndReason::Refused(reason));
    }

    /// Sends a frame that devices do not answer: CONNWARN or SETPARAMS.
    ///
    /// # Panics
    /// If the session is not [idle](Session::is_idle).
    pub fn tell(&mut self, frame: Bytes) {
        assert!(self.is_idle(), "frames are sent from idle");
        self.send(frame);
    }

    /// Starts the exchange of a BROADCAST or NOTIFICATIONS frame; [`Event::Acked`] completes it.
    ///
    /// # Panics
    /// If the session is not [idle](Session::is_idle).
    pub fn deliver(&mut self, frame: Bytes, now: Monotonic) {
        assert!(self.is_idle(), "an exchange starts from idle");
        self.send(frame);
        self.state = State::AwaitAck { deadline: now + self.options.exchange_timeout };
    }

    /// What is to be sent next.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.outgoing.take()
    }

    /// What the owner has to know next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.event.take().or_else(|| match &mut self.state {
            State::Ended { untold } => untold.take().map(Event::Ended),
            _ => None,
        })
    }

    /// Whether the owner may [`deliver`](Session::deliver): the device is connected, no exchange
    /// runs, and everything was taken out.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle { .. }) && self.outgoing.is_none() && self.event.is_none()
    }

    /// The time at which [`Session::handle_timeout`] has something to do.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        match self.state {
            State::AwaitVersion { deadline }
            | State::AwaitConnect { deadline }
            | State::AwaitPong { deadline }
            | State::AwaitAck { deadline } => Some(deadline),
            State::Idle { ping_due } => Some(ping_due),
            State::AwaitAccept | State::Ended { .. } => None,
        }
    }

    /// Adds `bytes` to the frame that is due, and handles it once it is complete.
    fn gather(&mut self, bytes: &[u8], body_bytes_max: usize, now: Monotonic) {
        let mut gathered = mem::take(&mut self.partial);
        let available = if gathered.is_empty() {
            bytes
        } else {
            gathered.extend_from_slice(bytes);
            &gathered
        };
        if wire0::announced_body_bytes(available).is_some_and(|announced| announced > body_bytes_max) {
            return self.end(ProtocolError::FrameTooLong.into());
        }
        match wire0::split_frame(available) {
            Some((body, used)) => self.handle_frame(body, used < available.len(), now),
            None if gathered.is_empty() => self.partial = bytes.to_vec(),
            None => self.partial = gathered,
        }
    }

    fn handle_frame(&mut self, body: &[u8], more_follows: bool, now: Monotonic) {
        match DeviceMessage::decode(body) {
            Ok(message) => self.handle_message(message, now),
            Err(error) => self.end(error.into()),
        }
        if more_follows {
            self.end(EndReason::Unsolicited);
        }
    }

    fn handle_message(&mut self, message: DeviceMessage, now: Monotonic) {
        match (&self.state, message) {
            (State::AwaitConnect { .. }, DeviceMessage::Connect(connect)) => {
                self.state = State::AwaitAccept;
                self.event = Some(Event::Connect(Box::new(connect)));
            }
            (State::AwaitPong { .. }, DeviceMessage::Pong) => self.become_idle(now),
            (State::AwaitAck { .. }, DeviceMessage::Ack) => {
                self.become_idle(now);
                self.event = Some(Event::Acked);
            }
            (State::AwaitConnect { .. }, _) => self.end(EndReason::WrongMessage { due: "CONNECT" }),
            (State::AwaitPong { .. }, _) => self.end(EndReason::WrongMessage { due: "PONG" }),
            (_, _) => self.end(EndReason::WrongMessage { due: "ACK" }),
        }
    }

    fn become_idle(&mut self, now: Monotonic) {
        self.state = State::Idle { ping_due: now + self.options.ping_interval };
    }

    fn connack(&self) -> Bytes {
        encode(ServerMessage::Connack { ping_interval: self.options.ping_interval })
    }

    fn send(&mut self, frame: Bytes) {
        assert!(self.outgoing.is_none(), "the owner takes out every frame before the next command");
        self.outgoing = Some(frame);
    }
}

/// The frame of a message that is this side's own and short.
fn encode(message: ServerMessage) -> Bytes {
    message.encode().expect("a message without payloads fits a frame")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::IdError;

    const NOW: Monotonic = Monotonic(Duration::from_secs(100));
    const OPTIONS: Options =
        Options { ping_interval: Duration::from_secs(10), exchange_timeout: Duration::from_secs(5) };
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
        session.accept(NOW);
        assert!(session.poll_transmit().is_some());
        assert!(session.is_idle());
        session
    }

    fn awaiting_ack() -> Session {
        let mut session = idle();
        session.deliver(Bytes::from_static(b"a frame"), NOW);
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
        assert!(!session.is_idle());
        assert_eq!(session.next_deadline(), None);
        match &events(&mut session)[..] {
            [Event::Ended(reason)] => reason.clone(),
            told => panic!("{told:?}"),
        }
    }

    #[test]
    fn a_session_is_small_and_an_idle_one_holds_no_buffer() {
        assert!(size_of::<Session>() <= 112, "{} bytes", size_of::<Session>());
        let mut session = awaiting_pong();
        session.handle_bytes(&frame(PONG)[..5], NOW);
        session.handle_bytes(&frame(PONG)[5..], NOW);
        assert!(session.is_idle());
        assert_eq!(session.partial.capacity(), 0);
    }

    #[test]
    fn a_first_byte_that_is_no_version_ends_the_session() {
        for byte in [1, 0x16, b'G', 0xff] {
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
            assert_eq!(session.partial.capacity(), 0);
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
        assert_eq!(session.partial.capacity(), 0);
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
        assert_eq!(events(&mut session), [Event::Acked, Event::Ended(EndReason::Unsolicited)]);
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
        assert_eq!(events(&mut session), [Event::Acked]);
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
