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

/// What can be asked for on the old paths, and on those of [`v1`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Notify,
    Broadcast,
    Register,
    Unregister,
    DeliveryHosts,
    Stats,
    Healthz,
    V1(v1::Operation),
}

/// All there is: how it is asked for, and what it is. A segment in braces stands for any.
/// `protocol-spec/openapi.json` describes each.
pub(super) const ROUTES: [(Method, &str, Operation); 20] = {
    use Method::{Delete, Get, Post, Put};
    use v1::Operation as V1;
    [
        (Post, "/notify", Operation::Notify),
        (Post, "/broadcast", Operation::Broadcast),
        (Post, "/register", Operation::Register),
        (Post, "/unregister", Operation::Unregister),
        (Get, "/delivery-hosts", Operation::DeliveryHosts),
        (Get, "/stats", Operation::Stats),
        (Get, "/healthz", Operation::Healthz),
        (Post, "/v1/messages", Operation::V1(V1::SendMessages)),
        (Get, "/v1/messages/{id}", Operation::V1(V1::ShowMessage)),
        (Get, "/v1/registrations", Operation::V1(V1::ListRegistrations)),
        (Post, "/v1/registrations", Operation::V1(V1::Register)),
        (Delete, "/v1/registrations/{appid}", Operation::V1(V1::Unregister)),
        (Post, "/v1/enrolment-codes", Operation::V1(V1::MakeEnrolmentCode)),
        (Get, "/v1/devices", Operation::V1(V1::ListDevices)),
        (Delete, "/v1/devices/{deviceid}", Operation::V1(V1::RevokeDevice)),
        (Delete, "/v1/users/{user}", Operation::V1(V1::EraseUser)),
        (Delete, "/v1/users/{user}/apps/{appid}", Operation::V1(V1::RevokeUserToken)),
        (Get, "/v1/app-keys", Operation::V1(V1::ListAppKeys)),
        (Put, "/v1/app-keys/{appid}", Operation::V1(V1::BindApp)),
        (Delete, "/v1/app-keys/{appid}", Operation::V1(V1::UnbindApp)),
    ]
};

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
    let (operation, segments) = find(head.method, path)?;
    match operation {
        Operation::V1(operation) => v1::plan(operation, &segments, query, &rights),
        Operation::DeliveryHosts => Ok(Plan::Tell(delivery_hosts(options))),
        Operation::Stats => {
            rights.check_stats()?;
            Ok(Plan::Ask(Request::Stats, Asked::Old(STORE_UNAVAILABLE)))
        }
        Operation::Healthz => Ok(Plan::Ask(Request::Queue(Command::Probe), Asked::Old(STORE_UNAVAILABLE))),
        Operation::Notify => read(Call::Notify { app_key: rights.app_key()? }, head, options),
        Operation::Broadcast => {
            if options.is_auth_required {
                rights.check_operator()?;
            }
            read(Call::Broadcast, head, options)
        }
        Operation::Register => read(Call::Register { credential: device(&rights)? }, head, options),
        Operation::Unregister => read(Call::Unregister { credential: device(&rights)? }, head, options),
    }
}

/// What is asked for, and what stands in the path where the route has braces.
fn find<'p>(method: &str, path: &'p str) -> Result<(Operation, Vec<&'p str>), Failure> {
    let method = if method == "HEAD" { "GET" } else { method };
    let mut allowed = Vec::new();
    for (known, route, operation) in ROUTES {
        let Some(segments) = match_path(route, path) else { continue };
        if known.name() == method {
            return Ok((operation, segments));
        }
        allowed.push(known);
    }
    Err(if allowed.is_empty() { Failure::UnknownPath } else { Failure::WrongMethod(allowed) })
}

/// The segments of `path` that stand for those in braces, if it is of this route.
fn match_path<'p>(route: &str, path: &'p str) -> Option<Vec<&'p str>> {
    let (mut known, mut found) = (route.split('/'), path.split('/'));
    let mut segments = Vec::new();
    loop {
        match (known.next(), found.next()) {
            (None, None) => return Some(segments),
            (Some(known), Some(found)) if known.starts_with('{') => segments.push(found),
            (Some(known), Some(found)) if known == found => {}
            _ => return None,
        }
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
