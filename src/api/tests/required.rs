//! What the old paths ask for where devices must prove who they are, and where credentials are taken.

use super::*;
use crate::base::{Credential, Token};
use crate::queue::{Refusal, Registered};

const REGISTER: &str = r#"{"deviceid":"d1","appid":"chatter"}"#;
const BROADCAST: &str = r#"{"channel":"system","expire_on":"2026-01-02T00:00:00Z","data":1}"#;
const BY_DEVICE: &str =
    r#"{"userid":"u","deviceid":"d1","appid":"chatter","expire_on":"2026-01-02T00:00:00Z","data":1}"#;

fn peer() -> Peer {
    Peer::with(required())
}

fn assert_answers(peer: &mut Peer, case: &str, status: u16, label: &str) -> Response {
    let response = peer.response().unwrap_or_else(|| panic!("no answer: {case}"));
    assert_eq!((response.status, response.json()["error"].as_str()), (status, Some(label)), "{case}");
    assert!(peer.conversation.poll_request().is_none(), "{case}");
    response
}

#[test]
fn what_needs_a_credential_is_refused_without_one() {
    let other = bearer(&Credential::new([9; 32]));
    let cases = [
        post("/register", REGISTER),
        post("/unregister", REGISTER),
        post("/broadcast", BROADCAST),
        post_with("/broadcast", &other, BROADCAST),
        get("/stats"),
        get("/stats").replace("\r\n\r\n", &format!("\r\n{other}\r\n")),
        post("/notify", BY_DEVICE),
        post_with("/notify", &bearer(&operator_key()), BY_DEVICE),
    ];
    for request in cases {
        let mut peer = peer();
        peer.send(&request);
        let response = assert_answers(&mut peer, &request, 401, "unauthorized");
        let challenges = response.headers.iter().filter(|(name, _)| name == "WWW-Authenticate");
        assert!(challenges.into_iter().any(|(_, value)| value == "Bearer"), "{request}");
    }
}

#[test]
fn a_devices_credential_goes_to_the_queue_with_what_it_asks() {
    let header = bearer(&Credential::new([7; 32]));
    let given = |credential: Option<Credential>| credential.map(|credential| *credential.as_bytes());
    let mut peer = peer();
    peer.send(post_with("/register", &header, REGISTER));
    let Some(Command::Register { credential, .. }) = peer.command() else { panic!("no registration") };
    assert_eq!(given(credential), Some([7; 32]));
    let tokens = Registered { token: Token([1; 16]), user_token: Some(Token([2; 16])) };
    peer.reply(Reply::Queue(Answer::Registered(tokens)));
    let expected = serde_json::json!({
        "ok": true, "token": Token([1; 16]).reveal(), "user_token": Token([2; 16]).reveal(),
    });
    assert_eq!(peer.response().expect("an answer").json(), expected);

    peer.send(post_with("/unregister", &header, REGISTER));
    let Some(Command::Unregister { credential, .. }) = peer.command() else { panic!("no end of one") };
    assert_eq!(given(credential), Some([7; 32]));
    peer.reply(Reply::Queue(Answer::Refused(Refusal::NotThisDevice)));
    assert_answers(&mut peer, "another device's", 401, "unauthorized");
}

#[test]
fn in_open_mode_devices_are_believed_whatever_they_send() {
    let header = bearer(&Credential::new([7; 32]));
    let mut peer = Peer::with_line(options(), Line::Exposed);
    peer.send(post_with("/register", &header, REGISTER));
    assert!(matches!(peer.command(), Some(Command::Register { credential: None, .. })));
}

#[test]
fn the_operators_key_opens_broadcast_and_stats() {
    let header = bearer(&operator_key());
    let mut peer = peer();
    peer.send(post_with("/broadcast", &header, BROADCAST));
    assert!(matches!(peer.command(), Some(Command::Broadcast { .. })));
    for authorization in [header.as_str(), "Authorization: Basic b3BzOnNlY3JldA==\r\n"] {
        let mut peer = self::peer();
        peer.send(get("/stats").replace("\r\n\r\n", &format!("\r\n{authorization}\r\n")));
        assert!(matches!(peer.conversation.poll_request(), Some(Request::Stats)), "{authorization}");
    }
}

#[test]
fn an_apps_key_goes_to_the_queue_with_its_message() {
    let mut peer = peer();
    peer.send(post_with("/notify", &bearer(&Credential::new([7; 32])), NOTIFY));
    let Some(Command::Notify(notify)) = peer.command() else { panic!("no message") };
    assert_eq!(notify.app_key.map(|key| *key.as_bytes()), Some([7; 32]));
    peer.reply(Reply::Queue(Answer::Refused(Refusal::AppKeyNeeded)));
    assert_answers(&mut peer, "the wrong key", 401, "unauthorized");
}

#[test]
fn over_a_line_that_others_can_read_no_credential_is_taken() {
    let header = bearer(&operator_key());
    let cases = [
        post_with("/register", &header, REGISTER),
        post_with("/unregister", &header, REGISTER),
        post_with("/broadcast", &header, BROADCAST),
        post_with("/notify", &header, NOTIFY),
        get("/stats").replace("\r\n\r\n", "\r\nAuthorization: Basic b3BzOnNlY3JldA==\r\n\r\n"),
        post("/v1/enrolment-codes", r#"{"user":"carol"}"#),
    ];
    for request in cases {
        let mut peer = Peer::with_line(required(), Line::Exposed);
        peer.send(&request);
        assert_answers(&mut peer, &request, 403, "forbidden");
    }
    let mut peer = Peer::with_line(required(), Line::Exposed);
    peer.send(post("/notify", NOTIFY));
    assert!(matches!(peer.command(), Some(Command::Notify(_))), "a token is in the body");
}

/// Only a trusted proxy is believed, and one that adds its word to a caller's own is not overruled by it.
#[test]
fn a_trusted_proxy_says_how_a_request_came() {
    let is_taken = |line: Line, forwarded: &str| {
        let mut peer = Peer::with_line(required(), line);
        let headers = format!("{}{forwarded}", bearer(&Credential::new([7; 32])));
        peer.send(post_with("/register", &headers, REGISTER));
        peer.command().is_some()
    };
    let (far, near) = (Line::Proxied { is_private: false }, Line::Proxied { is_private: true });
    let (https, http) = ("X-Forwarded-Proto: HTTPS\r\n", "X-Forwarded-Proto: http\r\n");
    assert!(is_taken(far, https) && is_taken(near, https) && is_taken(near, ""));
    for (line, forwarded) in [(far, ""), (far, http), (near, http), (Line::Exposed, https)] {
        assert!(!is_taken(line, forwarded), "{line:?} {forwarded}");
    }
    assert!(!is_taken(far, "X-Forwarded-Proto: http, https\r\n"));
    assert!(!is_taken(far, &format!("{http}{https}")) && !is_taken(far, &format!("{https}{http}")));
}

#[test]
fn what_a_proxy_on_this_machine_has_passed_on_is_believed_only_if_it_is_trusted() {
    let ask = |forwarded: &str| {
        let mut peer = Peer::with_line(required(), Line::Local);
        let headers = format!("{}{forwarded}", bearer(&Credential::new([7; 32])));
        peer.send(post_with("/register", &headers, REGISTER));
        peer
    };
    assert!(ask("").command().is_some());
    for forwarded in ["X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https", "Forwarded: for=192.0.2.1"] {
        let mut peer = ask(&format!("{forwarded}\r\n"));
        assert!(peer.command().is_none());
        let response = assert_answers(&mut peer, forwarded, 403, "forbidden");
        assert!(response.text().contains("trusted_proxies"), "{forwarded}");
    }
}

#[test]
fn two_credentials_in_one_request_are_refused() {
    let header = bearer(&operator_key());
    let mut peer = peer();
    peer.send(post_with("/broadcast", &header.repeat(2), BROADCAST));
    assert_answers(&mut peer, "twice", 400, "invalid-request");
}

#[test]
fn who_is_over_a_rate_learns_when_to_come_back() {
    let mut peer = peer();
    peer.send(post("/notify", NOTIFY));
    assert!(peer.command().is_some());
    let retry_after = Duration::from_secs(7);
    peer.reply(Reply::Queue(Answer::Refused(Refusal::TooManyRequests { retry_after })));
    let response = assert_answers(&mut peer, "too many", 429, "too-many-requests");
    assert_eq!(response.header("Retry-After"), Some("7"));
    peer.send(post("/notify", NOTIFY));
    assert!(peer.command().is_some());
    peer.reply(Reply::Busy);
    let response = assert_answers(&mut peer, "busy", 503, "unavailable");
    assert!(response.header("Retry-After").is_some());
}
