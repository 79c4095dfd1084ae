//! Tells the demo's steps, each with its time: as lines that a person enjoys, or as one JSON object a
//! line. Knows nothing of the story.

use std::cell::RefCell;
use std::collections::HashSet;
use std::env;
use std::io::{self, IsTerminal};
use std::time::Instant;

use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::{Failure, say};

/// Prints steps to stdout. Times are milliseconds since it was made.
pub struct Teller {
    began: Instant,
    form: Form,
    /// What people know by now.
    explained: RefCell<HashSet<String>>,
}

#[derive(Clone, Copy)]
enum Form {
    Json,
    Lines { coloured: bool },
}

/// How a step feels.
#[derive(Clone, Copy)]
pub enum Tone {
    /// Something is done.
    Plain,
    /// Something came out as it should.
    Good,
    /// A blow that belongs to the story.
    Blow,
    /// Something did not come out as it should.
    Bad,
}

#[derive(Serialize)]
struct Step<'a> {
    step: &'a str,
    ms: u64,
    #[serde(flatten)]
    details: &'a Value,
}

impl Teller {
    /// Colours are for terminals, and for those who don't mind (<https://no-color.org>).
    pub fn new(json: bool) -> Teller {
        let colours_unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let coloured = io::stdout().is_terminal() && !colours_unwanted;
        let form = if json { Form::Json } else { Form::Lines { coloured } };
        Teller { began: Instant::now(), form, explained: RefCell::default() }
    }

    /// A line without a time, for people only.
    pub fn headline(&self, line: &str) -> Result<(), Failure> {
        match self.form {
            Form::Json => Ok(()),
            Form::Lines { coloured: true } => say(&format!("\x1b[1m{line}\x1b[0m\n")),
            Form::Lines { coloured: false } => say(&format!("{line}\n")),
        }
    }

    /// A picture of some lines, so many characters from the left, for people only.
    pub fn draw(&self, picture: &str, margin: usize, ansi_colour: u8) -> Result<(), Failure> {
        let Form::Lines { coloured } = self.form else { return Ok(()) };
        let (on, off) =
            if coloured { (format!("\x1b[{ansi_colour}m"), "\x1b[0m") } else { Default::default() };
        let space = " ".repeat(margin);
        picture.lines().try_for_each(|line| say(&format!("{space}{on}{line}{off}")))
    }

    /// One step that is explained to people when it happens first, and told to programs each time.
    pub fn explain(&self, step: &str, line: &str, details: &Value) -> Result<(), Failure> {
        let is_new = self.explained.borrow_mut().insert(step.to_owned());
        match (&self.form, is_new) {
            (Form::Lines { .. }, false) => Ok(()),
            _ => self.tell(step, Tone::Plain, line, details),
        }
    }

    /// The last step: all went well.
    pub fn end(&self) -> Result<(), Failure> {
        self.tell("done", Tone::Good, "All came out as it should.", &json!({ "ok": true }))
    }

    /// One step. `details` is an object, for programs; `line` says the same to people.
    pub fn tell(&self, step: &str, tone: Tone, line: &str, details: &Value) -> Result<(), Failure> {
        let ms = self.began.elapsed().as_millis() as u64;
        let text = match self.form {
            Form::Json => serde_json::to_string(&Step { step, ms, details }).expect("details are an object"),
            Form::Lines { coloured } => in_colours(coloured, ms, tone, line),
        };
        say(&text)
    }
}

fn in_colours(coloured: bool, ms: u64, tone: Tone, line: &str) -> String {
    let (mark, colour) = match tone {
        Tone::Plain => (' ', "0"),
        Tone::Good => ('✓', "32"),
        Tone::Blow => ('↯', "33"),
        Tone::Bad => ('✗', "31"),
    };
    match coloured {
        true => format!("\x1b[2m{ms:>6} ms\x1b[0m  \x1b[{colour}m{mark} {line}\x1b[0m"),
        false => format!("{ms:>6} ms  {mark} {line}"),
    }
}
