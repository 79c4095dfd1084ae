//! `revoke`: a device is no longer trusted.

use super::{ServerArguments, segment};
use crate::base::DeviceId;
use crate::cli::{Failure, say};

/// Revokes a device: its session ends at once, and its tokens die
///
/// What is pending for it is dropped. It can be enrolled again, with a new code, and gets another id then.
/// The server must run.
#[derive(clap::Args)]
pub struct Arguments {
    /// The device, by the id that `lomiri-push devices` shows
    #[arg(allow_hyphen_values = true)]
    device: DeviceId,
    #[command(flatten)]
    server: ServerArguments,
}

/// Revokes, and says so.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let device = arguments.device;
    let unknown = format!("there is no device {device}: `lomiri-push devices` lists those that there are");
    arguments.server.operator()?.delete(&format!("/v1/devices/{}", segment(device.as_str())), unknown)?;
    say(&format!("revoked {device}"))
}
