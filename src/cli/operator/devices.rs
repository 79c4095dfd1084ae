//! `devices`: which devices are enrolled, whose they are, and what waits for them.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::{Operator, ServerArguments, segment};
use crate::cli::{Failure, say};

/// Lists the devices that are enrolled
///
/// In the order of their ids, with their users. The server must run.
#[derive(clap::Args)]
pub struct Arguments {
    /// Print a JSON array, with one device a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArguments,
}

#[derive(Deserialize)]
struct Page {
    devices: Vec<Device>,
    more: bool,
}

#[derive(Serialize, Deserialize)]
struct Device {
    deviceid: String,
    user: String,
    enrolled: String,
    apps: u64,
    pending: u64,
}

/// Prints all devices.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let devices = all(&arguments.server.operator()?)?;
    say(&if arguments.json { json(&devices) } else { table(&devices) })
}

/// Every page there is.
fn all(operator: &Operator) -> Result<Vec<Device>, Failure> {
    let mut devices: Vec<Device> = Vec::new();
    loop {
        let after = devices.last().map(|last| format!("?after={}", segment(&last.deviceid)));
        let page: Page = operator.ask("GET", &format!("/v1/devices{}", after.unwrap_or_default()), None)?;
        let is_last = !page.more || page.devices.is_empty();
        devices.extend(page.devices);
        if is_last {
            return Ok(devices);
        }
    }
}

fn json(devices: &[Device]) -> String {
    let line = |device| serde_json::to_string(device).expect("text and numbers are JSON");
    format!("[{}]", devices.iter().map(line).collect::<Vec<_>>().join(",\n"))
}

/// Columns as wide as what is in them.
fn table(devices: &[Device]) -> String {
    let heading = ["DEVICE", "USER", "ENROLLED", "APPS", "PENDING"].map(str::to_owned);
    let rows = devices.iter().map(|device| {
        let user = device.user.escape_debug().to_string();
        [
            device.deviceid.clone(),
            user,
            device.enrolled.clone(),
            device.apps.to_string(),
            device.pending.to_string(),
        ]
    });
    let rows: Vec<[String; 5]> = [heading].into_iter().chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(width);
    rows.iter().map(|row| line(row, widths)).collect::<Vec<_>>().join("\n")
}

/// Text to the left, numbers to the right.
fn line([device, user, enrolled, apps, pending]: &[String; 5], widths: [usize; 5]) -> String {
    let [w0, w1, w2, w3, w4] = widths;
    let mut line = String::new();
    write!(line, "{device:w0$}  {user:w1$}  {enrolled:w2$}  {apps:>w3$}  {pending:>w4$}")
        .expect("a string takes all");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(device: &str, user: &str, pending: u64) -> Device {
        let enrolled = "2026-11-25T17:00:00Z".to_owned();
        Device { deviceid: device.into(), user: user.into(), enrolled, apps: 2, pending }
    }

    #[test]
    fn a_table_has_a_heading_and_lined_up_columns() {
        let expected = "\
DEVICE  USER               ENROLLED              APPS  PENDING
a       carol              2026-11-25T17:00:00Z     2        0
longer  ähre@example.org   2026-11-25T17:00:00Z     2    10000";
        let devices = [device("a", "carol", 0), device("longer", "ähre@example.org ", 10_000)];
        assert_eq!(table(&devices), expected);
        assert_eq!(table(&[]), "DEVICE  USER  ENROLLED  APPS  PENDING");
    }

    #[test]
    fn json_is_an_array_with_a_device_a_line() {
        assert_eq!(json(&[]), "[]");
        let text = json(&[device("a", "carol", 0), device("b", "bob", 1)]);
        assert_eq!(text.lines().count(), 2);
        let read: Vec<Device> = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read[1].user, "bob");
    }
}
