//! A device's life over many connections on wire 0, where the server sets the pace: what it says of itself
//! at each, and when it comes back. Time and randomness come in as arguments; no clock, no socket.

use std::time::Duration;

use crate::base::Monotonic;
use crate::device::lifeline::{Cause, Wait};
use crate::device::reconnect::Backoff;
use crate::protocol::wire0::Connect;
use crate::session::device::{Event, Options};

/// What [`Lifeline`](crate::device::lifeline::Lifeline) is on wire 1, and driven in the same way.
#[derive(Debug)]
pub(super) struct PlainLine {
    /// With the levels that the device has reached by now, and the cookie that it was given last.
    connect: Connect,
    backoff: Backoff,
    /// When the server let the device in, and how often it pings since.
    let_in: Option<(Monotonic, Duration)>,
}

impl PlainLine {
    /// The life of a device that says this of itself.
    pub fn new(connect: Connect) -> PlainLine {
        PlainLine { connect, backoff: Backoff::default(), let_in: None }
    }

    /// What to connect with now.
    pub fn options(&self) -> Options {
        Options::new(self.connect.clone().into())
    }

    /// Takes note of what the session told, once that is stored.
    pub fn handle_event(&mut self, event: &Event, now: Monotonic) {
        match event {
            Event::Connected { interval } => self.let_in = Some((now, *interval)),
            Event::Message(_) => self.backoff.proved(),
            Event::Broadcast(news) => {
                self.backoff.proved();
                self.connect.levels.insert(news.channel, news.level);
            }
            Event::Cookie(cookie) => self.connect.cookie.clone_from(cookie),
            _ => {}
        }
    }

    /// The session has ended: how long to wait. `random` lies in 0..1.
    pub fn ended(&mut self, now: Monotonic, random: f64) -> Wait {
        // A session that lived for longer than its server stays silent was pinged, and so good for something.
        if self.let_in.take().is_some_and(|(since, interval)| now.since(since) > interval) {
            self.backoff.proved();
        }
        Wait { duration: self.backoff.failed(random), cause: Cause::Lost }
    }

    /// No connection came about. `random` lies in 0..1.
    pub fn unreachable(&mut self, random: f64) -> Wait {
        Wait { duration: self.backoff.failed(random), cause: Cause::Unreachable }
    }

    /// The device is on another network now.
    pub fn moved(&mut self) {
        self.backoff = Backoff::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ChannelId, Level};
    use crate::session::device::{Broadcast, Connect as Said};

    const MINUTE: Duration = Duration::from_secs(60);

    fn line() -> PlainLine {
        PlainLine::new(Connect::new("carol".parse().expect("valid")))
    }

    fn seconds(wait: Wait) -> u64 {
        wait.duration.as_secs()
    }

    #[test]
    fn it_says_again_what_it_was_given() {
        let mut line = line();
        let news = Broadcast { channel: ChannelId::SYSTEM, level: Level(7), payloads: Vec::new() };
        line.handle_event(&Event::Broadcast(news), Monotonic::default());
        line.handle_event(&Event::Cookie("shard 3".into()), Monotonic::default());
        line.ended(Monotonic::default(), 0.0);
        let Said::Wire0(connect) = line.options().connect else { panic!("wire 0") };
        assert_eq!((connect.cookie.as_str(), connect.levels[&ChannelId::SYSTEM]), ("shard 3", Level(7)));
    }

    #[test]
    fn it_backs_off_until_a_session_was_good_for_something() {
        let mut line = line();
        let mut now = Monotonic::default();
        let waits = [line.unreachable(1.0), line.ended(now, 1.0), line.unreachable(1.0)].map(seconds);
        assert_eq!(waits, [1, 2, 4]);
        line.handle_event(&Event::Connected { interval: MINUTE }, now);
        assert_eq!(seconds(line.ended(now + MINUTE, 1.0)), 8, "it was let in, and no more");
        line.handle_event(&Event::Connected { interval: MINUTE }, now);
        now = now + MINUTE + MINUTE;
        assert_eq!(seconds(line.ended(now, 1.0)), 1, "it was pinged");
        line.unreachable(1.0);
        line.moved();
        assert_eq!(seconds(line.unreachable(1.0)), 1);
    }
}
