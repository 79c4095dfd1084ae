//! Registrations of apps on a device, for the device alone: by its credential, in either mode.

use serde::{Deserialize, Serialize};

use super::target::Query;
use super::{Asked, Call, ask, request};
use crate::api::answer::Success;
use crate::api::body::id;
use crate::api::failure::Failure;
use crate::api::rights::Rights;
use crate::api::routes::{self, Plan};
use crate::base::{Credential, DeviceId};
use crate::queue::{Command, Registration};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    deviceid: String,
    appid: String,
}

pub(super) fn register(rights: &Rights<'_>) -> Result<Plan, Failure> {
    let credential = rights.device()?;
    let length = routes::check_body(rights.head, rights.options.body_bytes_max)?;
    Ok(Plan::Read(routes::Call::V1(Call::Registration(credential)), length))
}

pub(super) fn command(credential: Credential, body: &[u8]) -> Result<Command, Failure> {
    let Wanted { deviceid, appid } = request::read(body)?;
    Ok(Command::Register { device: id(&deviceid)?, app: id(&appid)?, credential: Some(credential) })
}

pub(super) fn list(query: &Query<'_>, rights: &Rights<'_>) -> Result<Plan, Failure> {
    let credential = Some(rights.device()?);
    Ok(ask(Command::Registrations { device: device(query)?, credential }, Asked::Plain))
}

pub(super) fn unregister(app: &str, query: &Query<'_>, rights: &Rights<'_>) -> Result<Plan, Failure> {
    let credential = Some(rights.device()?);
    let command = Command::Unregister { device: device(query)?, app: id(app)?, credential };
    Ok(ask(command, Asked::Plain))
}

fn device(query: &Query<'_>) -> Result<DeviceId, Failure> {
    query.id("deviceid")?.ok_or(Failure::MissingId)
}

pub(super) fn told_all(found: &[Registration]) -> Success {
    #[derive(Serialize)]
    struct Body<'a> {
        ok: bool,
        registrations: Vec<Told<'a>>,
    }
    #[derive(Serialize)]
    struct Told<'a> {
        appid: &'a str,
        token: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        user_token: Option<String>,
    }
    let told = found.iter().map(|registration| Told {
        appid: registration.app.as_str(),
        token: registration.tokens.token.reveal(),
        user_token: registration.tokens.user_token.map(|token| token.reveal()),
    });
    Success::object(&Body { ok: true, registrations: told.collect() })
}
