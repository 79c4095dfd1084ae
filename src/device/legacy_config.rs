//! The JSON configuration of the push service that deployed phones have: read so that a phone keeps its
//! settings. What is not said in it is None; what it means is its owner's business.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use log::LevelFilter;
use serde_json::{Map, Value};

use crate::base::parse_duration;
use crate::protocol::enrolment_code::{AddressError, ServerAddress};
use crate::service::notification::Vibration;

/// Where it lies in a folder of configurations.
const FILE: &str = "lomiri-push-service/config.json";
/// Where configurations lie that hold for everybody, unless `XDG_CONFIG_DIRS` says otherwise.
const SYSTEM_FOLDERS: &str = "/etc/xdg";

/// What a configuration says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LegacyConfig {
    /// Where the servers are.
    pub addr: Option<Addr>,
    /// The base of the API that registers apps.
    pub registration_url: Option<String>,
    /// How long the server may take to be reached.
    pub connect_timeout: Option<Duration>,
    /// How long it may take to answer.
    pub exchange_timeout: Option<Duration>,
    /// How long a list of servers holds.
    pub hosts_cache_expiry: Option<Duration>,
    /// The certificates to believe instead of the system's, in PEM; relative to the configuration.
    pub cert_pem_file: Option<PathBuf>,
    /// How long the existing service waits after a check of the web has failed.
    pub recheck_timeout: Option<Duration>,
    /// How long it waits for a network to be stable.
    pub stabilizing_timeout: Option<Duration>,
    /// How often it wakes a sleeping phone.
    pub poll_interval: Option<Duration>,
    /// `debug`, `info` or `error`.
    pub log_level: Option<LevelFilter>,
    /// The sound of a notification whose app has none.
    pub fallback_sound: Option<String>,
    /// The vibration of a notification whose app has none.
    pub fallback_vibration: Option<Vibration>,
}

/// Where servers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addr {
    /// An API at this URL names them.
    Discovered(String),
    /// They are these, to be tried in this order; at least one.
    Fixed(Vec<ServerAddress>),
}

/// A URL, or addresses between bars.
impl FromStr for Addr {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Addr, AddressError> {
        if text.starts_with("http") && text.contains("://") {
            return Ok(Addr::Discovered(text.to_owned()));
        }
        text.split('|').map(|addr| addr.trim().parse()).collect::<Result<_, _>>().map(Addr::Fixed)
    }
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LegacyConfigError {
    /// It is no JSON object.
    #[error("{}: not a JSON object", .file.display())]
    Form {
        /// The configuration.
        file: PathBuf,
    },
    /// A value is of a wrong type, or cannot be used.
    #[error("{}: {key}: {problem}", .file.display())]
    Value {
        /// The configuration.
        file: PathBuf,
        /// Where in it.
        key: &'static str,
        /// What was due.
        problem: String,
    },
}

/// Where a configuration may lie, the one that counts first: for whom `variable` says where things are, such
/// as [`std::env::var_os`] does for this process.
pub fn places(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.as_os_str().is_empty());
    let own = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    let shared = set("XDG_CONFIG_DIRS").unwrap_or_else(|| SYSTEM_FOLDERS.into());
    let folders = own.into_iter().chain(std::env::split_paths(shared.as_os_str()));
    folders.filter(|folder| folder.is_absolute()).map(|folder| folder.join(FILE)).collect()
}

impl LegacyConfig {
    /// Reads the `text` of `file`. Unknown keys are ignored.
    pub fn parse(text: &[u8], file: &Path) -> Result<LegacyConfig, LegacyConfigError> {
        let Ok(object) = serde_json::from_slice(text) else {
            return Err(LegacyConfigError::Form { file: file.to_owned() });
        };
        let keys = Keys { object, file };
        Ok(LegacyConfig {
            addr: keys.read("addr", addr)?,
            registration_url: keys.read("registration_url", text_in)?,
            connect_timeout: keys.read("connect_timeout", patience)?,
            exchange_timeout: keys.read("exchange_timeout", patience)?,
            hosts_cache_expiry: keys.read("hosts_cache_expiry", duration)?,
            cert_pem_file: keys
                .read("cert_pem_file", |value| text_in(value).map(|path| beside(file, &path)))?,
            recheck_timeout: keys.read("recheck_timeout", duration)?,
            stabilizing_timeout: keys.read("stabilizing_timeout", duration)?,
            poll_interval: keys.read("poll_interval", duration)?,
            log_level: keys.read("log_level", level)?,
            fallback_sound: keys.read("fallback_sound", text_in)?,
            fallback_vibration: keys.read("fallback_vibration", vibration)?,
        })
    }
}

/// The keys of a configuration.
struct Keys<'a> {
    object: Map<String, Value>,
    file: &'a Path,
}

impl Keys<'_> {
    /// What stands at `key`; an empty text and null are as good as nothing.
    fn read<T>(
        &self,
        key: &'static str,
        read: impl Fn(&Value) -> Result<T, String>,
    ) -> Result<Option<T>, LegacyConfigError> {
        let is_said = |value: &&Value| !value.is_null() && value.as_str() != Some("");
        let read = self.object.get(key).filter(is_said).map(read).transpose();
        read.map_err(|problem| LegacyConfigError::Value { file: self.file.to_owned(), key, problem })
    }
}

fn text_in(value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or("must be a text".into())
}

fn duration(value: &Value) -> Result<Duration, String> {
    parse_duration(&text_in(value)?).map_err(|error| error.to_string())
}

fn patience(value: &Value) -> Result<Duration, String> {
    duration(value).and_then(|duration| match duration.is_zero() {
        true => Err("must be longer than nothing".into()),
        false => Ok(duration),
    })
}

fn addr(value: &Value) -> Result<Addr, String> {
    text_in(value)?.parse().map_err(|error: AddressError| error.to_string())
}

fn level(value: &Value) -> Result<LevelFilter, String> {
    text_in(value)?.parse().map_err(|_| "must be debug, info or error".into())
}

fn vibration(value: &Value) -> Result<Vibration, String> {
    let vibration = Vibration::parse(&value.to_string());
    vibration.ok_or("must be an object, as in a helper's output".into())
}

fn beside(file: &Path, path: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn parse(text: &str) -> Result<LegacyConfig, LegacyConfigError> {
        LegacyConfig::parse(text.as_bytes(), Path::new("/etc/xdg/config.json"))
    }

    #[test]
    fn a_configuration_as_phones_have_it_is_read() {
        let text = r#"{
            "addr": "https://push.example.org/delivery-hosts", "registration_url": "https://push.example.org",
            "connect_timeout": "20s", "exchange_timeout": "30s", "hosts_cache_expiry": "12h",
            "cert_pem_file": "certs/push.pem", "recheck_timeout": "10m", "stabilizing_timeout": "2s",
            "log_level": "debug", "fallback_vibration": {"pattern": [100, 100], "repeat": 2},
            "fallback_sound": "sounds/Blip.ogg", "poll_interval": "5m",
            "auth_helper": "", "poll_settle": "20ms", "connectivity_check_md5": 7
        }"#;
        let expected = LegacyConfig {
            addr: Some(Addr::Discovered("https://push.example.org/delivery-hosts".into())),
            registration_url: Some("https://push.example.org".into()),
            connect_timeout: Some(20 * SECOND),
            exchange_timeout: Some(30 * SECOND),
            hosts_cache_expiry: Some(12 * 3_600 * SECOND),
            cert_pem_file: Some("/etc/xdg/certs/push.pem".into()),
            recheck_timeout: Some(600 * SECOND),
            stabilizing_timeout: Some(2 * SECOND),
            poll_interval: Some(300 * SECOND),
            log_level: Some(LevelFilter::Debug),
            fallback_sound: Some("sounds/Blip.ogg".into()),
            fallback_vibration: Some(Vibration::Pattern { durations_ms: vec![100, 100], repeat: 2 }),
        };
        assert_eq!(parse(text), Ok(expected));
    }

    #[test]
    fn what_is_not_said_is_left_to_others() {
        for text in ["{}", r#"{"addr": "", "cert_pem_file": null}"#] {
            assert_eq!(parse(text), Ok(LegacyConfig::default()));
        }
    }

    #[test]
    fn several_servers_stand_between_bars() {
        let addr = parse(r#"{"addr": "a.example:443|[::1]:443"}"#).expect("valid").addr;
        let expected = ["a.example:443", "[::1]:443"].map(|addr| addr.parse().expect("an address"));
        assert_eq!(addr, Some(Addr::Fixed(expected.into())));
    }

    #[test]
    fn what_cannot_be_used_is_named_with_its_file_and_key() {
        let problem = |text| parse(text).expect_err(text).to_string();
        let cases = [
            ("[]", "not a JSON object"),
            (r#"{"addr": 7}"#, "addr: must be a text"),
            (
                r#"{"addr": "example.org"}"#,
                "addr: must be a host name or an IP address, and a port: HOST:PORT",
            ),
            (r#"{"log_level": "loud"}"#, "log_level: must be debug, info or error"),
            (r#"{"connect_timeout": "0s"}"#, "connect_timeout: must be longer than nothing"),
            (r#"{"poll_interval": 5}"#, "poll_interval: must be a text"),
            (
                r#"{"exchange_timeout": "30"}"#,
                "exchange_timeout: not a duration: write it like 500ms, 0.5s or 1m30s",
            ),
            (
                r#"{"fallback_vibration": "x"}"#,
                "fallback_vibration: must be an object, as in a helper's output",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(problem(text), format!("/etc/xdg/config.json: {expected}"));
        }
    }

    #[test]
    fn the_users_own_configuration_comes_first() {
        let places_with = |set: &[(&str, &str)]| {
            let set: Vec<(String, PathBuf)> =
                set.iter().map(|(name, value)| (name.to_string(), value.into())).collect();
            places(|name| set.iter().find(|(set, _)| set == name).map(|(_, value)| value.clone()))
        };
        let file = |folder: &str| PathBuf::from(format!("{folder}/lomiri-push-service/config.json"));
        assert_eq!(places_with(&[("HOME", "/home/bob")]), [file("/home/bob/.config"), file("/etc/xdg")]);
        let set = [("HOME", "/home/bob"), ("XDG_CONFIG_HOME", "/c"), ("XDG_CONFIG_DIRS", "/a:relative:/b")];
        assert_eq!(places_with(&set), [file("/c"), file("/a"), file("/b")]);
    }
}
