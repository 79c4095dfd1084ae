//! What a request asks for, by its head: the path, and the checks that need no body, in the order
//! method, length, content type.

use serde::Serialize;

use super::answer::Success;
use super::failure::Failure;
use super::head::{BodyLength, Head};
use super::{Options, Request};
use crate::queue::Command;

/// How a path wants to be asked. GET includes HEAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
}

/// What is POSTed, each with a JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Notify,
    Broadcast,
    Register,
    Unregister,
}

/// What is got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    DeliveryHosts,
    Stats,
    Healthz,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Call(Call),
    View(View),
}

/// How to go on after a head.
#[derive(Debug)]
pub(super) enum Plan {
    /// Read the body, of so many bytes, and make a command of it.
    Read(Call, usize),
    /// Pass the request on. If it can't be served, the text says so.
    Ask(Request, &'static str),
    /// Answer at once.
    Tell(Success),
}

/// Decides how to go on with a request.
pub(super) fn plan(head: &Head<'_>, options: &Options) -> Result<Plan, Failure> {
    match Route::find(path(head.target)).ok_or(Failure::UnknownPath)? {
        Route::Call(call) => {
            check_method(head, Method::Post)?;
            let length = body_length(head.body, options.body_bytes_max)?;
            check_content_type(head)?;
            Ok(Plan::Read(call, length))
        }
        Route::View(view) => {
            check_method(head, Method::Get)?;
            view.plan(head, options)
        }
    }
}

/// The path in a request's target: without query, and without the host that a proxy may put in front.
fn path(target: &str) -> &str {
    let path = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => rest.find('/').map_or("", |at| &rest[at..]),
        _ => target,
    };
    path.split('?').next().unwrap_or_default()
}

fn check_method(head: &Head<'_>, wanted: Method) -> Result<(), Failure> {
    match (wanted, head.method) {
        (Method::Post, "POST") | (Method::Get, "GET" | "HEAD") => Ok(()),
        _ => Err(Failure::WrongMethod(wanted)),
    }
}

fn body_length(length: BodyLength, bytes_max: usize) -> Result<usize, Failure> {
    match length {
        BodyLength::Absent | BodyLength::Coded => Err(Failure::NoLength),
        BodyLength::Announced(0) => Err(Failure::EmptyBody),
        BodyLength::Announced(bytes) => {
            usize::try_from(bytes).ok().filter(|&bytes| bytes <= bytes_max).ok_or(Failure::BodyTooLarge)
        }
    }
}

fn check_content_type(head: &Head<'_>) -> Result<(), Failure> {
    let media_type = head.content_type.and_then(|value| value.split(|&byte| byte == b';').next());
    match media_type {
        Some(found) if found.trim_ascii().eq_ignore_ascii_case(b"application/json") => Ok(()),
        _ => Err(Failure::WrongContentType),
    }
}

impl Route {
    fn find(path: &str) -> Option<Route> {
        Some(match path {
            "/notify" => Route::Call(Call::Notify),
            "/broadcast" => Route::Call(Call::Broadcast),
            "/register" => Route::Call(Call::Register),
            "/unregister" => Route::Call(Call::Unregister),
            "/delivery-hosts" => Route::View(View::DeliveryHosts),
            "/stats" => Route::View(View::Stats),
            "/healthz" => Route::View(View::Healthz),
            _ => return None,
        })
    }
}

/// What a call without a text of its own says when the queue can't serve it.
const STORE_UNAVAILABLE: &str = "Message store unavailable";

impl Call {
    /// What to say when the queue can't serve the call.
    pub fn unavailable(self) -> &'static str {
        match self {
            Call::Notify => "Could not store notification",
            Call::Broadcast => STORE_UNAVAILABLE,
            Call::Register => "Could not make token",
            Call::Unregister => "Could not remove token",
        }
    }
}

impl View {
    fn plan(self, head: &Head<'_>, options: &Options) -> Result<Plan, Failure> {
        match self {
            View::DeliveryHosts => Ok(Plan::Tell(delivery_hosts(options))),
            View::Stats => {
                check_credential(head, options)?;
                Ok(Plan::Ask(Request::Stats, STORE_UNAVAILABLE))
            }
            View::Healthz => Ok(Plan::Ask(Request::Queue(Command::Probe), STORE_UNAVAILABLE)),
        }
    }
}

fn delivery_hosts(options: &Options) -> Success {
    #[derive(Serialize)]
    struct Body<'a> {
        ok: bool,
        hosts: &'a [String],
        domain: &'a str,
    }
    Success::object(&Body { ok: true, hosts: &options.hosts, domain: &options.domain })
}

fn check_credential(head: &Head<'_>, options: &Options) -> Result<(), Failure> {
    match (&options.stats, head.authorization) {
        (Some(credential), Some(given)) if credential.is_in(given) => Ok(()),
        _ => Err(Failure::NoCredential),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stands_without_query_and_host() {
        let cases = [
            ("/notify", "/notify"),
            ("/delivery-hosts?h=0f", "/delivery-hosts"),
            ("/x?u=http://a/notify", "/x"),
            ("http://push.example:8080/notify?x", "/notify"),
            ("http://push.example", ""),
            ("/http://a/notify", "/http://a/notify"),
            ("*", "*"),
        ];
        for (target, expected) in cases {
            assert_eq!(path(target), expected, "{target}");
        }
    }
}
