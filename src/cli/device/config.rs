//! The push service's configuration: a TOML file, all of whose keys may be left out. What they mean to the
//! service, `run` says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, iter};

use log::LevelFilter;
use serde::{Deserialize, Deserializer};

use crate::base::{AppId, parse_duration};
use crate::cli::Failure;
use crate::device::bus;
use crate::device::helpers::{Confinement, Folders};
use crate::device::legacy_config::{Addr, LegacyConfig};
use crate::service::mailbox::BYTES_PER_APP_MAX;
use crate::service::notification::Vibration;
use crate::service::presentation::{Permissions, Settings};

/// The file, below a configuration folder.
const FILE: &str = "lomiri-push/device.toml";
/// The longest silence that a device tries to keep, unless told otherwise: few networks bear more.
const KEEPALIVE_MAX: Duration = Duration::from_secs(2 * 3_600);
/// How long a helper may run: what apps are used to.
const HELPER_TIMEOUT: Duration = Duration::from_secs(5);
/// The app that shows system updates on a Lomiri phone.
const SETTINGS_APP: &str = "_lomiri-system-settings";

/// The configuration; `dist/device.toml` describes each key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The folder of what must not be lost.
    pub state: Option<PathBuf>,
    /// Where the server is, if not where it was at the enrolment.
    #[serde(deserialize_with = "addr")]
    pub addr: Option<Addr>,
    /// The base URL of the server's HTTP API, if not what the server told.
    pub api: Option<String>,
    /// The authority of a server under a certificate of its own.
    pub ca: Option<PathBuf>,
    /// How long the server may take to be reached.
    #[serde(deserialize_with = "patience")]
    pub connect_timeout: Option<Duration>,
    /// How long it may take to answer.
    #[serde(deserialize_with = "patience")]
    pub exchange_timeout: Option<Duration>,
    /// How long a list of servers holds.
    #[serde(deserialize_with = "some_duration")]
    pub hosts_cache_expiry: Option<Duration>,
    /// Which wire.
    pub wire: Wire,
    /// `CHANNEL/MODEL`.
    pub image: String,
    /// Who hears of system updates.
    #[serde(deserialize_with = "app")]
    pub settings_app: AppId,
    /// The longest silence on the line.
    #[serde(deserialize_with = "duration")]
    pub keepalive_max: Duration,
    /// What waits for one app.
    pub mailbox_bytes_per_app_max: usize,
    /// How long a helper may run.
    #[serde(deserialize_with = "duration")]
    pub helper_timeout: Duration,
    /// Whether helpers are confined.
    pub helper_confinement: Switch,
    /// Whether callers are checked.
    pub check_callers: Switch,
    /// What is played where an app names no sound.
    pub default_sound: Option<PathBuf>,
    /// What is felt where an app has no pattern.
    #[serde(deserialize_with = "vibration")]
    pub default_vibration: Option<Vibration>,
    /// From which level on the log tells something.
    #[serde(deserialize_with = "level")]
    pub log_level: Option<LevelFilter>,
    /// What the user lets all apps do.
    pub notifications: Allowed,
    /// What the user lets single apps do.
    pub apps: BTreeMap<String, Allowed>,
}

/// Which wire the device speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Wire {
    /// Ours, and with servers that do not know it the other.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// What deployed servers speak.
    #[serde(rename = "0")]
    Zero,
    /// Ours.
    #[serde(rename = "1")]
    One,
}

/// Whether something is done that may not be possible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// Where it is.
    #[default]
    Auto,
    /// Or the service does not start.
    Always,
    /// Never.
    Never,
}

/// What an app may do to be noticed.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Allowed {
    enabled: bool,
    bubbles: bool,
    list: bool,
    sounds: bool,
    vibrations: bool,
}

impl Default for Allowed {
    fn default() -> Allowed {
        Allowed { enabled: true, bubbles: true, list: true, sounds: true, vibrations: true }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            state: None,
            addr: None,
            api: None,
            ca: None,
            connect_timeout: None,
            exchange_timeout: None,
            hosts_cache_expiry: None,
            wire: Wire::Auto,
            image: "?/?".into(),
            settings_app: SETTINGS_APP.parse().expect("an id"),
            keepalive_max: KEEPALIVE_MAX,
            mailbox_bytes_per_app_max: BYTES_PER_APP_MAX,
            helper_timeout: HELPER_TIMEOUT,
            helper_confinement: Switch::Auto,
            check_callers: Switch::Auto,
            default_sound: None,
            default_vibration: None,
            log_level: None,
            notifications: Allowed::default(),
            apps: BTreeMap::new(),
        }
    }
}

impl Config {
    /// What the file says that is named, or that lies where the service looks for one, or nothing.
    pub fn load(named: Option<&Path>, folders: &Folders) -> Result<Config, Failure> {
        let Some(path) = named.map(Path::to_owned).or_else(|| find(folders)) else {
            return Ok(Config::default());
        };
        let refuse = |problem: String| Failure::Usage(format!("{}: {problem}", path.display()));
        let text = fs::read_to_string(&path).map_err(|error| refuse(format!("cannot be read: {error}")))?;
        Config::read(&text).map_err(refuse)
    }

    fn read(text: &str) -> Result<Config, String> {
        let config: Config = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        config.settings().map(|_| config)
    }

    /// Takes from the existing service's configuration what this one does not say. Where the server is of a
    /// device that `is_enrolled`, and whom it believes, its enrolment says.
    pub fn fill_from(&mut self, existing: LegacyConfig, is_enrolled: bool) {
        fill(&mut self.connect_timeout, existing.connect_timeout);
        fill(&mut self.exchange_timeout, existing.exchange_timeout);
        fill(&mut self.hosts_cache_expiry, existing.hosts_cache_expiry);
        fill(&mut self.default_sound, existing.fallback_sound.map(PathBuf::from));
        fill(&mut self.default_vibration, existing.fallback_vibration);
        fill(&mut self.log_level, existing.log_level);
        if !is_enrolled && self.addr.is_none() && existing.addr.is_some() {
            self.addr = existing.addr;
            fill(&mut self.api, existing.registration_url);
            fill(&mut self.ca, existing.cert_pem_file);
            if self.wire == Wire::Auto {
                self.wire = Wire::Zero;
            }
        }
    }

    /// What the user lets apps do.
    pub fn settings(&self) -> Result<Settings, String> {
        let app = |(app, allowed): (&String, &Allowed)| {
            let app: AppId = app.parse().map_err(|error| format!("apps.{app:?}: {error}"))?;
            Ok((app, (*allowed).into()))
        };
        Ok(Settings {
            others: self.notifications.into(),
            apps: self.apps.iter().map(app).collect::<Result<_, String>>()?,
        })
    }
}

impl From<Allowed> for Permissions {
    fn from(allowed: Allowed) -> Permissions {
        let Allowed { enabled, bubbles, list, sounds, vibrations } = allowed;
        Permissions { notify: enabled, bubbles, entries: list, sounds, vibrations }
    }
}

impl From<Switch> for bus::Check {
    fn from(switch: Switch) -> bus::Check {
        match switch {
            Switch::Auto => bus::Check::Auto,
            Switch::Always => bus::Check::Always,
            Switch::Never => bus::Check::Never,
        }
    }
}

impl From<Switch> for Confinement {
    fn from(switch: Switch) -> Confinement {
        match switch {
            Switch::Auto => Confinement::Auto,
            Switch::Always => Confinement::Always,
            Switch::Never => Confinement::Never,
        }
    }
}

/// The user's file, or else the system's.
fn find(folders: &Folders) -> Option<PathBuf> {
    let shared = env::var_os("XDG_CONFIG_DIRS").unwrap_or_else(|| "/etc/xdg".into());
    let places = iter::once(folders.config_home.clone()).chain(env::split_paths(&shared));
    places.map(|place| place.join(FILE)).find(|path| path.is_file())
}

fn fill<T>(place: &mut Option<T>, with: Option<T>) {
    *place = place.take().or(with);
}

fn addr<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Addr>, D::Error> {
    String::deserialize(from)?.parse().map(Some).map_err(serde::de::Error::custom)
}

fn level<'de, D: Deserializer<'de>>(from: D) -> Result<Option<LevelFilter>, D::Error> {
    let problem = "must be off, error, warn, info, debug or trace";
    String::deserialize(from)?.parse().map(Some).map_err(|_| serde::de::Error::custom(problem))
}

fn vibration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vibration>, D::Error> {
    let vibration = serde_json::Value::deserialize(from)?.to_string();
    let problem = "must be like { pattern = [100, 50, 100], repeat = 1 }, in milliseconds";
    Vibration::parse(&vibration).map(Some).ok_or_else(|| serde::de::Error::custom(problem))
}

fn patience<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let duration = duration(from)?;
    match duration.is_zero() {
        true => Err(serde::de::Error::custom("must be longer than nothing")),
        false => Ok(Some(duration)),
    }
}

fn some_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration(from).map(Some)
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    parse_duration(&text).map_err(serde::de::Error::custom)
}

fn app<'de, D: Deserializer<'de>>(from: D) -> Result<AppId, D::Error> {
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_may_be_left_out_and_the_example_says_the_defaults() {
        let example = include_str!("../../../dist/device.toml");
        let all: String =
            example.lines().filter_map(|line| line.strip_prefix("#:")).collect::<Vec<_>>().join("\n");
        let [nothing, example] = ["", &all].map(|text| format!("{:?}", Config::read(text).expect("valid")));
        assert_eq!(nothing, example);
    }

    #[test]
    fn what_cannot_be_used_is_named_with_its_key() {
        for (text, part) in [
            ("wires = 1", "unknown field `wires`"),
            ("wire = \"2\"", "wire"),
            ("keepalive_max = \"soon\"", "keepalive_max"),
            ("addr = \"push.example.org\"", "addr"),
            ("connect_timeout = \"0s\"", "connect_timeout"),
            ("default_vibration = \"long\"", "default_vibration"),
            ("log_level = \"loud\"", "log_level"),
            ("[apps.\"\"]\nsounds = false", "apps.\"\""),
            ("[apps.\"_a\"]\nsound = false", "unknown field `sound`"),
        ] {
            let problem = Config::read(text).expect_err(text);
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    const EXISTING: &str = r#"{
        "addr": "https://push.example.org", "registration_url": "https://register.example.org",
        "cert_pem_file": "push.pem", "connect_timeout": "7s", "exchange_timeout": "8s",
        "hosts_cache_expiry": "9h", "log_level": "debug", "fallback_sound": "Blip.ogg",
        "fallback_vibration": {"pattern": [1]}
    }"#;

    fn filled(ours: &str, is_enrolled: bool) -> Config {
        let existing = LegacyConfig::parse(EXISTING.as_bytes(), Path::new("/x/config.json"));
        let mut config = Config::read(ours).expect("valid");
        config.fill_from(existing.expect("valid"), is_enrolled);
        config
    }

    #[test]
    fn what_is_not_said_here_the_existing_services_configuration_says() {
        let config = filled("", false);
        assert_eq!(config.addr, Some(Addr::Discovered("https://push.example.org".into())));
        assert_eq!(config.api.as_deref(), Some("https://register.example.org"));
        assert_eq!(config.ca.as_deref(), Some(Path::new("/x/push.pem")));
        assert_eq!(config.wire, Wire::Zero, "nothing else serves it");
        let seconds = [config.connect_timeout, config.exchange_timeout, config.hosts_cache_expiry];
        assert_eq!(seconds.map(|said| said.expect("said").as_secs()), [7, 8, 9 * 3_600]);
        assert_eq!(config.log_level, Some(LevelFilter::Debug));
        assert_eq!(config.default_sound.as_deref(), Some(Path::new("Blip.ogg")));
        let vibration = Vibration::Pattern { durations_ms: vec![1], repeat: 1 };
        assert_eq!(config.default_vibration, Some(vibration));
    }

    #[test]
    fn what_is_said_here_counts_and_the_servers_belong_together() {
        let config =
            filled("addr = \"[::1]:9090\"\nconnect_timeout = \"1s\"\ndefault_sound = \"/own.ogg\"", false);
        let addr = "[::1]:9090".parse().expect("an address");
        assert_eq!((config.addr, config.api, config.ca), (Some(addr), None, None));
        assert_eq!(config.connect_timeout, Some(Duration::from_secs(1)));
        assert_eq!(config.default_sound.as_deref(), Some(Path::new("/own.ogg")));
        assert_eq!(config.wire, Wire::Auto);
    }

    #[test]
    fn an_enrolled_device_stays_with_its_server() {
        let config = filled("", true);
        assert_eq!((config.addr, config.api, config.ca), (None, None, None));
        assert_eq!((config.wire, config.log_level), (Wire::Auto, Some(LevelFilter::Debug)));
    }

    #[test]
    fn an_app_has_the_users_settings() {
        let config =
            Config::read("[notifications]\nvibrations = false\n[apps._loud]\nsounds = false").expect("valid");
        let settings = config.settings().expect("valid");
        let of = |app: &str| settings.of(&app.parse().expect("an id"));
        assert!(!of("_quiet").vibrations && of("_quiet").sounds);
        assert!(!of("_loud").sounds && of("_loud").vibrations, "what is said of an app is all of it");
    }
}
