//! What a request asks for, by its head: the path, and the checks that need no body, in the order
//! method, length, content type.

use serde::Serialize;

use super::answer::{Asked, Success};
use super::failure::Failure;
use super::head::{BodyLength, Head};
use super::rights::{Line, Rights};
use super::{Options, Request, v1};
use crate::base::Credential;
use crate::queue::Command;

/// How a path wants to be asked. GET includes HEAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Put,
    Delete,
}

/// What is POSTed, each with a JSON object; and what of the head it is to be read with.
#[derive(Debug)]
pub(super) enum Call {
    Notify { app_key: Option<Credential> },
    Broadcast,
    Register { credential: Option<Credential> },
    Unregister { credential: Option<Credential> },
    V1(v1::Call),
}

/// The old paths; those of [`v1`] are found there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Notify,
    Broadcast,
    Register,
    Unregister,
    DeliveryHosts,
    Stats,
    Healthz,
}

/// How to go on after a head.
#[derive(Debug)]
pub(super) enum Plan {
    /// Read the body, of so many bytes, and make a command of it.
    Read(Call, usize),
    /// Pass the request on.
    Ask(Request, Asked),
    /// Answer at once.
    Tell(Success),
}

/// Decides how to go on with a request that came over `line`.
pub(super) fn plan(head: &Head<'_>, options: &Options, line: Line) -> Result<Plan, Failure> {
    let (path, query) = path_and_query(head.target);
    let rights = Rights { head, options, line };
    if let Some(rest) = path.strip_prefix(v1::PREFIX) {
        return v1::plan(rest, query, &rights);
    }
    let route = Route::find(path).ok_or(Failure::UnknownPath)?;
    check_method(head, route.methods())?;
    match route {
        Route::DeliveryHosts => Ok(Plan::Tell(delivery_hosts(options))),
        Route::Stats => {
            rights.check_stats()?;
            Ok(Plan::Ask(Request::Stats, Asked::Old(STORE_UNAVAILABLE)))
        }
        Route::Healthz => Ok(Plan::Ask(Request::Queue(Command::Probe), Asked::Old(STORE_UNAVAILABLE))),
        Route::Notify => read(Call::Notify { app_key: rights.app_key()? }, head, options),
        Route::Broadcast => {
            if options.is_auth_required {
                rights.check_operator()?;
            }
            read(Call::Broadcast, head, options)
        }
        Route::Register => read(Call::Register { credential: device(&rights)? }, head, options),
        Route::Unregister => read(Call::Unregister { credential: device(&rights)? }, head, options),
    }
}

/// The path in a request's target, without the host that a proxy may put in front, and the query.
fn path_and_query(target: &str) -> (&str, &str) {
    let path = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => rest.find('/').map_or("", |at| &rest[at..]),
        _ => target,
    };
    path.split_once('?').unwrap_or((path, ""))
}

/// The credential that the queue is to hold the device to. In open mode devices are believed, whatever
/// some of them send.
fn device(rights: &Rights<'_>) -> Result<Option<Credential>, Failure> {
    rights.options.is_auth_required.then(|| rights.device()).transpose()
}

fn read(call: Call, head: &Head<'_>, options: &Options) -> Result<Plan, Failure> {
    Ok(Plan::Read(call, check_body(head, options.body_bytes_max)?))
}

pub(super) fn check_method(head: &Head<'_>, allowed: &'static [Method]) -> Result<Method, Failure> {
    let asked = if head.method == "HEAD" { "GET" } else { head.method };
    let found = allowed.iter().find(|method| method.name() == asked);
    found.copied().ok_or(Failure::WrongMethod(allowed))
}

/// How many bytes of JSON to read.
pub(super) fn check_body(head: &Head<'_>, bytes_max: usize) -> Result<usize, Failure> {
    let length = body_length(head.body, bytes_max)?;
    check_content_type(head)?;
    Ok(length)
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

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        }
    }
}

impl Route {
    fn find(path: &str) -> Option<Route> {
        Some(match path {
            "/notify" => Route::Notify,
            "/broadcast" => Route::Broadcast,
            "/register" => Route::Register,
            "/unregister" => Route::Unregister,
            "/delivery-hosts" => Route::DeliveryHosts,
            "/stats" => Route::Stats,
            "/healthz" => Route::Healthz,
            _ => return None,
        })
    }

    fn methods(self) -> &'static [Method] {
        match self {
            Route::DeliveryHosts | Route::Stats | Route::Healthz => &[Method::Get],
            Route::Notify | Route::Broadcast | Route::Register | Route::Unregister => &[Method::Post],
        }
    }
}

/// What a call without a text of its own says when the queue can't serve it.
pub(super) const STORE_UNAVAILABLE: &str = "Message store unavailable";

fn delivery_hosts(options: &Options) -> Success {
    #[derive(Serialize)]
    struct Body<'a> {
        ok: bool,
        hosts: &'a [String],
        domain: &'a str,
    }
    Success::object(&Body { ok: true, hosts: &options.hosts, domain: &options.domain })
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
            assert_eq!(path_and_query(target).0, expected, "{target}");
        }
    }
}
