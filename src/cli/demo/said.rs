//! What a process says, and waiting until it says something. What that means, it does not know.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::iter;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Instant;

use super::{Failure, WAIT_MAX};

/// All that a process has said and that nobody has waited for yet.
pub struct Said {
    whose: String,
    coming: Receiver<String>,
    heard: Vec<String>,
}

impl Said {
    /// What `whose` process says, line by line; a log keeps it, too.
    pub fn lines(whose: &str, stream: impl Read + Send + 'static, log: Option<File>) -> Said {
        Said::read(whose, move |sender| copy_lines(stream, log, sender))
    }

    /// What it says, in pieces that end with an empty line each.
    pub fn paragraphs(whose: &str, stream: impl Read + Send + 'static) -> Said {
        Said::read(whose, move |sender| copy_paragraphs(stream, sender))
    }

    fn read(whose: &str, read: impl FnOnce(&Sender<String>) + Send + 'static) -> Said {
        let (sender, coming) = mpsc::channel();
        thread::spawn(move || read(&sender));
        Said { whose: whose.to_owned(), coming, heard: Vec::new() }
    }

    /// Waits until it says `wish`, unless it has already; what it says there. Nobody hears it twice.
    pub fn wait(&mut self, wish: &str) -> Result<String, Failure> {
        let deadline = Instant::now() + WAIT_MAX;
        let mut next = 0;
        loop {
            if let Some(place) = self.heard[next..].iter().position(|piece| piece.contains(wish)) {
                return Ok(self.heard.remove(next + place));
            }
            next = self.heard.len();
            let patience = deadline.saturating_duration_since(Instant::now());
            let piece = self.coming.recv_timeout(patience).map_err(|error| self.silent(wish, error))?;
            self.heard.push(piece);
        }
    }

    /// All that nobody has waited for, up to the end of the process, which must be near.
    pub fn rest(&mut self) -> Vec<String> {
        let deadline = Instant::now() + WAIT_MAX;
        let next = || self.coming.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok();
        self.heard.extend(iter::from_fn(next));
        self.heard.drain(..).collect()
    }

    fn silent(&self, wish: &str, error: RecvTimeoutError) -> Failure {
        let whose = &self.whose;
        Failure::Run(match error {
            RecvTimeoutError::Timeout => format!("{whose} did not say `{wish}` within {WAIT_MAX:?}"),
            RecvTimeoutError::Disconnected => format!("{whose} ended and did not say `{wish}`"),
        })
    }
}

fn copy_lines(stream: impl Read, mut log: Option<File>, sender: &Sender<String>) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if let Some(log) = &mut log {
            let _ = writeln!(log, "{line}");
        }
        let _ = sender.send(line);
    }
}

fn copy_paragraphs(stream: impl Read, sender: &Sender<String>) {
    let mut paragraph = String::new();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if line.is_empty() {
            let _ = sender.send(std::mem::take(&mut paragraph));
        } else {
            paragraph.push_str(&line);
            paragraph.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(outcome: Result<String, Failure>) -> String {
        match outcome {
            Ok(piece) => piece,
            Err(Failure::Run(problem)) => problem,
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_waited_for_may_come_in_any_order_and_counts_once() {
        let mut said = Said::lines("bob", "one 1\ntwo 2\none 3\n".as_bytes(), None);
        assert_eq!(heard(said.wait("two")), "two 2");
        assert_eq!(heard(said.wait("one")), "one 1");
        assert_eq!(heard(said.wait("one")), "one 3");
        assert_eq!(heard(said.wait("one")), "bob ended and did not say `one`");
    }

    #[test]
    fn a_paragraph_is_all_up_to_an_empty_line() {
        let mut said = Said::paragraphs("bob", "╭─╮\n╰─╯\n\nicon\n\n".as_bytes());
        assert_eq!(heard(said.wait("╭")), "╭─╮\n╰─╯\n");
        assert_eq!(said.rest(), ["icon\n"]);
    }
}
