//! Where devices must prove who they are: how one becomes a device, and who is not let in.

use std::time::Duration;

use lomiri_push::base::{CodeSecret, Credential, DeviceId, SessionId, Token};
use lomiri_push::protocol::wire1::{Enrolled, Reason};
use lomiri_push::protocol::{wire0, wire1};
use lomiri_push::queue::{self, Answer, Command, Limits};
use lomiri_push::reactor::Clock;
use lomiri_push::session::EndReason;
use lomiri_push::session::device::{Connect, Event, Options};
use lomiri_push::store::{DurableQueue, Memory};

use super::device::{Device, Secured};
use super::rig::{PATIENCE, Rig};

const API: &str = "https://push.example.org";
const OPERATOR: [u8; 32] = [0x0b; 32];

/// What an operator and devices have the queue do before the server starts.
struct Prepared {
    queue: DurableQueue<Memory>,
    drawn: u8,
}

impl Prepared {
    fn new() -> Prepared {
        let queue = DurableQueue::open(Memory::new(), Limits::default(), Clock::new().now());
        Prepared { queue: queue.expect("an empty store"), drawn: 0 }
    }

    fn ask(&mut self, command: Command) -> Answer {
        let drawn = &mut self.drawn;
        let random = &mut |bytes: &mut [u8]| {
            *drawn += 1;
            bytes.fill(*drawn);
        };
        let mut outcomes = self.queue.handle(vec![command], Clock::new().now(), random);
        outcomes.answers.pop().expect("one answer")
    }

    fn code(&mut self) -> CodeSecret {
        let user = "carol".parse().expect("a user");
        match self.ask(Command::MakeCode { user, valid_for: Duration::from_secs(3_600) }) {
            Answer::Code(code) => code.secret,
            other => panic!("{other:?}"),
        }
    }

    fn device(&mut self) -> queue::Enrolled {
        let code = self.code();
        match self.ask(Command::Enrol { session: SessionId(0), code }) {
            Answer::Enrolment(enrolment) => enrolment.outcome.expect("a good code"),
            other => panic!("{other:?}"),
        }
    }

    fn token(&mut self, of: &queue::Enrolled) -> Token {
        let (device, credential) = (of.device.clone(), Some(of.credential.clone()));
        let app = "chatter".parse().expect("an app");
        match self.ask(Command::Register { device, app, credential }) {
            Answer::Registered(registered) => registered.token,
            other => panic!("{other:?}"),
        }
    }

    /// A server that lets in only who proves himself.
    fn serve(self) -> Rig {
        let store = self.queue.close().expect("an intact store");
        Rig::start_over(store, |options| {
            options.shards = 3;
            options.is_auth_required = true;
            options.api_url = API.into();
            options.api.is_auth_required = true;
            options.api.operator = Some(Credential::new(OPERATOR).digest());
        })
    }
}

/// A connection that is opened like this.
pub fn open(rig: &Rig, connect: impl Into<Connect>) -> Device {
    let secured = Secured::connect(rig.addresses.devices, &rig.trust);
    Device::with(secured, Options { exchange_timeout: PATIENCE, ..Options::new(connect.into()) })
}

fn on_wire0(device: &DeviceId, authorization: &str) -> wire0::Connect {
    wire0::Connect { authorization: authorization.into(), ..wire0::Connect::new(device.clone()) }
}

pub fn on_wire1(device: &DeviceId, credential: &[u8]) -> wire1::Connect {
    let connect = wire1::Connect::new(device.clone(), Duration::from_secs(3_600));
    wire1::Connect { credential: credential.to_vec(), ..connect }
}

pub fn assert_let_in(device: &mut Device) {
    let event = device.next_event();
    assert!(matches!(event, Event::Connected { .. }), "{event:?}");
}

fn assert_unauthorized(device: &mut Device) {
    let event = device.next_event();
    let reason = Reason::Unauthorized;
    assert!(matches!(event, Event::Goaway(goaway) if goaway.reason == reason), "{event:?}");
    assert_eq!(device.next_event(), Event::Ended(EndReason::SentAway(reason)));
}

fn assert_unauthorized_on_wire0(device: &mut Device) {
    assert_eq!(device.next_event(), Event::Warned { reason: "unauthorized".into() });
    device.assert_ended();
}

/// Posts a message: the status and the answer's body.
fn notify(rig: &Rig, token: Token, payload: &str) -> (u16, String) {
    let token = token.reveal();
    let body = format!(
        r#"{{"token":"{token}","appid":"chatter","expire_on":"2100-01-01T00:00:00Z","data":{payload}}}"#
    );
    rig.post("/notify", &body)
}

fn revoke(rig: &Rig, device: &DeviceId) {
    let (device, key) = (device.as_str(), Credential::new(OPERATOR).reveal());
    let (status, answer) = rig.request(&format!(
        "DELETE /v1/devices/{device} HTTP/1.1\r\nHost: push\r\nAuthorization: Bearer {key}\r\n\
         Connection: close\r\n\r\n"
    ));
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn a_code_makes_a_device_that_is_let_in_on_either_wire() {
    let mut prepared = Prepared::new();
    let code = prepared.code();
    let rig = prepared.serve();
    let mut stranger = open(&rig, Connect::Enrol(code));
    let Event::Enrolled(Enrolled { device, credential, api }) = stranger.next_event() else {
        panic!("the code is good")
    };
    assert_eq!(api, API);
    stranger.leave();
    assert!(stranger.secured.read_to_end().is_empty());
    let text = credential.reveal();
    for authorization in [format!("Bearer {text}"), text] {
        assert_let_in(&mut open(&rig, on_wire0(&device, &authorization)));
    }
    assert_let_in(&mut open(&rig, on_wire1(&device, credential.as_bytes())));
}

#[test]
fn a_used_code_is_refused_like_one_that_never_was() {
    let mut prepared = Prepared::new();
    let code = prepared.code();
    let rig = prepared.serve();
    assert!(matches!(open(&rig, Connect::Enrol(code)).next_event(), Event::Enrolled(_)));
    for code in [code, CodeSecret([0xee; 16])] {
        assert_unauthorized(&mut open(&rig, Connect::Enrol(code)));
    }
}

#[test]
fn a_stranger_takes_nothing_over() {
    let mut prepared = Prepared::new();
    let (phone, other) = (prepared.device(), prepared.device());
    let token = prepared.token(&phone);
    let rig = prepared.serve();
    let mut carol = open(&rig, on_wire1(&phone.device, phone.credential.as_bytes()));
    assert_let_in(&mut carol);
    for wrong in [&[][..], &[0; 64], other.credential.as_bytes()] {
        assert_unauthorized(&mut open(&rig, on_wire1(&phone.device, wrong)));
    }
    let others = other.credential.reveal();
    for wrong in ["", "Bearer", &format!("Bearer {others}"), &others] {
        assert_unauthorized_on_wire0(&mut open(&rig, on_wire0(&phone.device, wrong)));
    }
    assert_eq!(notify(&rig, token, "1").0, 200);
    assert_eq!(carol.next_payloads(), ["1"]);
}

#[test]
fn a_device_that_nobody_has_enrolled_is_not_let_in() {
    let rig = Prepared::new().serve();
    let nobody: DeviceId = "nobody".parse().expect("an id");
    let credential = Credential::new([7; 32]);
    assert_unauthorized(&mut open(&rig, on_wire1(&nobody, credential.as_bytes())));
    assert_unauthorized_on_wire0(&mut open(&rig, on_wire0(&nobody, &credential.reveal())));
}

#[test]
fn a_later_session_with_the_credential_takes_over() {
    let mut prepared = Prepared::new();
    let phone = prepared.device();
    let rig = prepared.serve();
    let connect = || on_wire1(&phone.device, phone.credential.as_bytes());
    let mut earlier = open(&rig, connect());
    assert_let_in(&mut earlier);
    assert_let_in(&mut open(&rig, connect()));
    let event = earlier.next_event();
    assert!(matches!(event, Event::Goaway(goaway) if goaway.reason == Reason::TakenOver), "{event:?}");
}

#[test]
fn a_device_that_is_revoked_is_sent_away_at_once_and_for_good() {
    let mut prepared = Prepared::new();
    let (phone, old) = (prepared.device(), prepared.device());
    let token = prepared.token(&phone);
    let rig = prepared.serve();
    let connect = || on_wire1(&phone.device, phone.credential.as_bytes());
    let connect_old = || on_wire0(&old.device, &old.credential.reveal());
    let (mut carol, mut carols_old) = (open(&rig, connect()), open(&rig, connect_old()));
    assert_let_in(&mut carol);
    assert_let_in(&mut carols_old);
    revoke(&rig, &phone.device);
    assert_unauthorized(&mut carol);
    assert_unauthorized(&mut open(&rig, connect()));
    let (status, answer) = notify(&rig, token, "1");
    assert!(status >= 400 && answer.contains("unknown-token"), "{status} {answer}");
    revoke(&rig, &old.device);
    assert_unauthorized_on_wire0(&mut carols_old);
    assert_unauthorized_on_wire0(&mut open(&rig, connect_old()));
    rig.await_counter("registered", 0);
}
