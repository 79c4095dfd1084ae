//! Messages over `/v1`: one, many, and what became of them.

use serde_json::{Value, json};

use super::*;
use crate::base::{Digest, MessageId, Token, Urgency};
use crate::queue::{Address, DeviceState, Holder, MessageState, Refusal, Repeat, Sent, Status, Submission};

const TOKEN: Token = Token([7; 16]);
const ID: MessageId = MessageId([3; 16]);

fn message() -> Value {
    json!({"token": TOKEN.reveal(), "appid": "chatter", "data": {"m": "hi"}, "ttl_seconds": 60})
}

/// The message with these fields over its own; one that is null goes.
fn message_with(fields: Value) -> Value {
    let mut message = message();
    for (name, value) in fields.as_object().expect("fields") {
        message[name] = value.clone();
    }
    message.as_object_mut().expect("fields").retain(|_, value| !value.is_null());
    message
}

fn send(headers: &str, body: &Value) -> Peer {
    let mut peer = Peer::with(required());
    peer.send(post_with("/v1/messages", headers, &body.to_string()));
    peer
}

fn submissions(peer: &mut Peer) -> Vec<Submission> {
    match peer.command() {
        Some(Command::Send(submissions)) => submissions,
        other => panic!("{other:?} {}", String::from_utf8_lossy(&peer.arrived)),
    }
}

fn sent() -> Sent {
    let device = |name: &str| name.parse().expect("an id");
    let devices = vec![(device("d1"), Status::Queued), (device("d2"), Status::TooManyPending)];
    Sent { id: ID, devices }
}

fn sent_json() -> Value {
    let devices =
        json!([{"deviceid": "d1", "status": "queued"}, {"deviceid": "d2", "status": "too-many-pending"}]);
    json!({"ok": true, "id": "AwMDAwMDAwMDAwMDAwMDAw", "devices": devices})
}

fn answer(peer: &mut Peer, answer: Answer) -> (u16, Value) {
    peer.reply(Reply::Queue(answer));
    let response = peer.response().expect("an answer");
    (response.status, response.json())
}

#[test]
fn a_message_reaches_the_queue_with_all_that_it_says() {
    let body = message_with(json!({
        "urgency": "high", "replace_tag": "t1", "clear_pending": true,
        "expire_on": "2026-01-01T00:00:07Z", "ttl_seconds": null,
    }));
    let headers = format!("{}Idempotency-Key: k 1\r\n", bearer(&Credential::new([9; 32])));
    let mut peer = send(&headers, &body);
    let submission = submissions(&mut peer).pop().expect("one");
    let request = Digest::of(body.to_string().as_bytes());
    assert_eq!(submission.repeat, Some(Repeat { key: Digest::of(b"k 1"), request }));
    let notify = submission.notify;
    assert!(matches!(notify.to, Address::Token(token) if token == TOKEN));
    assert_eq!((notify.app.as_str(), notify.payload.as_bytes()), ("chatter", &br#"{"m":"hi"}"#[..]));
    assert_eq!((notify.expires, notify.urgency), (START.wall + Duration::from_secs(7), Urgency::High));
    assert_eq!((notify.replace_tag.as_deref(), notify.clear_pending), (Some("t1"), true));
    assert_eq!(notify.app_key.map(|key| *key.as_bytes()), Some([9; 32]));
    assert_eq!(answer(&mut peer, Answer::Sent(vec![Ok(sent())])), (200, sent_json()));
}

#[test]
fn what_a_message_leaves_out_is_off() {
    let mut peer = send("", &message_with(json!({"data": 0})));
    let submission = submissions(&mut peer).pop().expect("one");
    assert_eq!(submission.repeat, None);
    let notify = submission.notify;
    assert_eq!((notify.expires, notify.urgency), (START.wall + Duration::from_secs(60), Urgency::Normal));
    assert!(notify.replace_tag.is_none() && !notify.clear_pending && notify.app_key.is_none());
}

#[test]
fn data_may_be_null() {
    let body = message().to_string().replace(r#"{"m":"hi"}"#, "null");
    let mut peer = Peer::with(required());
    peer.send(post("/v1/messages", &body));
    assert_eq!(submissions(&mut peer).pop().expect("one").notify.payload.as_bytes(), b"null");
}

#[test]
fn a_message_that_says_something_wrong_is_refused_with_what_it_is() {
    let cases = [
        (json!({"token": null}), 400, "Malformed JSON Object: missing field `token`"),
        (json!({"appid": null}), 400, "Malformed JSON Object: missing field `appid`"),
        (json!({"data": null}), 400, "Malformed JSON Object: missing field `data`"),
        (json!({"appid": ""}), 400, "Invalid id field: an app id is 1 to 255 bytes of UTF-8"),
        (json!({"ttl_seconds": null}), 400, "either expire_on or ttl_seconds is needed"),
        (json!({"expire_on": "2026-01-02T00:00:00Z"}), 400, "either expire_on or ttl_seconds is needed"),
        (json!({"expire_on": "soon", "ttl_seconds": null}), 400, "Invalid expiration date"),
        (json!({"ttl_seconds": 0}), 400, "Past expiration date"),
        (json!({"ttl_seconds": -1}), 400, "Malformed JSON Object: invalid value"),
        (json!({"urgency": "now"}), 400, "Invalid urgency"),
        (json!({"replace_tag": "x".repeat(129)}), 400, "Replace tag too long"),
        (json!({"data": "x".repeat(4095)}), 400, "Data too large"),
        (json!({"colour": "red"}), 400, "Malformed JSON Object: unknown field `colour`"),
        (json!({"idempotency_key": "k"}), 400, "one message has its key in the header"),
        (json!({"token": "not a token"}), 404, "Unknown token"),
    ];
    for (fields, status, message) in cases {
        let mut peer = send("", &message_with(fields.clone()));
        let response = peer.response().unwrap_or_else(|| panic!("taken: {fields}"));
        assert_eq!(response.status, status, "{fields}");
        let told = response.json()["message"].to_string();
        assert!(told.contains(message), "{fields}: {told}");
    }
}

/// Who asks again whether a message was taken that has expired meanwhile is answered as the first time.
#[test]
fn a_message_that_may_have_been_sent_before_it_expired_is_for_the_queue_to_refuse() {
    let late = message_with(json!({"expire_on": "2025-01-01T00:00:00Z", "ttl_seconds": null}));
    assert_eq!(send("", &late).statuses(), [400]);
    let mut peer = send("Idempotency-Key: k\r\n", &late);
    assert_eq!(submissions(&mut peer).len(), 1);
    let refused = Answer::Sent(vec![Err(Refusal::PastExpiration)]);
    assert_eq!(answer(&mut peer, refused).0, 400);
}

#[test]
fn an_unknown_and_a_foreign_token_have_the_same_answer() {
    let answers = [Refusal::UnknownToken, Refusal::Unauthorized].map(|refusal| {
        let mut peer = send("", &message());
        submissions(&mut peer);
        peer.reply(Reply::Queue(Answer::Sent(vec![Err(refusal)])));
        peer.arrived
    });
    assert_eq!(answers[0], answers[1]);
    let malformed = send("", &message_with(json!({"token": "?"}))).arrived;
    assert_eq!(malformed, answers[0]);
    assert!(answers[0].starts_with(b"HTTP/1.1 404 "));
}

#[test]
fn an_idempotency_key_is_short_and_printable() {
    for (key, status) in [("", 400), ("ü", 400), (&"k".repeat(65), 400)] {
        let peer = send(&format!("Idempotency-Key: {key}\r\n"), &message()).statuses();
        assert_eq!(peer, [status], "{key}");
    }
    let mut peer = send(&format!("Idempotency-Key: {}\r\n", "~".repeat(64)), &message());
    assert_eq!(submissions(&mut peer).len(), 1);
    let another = Answer::Sent(vec![Err(Refusal::AnotherRequest)]);
    let (status, json) = answer(&mut peer, another);
    assert_eq!((status, json["error"].as_str()), (409, Some("idempotency-conflict")));
}

#[test]
fn a_batch_has_one_answer_each_in_order() {
    let keyed = message_with(json!({"idempotency_key": "k"}));
    let wrong = message_with(json!({"appid": ""}));
    let batch = json!({"messages": [wrong, keyed, message(), 7, message()]});
    let mut peer = send("", &batch);
    let found = submissions(&mut peer);
    let request = Digest::of(keyed.to_string().as_bytes());
    let repeats: Vec<Option<Repeat>> = found.iter().map(|submission| submission.repeat).collect();
    assert_eq!(repeats, [Some(Repeat { key: Digest::of(b"k"), request }), None, None]);
    let slow = Refusal::TooManyRequests { retry_after: Duration::from_secs(3) };
    let answers = vec![Ok(sent()), Err(slow), Err(Refusal::UnknownToken)];
    let (status, json) = answer(&mut peer, Answer::Sent(answers));
    assert_eq!((status, json["answers"].as_array().map(Vec::len)), (200, Some(5)));
    assert_eq!(json["answers"][0]["status"], 400);
    assert_eq!(json["answers"][1], sent_json());
    assert_eq!(
        json["answers"][2],
        json!({
            "ok": false, "status": 429, "error": "too-many-requests", "retry_after": 3,
            "message": "Too many requests, try again later",
        })
    );
    assert_eq!(json["answers"][3]["error"], "invalid-request");
    assert_eq!(json["answers"][4]["error"], "unknown-token");
}

#[test]
fn a_batch_has_up_to_500_messages_in_a_mebibyte() {
    let batch = |count: usize| json!({"messages": vec![message(); count]});
    assert_eq!(submissions(&mut send("", &batch(500))).len(), 500);
    for count in [0, 501] {
        assert_eq!(send("", &batch(count)).statuses(), [400], "{count}");
    }
    let full = |bytes: usize| {
        let text = batch(400).to_string();
        text.clone() + &" ".repeat(bytes - text.len())
    };
    let mut peer = Peer::with(required());
    peer.send(post("/v1/messages", &full(1024 * 1024)));
    assert_eq!(submissions(&mut peer).len(), 400);
    let mut peer = Peer::with(required());
    peer.send(post("/v1/messages", &full(1024 * 1024 + 1)));
    assert_eq!(peer.statuses(), [413]);
}

#[test]
fn a_batch_has_no_key_of_its_own() {
    let mut peer = send("Idempotency-Key: k\r\n", &json!({"messages": [message()]}));
    let response = peer.response().expect("an answer");
    assert_eq!(response.status, 400);
    assert!(response.json()["message"].to_string().contains("idempotency_key"));
}

fn ask(path: &str, authorization: &str) -> Peer {
    let mut peer = Peer::with(required());
    peer.send(format!("GET {path} HTTP/1.1\r\n{authorization}\r\n"));
    peer
}

const PATH: &str = "/v1/messages/AwMDAwMDAwMDAwMDAwMDAw";

#[test]
fn the_token_or_the_apps_key_gives_the_right_to_ask() {
    let by_token = format!("Authorization: Bearer {}\r\n", TOKEN.reveal());
    assert!(matches!(
        ask(PATH, &by_token).command(),
        Some(Command::Query { message: ID, by: Holder::Token(TOKEN) })
    ));
    assert!(matches!(
        ask(PATH, &bearer(&Credential::new([9; 32]))).command(),
        Some(Command::Query { message: ID, by: Holder::AppKey(_) })
    ));
    for authorization in ["", "Authorization: Bearer x\r\n", "Authorization: Basic b3BzOnNlY3JldA==\r\n"] {
        assert_eq!(ask(PATH, authorization).statuses(), [401], "{authorization}");
    }
}

#[test]
fn a_state_says_what_became_of_the_message_on_each_device() {
    let authorization = format!("Authorization: Bearer {}\r\n", TOKEN.reveal());
    let mut peer = ask(PATH, &authorization);
    assert!(peer.command().is_some());
    let at = |seconds: u64| START.wall + Duration::from_secs(seconds);
    let on = |device: &str, status, since, delivered: Option<u64>| DeviceState {
        device: device.parse().expect("an id"),
        status,
        since: at(since),
        delivered: delivered.map(at),
    };
    let devices = vec![on("d1", Status::Opened, 9, Some(5)), on("d2", Status::NoRoom, 1, None)];
    let app = "chatter".parse().expect("an id");
    let state = MessageState { id: ID, app, sent: at(1), devices };
    let expected = json!({
        "ok": true, "id": "AwMDAwMDAwMDAwMDAwMDAw", "appid": "chatter", "sent": "2026-01-01T00:00:01Z",
        "devices": [
            {"deviceid": "d1", "status": "opened", "since": "2026-01-01T00:00:09Z",
             "delivered": "2026-01-01T00:00:05Z"},
            {"deviceid": "d2", "status": "no-room", "since": "2026-01-01T00:00:01Z"},
        ],
    });
    assert_eq!(answer(&mut peer, Answer::State(state)), (200, expected));
}

#[test]
fn an_id_that_is_none_and_a_message_that_is_not_there_have_the_same_answer() {
    let authorization = format!("Authorization: Bearer {}\r\n", TOKEN.reveal());
    let mut peer = ask(PATH, &authorization);
    assert!(peer.command().is_some());
    peer.reply(Reply::Queue(Answer::Refused(Refusal::UnknownMessage)));
    assert!(peer.arrived.starts_with(b"HTTP/1.1 404 "));
    assert_eq!(ask("/v1/messages/x", &authorization).arrived, peer.arrived);
}
