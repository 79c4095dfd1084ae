//! The JSON object in a request's body: from fields to a command. The types of all fields are checked
//! before the values of any; then ids, data, dates, and the token last.

use serde_json::value::RawValue;

use super::Options;
use super::answer::Asked;
use super::expiry;
use super::failure::Failure;
use super::routes::{Call, STORE_UNAVAILABLE};
use crate::base::{AppId, Credential, DeviceId, IdError, Payload, Urgency, Wall};
use crate::protocol::object::Fields;
use crate::queue::{Address, Command, Notify};

/// Longest `replace_tag`, in bytes: a tag is a name that the queue keeps beside its message, and must
/// not become a way around the limit on data.
const REPLACE_TAG_BYTES_MAX: usize = 128;

/// Deepest `data`. Go's JSON, which deployed devices read frames with, gives up beyond 10,000 arrays and
/// objects within one another, of which a frame has three of its own: a deeper payload could never be
/// delivered, nor anything behind it.
const DATA_DEPTH_MAX: usize = 9_990;

const NAMES: [&str; 10] = [
    "token",
    "userid",
    "deviceid",
    "appid",
    "channel",
    "expire_on",
    "data",
    "clear_pending",
    "replace_tag",
    "urgency",
];

/// Makes the command that `body` describes, and says how to tell what comes of it.
pub(super) fn command(
    call: Call,
    body: &[u8],
    options: &Options,
    now: Wall,
) -> Result<(Command, Asked), Failure> {
    let fields = || Body::read(body);
    Ok(match call {
        Call::Notify { app_key } => {
            let notify = NotifyFields::read(&fields()?)?.check(app_key, options, now)?;
            (Command::Notify(notify), Asked::Old("Could not store notification"))
        }
        Call::Broadcast => (broadcast(&fields()?, options, now)?, Asked::Old(STORE_UNAVAILABLE)),
        Call::Register { credential } => {
            let (device, app) = device_and_app(&fields()?)?;
            (Command::Register { device, app, credential }, Asked::Old("Could not make token"))
        }
        Call::Unregister { credential } => {
            let (device, app) = device_and_app(&fields()?)?;
            (Command::Unregister { device, app, credential }, Asked::Old("Could not remove token"))
        }
        Call::V1(call) => return call.command(body, options, now),
    })
}

struct Body<'b>(Fields<'b, { NAMES.len() }>);

impl<'b> Body<'b> {
    fn read(bytes: &'b [u8]) -> Result<Body<'b>, Failure> {
        let json = std::str::from_utf8(bytes).map_err(|_| Failure::MalformedJson)?;
        Fields::read(json, NAMES, Failure::MalformedJson).map(Body)
    }

    fn text(&self, name: &'static str) -> Result<String, Failure> {
        self.0.text(name).map_err(|_| Failure::MalformedJson)
    }

    fn flag(&self, name: &'static str) -> Result<bool, Failure> {
        self.0.boolean(name).map_err(|_| Failure::MalformedJson)
    }

    /// Any value counts, `null` too: a payload is the app's business.
    fn data(&self) -> Option<&'b RawValue> {
        self.0.raw_or_null("data")
    }
}

struct NotifyFields<'b> {
    token: String,
    user: String,
    device: String,
    app: String,
    dated: DatedFields<'b>,
    clear_pending: bool,
    replace_tag: String,
    urgency: String,
}

impl<'b> NotifyFields<'b> {
    fn read(body: &Body<'b>) -> Result<NotifyFields<'b>, Failure> {
        Ok(NotifyFields {
            token: body.text("token")?,
            user: body.text("userid")?,
            device: body.text("deviceid")?,
            app: body.text("appid")?,
            dated: DatedFields::read(body)?,
            clear_pending: body.flag("clear_pending")?,
            replace_tag: body.text("replace_tag")?,
            urgency: body.text("urgency")?,
        })
    }

    fn check(self, app_key: Option<Credential>, options: &Options, now: Wall) -> Result<Notify, Failure> {
        let by_token = !self.token.is_empty();
        if self.app.is_empty() || !by_token && (self.user.is_empty() || self.device.is_empty()) {
            return Err(Failure::MissingId);
        }
        if !by_token && options.is_auth_required {
            return Err(Failure::AddressedByDevice);
        }
        let app = id(&self.app)?;
        let device = if by_token { None } else { Some(id(&self.device)?) };
        let (payload, expires) = self.dated.check(options, now)?;
        let replace_tag = tag(self.replace_tag)?;
        let urgency = urgency(&self.urgency)?;
        let to = match device {
            Some(device) => Address::Device(device),
            None => Address::Token(self.token.parse().map_err(|_| Failure::UnknownToken)?),
        };
        Ok(Notify {
            to,
            app,
            expires,
            payload,
            urgency,
            clear_pending: self.clear_pending,
            replace_tag,
            app_key,
        })
    }
}

fn broadcast(body: &Body<'_>, options: &Options, now: Wall) -> Result<Command, Failure> {
    let channel = body.text("channel")?;
    let (payload, expires) = DatedFields::read(body)?.check(options, now)?;
    Ok(Command::Broadcast { channel, expires, payload })
}

fn device_and_app(body: &Body<'_>) -> Result<(DeviceId, AppId), Failure> {
    let (device, app) = (body.text("deviceid")?, body.text("appid")?);
    if device.is_empty() || app.is_empty() {
        return Err(Failure::MissingId);
    }
    Ok((id(&device)?, id(&app)?))
}

/// What every message has: data, and an end.
struct DatedFields<'b> {
    data: Option<&'b RawValue>,
    expire_on: String,
}

impl<'b> DatedFields<'b> {
    fn read(body: &Body<'b>) -> Result<DatedFields<'b>, Failure> {
        Ok(DatedFields { data: body.data(), expire_on: body.text("expire_on")? })
    }

    fn check(&self, options: &Options, now: Wall) -> Result<(Payload, Wall), Failure> {
        let payload = payload(self.data.ok_or(Failure::MissingData)?, options)?;
        let expires = expiry::parse(&self.expire_on).ok_or(Failure::InvalidExpiration)?;
        if expires <= now {
            return Err(Failure::PastExpiration);
        }
        Ok((payload, expires))
    }
}

pub(super) fn payload(data: &RawValue, options: &Options) -> Result<Payload, Failure> {
    if data.get().len() > options.payload_bytes_max {
        return Err(Failure::DataTooLarge);
    }
    let payload = Payload::from_raw(data);
    if payload.depth() > DATA_DEPTH_MAX {
        return Err(Failure::MalformedJson);
    }
    Ok(payload)
}

pub(super) fn id<Id: std::str::FromStr<Err = IdError>>(text: &str) -> Result<Id, Failure> {
    text.parse().map_err(Failure::BadId)
}

/// An empty tag is none.
pub(super) fn tag(text: String) -> Result<Option<String>, Failure> {
    match text.len() {
        0 => Ok(None),
        1..=REPLACE_TAG_BYTES_MAX => Ok(Some(text)),
        _ => Err(Failure::TagTooLong),
    }
}

/// Without one a message is of normal urgency.
pub(super) fn urgency(text: &str) -> Result<Urgency, Failure> {
    if text.is_empty() { Ok(Urgency::default()) } else { text.parse().map_err(Failure::BadUrgency) }
}
