//! What `connect` prints of each event: a line for people, or a JSON object for programs.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::base::{Payload, format_duration, shown};
use crate::device::lifeline::Wait;
use crate::session::device::{Broadcast, Event, Message};

/// One thing to print: as JSON, or as a line for people.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Line<'a> {
    /// The server let the device in.
    Connected { interval: String },
    /// A message for an app.
    Message {
        app: &'a str,
        id: String,
        urgency: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_in: Option<String>,
        payload: &'a RawValue,
    },
    /// A message that came too late.
    Expired { id: String },
    /// What is new on a channel.
    Broadcast { channel: String, level: i64, payloads: Vec<&'a RawValue> },
    /// The server sends the device away.
    Goaway { reason: &'static str, after: String, spread: String },
    /// The server is not content, but goes on.
    Warned { reason: &'a str },
    /// The server breaks off.
    Broken { reason: &'a str },
    /// To be shown to the server at the next connect.
    Cookie { cookie: &'a str },
    /// The session is over.
    Ended { reason: String },
    /// No connection came about.
    Unreachable { reason: String },
    /// The device will connect again.
    Waiting { duration: String, reason: &'static str },
}

/// What there is to print of `event`.
pub fn line(event: &Event) -> Option<Line<'_>> {
    Some(match event {
        Event::Connected { interval } => Line::Connected { interval: format_duration(*interval) },
        Event::Message(message) => line_of(message),
        Event::Expired(id) => Line::Expired { id: id.to_string() },
        Event::Broadcast(news) => broadcast(news),
        Event::Goaway(goaway) => Line::Goaway {
            reason: goaway.reason.name(),
            after: format_duration(goaway.after),
            spread: format_duration(goaway.spread),
        },
        Event::Pinged { .. } | Event::Confirmed | Event::Enrolled(_) => return None,
        Event::Warned { reason } => Line::Warned { reason },
        Event::Broken { reason } => Line::Broken { reason },
        Event::Cookie(cookie) => Line::Cookie { cookie },
        Event::Ended(reason) => Line::Ended { reason: reason.to_string() },
    })
}

/// What there is to print of a wait.
pub fn waiting(wait: Wait) -> Line<'static> {
    let to_milliseconds = Duration::from_millis(wait.duration.as_millis().try_into().unwrap_or(u64::MAX));
    Line::Waiting { duration: format_duration(to_milliseconds), reason: wait.cause.name() }
}

fn line_of(message: &Message) -> Line<'_> {
    Line::Message {
        app: message.app.as_str(),
        id: message.id.to_string(),
        urgency: message.urgency.name(),
        expires_in: message.expires_in.map(format_duration),
        payload: json_of(&message.payload),
    }
}

fn broadcast(news: &Broadcast) -> Line<'_> {
    Line::Broadcast {
        channel: news.channel.to_string(),
        level: news.level.0,
        payloads: news.payloads.iter().map(json_of).collect(),
    }
}

fn json_of(payload: &Payload) -> &RawValue {
    serde_json::from_slice(payload.as_bytes()).expect("a payload is JSON")
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Connected { interval } => {
                write!(f, "connected; a sign of life every {interval}")
            }
            Line::Expired { id } => write!(f, "a message came too late: {id}"),
            Line::Goaway { reason, after, spread } => {
                write!(f, "sent away ({reason}): back after {after} and up to {spread} more")
            }
            Line::Message { app, payload, .. } => write!(f, "{}: {}", shown(app), shown(payload.get())),
            Line::Broadcast { channel, level, payloads } => {
                write!(f, "broadcast, channel {channel} is at {level}:")?;
                payloads.iter().try_for_each(|payload| write!(f, " {}", shown(payload.get())))
            }
            Line::Warned { reason } => write!(f, "the server warns: {}", shown(reason)),
            Line::Broken { reason } => write!(f, "the server breaks off: {}", shown(reason)),
            Line::Cookie { cookie } => write!(f, "cookie: {}", shown(cookie)),
            Line::Ended { reason } => write!(f, "ended: {reason}"),
            Line::Unreachable { reason } => write!(f, "not reached: {reason}"),
            Line::Waiting { duration, reason } => write!(f, "connecting again in {duration} ({reason})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ChannelId, Level, Urgency};
    use crate::device::lifeline::Cause;
    use crate::protocol::wire1::{Goaway, Reason};
    use crate::session::EndReason;

    fn payload(json: &str) -> Payload {
        Payload::from_json(json.as_bytes()).expect("JSON")
    }

    fn both(event: &Event) -> (String, String) {
        let line = line(event).expect("it is printed");
        (line.to_string(), serde_json::to_string(&line).expect("plain"))
    }

    #[test]
    fn what_arrives_is_printed_for_people_and_for_programs() {
        let id = "AAAAAAAAAAEAAAAAAAAAAA==";
        let message = |app: &str, expires_in, json: &str| {
            Event::Message(Message {
                id: id.parse().expect("valid"),
                app: app.parse().expect("valid"),
                urgency: Urgency::High,
                expires_in,
                payload: payload(json),
            })
        };
        let plain = message("chatter", Some(Duration::from_secs(90)), "{\"n\": 1.50}");
        let json = format!(
            r#"{{"event":"message","app":"chatter","id":"{id}","urgency":"high","expires_in":"1m30s","payload":{{"n":1.50}}}}"#
        );
        assert_eq!(both(&plain), ("chatter: {\"n\":1.50}".to_owned(), json));
        let (text, json) = both(&message("evil\u{1b}[2J", None, "\"\u{9b}\""));
        assert_eq!(text, "evil\\u{1b}[2J: \"\\u{9b}\"");
        let expected = r#""app":"evil\u001b[2J""#;
        assert!(json.contains(expected) && !json.contains("expires_in"), "{json}");
    }

    #[test]
    fn broadcasts_and_the_ends_of_a_session_are_printed() {
        let news = Broadcast {
            channel: ChannelId::SYSTEM,
            level: Level(3),
            payloads: vec![payload("1"), payload("2")],
        };
        let goaway = Goaway {
            reason: Reason::Restart,
            after: Duration::from_secs(1),
            spread: Duration::from_secs(60),
        };
        let cases = [
            (
                Event::Connected { interval: Duration::from_millis(1500) },
                "connected; a sign of life every 1.5s",
                r#"{"event":"connected","interval":"1.5s"}"#,
            ),
            (
                Event::Broadcast(news),
                "broadcast, channel 0 is at 3: 1 2",
                r#"{"event":"broadcast","channel":"0","level":3,"payloads":[1,2]}"#,
            ),
            (
                Event::Goaway(goaway),
                "sent away (restart): back after 1s and up to 1m0s more",
                r#"{"event":"goaway","reason":"restart","after":"1s","spread":"1m0s"}"#,
            ),
            (Event::Ended(EndReason::Eof), "ended: EOF", r#"{"event":"ended","reason":"EOF"}"#),
        ];
        for (event, text, json) in cases {
            assert_eq!(both(&event), (text.to_owned(), json.to_owned()));
        }
    }

    #[test]
    fn a_wait_is_printed_to_the_millisecond() {
        let duration = Duration::from_nanos(1_234_567_890);
        let line = waiting(Wait { duration, cause: Cause::SentAway(Reason::TakenOver) });
        assert_eq!(line.to_string(), "connecting again in 1.234s (taken-over)");
        let json = r#"{"event":"waiting","duration":"1.234s","reason":"taken-over"}"#;
        assert_eq!(serde_json::to_string(&line).expect("plain"), json);
    }
}
