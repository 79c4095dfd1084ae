//! Draws notifications as boxes for a terminal, for the demo and for app developers without a desktop.

use crate::base::AppId;
use crate::service::Presented;
use crate::service::notification::{Emblem, Sound};
use crate::service::presentation::{Bubble, Showing};
use crate::service::shade::BubbleId;

/// No notification server is called like this.
const NAME: &str = "terminal";
/// How wide a box is inside, in characters: it fits half a terminal.
const INSIDE_CHARS: usize = 44;
/// Lines of a body that are drawn.
const BODY_LINES_MAX: usize = 6;

pub(super) struct Terminal {
    print: Box<dyn FnMut(&str) + Send>,
    last: u32,
}

impl Terminal {
    pub(super) fn new(print: Box<dyn FnMut(&str) + Send>) -> Terminal {
        Terminal { print, last: 0 }
    }

    /// Draws what there is to be seen, and says what is to be heard and felt. Bubbles are numbered from 1.
    pub(super) fn show(&mut self, app: &AppId, showing: &Showing) -> Presented {
        let bubble = showing.bubble.as_ref().map(|bubble| {
            (self.print)(&draw(app, bubble, &senses(showing)));
            self.last += 1;
            BubbleId { server: NAME.into(), number: self.last }
        });
        if let Some(emblem) = showing.emblem {
            self.count(app, emblem);
        }
        Presented { is_shown: bubble.is_some(), bubble, is_listed: showing.is_listed() }
    }

    pub(super) fn count(&mut self, app: &AppId, emblem: Emblem) {
        let count = if emblem.visible { emblem.count.to_string() } else { "nothing".into() };
        (self.print)(&format!("The icon of {app} shows {count}.\n"));
    }
}

fn senses(showing: &Showing) -> String {
    let sound = showing.sound.as_ref().map(|sound| match sound {
        Sound::Default => "♪".to_string(),
        Sound::File(path) => format!("♪ {path}"),
    });
    let vibration = showing.vibration.as_ref().map(|_| "bzz".to_string());
    sound.into_iter().chain(vibration).collect::<Vec<_>>().join(" ")
}

/// A box with the app above, and what is heard and felt below.
fn draw(app: &AppId, bubble: &Bubble, senses: &str) -> String {
    let body = bubble.body.lines().flat_map(wrapped).take(BODY_LINES_MAX);
    let lines =
        wrapped(&bubble.summary).into_iter().chain(body).map(|line| format!("│ {} │\n", padded(&line)));
    [edge('╭', app.as_str(), '╮'), lines.collect(), edge('╰', senses, '╯')].concat()
}

fn edge(left: char, text: &str, right: char) -> String {
    let text: String = text.chars().take(INSIDE_CHARS - 2).collect();
    let title = if text.is_empty() { String::new() } else { format!(" {text} ") };
    let line = "─".repeat(INSIDE_CHARS + 1 - title.chars().count());
    format!("{left}─{title}{line}{right}\n")
}

fn padded(line: &str) -> String {
    format!("{line}{}", " ".repeat(INSIDE_CHARS - line.chars().count()))
}

/// `text` in lines that fit, broken between words where that is possible.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace().flat_map(pieces) {
        let line = lines.last_mut().expect("there is always a line");
        let used = line.chars().count();
        if used == 0 {
            line.push_str(&word);
        } else if used + 1 + word.chars().count() <= INSIDE_CHARS {
            line.push(' ');
            line.push_str(&word);
        } else {
            lines.push(word);
        }
    }
    lines
}

/// A word, cut where it is longer than a line.
fn pieces(word: &str) -> Vec<String> {
    let all: Vec<char> = word.chars().collect();
    all.chunks(INSIDE_CHARS).map(|piece| piece.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(summary: &str, body: &str, senses: &str) -> Vec<String> {
        let app = "ab_chat".parse().expect("an id");
        let bubble = Bubble {
            summary: summary.into(),
            body: body.into(),
            icon: String::new(),
            url: None,
            pops_up: true,
            stays: false,
        };
        draw(&app, &bubble, senses).lines().map(Into::into).collect()
    }

    #[test]
    fn a_notification_is_drawn_as_a_box() {
        let lines = drawn("Alice", "Tea at four?\n\nBring cake.", "♪ bzz");
        assert_eq!(
            lines,
            [
                "╭─ ab_chat ────────────────────────────────────╮",
                "│ Alice                                        │",
                "│ Tea at four?                                 │",
                "│                                              │",
                "│ Bring cake.                                  │",
                "╰─ ♪ bzz ──────────────────────────────────────╯",
            ]
        );
    }

    #[test]
    fn whatever_comes_fits_the_box() {
        let long = "x".repeat(3 * INSIDE_CHARS);
        for line in drawn(&long, &format!("a {long} b {long} {long}"), &long) {
            assert_eq!(line.chars().count(), INSIDE_CHARS + 4, "{line}");
        }
    }
}
