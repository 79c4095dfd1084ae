//! What a device asks of `/v1`: its registrations.

use serde_json::{Value, json};

use super::*;
use crate::base::Token;
use crate::queue::{Refusal, Registered, Registration};

fn ask(options: Options, method: &str, path: &str, body: &str) -> Peer {
    let authorization = bearer(&Credential::new([7; 32]));
    let length = body.len();
    let about = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
    let about = if body.is_empty() { "" } else { &about };
    let mut peer = Peer::with(options);
    peer.send(format!("{method} {path} HTTP/1.1\r\n{authorization}{about}\r\n{body}"));
    peer
}

fn is_sevens(credential: Option<Credential>) -> bool {
    credential.is_some_and(|credential| *credential.as_bytes() == [7; 32])
}

fn answer(peer: &mut Peer, answer: Answer) -> (u16, Value) {
    peer.reply(Reply::Queue(answer));
    let response = peer.response().expect("an answer");
    (response.status, response.json())
}

const TOKENS: Registered = Registered { token: Token([1; 16]), user_token: Some(Token([2; 16])) };

#[test]
fn a_device_proves_itself_in_either_mode() {
    let body = r#"{"deviceid":"d1","appid":"chatter"}"#;
    for options in [options(), required()] {
        let mut peer = ask(options.clone(), "POST", "/v1/registrations", body);
        let Some(Command::Register { device, app, credential }) = peer.command() else { panic!("refused") };
        assert_eq!((device.as_str(), app.as_str(), is_sevens(credential)), ("d1", "chatter", true));
        let expected =
            json!({"ok": true, "token": Token([1; 16]).reveal(), "user_token": Token([2; 16]).reveal()});
        assert_eq!(answer(&mut peer, Answer::Registered(TOKENS)), (200, expected));

        let mut peer = ask(options.clone(), "DELETE", "/v1/registrations/a%2Fb?deviceid=d1", "");
        let Some(Command::Unregister { device, app, credential }) = peer.command() else { panic!("refused") };
        assert_eq!((device.as_str(), app.as_str(), is_sevens(credential)), ("d1", "a/b", true));
        let refused = Answer::Refused(Refusal::NotThisDevice);
        assert_eq!(answer(&mut peer, refused).0, 401);

        let mut peer = Peer::with(options);
        peer.send(post("/v1/registrations", body));
        assert_eq!(peer.statuses(), [401]);
    }
}

#[test]
fn a_device_sees_its_registrations() {
    let mut peer = ask(required(), "GET", "/v1/registrations?deviceid=d1", "");
    let Some(Command::Registrations { device, credential }) = peer.command() else { panic!("refused") };
    assert_eq!((device.as_str(), is_sevens(credential)), ("d1", true));
    let tokens = Registered { user_token: None, ..TOKENS };
    let found = vec![Registration { app: "chatter".parse().expect("an id"), tokens }];
    let expected =
        json!({"ok": true, "registrations": [{"appid": "chatter", "token": Token([1; 16]).reveal()}]});
    assert_eq!(answer(&mut peer, Answer::Registrations(found)), (200, expected));
}

#[test]
fn a_device_that_does_not_say_which_it_is_is_refused() {
    for (method, path) in [("GET", "/v1/registrations"), ("DELETE", "/v1/registrations/chatter")] {
        assert_eq!(ask(required(), method, path, "").statuses(), [400], "{method} {path}");
    }
    assert_eq!(ask(required(), "POST", "/v1/registrations", r#"{"appid":"chatter"}"#).statuses(), [400]);
}
