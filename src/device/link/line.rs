//! A device's life on the wire that it is to speak, or on the one that its server turns out to know.
//!
//! ```text
//!           let in, or sent away
//!  TryOne ───────────────────────▶ One
//!    │ ▲ ▲
//!    │ │ └─────────── not let in ─────────────┐
//!    └─│─ cut off without a word, twice ──▶ TryZero ── let in ──▶ Zero
//!      └──────────── so long ago that the server may be another ───┘
//! ```
//!
//! With another server it begins anew, at Zero if that is known to be plain.

use std::time::Duration;

use super::Speech;
use super::plain::PlainLine;
use crate::base::{Monotonic, Urgency};
use crate::device::keepalive::Learner;
use crate::device::lifeline::{Lifeline, Wait};
use crate::protocol::wire1::Receipt;
use crate::session::EndReason;
use crate::session::device::{Event, Options, Session};

/// A server that cuts the device off so many times in place of CONNACK does not know wire 1. Once may be
/// one that is being restarted.
const CUT_OFF_MAX: u8 = 2;

/// The lives that a device may lead, of which it leads one.
#[derive(Debug)]
pub(super) struct Line {
    one: Option<Lifeline>,
    zero: Option<PlainLine>,
    choice: Choice,
    /// The name of the server that the choice is about.
    server: String,
}

/// The wire that is spoken, under the diagram above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    One,
    Zero,
    TryOne { cut_off: u8 },
    TryZero,
}

/// What stands where a life of the chosen wire is taken out.
const CHOSEN: &str = "a wire is chosen only if the device can speak it";

impl Line {
    /// A life that begins with what was learnt in earlier ones.
    pub fn new(speech: Speech, learner: Learner) -> Line {
        let life = |connect| Some(Lifeline::new(connect, learner, ""));
        let (one, zero, choice) = match speech {
            Speech::Wire0(zero) => (None, Some(zero), Choice::Zero),
            Speech::Wire1(one) => (life(one), None, Choice::One),
            Speech::Either(zero, one) => (life(one), Some(zero), Choice::TryOne { cut_off: 0 }),
        };
        Line { one, zero: zero.map(PlainLine::new), choice, server: String::new() }
    }

    /// Which wire is spoken now.
    pub fn wire(&self) -> u8 {
        match self.choice {
            Choice::One | Choice::TryOne { .. } => 1,
            Choice::Zero | Choice::TryZero => 0,
        }
    }

    /// The device is about to connect to the server of this name, which may be known to be plain: to know
    /// wire 0 alone.
    pub fn meet(&mut self, server: &str, is_plain: bool) {
        if !self.has_choice() {
            return;
        }
        let is_another = self.server != server;
        self.choice = match (self.choice, is_plain) {
            (_, true) if is_another => Choice::Zero,
            (_, false) if is_another => Choice::TryOne { cut_off: 0 },
            (Choice::Zero, false) => Choice::TryOne { cut_off: 0 },
            (choice, _) => choice,
        };
        server.clone_into(&mut self.server);
    }

    /// Whether the server has turned out to be plain; nothing while that is not known.
    pub fn finding(&self) -> Option<bool> {
        match self.choice {
            Choice::One if self.has_choice() => Some(false),
            Choice::Zero if self.has_choice() => Some(true),
            _ => None,
        }
    }

    fn has_choice(&self) -> bool {
        self.one.is_some() && self.zero.is_some()
    }

    /// What to connect with now.
    pub fn options(&self, exchange_timeout: Duration) -> Options {
        let options = match self.wire() {
            1 => self.one.as_ref().expect(CHOSEN).options(),
            _ => self.zero.as_ref().expect(CHOSEN).options(),
        };
        Options { exchange_timeout, ..options }
    }

    /// Takes note of what the session told, once that is stored.
    pub fn handle_event(&mut self, event: &Event, session: &mut Session, now: Monotonic) {
        self.choice = match (self.choice, event) {
            (Choice::TryOne { .. }, Event::Connected { .. } | Event::Goaway(_)) => Choice::One,
            (Choice::TryZero, Event::Connected { .. }) => Choice::Zero,
            (choice, _) => choice,
        };
        match self.wire() {
            1 => self.one.as_mut().expect(CHOSEN).handle_event(event, session, now),
            _ => self.zero.as_mut().expect(CHOSEN).handle_event(event, now),
        }
    }

    /// The session has ended for this reason: how long to wait. `random` lies in 0..1.
    pub fn ended(&mut self, reason: &EndReason, session: &Session, now: Monotonic, random: f64) -> Wait {
        let wait = match self.wire() {
            1 => self.one.as_mut().expect(CHOSEN).ended(reason, session, now, random),
            _ => self.zero.as_mut().expect(CHOSEN).ended(now, random),
        };
        self.choice = self.choice.ended(reason);
        wait
    }

    /// No connection came about. `random` lies in 0..1.
    pub fn unreachable(&mut self, random: f64) -> Wait {
        match self.wire() {
            1 => self.one.as_mut().expect(CHOSEN).unreachable(random),
            _ => self.zero.as_mut().expect(CHOSEN).unreachable(random),
        }
    }

    /// The device is on another network now.
    pub fn move_to(&mut self, network: &str) {
        self.one.iter_mut().for_each(|one| one.move_to(network));
        self.zero.iter_mut().for_each(PlainLine::moved);
    }

    /// The least urgency that the device wants from its next CONNECT on.
    pub fn want(&mut self, least: Urgency) {
        self.one.iter_mut().for_each(|one| one.want(least));
    }

    /// What became of a message, for the next session to say.
    pub fn receipt(&mut self, receipt: Receipt) {
        self.one.iter_mut().for_each(|one| one.receipt(receipt));
    }

    /// What the life on wire 1 has learnt.
    pub fn lifeline(&self) -> Option<&Lifeline> {
        self.one.as_ref().filter(|_| self.wire() == 1)
    }
}

impl Choice {
    /// What is tried after a session that ended for this reason.
    fn ended(self, reason: &EndReason) -> Choice {
        match (self, reason) {
            (Choice::TryOne { cut_off }, EndReason::Eof | EndReason::Frame(_)) => match cut_off + 1 {
                CUT_OFF_MAX => Choice::TryZero,
                cut_off => Choice::TryOne { cut_off },
            },
            (Choice::TryZero, _) => Choice::TryOne { cut_off: 0 },
            (choice, _) => choice,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::wire1::{Goaway, Reason};
    use crate::protocol::{wire0, wire1};

    const NOW: Monotonic = Monotonic(Duration::from_secs(100));

    fn line() -> Line {
        let (zero, one) = ("machine".parse().expect("valid"), "enrolled".parse().expect("valid"));
        let one = wire1::Connect::new(one, Duration::from_secs(7_200));
        Line::new(Speech::Either(wire0::Connect::new(zero), one), Learner::default())
    }

    fn session(line: &Line) -> Session {
        Session::new(line.options(Duration::from_secs(30)), NOW).expect("short")
    }

    fn end(line: &mut Line, reason: EndReason) {
        let session = session(line);
        line.ended(&reason, &session, NOW, 0.0);
    }

    fn let_in(line: &mut Line) {
        let mut session = session(line);
        let interval = Duration::from_secs(60);
        line.handle_event(&Event::Connected { interval }, &mut session, NOW);
    }

    #[test]
    fn a_server_that_knows_wire_1_is_never_spoken_to_on_wire_0() {
        let greetings: [fn(&mut Line); 2] = [let_in, |line| {
            let away = Goaway { reason: Reason::Drain, after: Duration::ZERO, spread: Duration::ZERO };
            let mut session = session(line);
            line.handle_event(&Event::Goaway(away), &mut session, NOW);
        }];
        for greet in greetings {
            let mut line = line();
            end(&mut line, EndReason::Eof);
            greet(&mut line);
            for _ in 0..5 {
                end(&mut line, EndReason::Eof);
                assert_eq!(line.wire(), 1);
            }
        }
    }

    #[test]
    fn a_server_that_cuts_off_twice_is_tried_on_wire_0_and_kept_if_it_lets_the_device_in() {
        let mut line = line();
        let wires = [(); 4].map(|()| {
            end(&mut line, EndReason::Eof);
            line.wire()
        });
        assert_eq!(wires, [1, 0, 1, 1]);
        end(&mut line, EndReason::Eof);
        let_in(&mut line);
        for _ in 0..5 {
            end(&mut line, EndReason::Eof);
            assert_eq!(line.wire(), 0);
        }
    }

    #[test]
    fn what_turned_out_holds_for_one_server_until_it_is_too_old() {
        let mut line = line();
        line.meet("old.example", true);
        assert_eq!((line.wire(), line.finding()), (0, Some(true)));
        line.meet("old.example", true);
        assert_eq!(line.wire(), 0);
        line.meet("old.example", false);
        assert_eq!((line.wire(), line.finding()), (1, None), "it may know wire 1 by now");
        let_in(&mut line);
        line.meet("old.example", false);
        assert_eq!(line.finding(), Some(false));
        line.meet("older.example", true);
        assert_eq!(line.wire(), 0);
    }

    #[test]
    fn tries_go_on_while_it_is_the_same_server() {
        let mut line = line();
        let wires = [(); 3].map(|()| {
            line.meet("old.example", false);
            end(&mut line, EndReason::Eof);
            line.wire()
        });
        assert_eq!(wires, [1, 0, 1]);
    }

    #[test]
    fn a_device_without_a_choice_speaks_its_wire_to_every_server() {
        let zero = wire0::Connect::new("machine".parse().expect("valid"));
        let mut line = Line::new(Speech::Wire0(zero), Learner::default());
        line.meet("push.example", false);
        assert_eq!((line.wire(), line.finding()), (0, None));
    }

    #[test]
    fn a_server_that_is_silent_or_cannot_be_reached_says_nothing_of_its_wire() {
        let mut line = line();
        for _ in 0..5 {
            end(&mut line, EndReason::Timeout);
            end(&mut line, EndReason::Transport("TLS: no such name".into()));
            line.unreachable(0.0);
            assert_eq!(line.wire(), 1);
        }
    }
}
