//! The second-generation API over sockets, from a code that the operator makes to what became of a message.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use lomiri_push::base::{Credential, DeviceId};
use lomiri_push::protocol::enrolment_code::EnrolmentCode;
use lomiri_push::protocol::wire1::Enrolled;
use lomiri_push::reactor::Clock;
use lomiri_push::session::device::{Connect, Event};
use lomiri_push::store::Memory;
use serde_json::{Value, json};

use super::device::Device;
use super::enrolment::{assert_let_in, on_wire1, open};
use super::rig::{Made, PATIENCE, Rig, read_response};

const OPERATOR: [u8; 32] = [0x0b; 32];
const MIB: usize = 1024 * 1024;

fn serve() -> Rig {
    Rig::start_over(Memory::new(), |options| {
        options.is_auth_required = true;
        options.api.is_auth_required = true;
        options.api.operator = Some(Credential::new(OPERATOR).digest());
        options.api.enrolling = Some(Made::new().certificates());
    })
}

/// Asks with a JSON body, if there is one: the status and the answer.
fn ask(rig: &Rig, method: &str, path: &str, bearer: &str, headers: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let length = body.len();
    let (status, answer) = rig.request(&format!(
        "{method} {path} HTTP/1.1\r\nHost: push\r\nContent-Type: application/json\r\n{headers}\
         Authorization: Bearer {bearer}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    ));
    (status, serde_json::from_str(&answer).expect("JSON"))
}

fn text(answer: &Value, name: &str) -> String {
    answer[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer}")).to_owned()
}

/// A device of carol's, with its tokens for the chatter.
struct Phone {
    device: DeviceId,
    credential: Credential,
    token: String,
    user_token: String,
}

impl Phone {
    fn enrol(rig: &Rig) -> Phone {
        let operator = Credential::new(OPERATOR).reveal();
        let wish = json!({"user": "carol"});
        let (status, made) = ask(rig, "POST", "/v1/enrolment-codes", &operator, "", &wish);
        assert_eq!(status, 200, "{made}");
        let code: EnrolmentCode = text(&made, "code").parse().expect("a code");
        let Event::Enrolled(Enrolled { device, credential, .. }) =
            open(rig, Connect::Enrol(code.secret)).next_event()
        else {
            panic!("the code is good")
        };
        let wish = json!({"deviceid": device.as_str(), "appid": "chatter"});
        let (status, tokens) = ask(rig, "POST", "/v1/registrations", &credential.reveal(), "", &wish);
        assert_eq!(status, 200, "{tokens}");
        let (token, user_token) = (text(&tokens, "token"), text(&tokens, "user_token"));
        Phone { device, credential, token, user_token }
    }

    fn connect(&self, rig: &Rig) -> Device {
        let mut device = open(rig, on_wire1(&self.device, self.credential.as_bytes()));
        assert_let_in(&mut device);
        device
    }
}

fn message(token: &str, data: u32) -> Value {
    json!({"token": token, "appid": "chatter", "data": data, "ttl_seconds": 600})
}

/// The message's status on a device.
fn status_on(rig: &Rig, id: &str, token: &str, device: &DeviceId) -> String {
    let (status, state) = ask(rig, "GET", &format!("/v1/messages/{id}"), token, "", &Value::Null);
    assert_eq!(status, 200, "{state}");
    let devices = state["devices"].as_array().expect("devices").iter();
    let on = devices.clone().find(|on| on["deviceid"] == device.as_str()).expect("its device");
    text(on, "status")
}

#[test]
fn a_message_to_a_user_is_followed_to_each_device() {
    let rig = serve();
    let (phone, tablet) = (Phone::enrol(&rig), Phone::enrol(&rig));
    assert_eq!(phone.user_token, tablet.user_token);
    let sending = || {
        let body = message(&phone.user_token, 1);
        ask(&rig, "POST", "/v1/messages", "", "Idempotency-Key: k\r\n", &body)
    };
    let (status, sent) = sending();
    assert_eq!((status, sent["devices"].as_array().map(Vec::len)), (200, Some(2)), "{sent}");
    assert_eq!(sending(), (200, sent.clone()), "the same again");
    let other = message(&phone.user_token, 2);
    assert_eq!(ask(&rig, "POST", "/v1/messages", "", "Idempotency-Key: k\r\n", &other).0, 409);

    let mut online = phone.connect(&rig);
    assert_eq!(online.next_payloads(), ["1"]);
    online.ack();
    let (id, clock) = (text(&sent, "id"), Clock::new());
    while status_on(&rig, &id, &phone.user_token, &phone.device) != "delivered" {
        assert!(clock.now().monotonic.0 < PATIENCE, "never delivered");
    }
    assert_eq!(status_on(&rig, &id, &phone.user_token, &tablet.device), "queued");
    let foreign = ask(&rig, "GET", &format!("/v1/messages/{id}"), &phone.token, "", &Value::Null);
    let unknown = ask(&rig, "GET", "/v1/messages/AAAAAAAAAAAAAAAAAAAAAA", &phone.token, "", &Value::Null);
    assert_eq!((foreign.0, &foreign), (404, &unknown));
}

#[test]
fn a_full_batch_is_answered_message_by_message() {
    let rig = serve();
    let phone = Phone::enrol(&rig);
    let mut messages = vec![message(&phone.token, 7); 500];
    messages[499] = message("AAAAAAAAAAAAAAAAAAAAAA", 7);
    let batch = json!({"messages": messages});
    let (status, answer) = ask(&rig, "POST", "/v1/messages", "", "", &batch);
    let answers = answer["answers"].as_array().expect("answers");
    assert_eq!((status, answers.len()), (200, 500));
    assert_eq!(answers[0]["ok"], true, "{}", answers[0]);
    assert_eq!(answers[499]["error"], "unknown-token");
}

#[test]
fn an_app_that_is_bound_to_a_key_needs_it() {
    let rig = serve();
    let phone = Phone::enrol(&rig);
    let operator = Credential::new(OPERATOR).reveal();
    let (_, bound) = ask(&rig, "PUT", "/v1/app-keys/chatter", &operator, "", &Value::Null);
    let key = text(&bound, "key");
    let body = message(&phone.token, 1);
    assert_eq!(ask(&rig, "POST", "/v1/messages", "", "", &body).0, 401);
    assert_eq!(ask(&rig, "POST", "/v1/messages", &operator, "", &body).0, 401);
    let (status, sent) = ask(&rig, "POST", "/v1/messages", &key, "", &body);
    assert_eq!(status, 200, "{sent}");
    let path = format!("/v1/messages/{}", text(&sent, "id"));
    assert_eq!(ask(&rig, "GET", &path, &key, "", &Value::Null).0, 200);
    assert_eq!(ask(&rig, "DELETE", "/v1/app-keys/chatter", &operator, "", &Value::Null).0, 200);
    assert_eq!(ask(&rig, "POST", "/v1/messages", "", "", &body).0, 200);
}

/// A hundred who send a mebibyte each but for its last byte: there is no memory for all of them. Some are
/// told to come back, others are served, and whoever has something small to say is heard meanwhile.
#[test]
fn a_crowd_of_large_bodies_is_shed_and_small_requests_pass() {
    let rig = serve();
    let phone = Phone::enrol(&rig);
    let body = message(&phone.token, 1);
    let mut large = json!({"messages": [body]}).to_string();
    large.push_str(&" ".repeat(MIB - large.len()));
    let crowd: Vec<TcpStream> = (0..100).map(|_| begin_large(&rig, &large[..MIB - 1])).collect();
    assert_eq!(ask(&rig, "POST", "/v1/messages", "", "", &body).0, 200, "small ones pass");
    let statuses: Vec<u16> = crowd.into_iter().filter_map(end_large).collect();
    assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&503), "some find no room");
    assert!(statuses.contains(&200), "who has room is served");
}

/// Begins a request that is a mebibyte long.
fn begin_large(rig: &Rig, body: &str) -> TcpStream {
    let mut socket = rig.caller();
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: push\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {MIB}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).expect("the server reads");
    socket.write_all(body.as_bytes()).expect("the server reads what it has no room for too");
    socket
}

/// Sends the last byte; the status, unless the server has lost patience and cut the connection.
fn end_large(mut socket: TcpStream) -> Option<u16> {
    let _ = socket.write_all(b" ");
    let mut response = String::new();
    socket.read_to_string(&mut response).ok()?;
    (!response.is_empty()).then(|| read_response(&response).0)
}
