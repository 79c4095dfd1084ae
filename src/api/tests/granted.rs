//! What right requests become, and what they return.

use super::*;
use crate::base::{Token, Urgency};
use crate::queue::{Address, Notify, Registered};

fn command(path: &str, body: &str) -> Command {
    let mut peer = Peer::new();
    peer.send(post(path, body));
    peer.command().unwrap_or_else(|| panic!("refused: {}", String::from_utf8_lossy(&peer.arrived)))
}

fn notify(body: &str) -> Notify {
    match command("/notify", body) {
        Command::Notify(notify) => notify,
        other => panic!("{other:?}"),
    }
}

fn answer(request: &str, reply: Reply) -> Response {
    let mut peer = Peer::new();
    peer.send(request);
    assert!(peer.conversation.poll_request().is_some(), "{request}");
    peer.reply(reply);
    peer.response().expect("an answer")
}

#[test]
fn a_notify_reaches_the_queue_with_all_that_it_says() {
    let notify = notify(
        r#"{"token":"AAECAwQFBgcICQoLDA0ODw","appid":"chatter","expire_on":"2026-01-02T01:00:00.5+01:00",
            "data": {"m": "h i"}, "clear_pending": true, "replace_tag": "t1", "urgency": "low"}"#,
    );
    let token = Token(std::array::from_fn(|at| at as u8));
    assert!(matches!(notify.to, Address::Token(found) if found == token), "{notify:?}");
    assert_eq!(notify.app.as_str(), "chatter");
    assert_eq!(notify.expires, START.wall + Duration::from_millis(86_400_500));
    assert_eq!(notify.payload.as_bytes(), br#"{"m":"h i"}"#);
    assert!(notify.clear_pending);
    assert_eq!(notify.replace_tag.as_deref(), Some("t1"));
    assert_eq!(notify.urgency, Urgency::Low);
}

#[test]
fn what_a_notify_leaves_out_is_off() {
    for extra in [
        "",
        r#""clear_pending":null,"replace_tag":null,"urgency":null,"#,
        r#""clear_pending":false,"replace_tag":"","#,
    ] {
        let notify = notify(&NOTIFY.replacen('{', &format!("{{{extra}"), 1));
        assert!(!notify.clear_pending && notify.replace_tag.is_none(), "{extra}");
        assert_eq!(notify.urgency, Urgency::Normal, "{extra}");
    }
}

#[test]
fn a_user_and_a_device_stand_in_for_a_token() {
    let token = r#""token":"AAECAwQFBgcICQoLDA0ODw""#;
    for address in [r#""userid":"u1","deviceid":"d1""#, r#""token":"","userid":"u1","deviceid":"d1""#] {
        let notify = notify(&NOTIFY.replace(token, address));
        assert!(matches!(notify.to, Address::Device(device) if device.as_str() == "d1"), "{address}");
    }
    let both = notify(&NOTIFY.replace(token, &format!(r#"{token},"userid":"u1","deviceid":"d1""#)));
    assert!(matches!(both.to, Address::Token(_)));
}

#[test]
fn data_is_any_json_value_and_measured_as_it_came() {
    for data in ["null", "0", "false", r#""""#, "[]"] {
        assert_eq!(notify(&NOTIFY.replace(r#"{"m":"hi"}"#, data)).payload.as_bytes(), data.as_bytes());
    }
    let spaced = |bytes: usize| NOTIFY.replace(r#"{"m":"hi"}"#, &format!("[{}]", " ".repeat(bytes - 2)));
    assert_eq!(notify(&spaced(4096)).payload.as_bytes(), b"[]");
    let mut peer = Peer::new();
    peer.send(post("/notify", &spaced(4097)));
    assert_eq!(peer.response().expect("an answer").json()["message"], "Data too large");
}

#[test]
fn keys_match_ignoring_case() {
    let upper = NOTIFY.replace("token", "Token").replace("appid", "APPID").replace("data", "Data");
    assert_eq!(notify(&upper).app.as_str(), "chatter");
}

#[test]
fn a_deadline_at_the_end_of_time_is_fine() {
    assert!(notify(&NOTIFY.replace("2026-01-02T", "9999-12-31T")).expires > START.wall);
}

#[test]
fn media_types_match_ignoring_case_and_parameters() {
    for media_type in ["application/json; charset=utf-8", "Application/JSON", "application/json ;x"] {
        let mut peer = Peer::new();
        peer.send(post("/notify", NOTIFY).replace("application/json", media_type));
        assert!(peer.command().is_some(), "{media_type}");
    }
}

#[test]
fn other_calls_reach_the_queue() {
    let broadcast = r#"{"channel":"system","expire_on":"2026-01-02T00:00:00Z","data":{"img1/m1":[20]}}"#;
    match command("/broadcast", broadcast) {
        Command::Broadcast { channel, expires, payload } => {
            assert_eq!(channel, "system");
            assert_eq!(expires, START.wall + Duration::from_secs(86_400));
            assert_eq!(payload.as_bytes(), br#"{"img1/m1":[20]}"#);
        }
        other => panic!("{other:?}"),
    }
    let no_channel = r#"{"expire_on":"2026-01-02T00:00:00Z","data":1}"#;
    assert!(
        matches!(command("/broadcast", no_channel), Command::Broadcast { channel, .. } if channel.is_empty())
    );
    let ids = r#"{"deviceid":"d1","appid":"chatter"}"#;
    let is_d1_chatter = |device: &str, app: &str| (device, app) == ("d1", "chatter");
    assert!(matches!(command("/register", ids),
        Command::Register { device, app, .. } if is_d1_chatter(device.as_str(), app.as_str())));
    assert!(matches!(command("/unregister", ids),
        Command::Unregister { device, app, .. } if is_d1_chatter(device.as_str(), app.as_str())));
}

#[test]
fn a_grant_is_ok_with_what_the_call_returns() {
    let done = answer(&post("/notify", NOTIFY), Reply::Queue(Answer::Done));
    assert_eq!((done.status, done.text()), (200, r#"{"ok":true}"#));
    assert_eq!(done.header("Content-Type"), Some("application/json"));
    assert_eq!(done.header("Date"), Some("Thu, 01 Jan 2026 00:00:00 GMT"));

    let register = post("/register", r#"{"deviceid":"d1","appid":"chatter"}"#);
    let token = answer(
        &register,
        Reply::Queue(Answer::Registered(Registered { token: Token([0xfb; 16]), user_token: None })),
    );
    assert_eq!(token.text(), format!(r#"{{"ok":true,"token":"{}"}}"#, Token([0xfb; 16]).reveal()));
}

#[test]
fn delivery_hosts_are_told_without_asking_the_queue() {
    let mut peer = Peer::new();
    peer.send(get("/delivery-hosts?h=0123456789abcdef"));
    let response = peer.response().expect("an answer");
    let expected = r#"{"ok":true,"hosts":["push.example:443","push2.example:443"],"domain":"push.example"}"#;
    assert_eq!((response.status, response.text()), (200, expected));
    assert_eq!(response.header("Cache-Control"), Some("no-cache"));
}

#[test]
fn stats_are_told_to_whoever_has_the_credential() {
    let request = "GET /stats HTTP/1.1\r\nAuthorization: Basic b3BzOnNlY3JldA==\r\n\r\n";
    let response = answer(request, Reply::Stats(vec![("sessions", 3), ("pending", u64::MAX)]));
    assert_eq!(response.json(), serde_json::json!({"ok": true, "sessions": 3, "pending": u64::MAX}));
    assert_eq!(response.header("Cache-Control"), Some("no-cache"));
}

#[test]
fn healthz_probes_the_queue() {
    let mut peer = Peer::new();
    peer.send(get("/healthz"));
    assert!(matches!(peer.command(), Some(Command::Probe)));
    peer.reply(Reply::Queue(Answer::Done));
    assert_eq!(peer.response().expect("an answer").text(), r#"{"ok":true}"#);
}
