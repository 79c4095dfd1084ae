//! Answers, from what the queue said to the bytes of an HTTP response.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::BytesMut;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use serde::Serialize;
use serde_json::value::RawValue;

use super::failure::{Failure, Whose};
use super::{Options, Reply, v1};
use crate::base::Wall;
use crate::queue::{Answer, Refusal, Registered};

/// What came of a request.
pub(super) type Outcome = Result<Success, Failure>;

/// A request that was granted.
#[derive(Debug)]
pub(super) enum Success {
    Done,
    /// A JSON object, written out.
    Object(String),
    /// The same, where a part of the request needed a credential that it did not show.
    ObjectDeniedInPart(String),
}

/// How an answer goes out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Framing {
    /// The request was a HEAD: all but the body.
    pub without_body: bool,
    /// No other request will be answered on this connection.
    pub close: bool,
}

/// How to tell what comes of a request.
#[derive(Debug)]
pub(super) enum Asked {
    /// As on the old paths. The text says what can't be done if nothing can.
    Old(&'static str),
    V1(v1::Asked),
}

/// What `reply` means for the request.
pub(super) fn outcome(reply: Reply, asked: Asked, options: &Options) -> Outcome {
    match (reply, asked) {
        (Reply::Queue(answer), Asked::Old(unavailable)) => old(answer, unavailable),
        (Reply::Queue(answer), Asked::V1(asked)) => asked.outcome(answer, options),
        (Reply::Stats(counters), _) => Ok(stats(counters)),
        (Reply::Busy, Asked::Old(unavailable)) => Err(Failure::Unavailable(unavailable)),
        (Reply::Busy, Asked::V1(_)) => Err(Failure::Unavailable(v1::UNAVAILABLE)),
    }
}

fn old(answer: Answer, unavailable: &'static str) -> Outcome {
    match answer {
        Answer::Done => Ok(Success::Done),
        Answer::Registered(registered) => Ok(tokens(&registered)),
        Answer::Refused(refusal) => Err(failure(refusal, unavailable)),
        _ => Err(Failure::Internal),
    }
}

fn failure(refusal: Refusal, unavailable: &'static str) -> Failure {
    match refusal {
        Refusal::UnknownToken => Failure::UnknownToken,
        Refusal::Unauthorized => Failure::Unauthorized,
        Refusal::NotThisDevice => Failure::NoCredential(Whose::Device),
        Refusal::AppKeyNeeded => Failure::NoCredential(Whose::App),
        Refusal::TooManyRequests { retry_after } => Failure::TooManyRequests(retry_after),
        Refusal::UnknownChannel => Failure::UnknownChannel,
        Refusal::PastExpiration => Failure::PastExpiration,
        Refusal::TooManyPending(newest) => Failure::TooManyPending(newest),
        Refusal::Unavailable => Failure::Unavailable(unavailable),
        _ => Failure::Internal,
    }
}

pub(super) fn tokens(registered: &Registered) -> Success {
    #[derive(Serialize)]
    struct Body {
        ok: bool,
        token: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        user_token: Option<String>,
    }
    let user_token = registered.user_token.map(|token| token.reveal());
    Success::object(&Body { ok: true, token: registered.token.reveal(), user_token })
}

fn stats(counters: Vec<(&'static str, u64)>) -> Success {
    let ok = ("ok".to_owned(), true.into());
    let counters = counters.into_iter().map(|(name, count)| (name.to_owned(), count.into()));
    Success::object(&serde_json::Map::from_iter(std::iter::once(ok).chain(counters)))
}

/// Whether somebody has shown a wrong credential, if he has shown one.
pub(super) fn is_denied(outcome: &Outcome) -> bool {
    matches!(outcome, Ok(Success::ObjectDeniedInPart(_)) | Err(Failure::NoCredential(_)))
}

/// Appends the whole response to `output`.
pub(super) fn write(output: &mut BytesMut, outcome: &Outcome, framing: Framing, now: Wall) {
    let (status, body) = match outcome {
        Ok(success) => ("200 OK", success.body()),
        Err(failure) => (failure.row().status, failure_body(failure).into()),
    };
    write_head(output, status, body.len(), framing, now);
    if let Err(failure) = outcome {
        failure.write_headers(output);
    }
    output.extend_from_slice(b"\r\n");
    if !framing.without_body {
        output.extend_from_slice(body.as_bytes());
    }
}

/// The status line and the header fields that every answer has. Each is true only of this moment, so
/// none is for caches.
fn write_head(output: &mut BytesMut, status: &str, body_bytes: usize, framing: Framing, now: Wall) {
    let connection = if framing.close { "close" } else { "keep-alive" };
    write!(
        output,
        "HTTP/1.1 {status}\r\n\
         Content-Type: application/json\r\n\
         Content-Length: {body_bytes}\r\n\
         Cache-Control: no-cache\r\n\
         Connection: {connection}\r\n"
    )
    .expect("memory takes everything");
    if let Some(date) = date(now) {
        write!(output, "Date: {date}\r\n").expect("memory takes everything");
    }
}

/// None if the clock is beyond what a date can say.
fn date(now: Wall) -> Option<String> {
    let timestamp = Timestamp::from_millisecond(i64::try_from(now.0).ok()?).ok()?;
    DateTimePrinter::new().timestamp_to_rfc9110_string(&timestamp).ok()
}

/// What a message of a batch may take from its answer in the queue to its answer in JSON, in bytes: one for
/// each of a user's devices.
const BATCHED_ANSWER_BYTES_MAX: usize = 4 * 1024;

impl Asked {
    /// How long the answer will be at most, in bytes, if it may be long.
    pub fn answer_bytes_max(&self) -> usize {
        match self {
            Asked::V1(v1::Asked::Batch(slots)) => slots.len() * BATCHED_ANSWER_BYTES_MAX,
            _ => 0,
        }
    }
}

impl Success {
    /// The JSON of `object`, which must have `"ok":true` in it.
    pub fn object(object: &impl Serialize) -> Success {
        Success::Object(serde_json::to_string(object).expect("text keys and plain values"))
    }

    /// The same answer, which counts as a failed authentication of who has shown a credential.
    pub fn denied_in_part(self) -> Success {
        Success::ObjectDeniedInPart(self.body().into_owned())
    }

    fn body(&self) -> Cow<'_, str> {
        match self {
            Success::Done => r#"{"ok":true}"#.into(),
            Success::Object(json) | Success::ObjectDeniedInPart(json) => json.into(),
        }
    }
}

fn failure_body(failure: &Failure) -> String {
    #[derive(Serialize)]
    struct Body<'a> {
        error: &'static str,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        extra: Option<&'a RawValue>,
    }
    let row = failure.row();
    let extra = failure.extra().and_then(|payload| serde_json::from_slice(payload.as_bytes()).ok());
    let body = Body { error: row.label, message: &row.message, extra };
    serde_json::to_string(&body).expect("plain values")
}
