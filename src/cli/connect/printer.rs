//! Prints what a session brings, and acks it then.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};

use super::line::{self, Line};
use crate::base::MessageId;
use crate::device::Connection;
use crate::session::device::{Event, Session};

/// Of so many messages it is known that they were printed. What comes again, because a connection was lost
/// or a server was killed with an ack, comes soon: several windows are enough.
const PRINTED_MAX: usize = 256;

/// Prints as was asked for, and counts.
pub struct Printer {
    as_json: bool,
    /// The messages printed last, oldest first.
    printed: VecDeque<MessageId>,
    /// So many messages more, and it is enough.
    wanted: u64,
}

/// Why the printing stopped.
pub enum Stop {
    /// As many messages came as were asked for.
    Enough,
    /// A signal came.
    Asked,
    /// Whoever read the output has gone.
    Unread,
    /// The output cannot be written.
    Unwritable(io::Error),
    /// The session ended, which has been printed.
    Ended,
}

impl Printer {
    /// Prints for people, or `as_json` for programs, until `count` messages have come, if that is given.
    pub fn new(as_json: bool, count: Option<u64>) -> Printer {
        Printer { as_json, printed: VecDeque::new(), wanted: count.unwrap_or(u64::MAX) }
    }

    /// Prints what comes, each message once, until there is a reason to stop; `note` learns of each event
    /// when it is printed and acked. The connection is to be closed then.
    pub fn print_all(
        &mut self,
        connection: &mut Connection,
        mut note: impl FnMut(&Event, &mut Session),
    ) -> Stop {
        while let Some(event) = connection.next_event(None) {
            let is_new = self.is_new(&event);
            if let Some(line) = line::line(&event).filter(|_| is_new)
                && let Err(stop) = self.print(&line)
            {
                return stop;
            }
            if matches!(event, Event::Broadcast(_) | Event::Message(_)) {
                connection.ack();
            }
            if is_new {
                self.wanted = self.wanted.saturating_sub(messages_in(&event));
            }
            note(&event, connection.session());
            let is_over = matches!(event, Event::Ended(_));
            // What came in one frame of wire 0 is acked as a whole, so it is printed as a whole.
            if self.wanted == 0 && (is_over || !connection.session().has_events()) {
                return Stop::Enough;
            }
            if is_over {
                return Stop::Ended;
            }
        }
        Stop::Asked
    }

    /// Whether this is not a message that was printed before.
    fn is_new(&mut self, event: &Event) -> bool {
        let Event::Message(message) = event else { return true };
        if self.printed.contains(&message.id) {
            return false;
        }
        if self.printed.len() == PRINTED_MAX {
            self.printed.pop_front();
        }
        self.printed.push_back(message.id);
        true
    }

    /// Prints all of `line`; it is out of this process when this returns.
    pub fn print(&self, line: &Line<'_>) -> Result<(), Stop> {
        self.write(line).map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => Stop::Unread,
            _ => Stop::Unwritable(error),
        })
    }

    fn write(&self, line: &Line<'_>) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        match self.as_json {
            true => writeln!(stdout, "{}", serde_json::to_string(line)?)?,
            false => writeln!(stdout, "{line}")?,
        }
        stdout.flush()
    }
}

fn messages_in(event: &Event) -> u64 {
    match event {
        Event::Message(_) => 1,
        Event::Broadcast(broadcast) => broadcast.payloads.len() as u64,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Payload, Seq, Urgency};
    use crate::session::device::Message;

    fn message(number: u64) -> Event {
        Event::Message(Message {
            id: MessageId::new(Seq(number), [0; 8]),
            app: "chatter".parse().expect("valid"),
            urgency: Urgency::Normal,
            expires_in: None,
            payload: Payload::from_json(b"1").expect("JSON"),
        })
    }

    #[test]
    fn a_message_that_comes_again_is_not_new_and_what_is_remembered_is_bounded() {
        let mut printer = Printer::new(false, None);
        for number in 0..2 * PRINTED_MAX as u64 {
            assert!(printer.is_new(&message(number)));
            assert!(!printer.is_new(&message(number)));
        }
        assert_eq!(printer.printed.len(), PRINTED_MAX);
        assert!(printer.is_new(&Event::Confirmed) && printer.is_new(&Event::Confirmed));
    }
}
