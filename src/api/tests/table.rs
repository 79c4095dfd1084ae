//! Each failure with its status, label and message, and which of several comes first.

use super::*;
use crate::base::Payload;
use crate::queue::Refusal;

const INVALID: &str = "invalid-request";
const REGISTER: &str = r#"{"deviceid":"d1","appid":"chatter"}"#;
const BROADCAST: &str = r#"{"channel":"system","expire_on":"2026-01-02T00:00:00Z","data":{"img1/m1":[20]}}"#;

fn assert_fails(case: &str, peer: &mut Peer, status: u16, label: &str, message: &str) {
    let response = peer.response().unwrap_or_else(|| panic!("no answer: {case}"));
    let expected = serde_json::json!({"error": label, "message": message});
    assert_eq!((response.status, response.json()), (status, expected), "{case}");
    assert_eq!(response.header("Content-Type"), Some("application/json"), "{case}");
}

fn assert_refused(request: &str, status: u16, label: &str, message: &str) {
    let mut peer = Peer::new();
    peer.send(request);
    assert_fails(request, &mut peer, status, label, message);
    assert!(peer.command().is_none(), "{request}");
}

/// NOTIFY with `from` replaced.
fn notify(from: &str, to: &str) -> String {
    assert!(NOTIFY.contains(from), "{from}");
    post("/notify", &NOTIFY.replace(from, to))
}

#[test]
fn a_head_that_asks_wrongly_is_refused() {
    let no_length = "POST /notify HTTP/1.1\r\nContent-Type: application/json\r\n\r\n";
    let json = "Content-Type: application/json\r\n";
    let cases = [
        (no_length.into(), 411, "A Content-Length must be provided"),
        (post("/notify", ""), 400, "Request body empty"),
        (post("/notify", &"x".repeat(6 * 1024 + 1)), 413, "Request body too large"),
        (post("/notify", NOTIFY).replace(json, ""), 415, "Wrong content type, should be application/json"),
        (
            post("/notify", NOTIFY).replace("application/json", "text/json"),
            415,
            "Wrong content type, should be application/json",
        ),
        (get("/notify"), 405, "Wrong request method, should be POST"),
        (get("/broadcast"), 405, "Wrong request method, should be POST"),
        (get("/register"), 405, "Wrong request method, should be POST"),
        (get("/unregister"), 405, "Wrong request method, should be POST"),
        (post("/delivery-hosts", "{}"), 405, "Wrong request method, should be GET"),
        (post("/stats", "{}"), 405, "Wrong request method, should be GET"),
        (post("/healthz", "{}"), 405, "Wrong request method, should be GET"),
        (post("/notify/", NOTIFY), 404, "Unknown path"),
        (get("/"), 404, "Unknown path"),
    ];
    for (request, status, message) in cases {
        assert_refused(&request, status, INVALID, message);
    }
}

#[test]
fn a_notify_that_says_something_wrong_is_refused() {
    let token = r#""token":"AAECAwQFBgcICQoLDA0ODw""#;
    let expiry = r#""expire_on":"2026-01-02T00:00:00Z""#;
    let data = r#""data":{"m":"hi"}"#;
    let long = format!(r#""data":"{}""#, "x".repeat(4095));
    let tag = format!(r#""replace_tag":"{}",{data}"#, "x".repeat(129));
    let cases = [
        (post("/notify", "{"), "Malformed JSON Object"),
        (post("/notify", "null"), "Malformed JSON Object"),
        (post("/notify", &format!("[{NOTIFY}]")), "Malformed JSON Object"),
        (post("/notify", &format!("{NOTIFY}{{}}")), "Malformed JSON Object"),
        (notify(token, r#""token":7"#), "Malformed JSON Object"),
        (notify(token, r#""userid":7,"deviceid":"d1""#), "Malformed JSON Object"),
        (notify(expiry, r#""expire_on":1767312000"#), "Malformed JSON Object"),
        (notify(data, r#""clear_pending":"yes","data":1"#), "Malformed JSON Object"),
        (notify(data, r#""replace_tag":1,"data":1"#), "Malformed JSON Object"),
        (
            notify(data, r#""urgency":"urgent","data":1"#),
            "Invalid urgency: an urgency is very-low, low, normal or high",
        ),
        (notify(r#""appid":"chatter","#, ""), "Missing id field"),
        (notify(r#""chatter""#, r#""""#), "Missing id field"),
        (notify(r#""chatter""#, "null"), "Missing id field"),
        (notify(token, r#""token":"""#), "Missing id field"),
        (notify(token, r#""userid":"u1""#), "Missing id field"),
        (notify(token, r#""deviceid":"d1""#), "Missing id field"),
        (
            notify(token, r#""userid":"u1","deviceid":"d 1""#),
            "Invalid id field: a device id is 1 to 128 bytes of printable ASCII without space",
        ),
        (notify("chatter", &"a".repeat(256)), "Invalid id field: an app id is 1 to 255 bytes of UTF-8"),
        (notify(&format!(",{data}"), ""), "Missing data field"),
        (notify(data, &long), "Data too large"),
        (notify(&format!("{expiry},"), ""), "Invalid expiration date"),
        (notify(expiry, r#""expire_on":"soon""#), "Invalid expiration date"),
        (notify("2026-01-02T00:00:00Z", "2025-12-31T23:59:59Z"), "Past expiration date"),
        (notify("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"), "Past expiration date"),
        (notify(data, &tag), "Replace tag too long"),
    ];
    for (request, message) in cases {
        assert_refused(&request, 400, INVALID, message);
    }
    assert_refused(&notify("AAECAwQF", "not/a+token"), 400, "unknown-token", "Unknown token");
}

/// One more level than devices can read, if payloads may be long enough for it.
#[test]
fn data_that_devices_could_not_read_is_no_json_either() {
    let options = || Options { body_bytes_max: 64 << 10, payload_bytes_max: 32 << 10, ..options() };
    let nested = |depth: usize| {
        let data = "[".repeat(depth) + &"]".repeat(depth);
        notify(r#"{"m":"hi"}"#, &data)
    };
    let mut peer = Peer::with(options());
    peer.send(nested(9_991));
    assert_fails("too deep", &mut peer, 400, INVALID, "Malformed JSON Object");
    let mut peer = Peer::with(options());
    peer.send(nested(9_990));
    assert!(peer.command().is_some());
}

#[test]
fn a_body_that_is_not_utf_8_is_no_json_object() {
    let mut request = post("/notify", NOTIFY).into_bytes();
    let last = request.len() - 3;
    request[last] = 0xff;
    let mut peer = Peer::new();
    peer.send(request);
    assert_fails("0xff", &mut peer, 400, INVALID, "Malformed JSON Object");
}

#[test]
fn other_calls_hold_their_fields_to_the_same_rules() {
    for path in ["/register", "/unregister"] {
        let cases = [
            ("{}", "Missing id field"),
            (r#"{"deviceid":"d1"}"#, "Missing id field"),
            (r#"{"appid":"chatter"}"#, "Missing id field"),
            (r#"{"deviceid":["d1"],"appid":"chatter"}"#, "Malformed JSON Object"),
            (
                r#"{"deviceid":"é","appid":"chatter"}"#,
                "Invalid id field: a device id is 1 to 128 bytes of printable ASCII without space",
            ),
        ];
        for (body, message) in cases {
            assert_refused(&post(path, body), 400, INVALID, message);
        }
    }
    let cases = [
        (r#""data":{"img1/m1":[20]}"#, r#""data":"#.to_owned(), "Malformed JSON Object"),
        (r#","data":{"img1/m1":[20]}"#, String::new(), "Missing data field"),
        ("[20]", format!("[{}]", "1".repeat(4096)), "Data too large"),
        ("2026-01-02T00:00:00Z", "".into(), "Invalid expiration date"),
        ("2026-01-02", "2025-01-02".into(), "Past expiration date"),
    ];
    for (from, to, message) in cases {
        assert_refused(&post("/broadcast", &BROADCAST.replace(from, &to)), 400, INVALID, message);
    }
}

#[test]
fn what_the_queue_refuses_is_refused_with_its_reason() {
    let unavailable = || Reply::Queue(Answer::Refused(Refusal::Unavailable));
    let refused = |refusal| Reply::Queue(Answer::Refused(refusal));
    let cases = [
        (
            post("/broadcast", BROADCAST),
            refused(Refusal::UnknownChannel),
            400,
            "unknown-channel",
            "Unknown channel",
        ),
        (post("/notify", NOTIFY), refused(Refusal::UnknownToken), 400, "unknown-token", "Unknown token"),
        (post("/notify", NOTIFY), refused(Refusal::Unauthorized), 401, "unauthorized", "Unauthorized"),
        (post("/notify", NOTIFY), refused(Refusal::PastExpiration), 400, INVALID, "Past expiration date"),
        (post("/notify", NOTIFY), unavailable(), 503, "unavailable", "Could not store notification"),
        (post("/notify", NOTIFY), Reply::Busy, 503, "unavailable", "Could not store notification"),
        (post("/broadcast", BROADCAST), unavailable(), 503, "unavailable", "Message store unavailable"),
        (post("/broadcast", BROADCAST), Reply::Busy, 503, "unavailable", "Message store unavailable"),
        (post("/register", REGISTER), unavailable(), 503, "unavailable", "Could not make token"),
        (post("/register", REGISTER), Reply::Busy, 503, "unavailable", "Could not make token"),
        (post("/unregister", REGISTER), unavailable(), 503, "unavailable", "Could not remove token"),
        (post("/unregister", REGISTER), Reply::Busy, 503, "unavailable", "Could not remove token"),
        (get("/healthz"), unavailable(), 503, "unavailable", "Message store unavailable"),
        (get("/healthz"), Reply::Busy, 503, "unavailable", "Message store unavailable"),
    ];
    for (request, reply, status, label, message) in cases {
        let mut peer = Peer::new();
        peer.send(&request);
        assert!(peer.command().is_some(), "{request}");
        peer.reply(reply);
        assert_fails(&request, &mut peer, status, label, message);
        assert_eq!(peer.conversation.state(), State::Open, "{request}");
    }
}

#[test]
fn too_many_pending_comes_with_the_newest_payload_as_it_is() {
    let newest = Payload::from_json(br#"{"b":1,"a":"<\u00e9>","n":1.50}"#).expect("JSON");
    let mut peer = Peer::new();
    peer.send(post("/notify", NOTIFY));
    assert!(peer.command().is_some());
    peer.reply(Reply::Queue(Answer::Refused(Refusal::TooManyPending(Some(newest)))));
    let response = peer.response().expect("an answer");
    assert_eq!(response.status, 413);
    assert_eq!(
        response.text(),
        r#"{"error":"too-many-pending","message":"Too many pending notifications for this application","extra":{"b":1,"a":"<\u00e9>","n":1.50}}"#
    );
}

#[test]
fn an_answer_to_another_question_is_our_own_fault() {
    let page = crate::queue::Page {
        device: "d1".parse().expect("valid"),
        session: crate::base::SessionId(1),
        messages: Vec::new(),
        more: false,
        newest: crate::base::Seq(0),
    };
    let mut peer = Peer::new();
    peer.send(post("/notify", NOTIFY));
    assert!(peer.command().is_some());
    peer.reply(Reply::Queue(Answer::Page(page)));
    assert_fails("a page", &mut peer, 500, "internal", "INTERNAL SERVER ERROR");
}

#[test]
fn a_body_that_ends_early_is_an_io_error() {
    let request = post("/notify", NOTIFY);
    let cut = &request[..request.len() - 1];
    let mut peer = Peer::new();
    peer.send(cut);
    peer.end();
    assert_fails("half-closed", &mut peer, 400, "io-error", "Could not read request body");
    assert_eq!(peer.conversation.state(), State::Finished);

    let mut peer = Peer::new();
    peer.send(cut);
    peer.pass(READ_TIMEOUT);
    assert_fails("too slow", &mut peer, 400, "io-error", "Could not read request body");
    assert_eq!(peer.conversation.state(), State::ShutdownWrite);
}

/// One request with everything wrong, put right step by step.
#[test]
fn checks_run_in_the_order_method_length_content_type_json_fields_token() {
    let bad = |method: &str, length: &str, media_type: &str, body: &str| {
        format!("{method} /notify HTTP/1.1\r\n{length}Content-Type: {media_type}\r\n\r\n{body}")
    };
    let of = |body: &str| format!("Content-Length: {}\r\n", body.len());
    let fields = |app: &str, rest: &str| format!(r#"{{"appid":"{app}","token":"?"{rest}}}"#);
    let (no_app, no_data) = (fields("", ""), fields("a", ""));
    let big = fields("a", &format!(r#","data":"{}""#, "x".repeat(5000)));
    let undated = fields("a", r#","data":1,"expire_on":"soon""#);
    let past = fields("a", r#","data":1,"expire_on":"2001-01-01T00:00:00Z""#);
    let unknown = fields("a", r#","data":1,"expire_on":"2027-01-01T00:00:00Z""#);
    let steps = [
        (bad("PUT", "", "text/plain", ""), "Wrong request method, should be POST"),
        (bad("POST", "", "text/plain", ""), "A Content-Length must be provided"),
        (bad("POST", "Content-Length: 0\r\n", "text/plain", ""), "Request body empty"),
        (bad("POST", "Content-Length: 6145\r\n", "text/plain", ""), "Request body too large"),
        (bad("POST", &of("{"), "text/plain", "{"), "Wrong content type, should be application/json"),
        (bad("POST", &of("{"), "application/json", "{"), "Malformed JSON Object"),
        (bad("POST", &of(&no_app), "application/json", &no_app), "Missing id field"),
        (bad("POST", &of(&no_data), "application/json", &no_data), "Missing data field"),
        (bad("POST", &of(&big), "application/json", &big), "Data too large"),
        (bad("POST", &of(&undated), "application/json", &undated), "Invalid expiration date"),
        (bad("POST", &of(&past), "application/json", &past), "Past expiration date"),
        (bad("POST", &of(&unknown), "application/json", &unknown), "Unknown token"),
    ];
    for (request, message) in steps {
        let mut peer = Peer::new();
        peer.send(&request);
        let response = peer.response().expect("an answer");
        assert_eq!(response.json()["message"], message, "{request}");
    }
}

#[test]
fn a_405_says_which_methods_are_allowed() {
    for (request, allowed) in [(get("/notify"), "POST"), (post("/stats", "{}"), "GET, HEAD")] {
        let mut peer = Peer::new();
        peer.send(request);
        assert_eq!(peer.response().expect("an answer").header("Allow"), Some(allowed));
    }
}

#[test]
fn stats_without_the_credential_are_refused_and_so_when_there_is_none_to_have() {
    let with = |value: &str| format!("GET /stats HTTP/1.1\r\nAuthorization: {value}\r\n\r\n");
    let right = with("Basic b3BzOnNlY3JldA==");
    let locked = Options { stats: None, ..options() };
    let cases = [
        (options(), get("/stats")),
        (options(), with("Basic b3BzOnNlY3JlVA==")),
        (options(), with("Bearer b3BzOnNlY3JldA==")),
        (locked, right),
    ];
    for (options, request) in cases {
        let mut peer = Peer::with(options);
        peer.send(&request);
        let response = peer.response().expect("an answer");
        assert_eq!(
            (response.status, response.json()["error"].as_str()),
            (401, Some("unauthorized")),
            "{request}"
        );
        assert!(response.header("WWW-Authenticate").is_some_and(|value| value.starts_with("Basic realm=")));
        assert!(peer.conversation.poll_request().is_none());
    }
}
