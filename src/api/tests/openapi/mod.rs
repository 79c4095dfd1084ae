//! Holds the server to `protocol-spec/openapi.json`, both ways: what the file describes the server does, and
//! what the server does is in the file.

mod samples;
mod schema;

use core::net::IpAddr;
use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::api::routes::{Method, Operation, ROUTES};
use crate::queue::Refusal;
use samples::Sample;

fn document() -> Value {
    serde_json::from_str(include_str!("../../../../protocol-spec/openapi.json")).expect("JSON")
}

/// Hears nobody who shows a credential.
#[derive(Debug)]
struct Deaf;

impl Doorkeeper for Deaf {
    fn asker(&self, _: Option<&str>) -> IpAddr {
        core::net::Ipv4Addr::LOCALHOST.into()
    }

    fn wait(&self, _: IpAddr, _: Monotonic) -> Duration {
        Duration::from_secs(1)
    }

    fn failed(&self, _: IpAddr, _: Monotonic) {}
}

/// A route as the file describes it.
struct Described<'d> {
    method: Method,
    operation: Operation,
    description: &'d Value,
}

fn described(document: &Value) -> Vec<Described<'_>> {
    let of = |(method, path, operation): (Method, &str, Operation)| {
        let name = method.name().to_ascii_lowercase();
        let description = &document["paths"][path][&name];
        assert!(description.is_object(), "{name} {path} is not in the file");
        Described { method, operation, description }
    };
    ROUTES.into_iter().map(of).collect()
}

#[test]
fn what_the_server_routes_is_in_the_file_and_nothing_else() {
    let document = document();
    let in_file: BTreeSet<(String, &str)> = document["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods").keys();
            methods.map(move |method| (method.to_ascii_uppercase(), path.as_str()))
        })
        .collect();
    let routed: BTreeSet<(String, &str)> =
        ROUTES.iter().map(|(method, path, _)| (method.name().to_owned(), *path)).collect();
    assert_eq!(in_file, routed);
}

#[test]
fn each_answer_in_the_file_is_given_and_is_as_it_says() {
    let document = document();
    for described in described(&document) {
        let responses = described.description["responses"].as_object().expect("responses");
        for (status, response) in responses {
            let case = format!("{} {status}", described.description["operationId"]);
            let answer = answer(&described, status).unwrap_or_else(|| panic!("no way to {case}"));
            check_answer(&document, response, &answer, &case);
            let expected = if status == "default" { "405" } else { status };
            assert_eq!(answer.status.to_string(), expected, "{case}");
        }
    }
}

/// What a batch says is checked by its parts, for which the file has a schema each.
#[test]
fn a_batch_is_answered_as_the_file_says() {
    let document = document();
    let described = described(&document);
    let sending = described.iter().find(|described| described.description["operationId"] == "sendMessages");
    let response = &sending.expect("it is routed").description["responses"]["200"];
    let answer = ask(Method::Post, samples::batch(), Line::Private);
    check_answer(&document, response, &answer, "batch");
}

#[test]
fn each_request_is_as_the_file_says() {
    let document = document();
    for described in described(&document) {
        let schema = described.description.pointer("/requestBody/content/application~1json/schema");
        let body = samples::of(described.operation).body;
        assert_eq!(schema.is_some(), body.is_some(), "{}", described.description["operationId"]);
        if let (Some(schema), Some(body)) = (schema, body) {
            assert_eq!(schema::check(&document, schema, &body), Ok(()));
        }
    }
    let batch = samples::batch().body.expect("messages");
    let sending = &document["paths"]["/v1/messages"]["post"]["requestBody"]["content"]["application/json"];
    assert_eq!(schema::check(&document, &sending["schema"], &batch), Ok(()));
}

/// Whatever the server may answer beside what the file says of the operation is not expected by anybody.
#[test]
fn each_operation_gives_no_answer_that_the_file_has_not() {
    let document = document();
    for described in described(&document) {
        for status in ["200", "400", "401", "403", "404", "409", "411", "413", "415", "429", "503"] {
            let Some(answer) = answer(&described, status) else { continue };
            let is_known = described.description["responses"].get(answer.status.to_string()).is_some();
            assert!(is_known, "{} answers {}", described.description["operationId"], answer.status);
        }
    }
}

fn check_answer(document: &Value, response: &Value, answer: &Response, case: &str) {
    let response = match response.get("$ref") {
        Some(reference) => schema::resolve(document, reference).expect(case),
        None => response,
    };
    let schema = &response["content"]["application/json"]["schema"];
    assert_eq!(schema::check(document, schema, &answer.json()), Ok(()), "{case}");
    assert_eq!(answer.header("Content-Type"), Some("application/json"), "{case}");
    for name in response["headers"].as_object().into_iter().flat_map(|headers| headers.keys()) {
        assert!(answer.header(name).is_some(), "{case}: no {name}");
    }
}

/// Makes the operation answer with `status`, if there is a way to try.
fn answer(described: &Described<'_>, status: &str) -> Option<Response> {
    let method = described.method;
    let sample = samples::of(described.operation);
    Some(match status {
        "200" => ask(method, sample, Line::Private),
        "400" => ask(method, unreadable(sample), Line::Private),
        "401" => ask(method, unauthorized(described.operation, sample), Line::Private),
        "403" => ask(method, sample, Line::Exposed),
        "404" => ask(method, Sample { granted: sample.unknown?, unknown: None, ..sample }, Line::Private),
        "409" if described.operation == SENDING => {
            ask(method, refused(Refusal::AnotherRequest), Line::Private)
        }
        "411" => tell(method, &sample, "Content-Type: application/json\r\n"),
        "413" => tell(method, &sample, "Content-Type: application/json\r\nContent-Length: 1048577\r\n"),
        "415" => tell(method, &sample, "Content-Type: text/plain\r\nContent-Length: 2\r\n"),
        "429" => unheard(method, &sample),
        // Counters are always at hand.
        "503" if described.operation != Operation::Stats => {
            ask(method, Sample { granted: Reply::Busy, ..sample }, Line::Private)
        }
        "default" => send(Peer::with(required()), format!("PATCH {} HTTP/1.1\r\n\r\n", sample.target), None),
        _ => return None,
    })
}

const SENDING: Operation = Operation::V1(crate::api::v1::Operation::SendMessages);

fn ask(method: Method, sample: Sample, line: Line) -> Response {
    let body = sample.body.as_ref().map(Value::to_string).unwrap_or_default();
    let about = match body.len() {
        0 => String::new(),
        length => format!("Content-Type: application/json\r\nContent-Length: {length}\r\n"),
    };
    let request = head(method, &sample, &about) + &body;
    send(Peer::with_line(required(), line), request, Some(sample.granted))
}

/// Sends a head alone, which says this about the body.
fn tell(method: Method, sample: &Sample, about: &str) -> Response {
    send(Peer::with(required()), head(method, sample, about), Some(Reply::Queue(Answer::Done)))
}

fn unheard(method: Method, sample: &Sample) -> Response {
    let conversation = Conversation::new(Arc::new(required()), Line::Private, START);
    let conversation = conversation.guarded_by(Box::new(Deaf));
    send(Peer { conversation, now: START, arrived: Vec::new() }, head(method, sample, ""), None)
}

fn head(method: Method, sample: &Sample, about: &str) -> String {
    let Sample { target, authorization, .. } = sample;
    format!("{} {target} HTTP/1.1\r\n{authorization}{about}\r\n", method.name())
}

fn send(mut peer: Peer, request: String, reply: Option<Reply>) -> Response {
    peer.send(&request);
    if peer.conversation.poll_request().is_some() {
        peer.reply(reply.expect("nobody is asked"));
    }
    peer.response().unwrap_or_else(|| panic!("no answer: {request}"))
}

fn unreadable(sample: Sample) -> Sample {
    match sample.body {
        Some(_) => Sample { body: Some(Value::Null), ..sample },
        None => Sample { target: format!("{}&x=%ff", with_query(&sample.target)), ..sample },
    }
}

fn with_query(target: &str) -> String {
    if target.contains('?') { target.to_owned() } else { format!("{target}?") }
}

/// App servers need a credential only where the queue says so.
fn unauthorized(operation: Operation, sample: Sample) -> Sample {
    match operation {
        SENDING => refused(Refusal::AppKeyNeeded),
        Operation::Notify => {
            Sample { granted: Reply::Queue(Answer::Refused(Refusal::AppKeyNeeded)), ..sample }
        }
        _ => Sample { authorization: String::new(), ..sample },
    }
}

fn refused(refusal: Refusal) -> Sample {
    samples::sent(samples::message(), vec![Err(refusal)])
}
