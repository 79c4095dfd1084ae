//! One HTTP/1.1 connection's conversation: which request is in work, what waits behind it, and how the
//! connection ends so that the last answer arrives. What the requests mean is not known here.
//!
//! ```text
//!            a body is wanted         it is complete
//!  ┌──► Head ──────────────────► Body ──────────────► Working
//!  │    │  │ ╲                     │                  ▲   │
//!  │    │  │  ╲ told or refused    │ refused, or      │   │ replied
//!  │    │  │   ╲                   ▼ cut short        │   │
//!  │    │  │    └──────────────► Answered ◄───────────┼───┘
//!  │    │  └─ needs no body ───────┼────┼─────────────┘
//!  │    │                taken, and│    │taken, and it was the last
//!  │    │ idle  more may be asked  │    │
//!  └────┼────────── Skip ◄─────────┘    └────────► Draining
//!       ▼            │ the peer has stopped           │ the peer has closed,
//!    Finished ◄──────┴────────────────────────────────┘ or is cut off
//! ```

use core::net::IpAddr;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};

use super::answer::{self, Asked, Framing, Outcome};
use super::doorkeeper::Doorkeeper;
use super::exchange::{Exchange, Next};
use super::failure::Failure;
use super::head::{HEAD_BYTES_MAX, Head};
use super::memory::{Memory, SMALL_BYTES_MAX, Share};
use super::rights::Line;
use super::routes::{self, Call, Plan};
use super::{Options, Reply, Request, body};
use crate::base::{Monotonic, Now};

/// How much may still come after the last answer, in bytes, before the connection is cut. Reading it
/// and throwing it away is cheap; a reset would take the answer from whoever sends first and reads later.
const DRAINED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long it may come: time for a peer on a slow line to read the answer and close.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest part of an answer that is given out at once, in bytes: two records of TLS. The rest waits
/// here until the socket has taken it.
const TRANSMIT_BYTES_MAX: usize = 32 * 1024;
/// How often a body is in memory, from its arrival, in a buffer that grows, to the queue.
const COPIES_OF_BODY: usize = 3;
const TOO_MUCH_AT_ONCE: &str = "Too many large requests at once";

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// One connection's conversation.
///
/// Drive it with one `handle_*` at a time. After each, take from [`Conversation::poll_transmit`] while
/// there is nothing left to write of what it gave before, then from [`Conversation::poll_request`], then
/// look at [`Conversation::state`] once all is written, at [`Conversation::wants_bytes`], and at
/// [`Conversation::next_deadline`].
///
/// Requests are worked off one at a time, in order: the next one begins when the answer to the last has
/// been taken. So whoever sends requests and reads no answers fills one buffer and is read no further.
#[derive(Debug)]
pub struct Conversation {
    options: Arc<Options>,
    line: Line,
    doorkeeper: Option<Box<dyn Doorkeeper>>,
    memory: Memory,
    phase: Phase,
    /// Bytes that came and are not worked off yet. Has no memory while empty.
    input: BytesMut,
    /// Responses that are not taken yet: at most a 100 and one answer.
    output: BytesMut,
    /// The peer will send no more.
    ended: bool,
}

/// What to do with the socket when all that was taken is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Go on.
    Open,
    /// Shut down the writing side, once, and go on reading: the last answer is out, and would be lost
    /// if what still comes were answered by a reset.
    ShutdownWrite,
    /// Close.
    Finished,
}

#[derive(Debug)]
enum Phase {
    /// Between requests, or within a head.
    Head {
        until: Monotonic,
    },
    /// The head was in order; the body is awaited.
    Body {
        call: Call,
        length: usize,
        share: Share,
        exchange: Exchange,
        until: Monotonic,
    },
    /// The answer to `request` must come from elsewhere. It is taken out when it is polled.
    Working {
        request: Option<Request>,
        asked: Asked,
        share: Share,
        exchange: Exchange,
    },
    /// The answer is in `output`.
    Answered {
        next: Next,
        /// Holds the memory until it is written.
        _share: Share,
    },
    /// The rest of a request that was answered already is thrown away as it comes.
    Skip {
        left: u64,
        until: Monotonic,
    },
    /// The last answer is out; whatever comes is thrown away.
    Draining {
        left: usize,
        until: Monotonic,
    },
    Finished,
}

impl Conversation {
    /// A conversation on a connection that was accepted at `now`.
    pub fn new(options: Arc<Options>, line: Line, now: Now) -> Conversation {
        let phase = Phase::Head { until: now.monotonic + options.read_timeout };
        let (input, output) = (BytesMut::new(), BytesMut::new());
        Conversation {
            options,
            line,
            doorkeeper: None,
            memory: Memory::default(),
            phase,
            input,
            output,
            ended: false,
        }
    }

    /// The same, where somebody counts failed authentications.
    pub fn guarded_by(self, doorkeeper: Box<dyn Doorkeeper>) -> Conversation {
        Conversation { doorkeeper: Some(doorkeeper), ..self }
    }

    /// The same, where all conversations that are given this memory share it.
    pub fn sharing(self, memory: &Memory) -> Conversation {
        Conversation { memory: memory.clone(), ..self }
    }

    /// Bytes have come. Takes them all; whoever reads from the socket asks
    /// [`Conversation::wants_bytes`] before, and passes a bounded part at a time.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Now) {
        match &mut self.phase {
            Phase::Draining { left, .. } if *left >= bytes.len() => *left -= bytes.len(),
            Phase::Draining { .. } | Phase::Finished => self.phase = Phase::Finished,
            Phase::Head { until } => {
                if self.input.is_empty() {
                    *until = now.monotonic + self.options.read_timeout;
                }
                self.take(bytes, now);
            }
            _ => self.take(bytes, now),
        }
    }

    /// The peer has closed its writing side. Requests that came whole are still answered.
    pub fn handle_end(&mut self, now: Now) {
        self.ended = true;
        self.advance(now);
    }

    /// Time has passed. Does nothing before [`Conversation::next_deadline`].
    pub fn handle_timeout(&mut self, now: Now) {
        if self.next_deadline().is_some_and(|deadline| deadline <= now.monotonic) {
            self.give_up(now);
        }
    }

    /// The reply to the request that was polled last.
    ///
    /// # Panics
    /// If there is none: the reply is another connection's, and must not go out on this one.
    pub fn handle_reply(&mut self, reply: Reply, now: Now) {
        let Phase::Working { request: None, asked, share, exchange } = self.leave_phase() else {
            panic!("a reply without a request");
        };
        let outcome = answer::outcome(reply, asked, &self.options);
        self.answer_within(share, exchange, outcome, now);
    }

    /// What this conversation needs from elsewhere before it goes on: one request at a time, each given
    /// out once.
    pub fn poll_request(&mut self) -> Option<Request> {
        match &mut self.phase {
            Phase::Working { request, .. } => request.take(),
            _ => None,
        }
    }

    /// What to write. To be called only when all that it gave before is written: as an answer is
    /// taken, the next request begins.
    pub fn poll_transmit(&mut self, now: Now) -> Option<Bytes> {
        if self.output.is_empty() {
            return None;
        }
        let part = self.output.split_to(self.output.len().min(TRANSMIT_BYTES_MAX));
        if self.output.is_empty() {
            self.output = BytesMut::new();
            if let Phase::Answered { next, .. } = self.phase {
                self.go_on(next, now);
            }
        }
        Some(part.freeze())
    }

    /// When [`Conversation::handle_timeout`] is due.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        match self.phase {
            Phase::Head { until }
            | Phase::Body { until, .. }
            | Phase::Skip { until, .. }
            | Phase::Draining { until, .. } => Some(until),
            Phase::Working { .. } | Phase::Answered { .. } | Phase::Finished => None,
        }
    }

    /// Whether to read from the socket. False while as much waits as one request may take, and at the end.
    pub fn wants_bytes(&self) -> bool {
        let input_bytes_max = match self.phase {
            Phase::Body { length, .. } => length,
            _ => self.options.body_bytes_max.max(HEAD_BYTES_MAX),
        };
        !self.ended && self.input.len() < input_bytes_max && !matches!(self.phase, Phase::Finished)
    }

    /// What to do with the socket when all that was taken is written.
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Draining { .. } => State::ShutdownWrite,
            Phase::Finished => State::Finished,
            _ => State::Open,
        }
    }

    fn take(&mut self, bytes: &[u8], now: Now) {
        self.input.extend_from_slice(bytes);
        self.advance(now);
    }

    /// Goes as far as the bytes at hand allow.
    fn advance(&mut self, now: Now) {
        while self.step(now) {}
        if self.ended {
            self.give_up(now);
        }
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
    }

    /// Takes one step; false if there is none to take.
    fn step(&mut self, now: Now) -> bool {
        match self.phase {
            Phase::Head { until } => self.read_head(until, now),
            Phase::Body { length, .. } if self.input.len() >= length => {
                self.read_body(now);
                true
            }
            Phase::Body { .. } => self.cover_body(now),
            Phase::Skip { left, until } => self.skip(left, until, now),
            _ => false,
        }
    }

    fn read_head(&mut self, until: Monotonic, now: Now) -> bool {
        let (head, head_bytes) = match Head::read(&self.input) {
            Ok(Some(found)) => found,
            Ok(None) => return false,
            Err(failure) => {
                self.answer(Exchange::LAST, Err(failure), now);
                return true;
            }
        };
        let exchange = Exchange::new(&head, self.asker(&head));
        let waits_for_100 = head.expects_continue && self.input.len() == head_bytes;
        if let Err(failure) = self.check_asker(exchange, now) {
            // So that each guess costs a connection.
            self.answer(Exchange { keep_alive: false, ..exchange }, Err(failure), now);
            return true;
        }
        let plan = routes::plan(&head, &self.options, self.line);
        self.input.advance(head_bytes);
        let share = self.memory.share();
        match plan {
            Ok(Plan::Read(call, length)) => {
                self.output.extend_from_slice(if waits_for_100 { CONTINUE } else { b"" });
                self.phase = Phase::Body { call, length, share, exchange, until };
            }
            Ok(Plan::Ask(request, asked)) => {
                self.phase = Phase::Working { request: Some(request), asked, share, exchange };
            }
            Ok(Plan::Tell(success)) => self.answer(exchange, Ok(success), now),
            Err(failure) => self.answer(exchange, Err(failure), now),
        }
        true
    }

    /// Whoever has shown too many wrong credentials is not told whether this one is right.
    fn check_asker(&self, exchange: Exchange, now: Now) -> Result<(), Failure> {
        let (Some(doorkeeper), Some(asker)) = (&self.doorkeeper, exchange.asker) else { return Ok(()) };
        let wait = doorkeeper.wait(asker, now.monotonic);
        if wait.is_zero() { Ok(()) } else { Err(Failure::TooManyRequests(wait)) }
    }

    /// Who shows a credential with this request.
    fn asker(&self, head: &Head<'_>) -> Option<IpAddr> {
        head.authorization?;
        let forwarded_for = head.forwarded_for.and_then(|value| str::from_utf8(value).ok());
        Some(self.doorkeeper.as_ref()?.asker(forwarded_for))
    }

    /// Makes room for what has come of a body, and refuses it if there is none. A length that is only
    /// announced takes no room from others. False if there is nothing more to do.
    fn cover_body(&mut self, now: Now) -> bool {
        let held = COPIES_OF_BODY * self.input.len();
        let Phase::Body { share, exchange, .. } = &mut self.phase else { return false };
        let (is_covered, exchange) = (share.cover(held), *exchange);
        if !is_covered {
            self.answer(exchange, Err(Failure::Unavailable(TOO_MUCH_AT_ONCE)), now);
        }
        !is_covered
    }

    /// The body is there.
    fn read_body(&mut self, now: Now) {
        let Phase::Body { call, length, mut share, exchange, .. } = self.leave_phase() else {
            unreachable!("a body is read in its phase");
        };
        let command = body::command(call, &self.input[..length], &self.options, now.wall);
        self.drop_body(length);
        let exchange = Exchange { unread: Some(0), ..exchange };
        match command {
            Ok((_, asked)) if !share.cover(COPIES_OF_BODY * length + asked.answer_bytes_max()) => {
                self.answer(exchange, Err(Failure::Unavailable(TOO_MUCH_AT_ONCE)), now);
            }
            Ok((command, asked)) => {
                let request = Some(Request::Queue(command));
                self.phase = Phase::Working { request, asked, share, exchange };
            }
            Err(failure) => self.answer_within(share, exchange, Err(failure), now),
        }
    }

    /// What came behind a large body must not keep its memory.
    fn drop_body(&mut self, length: usize) {
        self.input.advance(length);
        if length > SMALL_BYTES_MAX {
            self.input = BytesMut::from(&self.input[..]);
        }
    }

    /// The phase by value; the caller puts another in its place.
    fn leave_phase(&mut self) -> Phase {
        mem::replace(&mut self.phase, Phase::Finished)
    }

    fn skip(&mut self, left: u64, until: Monotonic, now: Now) -> bool {
        let here = usize::try_from(left).map_or(self.input.len(), |left| left.min(self.input.len()));
        self.input.advance(here);
        let left = left - here as u64;
        self.phase = match left {
            0 => Phase::Head { until: now.monotonic + self.options.read_timeout },
            _ => Phase::Skip { left, until },
        };
        left == 0
    }

    fn answer(&mut self, exchange: Exchange, outcome: Outcome, now: Now) {
        self.answer_within(self.memory.share(), exchange, outcome, now);
    }

    /// Answers in memory that is held already, as far as that goes.
    fn answer_within(&mut self, mut share: Share, exchange: Exchange, outcome: Outcome, now: Now) {
        if let (Some(doorkeeper), Some(asker)) = (&self.doorkeeper, exchange.asker)
            && answer::is_denied(&outcome)
        {
            doorkeeper.failed(asker, now.monotonic);
        }
        let next = exchange.next();
        let framing = Framing { without_body: exchange.without_body, close: matches!(next, Next::Close) };
        let before = self.output.len();
        answer::write(&mut self.output, &outcome, framing, now.wall);
        if !share.cover(self.output.len()) {
            self.output.truncate(before);
            let failure = Err(Failure::Unavailable(TOO_MUCH_AT_ONCE));
            answer::write(&mut self.output, &failure, framing, now.wall);
        }
        self.phase = Phase::Answered { next, _share: share };
    }

    /// The answer has been taken.
    fn go_on(&mut self, next: Next, now: Now) {
        match next {
            Next::Request { skipped } => {
                self.phase = Phase::Skip { left: skipped, until: now.monotonic + self.options.read_timeout };
                self.advance(now);
            }
            Next::Close if self.ended => self.finish(),
            Next::Close => {
                self.input = BytesMut::new();
                let until = now.monotonic + DRAIN_TIMEOUT;
                self.phase = Phase::Draining { left: DRAINED_BYTES_MAX, until };
            }
        }
    }

    /// What is awaited from the peer will not come: time is up, or the peer has ended.
    fn give_up(&mut self, now: Now) {
        match self.phase {
            Phase::Head { .. } if self.input.iter().all(|byte| b"\r\n".contains(byte)) => self.finish(),
            Phase::Head { .. } => self.answer(Exchange::LAST, Err(Failure::ShortHead), now),
            Phase::Body { exchange, .. } => {
                self.answer(Exchange { unread: None, ..exchange }, Err(Failure::ShortBody), now);
            }
            Phase::Skip { .. } | Phase::Draining { .. } => self.finish(),
            Phase::Working { .. } | Phase::Answered { .. } | Phase::Finished => {}
        }
    }

    fn finish(&mut self) {
        self.input = BytesMut::new();
        self.phase = Phase::Finished;
    }
}
