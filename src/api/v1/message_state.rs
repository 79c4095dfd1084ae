//! What became of a message, for whoever holds the token it was sent to, or its app's key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use super::Asked;
use crate::api::answer::Success;
use crate::api::expiry;
use crate::api::failure::{Failure, Noun};
use crate::api::rights::Rights;
use crate::api::routes::Plan;
use crate::base::MessageId;
use crate::queue::{Command, MessageState, Status};

pub(super) fn ask(id: &str, rights: &Rights<'_>) -> Result<Plan, Failure> {
    let by = rights.holder()?;
    let message = decode_id(id).ok_or(Failure::Unknown(Noun::Message))?;
    Ok(super::ask(Command::Query { message, by }, Asked::Plain))
}

/// A message's id as it stands in paths: 22 characters of URL-safe base64.
pub(super) fn encode_id(id: MessageId) -> String {
    URL_SAFE_NO_PAD.encode(id.0)
}

fn decode_id(text: &str) -> Option<MessageId> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().map(MessageId).ok()
}

pub(super) fn told(state: &MessageState) -> Success {
    #[derive(Serialize)]
    struct Body<'a> {
        ok: bool,
        id: String,
        appid: &'a str,
        sent: String,
        devices: Vec<Device<'a>>,
    }
    #[derive(Serialize)]
    struct Device<'a> {
        deviceid: &'a str,
        status: &'static str,
        since: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        delivered: Option<String>,
    }
    let devices = state.devices.iter().map(|on| Device {
        deviceid: on.device.as_str(),
        status: name(on.status),
        since: expiry::format(on.since),
        delivered: on.delivered.map(expiry::format),
    });
    Success::object(&Body {
        ok: true,
        id: encode_id(state.id),
        appid: state.app.as_str(),
        sent: expiry::format(state.sent),
        devices: devices.collect(),
    })
}

/// A status in the API's words.
pub(super) fn name(status: Status) -> &'static str {
    match status {
        Status::Queued => "queued",
        Status::Delivered => "delivered",
        Status::Shown => "shown",
        Status::Opened => "opened",
        Status::Expired => "expired",
        Status::Replaced => "replaced",
        Status::Cleared => "cleared",
        Status::Refused => "refused",
        Status::TooManyPending => "too-many-pending",
        Status::NoRoom => "no-room",
        Status::Revoked => "revoked",
    }
}
