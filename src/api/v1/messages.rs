//! Messages: one, or a batch of them with one answer each. What cannot be read in a batch is refused in its
//! place, and the others are sent.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::message_state::{encode_id, name};
use super::{Asked, Call, idempotency, refusal, request};
use crate::api::answer::{Outcome, Success};
use crate::api::failure::Failure;
use crate::api::rights::Rights;
use crate::api::routes::{self, Plan};
use crate::api::{Options, body, expiry};
use crate::base::{Credential, Digest, Payload, Token, Wall};
use crate::queue::{Address, Command, Notify, Refusal, Repeat, Sent, Submission};

/// Longest body: a full batch of messages of 2 KiB.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Most messages in one request: the storage thread decides all of them in one go, which takes it some
/// milliseconds, and others wait.
const MESSAGES_MAX: usize = 500;

/// What a request's head says of who sends its messages.
#[derive(Debug)]
pub(in crate::api) struct Sender {
    app_key: Option<Credential>,
    idempotency_key: Option<Digest>,
}

pub(super) fn send(rights: &Rights<'_>) -> Result<Plan, Failure> {
    let app_key = rights.app_key()?;
    let length = routes::check_body(rights.head, BODY_BYTES_MAX.max(rights.options.body_bytes_max))?;
    let idempotency_key = rights.head.idempotency_key.map(idempotency::key).transpose()?;
    Ok(Plan::Read(routes::Call::V1(Call::Messages(Sender { app_key, idempotency_key })), length))
}

/// Tells one message from several; what else is in the body is for whoever reads it then.
#[derive(Deserialize)]
struct Shape<'b> {
    #[serde(borrow)]
    messages: Option<&'b RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch<'b> {
    #[serde(borrow)]
    messages: Vec<&'b RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message<'b> {
    token: String,
    appid: String,
    #[serde(borrow)]
    data: &'b RawValue,
    expire_on: Option<String>,
    ttl_seconds: Option<u32>,
    urgency: Option<String>,
    replace_tag: Option<String>,
    clear_pending: Option<bool>,
    idempotency_key: Option<String>,
}

pub(super) fn command(
    sender: Sender,
    body: &[u8],
    options: &Options,
    now: Wall,
) -> Result<(Command, Asked), Failure> {
    let shape: Shape<'_> = request::read(body)?;
    match shape.messages {
        None => Ok((Command::Send(vec![one(sender, body, options, now)?]), Asked::Message)),
        Some(_) => batch(&sender, body, options, now),
    }
}

fn one(sender: Sender, body: &[u8], options: &Options, now: Wall) -> Result<Submission, Failure> {
    let message: Message<'_> = request::read(body)?;
    if message.idempotency_key.is_some() {
        return Err(Failure::BadBody("one message has its key in the header Idempotency-Key".into()));
    }
    let repeat = sender.idempotency_key.map(|key| idempotency::repeat(key, body));
    message.submission(repeat, sender.app_key, options, now)
}

fn batch(sender: &Sender, body: &[u8], options: &Options, now: Wall) -> Result<(Command, Asked), Failure> {
    let Batch { messages } = request::read(body)?;
    if sender.idempotency_key.is_some() {
        return Err(Failure::IdempotencyKeyOfMany);
    }
    if !(1..=MESSAGES_MAX).contains(&messages.len()) {
        return Err(Failure::BadBody(format!("messages has 1 to {MESSAGES_MAX} of them")));
    }
    let mut submissions = Vec::with_capacity(messages.len());
    let slots = messages.into_iter().map(|message| {
        submissions.push(one_of_many(message, sender, options, now)?);
        Ok(())
    });
    let slots = slots.collect();
    Ok((Command::Send(submissions), Asked::Batch(slots)))
}

fn one_of_many(raw: &RawValue, sender: &Sender, options: &Options, now: Wall) -> Result<Submission, Failure> {
    let bytes = raw.get().as_bytes();
    let message: Message<'_> = request::read(bytes)?;
    let key = message.idempotency_key.as_ref().map(|key| idempotency::key(key.as_bytes())).transpose()?;
    let repeat = key.map(|key| idempotency::repeat(key, bytes));
    message.submission(repeat, sender.app_key.clone(), options, now)
}

impl Message<'_> {
    fn submission(
        self,
        repeat: Option<Repeat>,
        app_key: Option<Credential>,
        options: &Options,
        now: Wall,
    ) -> Result<Submission, Failure> {
        let app = body::id(&self.appid)?;
        let payload: Payload = body::payload(self.data, options)?;
        let expires = self.expires(now)?;
        // What was sent in time and is asked about again has its answer though it may have expired by now.
        if expires <= now && repeat.is_none() {
            return Err(Failure::PastExpiration);
        }
        let urgency = body::urgency(&self.urgency.unwrap_or_default())?;
        let replace_tag = body::tag(self.replace_tag.unwrap_or_default())?;
        let token: Token = self.token.parse().map_err(|_| refusal::failure(Refusal::UnknownToken))?;
        let clear_pending = self.clear_pending.unwrap_or(false);
        let to = Address::Token(token);
        let notify = Notify { to, app, expires, payload, urgency, clear_pending, replace_tag, app_key };
        Ok(Submission { notify, repeat })
    }

    fn expires(&self, now: Wall) -> Result<Wall, Failure> {
        match (&self.expire_on, self.ttl_seconds) {
            (Some(text), None) => expiry::parse(text).ok_or(Failure::InvalidExpiration),
            (None, Some(seconds)) => Ok(now + std::time::Duration::from_secs(seconds.into())),
            _ => Err(Failure::BadBody("either expire_on or ttl_seconds is needed".into())),
        }
    }
}

/// What became of a message in a batch.
#[derive(Serialize)]
#[serde(untagged)]
enum Told {
    Sent(ToldSent),
    Refused(ToldRefused),
}

#[derive(Serialize)]
struct ToldSent {
    ok: bool,
    id: String,
    devices: Vec<ToldDevice>,
}

#[derive(Serialize)]
struct ToldDevice {
    deviceid: String,
    status: &'static str,
}

/// As the answer to this message alone would be.
#[derive(Serialize)]
struct ToldRefused {
    ok: bool,
    status: u16,
    error: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

/// Tells what became of the one message.
pub(super) fn told(answers: Vec<Result<Sent, Refusal>>) -> Outcome {
    let answer = answers.into_iter().next().ok_or(Failure::Internal)?;
    answer.map(|sent| Success::object(&ToldSent::from(sent))).map_err(refusal::failure)
}

/// Tells what became of all messages, in their order: those in `slots` that were for the queue have the
/// next of its answers.
pub(super) fn told_all(slots: Vec<Result<(), Failure>>, answers: Vec<Result<Sent, Refusal>>) -> Outcome {
    #[derive(Serialize)]
    struct Body {
        ok: bool,
        answers: Vec<Told>,
    }
    let is_denied = answers.contains(&Err(Refusal::AppKeyNeeded));
    let mut answers = answers.into_iter();
    let told = slots.into_iter().map(|slot| match slot {
        Ok(()) => match answers.next()? {
            Ok(sent) => Some(Told::Sent(sent.into())),
            Err(refused) => Some(Told::Refused(refusal::failure(refused).into())),
        },
        Err(failure) => Some(Told::Refused(failure.into())),
    });
    let answers = told.collect::<Option<Vec<Told>>>().ok_or(Failure::Internal)?;
    let object = Success::object(&Body { ok: true, answers });
    Ok(if is_denied { object.denied_in_part() } else { object })
}

impl From<Sent> for ToldSent {
    fn from(sent: Sent) -> ToldSent {
        let devices = sent.devices.into_iter();
        let devices = devices.map(|(device, status)| ToldDevice {
            deviceid: device.as_str().to_owned(),
            status: name(status),
        });
        ToldSent { ok: true, id: encode_id(sent.id), devices: devices.collect() }
    }
}

impl From<Failure> for ToldRefused {
    fn from(failure: Failure) -> ToldRefused {
        let row = failure.row();
        ToldRefused {
            ok: false,
            status: row.code(),
            error: row.label,
            message: row.message.into_owned(),
            retry_after: failure.retry_after_s(),
        }
    }
}
