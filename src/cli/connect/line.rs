//! What `connect` prints of each event: a line for people, or a JSON object for programs.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::base::{Payload, format_duration};
use crate::protocol::wire0::{Broadcast, Notification};
use crate::session::device::Event;

/// One thing to print: as JSON, or as a line for people.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Line<'a> {
    /// The server let the device in.
    Connected { ping_interval: String },
    /// A message for an app.
    Notification { app: &'a str, id: String, payload: &'a RawValue },
    /// What is new on a channel.
    Broadcast { channel: String, top_level: i64, payloads: Vec<&'a RawValue> },
    /// The server is not content, but goes on.
    Warned { reason: &'a str },
    /// The server breaks off.
    Broken { reason: &'a str },
    /// To be shown to the server at the next connect.
    Cookie { cookie: &'a str },
    /// The session is over.
    Ended { reason: String },
}

/// All that there is to print of `event`.
pub fn lines(event: &Event) -> Vec<Line<'_>> {
    match event {
        Event::Connected { ping_interval } => {
            vec![Line::Connected { ping_interval: format_duration(*ping_interval) }]
        }
        Event::Notifications(notifications) => notifications.iter().map(notification).collect(),
        Event::Broadcast(news) => vec![broadcast(news)],
        Event::Warned { reason } => vec![Line::Warned { reason }],
        Event::Broken { reason } => vec![Line::Broken { reason }],
        Event::Cookie(cookie) => vec![Line::Cookie { cookie }],
        Event::Ended(reason) => vec![Line::Ended { reason: reason.to_string() }],
    }
}

fn notification(message: &Notification) -> Line<'_> {
    Line::Notification {
        app: message.app.as_str(),
        id: message.id.to_string(),
        payload: json_of(&message.payload),
    }
}

fn broadcast(news: &Broadcast) -> Line<'_> {
    Line::Broadcast {
        channel: news.channel.to_string(),
        top_level: news.top_level.0,
        payloads: news.payloads.iter().flatten().map(json_of).collect(),
    }
}

fn json_of(payload: &Payload) -> &RawValue {
    serde_json::from_slice(payload.as_bytes()).expect("a payload is JSON")
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Connected { ping_interval } => {
                write!(f, "connected; the server pings every {ping_interval}")
            }
            Line::Notification { app, payload, .. } => write!(f, "{}: {}", shown(app), shown(payload.get())),
            Line::Broadcast { channel, top_level, payloads } => {
                write!(f, "broadcast, channel {channel} is at {top_level}:")?;
                payloads.iter().try_for_each(|payload| write!(f, " {}", shown(payload.get())))
            }
            Line::Warned { reason } => write!(f, "the server warns: {}", shown(reason)),
            Line::Broken { reason } => write!(f, "the server breaks off: {}", shown(reason)),
            Line::Cookie { cookie } => write!(f, "cookie: {}", shown(cookie)),
            Line::Ended { reason } => write!(f, "ended: {reason}"),
        }
    }
}

/// What others wrote must not steer the terminal.
fn shown(text: &str) -> Cow<'_, str> {
    match text.contains(char::is_control) {
        false => text.into(),
        true => {
            let escape = |char: char| match char.is_control() {
                true => char.escape_default().to_string(),
                false => char.to_string(),
            };
            text.chars().map(escape).collect::<String>().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ChannelId, Level};
    use crate::session::EndReason;
    use std::time::Duration;

    fn payload(json: &str) -> Payload {
        Payload::from_json(json.as_bytes()).expect("JSON")
    }

    fn both(event: &Event) -> Vec<(String, String)> {
        let both = |line: &Line| (line.to_string(), serde_json::to_string(line).expect("plain"));
        lines(event).iter().map(both).collect()
    }

    #[test]
    fn what_arrives_is_printed_for_people_and_for_programs() {
        let id = "AAAAAAAAAAEAAAAAAAAAAA==";
        let messages = Event::Notifications(vec![
            Notification {
                app: "chatter".parse().expect("valid"),
                id: id.parse().expect("valid"),
                payload: payload("{\"n\": 1.50}"),
            },
            Notification {
                app: "evil\u{1b}[2J".parse().expect("valid"),
                id: id.parse().expect("valid"),
                payload: payload("\"\u{9b}\""),
            },
        ]);
        let json = |app: &str, payload: &str| {
            format!(r#"{{"event":"notification","app":"{app}","id":"{id}","payload":{payload}}}"#)
        };
        assert_eq!(
            both(&messages),
            [
                ("chatter: {\"n\":1.50}".to_owned(), json("chatter", "{\"n\":1.50}")),
                ("evil\\u{1b}[2J: \"\\u{9b}\"".to_owned(), json("evil\\u001b[2J", "\"\u{9b}\"")),
            ]
        );
    }

    #[test]
    fn broadcasts_and_the_ends_of_a_session_are_printed() {
        let news = Broadcast {
            app_id: String::new(),
            channel: ChannelId::SYSTEM,
            top_level: Level(3),
            payloads: Some(vec![payload("1"), payload("2")]),
        };
        let cases = [
            (
                Event::Connected { ping_interval: Duration::from_millis(1500) },
                "connected; the server pings every 1.5s",
                r#"{"event":"connected","ping_interval":"1.5s"}"#,
            ),
            (
                Event::Broadcast(news),
                "broadcast, channel 0 is at 3: 1 2",
                r#"{"event":"broadcast","channel":"0","top_level":3,"payloads":[1,2]}"#,
            ),
            (Event::Ended(EndReason::Eof), "ended: EOF", r#"{"event":"ended","reason":"EOF"}"#),
        ];
        for (event, text, json) in cases {
            assert_eq!(both(&event), [(text.to_owned(), json.to_owned())]);
        }
    }
}
