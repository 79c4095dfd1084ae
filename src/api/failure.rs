//! The table of failures: each with the status, label and message that app servers rely on.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::BytesMut;

use super::routes::Method;
use crate::base::{IdError, Payload, UrgencyError};

/// Why a request is not granted.
#[derive(Debug, PartialEq)]
pub(super) enum Failure {
    /// No request in the sense of HTTP/1.
    MalformedHead,
    /// Two lengths, or a length that is no number: where the body ends would be a matter of taste,
    /// and a proxy in front of us may have another.
    AmbiguousLength,
    /// Which of them counts would be a matter of taste, as with two lengths.
    TwoCredentials,
    HeadTooLarge,
    UnknownVersion,
    ShortHead,
    UnknownPath,
    /// With those that the path has.
    WrongMethod(Vec<Method>),
    NoLength,
    EmptyBody,
    BodyTooLarge,
    WrongContentType,
    ShortBody,
    MalformedJson,
    /// As [`Failure::MalformedJson`], and says what of it.
    BadBody(String),
    /// A part of the path or the query can't be read.
    BadTarget(&'static str),
    MissingId,
    BadId(IdError),
    /// Not 1 to 64 printable ASCII characters.
    BadIdempotencyKey,
    /// In the head of several messages, which need one each.
    IdempotencyKeyOfMany,
    MissingData,
    DataTooLarge,
    InvalidExpiration,
    PastExpiration,
    TagTooLong,
    BadUrgency(UrgencyError),
    UnknownChannel,
    UnknownToken,
    /// The token is another app's.
    Unauthorized,
    /// A credential is missing or wrong.
    NoCredential(Whose),
    /// A credential came where others may read it.
    Exposed,
    /// A credential came by a proxy on this machine that is not trusted, from who knows where.
    UntrustedProxy,
    /// By user and device, where devices must prove who they are.
    AddressedByDevice,
    /// There is no such thing, or not for whoever asks.
    Unknown(Noun),
    /// Another request was made under its idempotency key.
    AnotherRequest,
    /// More than its rate allows; with when it would be taken.
    TooManyRequests(Duration),
    /// With the newest pending payload of the app, if it is one device's.
    TooManyPending(Option<Payload>),
    /// The message says what could not be done.
    Unavailable(&'static str),
    /// Our own fault.
    Internal,
}

/// What there may be none of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noun {
    Device,
    Message,
    Token,
    User,
}

/// Whose credential is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    App,
    Device,
    Operator,
    /// A message's token, or its app's key.
    Sender,
    /// The operator's, or the user and password of the configuration.
    Stats,
}

/// A failure as it goes out.
pub(super) struct Row {
    /// Code and reason of the status line.
    pub status: &'static str,
    /// For programs.
    pub label: &'static str,
    /// For people.
    pub message: Cow<'static, str>,
}

impl Row {
    /// The status line's code.
    pub fn code(&self) -> u16 {
        let (code, _) = self.status.split_once(' ').expect("a code and a reason");
        code.parse().expect("a number")
    }
}

/// How long a sender should leave a server alone that takes nothing, in seconds: short enough that nobody
/// notices a burst, and senders back off from there.
const UNAVAILABLE_RETRY_AFTER_S: u64 = 5;

const BAD_REQUEST: &str = "400 Bad Request";
const NOT_FOUND: &str = "404 Not Found";
const UNAUTHORIZED: &str = "401 Unauthorized";
const TOO_LARGE: &str = "413 Content Too Large";

impl Failure {
    pub fn row(&self) -> Row {
        match self {
            Failure::MalformedHead => invalid(BAD_REQUEST, "Malformed HTTP request"),
            Failure::AmbiguousLength => invalid(BAD_REQUEST, "Ambiguous length of the request body"),
            Failure::TwoCredentials => invalid(BAD_REQUEST, "More than one Authorization header"),
            Failure::HeadTooLarge => {
                invalid("431 Request Header Fields Too Large", "Request header fields too large")
            }
            Failure::UnknownVersion => {
                invalid("505 HTTP Version Not Supported", "Unknown HTTP version, should be HTTP/1.1")
            }
            Failure::ShortHead => row(BAD_REQUEST, "io-error", "Could not read request head"),
            Failure::UnknownPath => invalid(NOT_FOUND, "Unknown path"),
            Failure::WrongMethod(allowed) => {
                let message = format!("Wrong request method, should be {}", names(allowed).join(" or "));
                invalid("405 Method Not Allowed", message)
            }
            Failure::NoLength => invalid("411 Length Required", "A Content-Length must be provided"),
            Failure::EmptyBody => invalid(BAD_REQUEST, "Request body empty"),
            Failure::BodyTooLarge => invalid(TOO_LARGE, "Request body too large"),
            Failure::WrongContentType => {
                invalid("415 Unsupported Media Type", "Wrong content type, should be application/json")
            }
            Failure::ShortBody => row(BAD_REQUEST, "io-error", "Could not read request body"),
            Failure::MalformedJson => invalid(BAD_REQUEST, "Malformed JSON Object"),
            Failure::MissingId => invalid(BAD_REQUEST, "Missing id field"),
            Failure::BadId(error) => invalid(BAD_REQUEST, format!("Invalid id field: {error}")),
            Failure::BadBody(error) => invalid(BAD_REQUEST, format!("Malformed JSON Object: {error}")),
            Failure::BadTarget(what) => invalid(BAD_REQUEST, format!("Invalid {what}")),
            Failure::BadIdempotencyKey => {
                invalid(BAD_REQUEST, "An idempotency key is 1 to 64 printable ASCII characters")
            }
            Failure::IdempotencyKeyOfMany => invalid(
                BAD_REQUEST,
                "The header Idempotency-Key is for one message; in a batch each has its own idempotency_key",
            ),
            Failure::MissingData => invalid(BAD_REQUEST, "Missing data field"),
            Failure::DataTooLarge => invalid(BAD_REQUEST, "Data too large"),
            Failure::InvalidExpiration => invalid(BAD_REQUEST, "Invalid expiration date"),
            Failure::PastExpiration => invalid(BAD_REQUEST, "Past expiration date"),
            Failure::TagTooLong => invalid(BAD_REQUEST, "Replace tag too long"),
            Failure::BadUrgency(error) => invalid(BAD_REQUEST, format!("Invalid urgency: {error}")),
            Failure::UnknownChannel => row(BAD_REQUEST, "unknown-channel", "Unknown channel"),
            Failure::UnknownToken => row(BAD_REQUEST, "unknown-token", "Unknown token"),
            Failure::Unauthorized => row(UNAUTHORIZED, "unauthorized", "Unauthorized"),
            Failure::NoCredential(whose) => row(UNAUTHORIZED, "unauthorized", whose.needed()),
            Failure::Exposed => row(
                "403 Forbidden",
                "forbidden",
                "Credentials are taken over HTTPS only, or from the server's own machine",
            ),
            Failure::UntrustedProxy => row(
                "403 Forbidden",
                "forbidden",
                "Credentials are taken from a proxy only if its address is in trusted_proxies",
            ),
            Failure::AddressedByDevice => {
                row(UNAUTHORIZED, "unauthorized", "Messages are taken by token only")
            }
            Failure::Unknown(Noun::Device) => row(NOT_FOUND, "unknown-device", "Unknown device"),
            Failure::Unknown(Noun::Message) => row(NOT_FOUND, "unknown-message", "Unknown message"),
            Failure::Unknown(Noun::Token) => row(NOT_FOUND, "unknown-token", "Unknown token"),
            Failure::Unknown(Noun::User) => row(NOT_FOUND, "unknown-user", "Unknown user"),
            Failure::AnotherRequest => row(
                "409 Conflict",
                "idempotency-conflict",
                "Another request was made under this idempotency key",
            ),
            Failure::TooManyRequests(_) => {
                row("429 Too Many Requests", "too-many-requests", "Too many requests, try again later")
            }
            Failure::TooManyPending(_) => {
                row(TOO_LARGE, "too-many-pending", "Too many pending notifications for this application")
            }
            Failure::Unavailable(message) => row("503 Service Unavailable", "unavailable", *message),
            Failure::Internal => row("500 Internal Server Error", "internal", "INTERNAL SERVER ERROR"),
        }
    }

    /// Appends the header lines that HTTP asks for beside this status.
    pub fn write_headers(&self, output: &mut BytesMut) {
        match self {
            Failure::WrongMethod(allowed) => line(output, "Allow", &with_head(allowed).join(", ")),
            Failure::NoCredential(Whose::Stats) => {
                line(output, "WWW-Authenticate", "Basic realm=\"stats\", charset=\"UTF-8\"");
                line(output, "WWW-Authenticate", "Bearer");
            }
            Failure::NoCredential(_) | Failure::Unauthorized | Failure::AddressedByDevice => {
                line(output, "WWW-Authenticate", "Bearer");
            }
            _ => {}
        }
        if let Some(seconds) = self.retry_after_s() {
            line(output, "Retry-After", &seconds.to_string());
        }
    }

    /// After how many seconds it is worth trying again, if at all.
    pub fn retry_after_s(&self) -> Option<u64> {
        match self {
            Failure::TooManyRequests(time) => Some(time.as_secs().max(1)),
            Failure::Unavailable(_) => Some(UNAVAILABLE_RETRY_AFTER_S),
            _ => None,
        }
    }

    /// The payload to go with it.
    pub fn extra(&self) -> Option<&Payload> {
        match self {
            Failure::TooManyPending(newest) => newest.as_ref(),
            _ => None,
        }
    }
}

impl Whose {
    fn needed(self) -> &'static str {
        match self {
            Whose::App => "Unauthorized: the app's key is needed",
            Whose::Device => "Unauthorized: the device's credential is needed",
            Whose::Operator => "Unauthorized: the operator's key is needed",
            Whose::Sender => "Unauthorized: the message's token or the app's key is needed",
            Whose::Stats => "Unauthorized",
        }
    }
}

fn line(output: &mut BytesMut, name: &str, value: &str) {
    write!(output, "{name}: {value}\r\n").expect("memory takes everything");
}

fn names(allowed: &[Method]) -> Vec<&'static str> {
    allowed.iter().map(|method| method.name()).collect()
}

/// HEAD goes wherever GET does.
fn with_head(allowed: &[Method]) -> Vec<&'static str> {
    let mut names = names(allowed);
    if allowed.contains(&Method::Get) {
        names.push("HEAD");
    }
    names
}

fn invalid(status: &'static str, message: impl Into<Cow<'static, str>>) -> Row {
    row(status, "invalid-request", message)
}

fn row(status: &'static str, label: &'static str, message: impl Into<Cow<'static, str>>) -> Row {
    Row { status, label, message: message.into() }
}
