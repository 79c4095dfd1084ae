//! What the operator asks of `/v1`: enrolment codes, devices, users and app keys.

use super::*;
use crate::base::{CodeSecret, Credential};
use crate::protocol::enrolment_code::EnrolmentCode;
use crate::queue::{Code, Devices, EnrolledDevice, Refusal};

fn request(method: &str, path: &str, body: &str) -> String {
    let authorization = bearer(&operator_key());
    let length = body.len();
    let about = if body.is_empty() {
        String::new()
    } else {
        format!("Content-Type: application/json\r\nContent-Length: {length}\r\n")
    };
    format!("{method} {path} HTTP/1.1\r\n{authorization}{about}\r\n{body}")
}

/// What the queue is asked, and the peer that waits.
fn ask(method: &str, path: &str, body: &str) -> (Peer, Command) {
    ask_of(required(), method, path, body)
}

fn ask_of(options: Options, method: &str, path: &str, body: &str) -> (Peer, Command) {
    let mut peer = Peer::with(options);
    peer.send(request(method, path, body));
    let command = peer.command();
    let command = command.unwrap_or_else(|| panic!("refused: {}", String::from_utf8_lossy(&peer.arrived)));
    (peer, command)
}

fn answer(mut peer: Peer, answer: Answer) -> (u16, serde_json::Value) {
    peer.reply(Reply::Queue(answer));
    let response = peer.response().expect("an answer");
    (response.status, response.json())
}

#[test]
fn only_the_operator_may() {
    for (method, path) in [
        ("POST", "/v1/enrolment-codes"),
        ("GET", "/v1/devices"),
        ("DELETE", "/v1/devices/d1"),
        ("DELETE", "/v1/users/carol"),
        ("DELETE", "/v1/users/carol/apps/chatter"),
        ("GET", "/v1/app-keys"),
        ("PUT", "/v1/app-keys/chatter"),
        ("DELETE", "/v1/app-keys/chatter"),
    ] {
        for authorization in [String::new(), bearer(&Credential::new([9; 32]))] {
            let mut peer = Peer::with(required());
            peer.send(format!("{method} {path} HTTP/1.1\r\n{authorization}\r\n"));
            let response = peer.response().expect("an answer");
            assert_eq!((response.status, peer.command().is_none()), (401, true), "{method} {path}");
            assert_eq!(response.header("WWW-Authenticate"), Some("Bearer"));
        }
        let nobody = Options { operator: None, ..required() };
        let mut peer = Peer::with(nobody);
        peer.send(request(method, path, ""));
        assert_eq!(peer.statuses(), [401], "{method} {path}");
    }
}

#[test]
fn a_code_says_where_the_server_is_and_by_what_it_is_known() {
    let options = required();
    let certificates = options.enrolling.clone().expect("set");
    let body = r#"{"user":"carol","valid_seconds":60}"#;
    let (peer, command) = ask_of(options, "POST", "/v1/enrolment-codes", body);
    assert!(matches!(&command, Command::MakeCode { user, valid_for }
        if user.as_str() == "carol" && *valid_for == Duration::from_secs(60)));
    let expires = START.wall + Duration::from_secs(60);
    let (status, json) = answer(peer, Answer::Code(Code { secret: CodeSecret([5; 16]), expires }));
    assert_eq!((status, json["expires"].as_str()), (200, Some("2026-01-01T00:01:00Z")));
    let code: EnrolmentCode = json["code"].as_str().expect("text").parse().expect("a code");
    assert_eq!((code.secret, code.server.to_string().as_str()), (CodeSecret([5; 16]), "push.example:443"));
    assert_eq!(code.pin, certificates.pin());
}

#[test]
fn a_code_that_cannot_be_made_is_refused_before_the_queue_is_asked() {
    let cases = [
        ("", 411),
        ("{}", 400),
        (r#"{"user":""}"#, 400),
        (r#"{"user":"carol","valid_seconds":0}"#, 400),
        (r#"{"user":"carol","valid_seconds":2592001}"#, 400),
        (r#"{"user":"carol","valid_seconds":-1}"#, 400),
        (r#"{"user":"carol","valid":1}"#, 400),
        (r#"{"user":"carol","user":"bob"}"#, 400),
        (r#"["carol"]"#, 400),
    ];
    for (body, status) in cases {
        let mut peer = Peer::with(required());
        peer.send(request("POST", "/v1/enrolment-codes", body));
        assert!(peer.command().is_none(), "{body}");
        assert_eq!(peer.statuses(), [status], "{body}");
    }
    let mut peer = Peer::with(Options { enrolling: None, ..required() });
    peer.send(request("POST", "/v1/enrolment-codes", r#"{"user":"carol"}"#));
    assert_eq!(peer.statuses(), [503]);
}

#[test]
fn devices_come_in_pages() {
    let (peer, command) = ask("GET", "/v1/devices?after=d%261&user=carol%20%C3%A9", "");
    assert!(
        matches!(&command, Command::Devices { after: Some(after), user: Some(user), .. }
            if after.as_str() == "d&1" && user.as_str() == "carol é"),
        "{command:?}"
    );
    let device = EnrolledDevice {
        device: "d2".parse().expect("an id"),
        user: "carol".parse().expect("an id"),
        enrolled: START.wall,
        apps: 2,
        pending: 3,
    };
    let (status, json) = answer(peer, Answer::Devices(Devices { devices: vec![device], more: true }));
    let device = serde_json::json!({
        "deviceid": "d2", "user": "carol", "enrolled": "2026-01-01T00:00:00Z", "apps": 2, "pending": 3,
    });
    assert_eq!((status, json), (200, serde_json::json!({"ok": true, "devices": [device], "more": true})));
}

#[test]
fn devices_users_and_their_tokens_go() {
    let (peer, command) = ask("DELETE", "/v1/devices/d1", "");
    assert!(matches!(command, Command::Revoke { device } if device.as_str() == "d1"));
    assert_eq!(answer(peer, Answer::Done), (200, serde_json::json!({"ok": true})));
    let (peer, command) = ask("DELETE", "/v1/users/carol%40example.org", "");
    assert!(matches!(command, Command::EraseUser { user } if user.as_str() == "carol@example.org"));
    let (status, json) = answer(peer, Answer::Refused(Refusal::UnknownUser));
    assert_eq!((status, json["error"].as_str()), (404, Some("unknown-user")));
    let (_, command) = ask("DELETE", "/v1/users/carol/apps/a%2Fb", "");
    assert!(matches!(command, Command::RevokeUserToken { user, app }
        if user.as_str() == "carol" && app.as_str() == "a/b"));
}

#[test]
fn an_app_is_bound_to_a_key_that_is_told_once() {
    let (peer, command) = ask("PUT", "/v1/app-keys/chatter", "");
    assert!(matches!(command, Command::BindApp { app } if app.as_str() == "chatter"));
    let key = Credential::new([7; 32]);
    let expected = serde_json::json!({"ok": true, "appid": "chatter", "key": key.reveal()});
    assert_eq!(answer(peer, Answer::AppKey(key)), (200, expected));
    let (peer, command) = ask("GET", "/v1/app-keys", "");
    assert!(matches!(command, Command::BoundApps));
    let apps = vec!["chatter".parse().expect("an id")];
    let expected = serde_json::json!({"ok": true, "appids": ["chatter"]});
    assert_eq!(answer(peer, Answer::BoundApps(apps)), (200, expected));
    let (_, command) = ask("DELETE", "/v1/app-keys/chatter", "");
    assert!(matches!(command, Command::UnbindApp { app } if app.as_str() == "chatter"));
}

#[test]
fn what_is_not_there_cannot_be_asked() {
    let cases = [
        ("GET", "/v1", 404),
        ("GET", "/v1/", 404),
        ("DELETE", "/v1/devices/", 400),
        ("GET", "/v1/nothing", 404),
        ("POST", "/v1/devices", 405),
        ("GET", "/v1/app-keys/chatter", 405),
        ("DELETE", "/v1/devices/%ff", 400),
        ("DELETE", "/v1/devices/%20", 400),
        ("GET", "/v1/devices?after=%ff", 400),
    ];
    for (method, path, status) in cases {
        let mut peer = Peer::with(required());
        peer.send(request(method, path, ""));
        assert_eq!(peer.statuses(), [status], "{method} {path}");
    }
    let mut peer = Peer::with(required());
    peer.send(request("GET", "/v1/app-keys/chatter", ""));
    assert_eq!(peer.response().expect("an answer").header("Allow"), Some("PUT, DELETE"));
}
