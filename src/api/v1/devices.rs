//! Enrolled devices, as the operator sees them.

use serde::Serialize;

use super::target::Query;
use super::{Asked, ask};
use crate::api::answer::Success;
use crate::api::body::id;
use crate::api::expiry;
use crate::api::failure::Failure;
use crate::api::rights::Rights;
use crate::api::routes::Plan;
use crate::queue::{Command, Devices};

/// Devices in one answer: some 20 KiB of them.
const DEVICES_PER_PAGE: usize = 100;

pub(super) fn list(query: &Query<'_>, rights: &Rights<'_>) -> Result<Plan, Failure> {
    rights.check_operator()?;
    let command = Command::Devices {
        after: query.id("after")?,
        user: query.id("user")?,
        devices_max: DEVICES_PER_PAGE,
    };
    Ok(ask(command, Asked::Plain))
}

pub(super) fn revoke(device: &str, rights: &Rights<'_>) -> Result<Plan, Failure> {
    rights.check_operator()?;
    Ok(ask(Command::Revoke { device: id(device)? }, Asked::Plain))
}

pub(super) fn told(found: &Devices) -> Success {
    #[derive(Serialize)]
    struct Body<'a> {
        ok: bool,
        devices: Vec<Device<'a>>,
        more: bool,
    }
    #[derive(Serialize)]
    struct Device<'a> {
        deviceid: &'a str,
        user: &'a str,
        enrolled: String,
        apps: usize,
        pending: usize,
    }
    let devices = found.devices.iter().map(|found| Device {
        deviceid: found.device.as_str(),
        user: found.user.as_str(),
        enrolled: expiry::format(found.enrolled),
        apps: found.apps,
        pending: found.pending,
    });
    Success::object(&Body { ok: true, devices: devices.collect(), more: found.more })
}
