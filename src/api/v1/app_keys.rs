//! Keys that the operator binds apps to: from then on only who has the key posts for the app.

use serde::Serialize;

use super::{Asked, ask};
use crate::api::answer::Success;
use crate::api::body::id;
use crate::api::failure::Failure;
use crate::api::rights::Rights;
use crate::api::routes::Plan;
use crate::base::{AppId, Credential};
use crate::queue::Command;

pub(super) fn list(rights: &Rights<'_>) -> Result<Plan, Failure> {
    rights.check_operator()?;
    Ok(ask(Command::BoundApps, Asked::Plain))
}

pub(super) fn bind(app: &str, rights: &Rights<'_>) -> Result<Plan, Failure> {
    rights.check_operator()?;
    let app: AppId = id(app)?;
    Ok(ask(Command::BindApp { app: app.clone() }, Asked::AppKey(app)))
}

pub(super) fn unbind(app: &str, rights: &Rights<'_>) -> Result<Plan, Failure> {
    rights.check_operator()?;
    Ok(ask(Command::UnbindApp { app: id(app)? }, Asked::Plain))
}

/// The one time that the key is told.
pub(super) fn told(app: &AppId, key: &Credential) -> Success {
    #[derive(Serialize)]
    struct Body<'a> {
        ok: bool,
        appid: &'a str,
        key: String,
    }
    Success::object(&Body { ok: true, appid: app.as_str(), key: key.reveal() })
}

pub(super) fn told_all(apps: &[AppId]) -> Success {
    #[derive(Serialize)]
    struct Body<'a> {
        ok: bool,
        appids: Vec<&'a str>,
    }
    Success::object(&Body { ok: true, appids: apps.iter().map(AppId::as_str).collect() })
}
