//! The forms a value can have: each reads one, or says in a few words what it should have been.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use rustls::pki_types::DnsName;

use super::DeviceAuth;
use super::settings::{Check, Value};
use crate::base::{format_duration, parse_duration};
use crate::http::Url;
use crate::protocol::wire1::API_BYTES_MAX;

/// Longest text that a key takes, in bytes; longer than any host name or password in use.
const TEXT_BYTES_MAX: usize = 1024;
/// Most hosts that devices are told of: more makes every answer to `/delivery-hosts` long.
const HOSTS_MAX: usize = 64;

/// Text of 1 to 1,024 bytes without control characters.
pub fn text(value: &Value) -> Result<String, String> {
    let (Value::Text(text) | Value::Flag(text)) = value else {
        return Err("must be text in quotes".into());
    };
    let fits = (1..=TEXT_BYTES_MAX).contains(&text.len());
    match fits && !text.chars().any(char::is_control) {
        true => Ok(text.clone()),
        false => Err(format!("must be 1 to {TEXT_BYTES_MAX} bytes of text on one line")),
    }
}

/// A whole number within `range`.
pub fn number(range: RangeInclusive<u64>) -> impl Check<u64> {
    move |value| {
        let number = match value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::Flag(text) => text.parse().ok(),
            _ => None,
        };
        let (least, most) = (range.start(), range.end());
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| format!("must be a whole number from {least} to {most}"))
    }
}

/// The same for what is counted in memory.
pub fn count(range: RangeInclusive<usize>) -> impl Check<usize> {
    let range = *range.start() as u64..=*range.end() as u64;
    |value| Ok(usize::try_from(number(range)(value)?).expect("within a range of usize"))
}

/// On or off.
pub fn switch(value: &Value) -> Result<bool, String> {
    let switch = match value {
        Value::Switch(is_on) => Some(*is_on),
        Value::Flag(text) => text.parse().ok(),
        _ => None,
    };
    switch.ok_or_else(|| "must be true or false".to_owned())
}

/// A duration as Go writes it, within `range`.
pub fn duration(range: RangeInclusive<Duration>) -> impl Check<Duration> {
    move |value| {
        let (Value::Text(text) | Value::Flag(text)) = value else {
            return Err("must be a duration in quotes, such as \"500ms\", \"0.5s\" or \"1m30s\"".into());
        };
        let duration = parse_duration(text).map_err(|error| error.to_string())?;
        let (least, most) = (format_duration(*range.start()), format_duration(*range.end()));
        if range.contains(&duration) { Ok(duration) } else { Err(format!("must be from {least} to {most}")) }
    }
}

/// An address to listen on: `IP:PORT`, `localhost:PORT`, or `:PORT` for all addresses.
pub fn address(value: &Value) -> Result<SocketAddr, String> {
    let form =
        || "must be an IP address and a port, such as \"127.0.0.1:8080\", or \":8080\" for all addresses";
    let text = text(value).map_err(|_| form())?;
    let (host, port) = text.rsplit_once(':').ok_or_else(form)?;
    let parsed = match host {
        "" => port.parse().map(|port: u16| (Ipv6Addr::UNSPECIFIED, port).into()).ok(),
        "localhost" => port.parse().map(|port: u16| (Ipv4Addr::LOCALHOST, port).into()).ok(),
        _ => text.parse().ok(),
    };
    parsed.ok_or_else(|| form().to_owned())
}

/// A DNS name.
pub fn domain(value: &Value) -> Result<String, String> {
    let text = text(value)?;
    match DnsName::try_from(text.as_str()) {
        Ok(_) => Ok(text),
        Err(_) => Err("must be a host name, such as \"push.example.org\"".into()),
    }
}

/// Hosts that devices may connect to, each `HOST:PORT`.
pub fn hosts(value: &Value) -> Result<Vec<String>, String> {
    let hosts = match value {
        Value::Flag(list) => list.split(',').map(str::to_owned).collect(),
        Value::List(items) => items.iter().map(text).collect::<Result<Vec<_>, _>>().unwrap_or_default(),
        _ => Vec::new(),
    };
    match (1..=HOSTS_MAX).contains(&hosts.len()) && hosts.iter().all(|host| is_host_and_port(host)) {
        true => Ok(hosts),
        false => {
            Err(format!("must be a list of 1 to {HOSTS_MAX} HOST:PORT, such as [\"push.example.org:9090\"]"))
        }
    }
}

fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_host = DnsName::try_from(host).is_ok() || text.parse::<SocketAddr>().is_ok();
    is_host && port.parse().is_ok_and(|port: u16| port != 0)
}

/// How devices prove who they are.
pub fn device_auth(value: &Value) -> Result<DeviceAuth, String> {
    match text(value)?.as_str() {
        "open" => Ok(DeviceAuth::Open),
        "required" => Ok(DeviceAuth::Required),
        _ => Err("must be \"required\" or \"open\"".into()),
    }
}

/// The base URL of the HTTP API, short enough for devices to be told.
pub fn api_url(value: &Value) -> Result<String, String> {
    let text = text(value)?;
    match text.parse::<Url>() {
        Ok(_) if text.len() > API_BYTES_MAX => Err(format!("must have at most {API_BYTES_MAX} bytes")),
        Ok(_) => Ok(text),
        Err(error) => Err(error.to_string()),
    }
}

/// The user of HTTP basic authentication, where a colon ends the name.
pub fn user(value: &Value) -> Result<String, String> {
    let user = text(value)?;
    if user.contains(':') { Err("must not contain a colon".into()) } else { Ok(user) }
}
