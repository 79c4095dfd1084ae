//! The table of failures: each with the status, label and message that app servers rely on.

use std::borrow::Cow;

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
    HeadTooLarge,
    UnknownVersion,
    ShortHead,
    UnknownPath,
    WrongMethod(Method),
    NoLength,
    EmptyBody,
    BodyTooLarge,
    WrongContentType,
    ShortBody,
    MalformedJson,
    MissingId,
    BadId(IdError),
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
    /// `/stats` without its credential.
    NoCredential,
    /// With the newest pending payload of the app, if it is one device's.
    TooManyPending(Option<Payload>),
    /// The message says what could not be done.
    Unavailable(&'static str),
    /// Our own fault.
    Internal,
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

const BAD_REQUEST: &str = "400 Bad Request";
const UNAUTHORIZED: &str = "401 Unauthorized";
const TOO_LARGE: &str = "413 Content Too Large";

impl Failure {
    pub fn row(&self) -> Row {
        match self {
            Failure::MalformedHead => invalid(BAD_REQUEST, "Malformed HTTP request"),
            Failure::AmbiguousLength => invalid(BAD_REQUEST, "Ambiguous length of the request body"),
            Failure::HeadTooLarge => {
                invalid("431 Request Header Fields Too Large", "Request header fields too large")
            }
            Failure::UnknownVersion => {
                invalid("505 HTTP Version Not Supported", "Unknown HTTP version, should be HTTP/1.1")
            }
            Failure::ShortHead => row(BAD_REQUEST, "io-error", "Could not read request head"),
            Failure::UnknownPath => invalid("404 Not Found", "Unknown path"),
            Failure::WrongMethod(Method::Post) => {
                invalid("405 Method Not Allowed", "Wrong request method, should be POST")
            }
            Failure::WrongMethod(Method::Get) => {
                invalid("405 Method Not Allowed", "Wrong request method, should be GET")
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
            Failure::MissingData => invalid(BAD_REQUEST, "Missing data field"),
            Failure::DataTooLarge => invalid(BAD_REQUEST, "Data too large"),
            Failure::InvalidExpiration => invalid(BAD_REQUEST, "Invalid expiration date"),
            Failure::PastExpiration => invalid(BAD_REQUEST, "Past expiration date"),
            Failure::TagTooLong => invalid(BAD_REQUEST, "Replace tag too long"),
            Failure::BadUrgency(error) => invalid(BAD_REQUEST, format!("Invalid urgency: {error}")),
            Failure::UnknownChannel => row(BAD_REQUEST, "unknown-channel", "Unknown channel"),
            Failure::UnknownToken => row(BAD_REQUEST, "unknown-token", "Unknown token"),
            Failure::Unauthorized | Failure::NoCredential => {
                row(UNAUTHORIZED, "unauthorized", "Unauthorized")
            }
            Failure::TooManyPending(_) => {
                row(TOO_LARGE, "too-many-pending", "Too many pending notifications for this application")
            }
            Failure::Unavailable(message) => row("503 Service Unavailable", "unavailable", *message),
            Failure::Internal => row("500 Internal Server Error", "internal", "INTERNAL SERVER ERROR"),
        }
    }

    /// The header line that HTTP asks for beside this status, if any.
    pub fn header(&self) -> Option<&'static str> {
        match self {
            Failure::WrongMethod(Method::Post) => Some("Allow: POST\r\n"),
            Failure::WrongMethod(Method::Get) => Some("Allow: GET, HEAD\r\n"),
            Failure::NoCredential => Some("WWW-Authenticate: Basic realm=\"stats\", charset=\"UTF-8\"\r\n"),
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

fn invalid(status: &'static str, message: impl Into<Cow<'static, str>>) -> Row {
    row(status, "invalid-request", message)
}

fn row(status: &'static str, label: &'static str, message: impl Into<Cow<'static, str>>) -> Row {
    Row { status, label, message: message.into() }
}
