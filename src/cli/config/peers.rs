//! What one address may do, and which proxies are believed.

use super::settings::{ConfigError, Settings, Value};
use super::values::{count, number, text};
use crate::queue::Rate;
use crate::reactor::{Network, PeerOptions};

/// Most handshakes at once, 8 KiB each.
const HANDSHAKES_MAX: usize = 65_536;
/// Most failures a minute, or at once: beyond what any machine can answer.
const FAILURES_MAX: u64 = 60_000_000;
/// Most proxies: each connection and each request is held against all.
const PROXIES_MAX: usize = 64;

/// What was given, over the defaults.
pub(super) fn read(from: &mut Settings) -> Result<PeerOptions, ConfigError> {
    let default = PeerOptions::default();
    let small = |number: u64| u32::try_from(number).expect("within FAILURES_MAX");
    let mut failures =
        |key, default: u32| from.read_or(key, number(1..=FAILURES_MAX), default.into()).map(small);
    let failures = Rate {
        per_minute: failures("auth_failures_per_minute", default.failures.per_minute)?,
        burst: failures("auth_failures_burst", default.failures.burst)?,
    };
    let handshakes = || count(1..=HANDSHAKES_MAX);
    Ok(PeerOptions {
        handshakes_max: from.read_or("handshakes_max", handshakes(), default.handshakes_max)?,
        handshakes_per_address_max: from.read_or(
            "handshakes_per_address_max",
            handshakes(),
            default.handshakes_per_address_max,
        )?,
        failures,
        trusted_proxies: from.read_or("trusted_proxies", networks, default.trusted_proxies)?,
        exempt: default.exempt,
    })
}

/// Addresses and networks.
fn networks(value: &Value) -> Result<Vec<Network>, String> {
    let texts: Vec<String> = match value {
        Value::Flag(list) => list.split(',').map(str::to_owned).collect(),
        Value::List(items) => items.iter().map(text).collect::<Result<_, _>>()?,
        _ => return Err(form()),
    };
    let networks: Option<Vec<Network>> = texts.iter().map(|text| text.parse().ok()).collect();
    networks.filter(|networks| networks.len() <= PROXIES_MAX).ok_or_else(form)
}

fn form() -> String {
    format!(
        "must be a list of at most {PROXIES_MAX} addresses or networks, such as [\"10.0.0.0/8\", \"::1\"]"
    )
}
