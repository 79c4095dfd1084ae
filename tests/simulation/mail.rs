//! What is in an app's mailbox, by what stands in its payload.

use std::fmt;

/// By its number in the model, or, where it was posted on the device, there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mail {
    /// `7`, or `[7,"…"]`.
    Message(usize),
    /// `{"i/m":[7]}`.
    News(usize),
    /// `"local 7"`.
    Local(usize),
}

impl Mail {
    pub fn read(payload: &[u8]) -> Option<Mail> {
        match payload.first()? {
            b'{' => number(payload.splitn(2, |byte| *byte == b'[').nth(1)?).map(Mail::News),
            b'"' => number(payload.strip_prefix(b"\"local ")?).map(Mail::Local),
            b'[' => number(&payload[1..]).map(Mail::Message),
            _ => number(payload).map(Mail::Message),
        }
    }
}

impl fmt::Display for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mail::Message(number) => write!(f, "{number}"),
            Mail::News(number) => write!(f, "{{\"i/m\":[{number}]}}"),
            Mail::Local(number) => write!(f, "\"local {number}\""),
        }
    }
}

fn number(text: &[u8]) -> Option<usize> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    std::str::from_utf8(&text[..end]).ok()?.parse().ok()
}
