//! One good request for each of the API's operations, with what the queue answers to it.

use serde_json::{Value, json};

use super::super::*;
use crate::api::routes::Operation;
use crate::api::v1::Operation as V1;
use crate::base::{CodeSecret, MessageId, Token};
use crate::queue::{
    Code, DeviceState, Devices, EnrolledDevice, MessageState, Refusal, Registered, Registration, Sent, Status,
};

/// A request, and the reply that grants it.
pub struct Sample {
    pub target: String,
    pub authorization: String,
    pub body: Option<Value>,
    pub granted: Reply,
    /// How the queue refuses it where what it asks for is not there.
    pub unknown: Option<Reply>,
}

const TOKEN: Token = Token([7; 16]);

fn sample(target: &str, granted: Answer) -> Sample {
    let granted = Reply::Queue(granted);
    Sample {
        target: target.into(),
        authorization: bearer(&operator_key()),
        body: None,
        granted,
        unknown: None,
    }
}

impl Sample {
    fn with(self, body: Value) -> Sample {
        Sample { body: Some(body), ..self }
    }

    fn or(self, refusal: Refusal) -> Sample {
        Sample { unknown: Some(Reply::Queue(Answer::Refused(refusal))), ..self }
    }
}

/// Of all operations. Which credential it is makes no difference before the queue is asked.
pub fn of(operation: Operation) -> Sample {
    let device_and_app = json!({"deviceid": "d1", "appid": "chatter"});
    match operation {
        Operation::Notify => sample("/notify", Answer::Done).with(notification()),
        Operation::Broadcast => sample("/broadcast", Answer::Done).with(broadcast()),
        Operation::Register => sample("/register", tokens()).with(device_and_app),
        Operation::Unregister => sample("/unregister", Answer::Done).with(device_and_app),
        Operation::DeliveryHosts => sample("/delivery-hosts?h=0f", Answer::Done),
        Operation::Stats => {
            Sample { granted: Reply::Stats(vec![("pending", 3)]), ..sample("/stats", Answer::Done) }
        }
        Operation::Healthz => sample("/healthz", Answer::Done),
        Operation::V1(operation) => of_v1(operation, device_and_app),
    }
}

fn of_v1(operation: V1, device_and_app: Value) -> Sample {
    match operation {
        V1::SendMessages => sent(message(), vec![Ok(on_two_devices())]),
        V1::ShowMessage => sample("/v1/messages/AwMDAwMDAwMDAwMDAwMDAw", state()).or(Refusal::UnknownMessage),
        V1::Register => sample("/v1/registrations", tokens()).with(device_and_app),
        V1::Unregister => sample("/v1/registrations/chatter?deviceid=d1", Answer::Done),
        V1::ListRegistrations => sample("/v1/registrations?deviceid=d1", registrations()),
        V1::MakeEnrolmentCode => sample("/v1/enrolment-codes", code()).with(json!({"user": "carol"})),
        V1::ListDevices => sample("/v1/devices?after=d0&user=carol", devices()),
        V1::RevokeDevice => sample("/v1/devices/d1", Answer::Done).or(Refusal::UnknownDevice),
        V1::EraseUser => sample("/v1/users/carol", Answer::Done).or(Refusal::UnknownUser),
        V1::RevokeUserToken => sample("/v1/users/carol/apps/chatter", Answer::Done).or(Refusal::UnknownToken),
        V1::BindApp => sample("/v1/app-keys/chatter", Answer::AppKey(operator_key())),
        V1::UnbindApp => sample("/v1/app-keys/chatter", Answer::Done),
        V1::ListAppKeys => sample("/v1/app-keys", Answer::BoundApps(vec![id("chatter")])),
    }
}

/// Several messages, with one that is not sent.
pub fn batch() -> Sample {
    let slow = Refusal::TooManyRequests { retry_after: Duration::from_secs(3) };
    sent(json!({"messages": [message(), 7, message()]}), vec![Ok(on_two_devices()), Err(slow)])
}

pub fn sent(body: Value, answers: Vec<Result<Sent, Refusal>>) -> Sample {
    let unknown = Some(Reply::Queue(Answer::Sent(vec![Err(Refusal::UnknownToken)])));
    Sample { unknown, ..sample("/v1/messages", Answer::Sent(answers)).with(body) }
}

fn id<Id: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> Id {
    text.parse().expect("an id")
}

pub fn message() -> Value {
    json!({
        "token": TOKEN.reveal(), "appid": "chatter", "data": {"m": "hi"}, "ttl_seconds": 60,
        "urgency": "high", "replace_tag": "t", "clear_pending": false,
    })
}

fn notification() -> Value {
    json!({"token": TOKEN.reveal(), "appid": "chatter", "data": 1, "expire_on": "2026-01-02T00:00:00Z"})
}

fn broadcast() -> Value {
    json!({"channel": "system", "data": 1, "expire_on": "2026-01-02T00:00:00Z"})
}

fn on_two_devices() -> Sent {
    let devices = vec![(id("d1"), Status::Queued), (id("d2"), Status::NoRoom)];
    Sent { id: MessageId([3; 16]), devices }
}

fn tokens() -> Answer {
    Answer::Registered(Registered { token: TOKEN, user_token: Some(TOKEN) })
}

fn registrations() -> Answer {
    let tokens = [Some(TOKEN), None].map(|user_token| Registered { token: TOKEN, user_token });
    Answer::Registrations(tokens.map(|tokens| Registration { app: id("chatter"), tokens }).into())
}

fn code() -> Answer {
    Answer::Code(Code { secret: CodeSecret([5; 16]), expires: START.wall })
}

fn devices() -> Answer {
    let device =
        EnrolledDevice { device: id("d1"), user: id("carol"), enrolled: START.wall, apps: 1, pending: 2 };
    Answer::Devices(Devices { devices: vec![device], more: false })
}

fn state() -> Answer {
    let on = |device: &str, status, delivered| DeviceState {
        device: id(device),
        status,
        since: START.wall,
        delivered,
    };
    let devices = vec![on("d1", Status::Queued, None), on("d2", Status::Opened, Some(START.wall))];
    Answer::State(MessageState { id: MessageId([3; 16]), app: id("chatter"), sent: START.wall, devices })
}
