//! The server's configuration: every key, its default and its bounds. Reads the TOML file and the
//! flags over it; knows nothing of how the layers use the values.

mod api_url;
mod files;
mod flags;
mod peers;
mod rates;
mod settings;
mod surroundings;
mod values;

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use crate::queue::{Limits, MESSAGE_BYTES_MAX, Rates};
use crate::reactor::{PeerOptions, device_connections};

pub use files::{CertificateFiles, NamedFile};
use files::{certificate, file};
pub use flags::Flags;
pub use settings::ConfigError;
use settings::{Settings, Value};
pub use surroundings::Surroundings;
use values::{address, count, duration, number, switch, text};

/// Shortest interval or timeout: below it a loop would do nothing else.
const INTERVAL_MIN: Duration = Duration::from_millis(10);
/// Longest ping interval: whoever is gone must be noticed within a day.
const PING_INTERVAL_MAX: Duration = Duration::from_secs(24 * 3600);
/// The shortest and the longest silence that wire 1 may be held to, in whole seconds there. The longest is
/// the default: a network that keeps a silent connection for longer is not known.
const KEEPALIVE_MAX_RANGE: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(2 * 3600);
/// Longest wait for an answer: what is silent longer holds a descriptor for nothing.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
/// Largest payload: with the longest tag (128 bytes) the queue takes it ([`MESSAGE_BYTES_MAX`]).
const PAYLOAD_BYTES_MAX: usize = 6_000;
const _: () = assert!(PAYLOAD_BYTES_MAX + 128 <= MESSAGE_BYTES_MAX);
/// Largest request body: each API connection may hold one.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Most messages in the queue: all that one machine's memory could index.
const QUEUE_MESSAGES_MAX: usize = 1_000_000_000;
/// Most device loops: more than the cores of any machine this is meant for.
const SHARDS_MAX: usize = 256;
/// Least room to leave on the disk: acks need some too, a few MB measured, and a queue that cannot be
/// drained stays full. The rest is for what others write meanwhile.
const DISK_FREE_BYTES_MIN: u64 = 64 << 20;
/// Where only the disk sets a bound: as far as TOML's numbers reach.
const NUMBER_MAX: u64 = i64::MAX as u64;

/// Longest time for which it is kept what became of messages: their rows take room for all of it.
const STATE_RETENTION_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Most such rows: each takes some 250 bytes of memory.
const STATE_ROWS_MAX: usize = 100_000_000;

/// How devices prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceAuth {
    /// By a credential, which they get when they are enrolled.
    Required,
    /// They don't: whoever names a device is taken for it.
    Open,
}

/// The server's configuration, complete and within bounds.
#[derive(Debug, PartialEq)]
pub struct Config {
    /// Where devices connect.
    pub addr: SocketAddr,
    /// Where app servers post.
    pub http_addr: SocketAddr,
    /// The certificate for devices; without one the server makes its own.
    pub certificate: Option<CertificateFiles>,
    /// The certificate of the API; without one it speaks plain HTTP.
    pub http_certificate: Option<CertificateFiles>,
    /// Whether devices are given tickets, by which they resume.
    pub tls_tickets: bool,
    /// Whether X25519MLKEM768 is taken.
    pub tls_post_quantum: bool,
    /// Whether connections of TLS 1.3 are kept by our own record layer.
    pub tls_slim: bool,
    /// How devices prove who they are.
    pub device_auth: DeviceAuth,
    /// Where devices are told to reach the HTTP API; none if they cannot be told.
    pub api_url: Option<String>,
    /// How often may be posted.
    pub rates: Rates,
    /// What one address may do, and which proxies are believed.
    pub peers: PeerOptions,
    /// For how long it is kept what became of messages.
    pub state_retention: Duration,
    /// Of how many messages at most.
    pub state_rows_max: usize,
    /// How long after the last exchange a device is pinged.
    pub ping_interval: Duration,
    /// The longest silence that a device on wire 1 is granted.
    pub keepalive_max: Duration,
    /// How long a device may take to answer.
    pub exchange_timeout: Duration,
    /// How long a whole request may take to arrive.
    pub http_read_timeout: Duration,
    /// How long an answer may take to be taken.
    pub http_write_timeout: Duration,
    /// Pending messages of one app on one device.
    pub max_notifications_per_app: usize,
    /// The name in the certificate that devices check.
    pub delivery_domain: String,
    /// Where devices are told to connect; none means the delivery domain at the port of `addr`.
    pub delivery_hosts: Vec<String>,
    /// Where the queue and the server's own certificate live.
    pub data_dir: NamedFile,
    /// How many device loops there are.
    pub shards: usize,
    /// Who may see `/stats`; without, nobody may.
    pub stats: Option<Credentials>,
    /// The size of a message's payload, in bytes.
    pub payload_bytes_max: usize,
    /// The size of a request's body, in bytes.
    pub body_bytes_max: usize,
    /// Pending messages of one user, on all devices together.
    pub user_messages_max: usize,
    /// Messages in the whole queue.
    pub queue_messages_max: usize,
    /// Bytes on disk of the whole queue's rows.
    pub queue_bytes_max: u64,
    /// Below this many free bytes on the disk no message is taken.
    pub disk_free_bytes_min: u64,
    /// Connections of devices, as many as descriptors allow at most.
    pub connections_max: usize,
    /// What the operator should know, one line each.
    pub warnings: Vec<String>,
}

/// A user and a password.
#[derive(Clone, Debug, PartialEq)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// Text that no log line and no error may show.
#[derive(Clone, PartialEq)]
pub struct Secret(pub String);

impl Config {
    /// The configuration in the file at `path`, if any, with `flags` over it.
    pub fn load(path: Option<&Path>, flags: Flags, around: &Surroundings) -> Result<Config, ConfigError> {
        let mut settings = path.map_or_else(|| Ok(Settings::default()), Settings::from_file)?;
        for (key, value) in flags.given() {
            settings.set_flag(key, value);
        }
        Config::read(&mut settings, around)
    }

    fn read(from: &mut Settings, around: &Surroundings) -> Result<Config, ConfigError> {
        let queue = Limits::default();
        let shards = from.read_or("shards", count(1..=SHARDS_MAX), around.cores.clamp(1, SHARDS_MAX))?;
        let timeout = || duration(INTERVAL_MIN..=TIMEOUT_MAX);
        let device_auth = from.read_or("device_auth", values::device_auth, DeviceAuth::Required)?;
        let max_notifications_per_app = from.read_or(
            "max_notifications_per_app",
            count(1..=queue.messages_per_device_max),
            queue.messages_per_app_max,
        )?;
        let mut config = Config {
            addr: from.read_or("addr", address, (Ipv6Addr::UNSPECIFIED, 9090).into())?,
            http_addr: from.read_or("http_addr", address, (Ipv4Addr::LOCALHOST, 8080).into())?,
            certificate: certificate(from, "cert_pem_file", "key_pem_file")?,
            http_certificate: certificate(from, "http_cert_pem_file", "http_key_pem_file")?,
            tls_tickets: from.read_or("tls_tickets", switch, true)?,
            tls_post_quantum: from.read_or("tls_post_quantum", switch, false)?,
            tls_slim: from.read_or("tls_slim", switch, true)?,
            ping_interval: from.read_or(
                "ping_interval",
                duration(INTERVAL_MIN..=PING_INTERVAL_MAX),
                seconds(300),
            )?,
            keepalive_max: from.read_or(
                "keepalive_max",
                duration(KEEPALIVE_MAX_RANGE),
                *KEEPALIVE_MAX_RANGE.end(),
            )?,
            exchange_timeout: from.read_or("exchange_timeout", timeout(), seconds(30))?,
            http_read_timeout: from.read_or("http_read_timeout", timeout(), seconds(10))?,
            http_write_timeout: from.read_or("http_write_timeout", timeout(), seconds(10))?,
            device_auth,
            api_url: from.read("api_url", values::api_url)?,
            rates: rates::read(from, device_auth, max_notifications_per_app)?,
            peers: peers::read(from)?,
            state_retention: from.read_or(
                "state_retention",
                duration(seconds(1)..=STATE_RETENTION_MAX),
                queue.tracked_for,
            )?,
            state_rows_max: from.read_or("state_rows_max", count(1..=STATE_ROWS_MAX), queue.tracked_max)?,
            max_notifications_per_app,
            delivery_domain: from.read_or("delivery_domain", values::domain, around.host_name.clone())?,
            delivery_hosts: from.read_or("delivery_hosts", values::hosts, Vec::new())?,
            data_dir: data_dir(from, around)?,
            shards,
            stats: stats(from)?,
            payload_bytes_max: from.read_or("payload_bytes_max", count(1..=PAYLOAD_BYTES_MAX), 4 << 10)?,
            body_bytes_max: from.read_or("body_bytes_max", count(1..=BODY_BYTES_MAX), 6 << 10)?,
            user_messages_max: from.read_or(
                "user_messages_max",
                count(1..=QUEUE_MESSAGES_MAX),
                queue.messages_per_user_max,
            )?,
            queue_messages_max: from.read_or(
                "queue_messages_max",
                count(1..=QUEUE_MESSAGES_MAX),
                queue.messages_max,
            )?,
            queue_bytes_max: from.read_or("queue_bytes_max", number(1..=NUMBER_MAX), queue.bytes_max)?,
            disk_free_bytes_min: from.read_or(
                "disk_free_bytes_min",
                number(DISK_FREE_BYTES_MIN..=NUMBER_MAX),
                queue.free_disk_min_bytes,
            )?,
            connections_max: connections_max(from, around.descriptors, shards)?,
            warnings: warnings(from)?,
        };
        from.refuse_unknown()?;
        config.check_sizes(from)?;
        if config.api_url.is_none() {
            config.api_url = api_url::reached(&config);
        }
        Ok(config)
    }

    /// A payload comes in a body, and at least one must fit the queue.
    fn check_sizes(&self, from: &Settings) -> Result<(), ConfigError> {
        let (payload, body) = (self.payload_bytes_max, self.body_bytes_max);
        if payload > body {
            let problem = format!("payload_bytes_max ({payload}) is above body_bytes_max ({body})");
            return Err(refuse_one_of(from, ["payload_bytes_max", "body_bytes_max"], problem));
        }
        if payload as u64 > self.queue_bytes_max {
            let problem =
                format!("payload_bytes_max ({payload}) is above queue_bytes_max ({})", self.queue_bytes_max);
            return Err(refuse_one_of(from, ["queue_bytes_max", "payload_bytes_max"], problem));
        }
        Ok(())
    }
}

/// Refuses the one that was given of two values that do not go together; the first if both were.
fn refuse_one_of(from: &Settings, keys: [&str; 2], problem: String) -> ConfigError {
    let given = keys.iter().find_map(|key| from.find(key)).expect("the defaults go together");
    given.refuse(problem)
}

fn data_dir(from: &mut Settings, around: &Surroundings) -> Result<NamedFile, ConfigError> {
    match (file(from, "data_dir")?, &around.state_folder) {
        (Some(folder), _) if !could_be_folder(folder.path()) => Err(folder.refuse("is not a folder".into())),
        (Some(folder), _) => Ok(folder),
        (None, Some(folder)) => Ok(folder.clone().into()),
        (None, None) => Err(ConfigError::Missing {
            key: "data_dir",
            problem: "must be given where STATE_DIRECTORY, XDG_STATE_HOME and HOME are not set",
        }),
    }
}

/// Whether `path` is a folder, or what there is of the way to it is.
fn could_be_folder(path: &Path) -> bool {
    path.ancestors().find(|place| place.exists()).is_none_or(Path::is_dir)
}

/// A user needs a password, and a password its user.
fn stats(from: &mut Settings) -> Result<Option<Credentials>, ConfigError> {
    let (user, password) = (from.read("stats_user", values::user)?, from.read("stats_password", text)?);
    match (user, password) {
        (Some(user), Some(password)) => Ok(Some(Credentials { user, password: Secret(password) })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(refuse_one_of(from, ["stats_user"; 2], "needs stats_password as well".into())),
        (None, Some(_)) => Err(refuse_one_of(from, ["stats_password"; 2], "needs stats_user as well".into())),
    }
}

/// As many as `descriptors` leave for devices, or fewer if so wanted. With none to leave, that is the
/// machine's fault and not the configuration's.
fn connections_max(from: &mut Settings, descriptors: usize, shards: usize) -> Result<usize, ConfigError> {
    let allowed = device_connections(descriptors, shards);
    let check = |value: &Value| match count(1..=usize::MAX >> 1)(value)? {
        wanted if wanted > allowed => {
            Err(format!("the limit of {descriptors} open files allows for {allowed}"))
        }
        wanted => Ok(wanted),
    };
    from.read_or("connections_max", check, allowed)
}

/// The existing server's sizes of its inner queues have nothing to size here.
fn warnings(from: &mut Settings) -> Result<Vec<String>, ConfigError> {
    let mut warnings = Vec::new();
    for key in ["session_queue_size", "broker_queue_size"] {
        from.read(key, number(0..=NUMBER_MAX))?;
        warnings.extend(from.find(key).map(|given| format!("{}: has no meaning here", given.place())));
    }
    Ok(warnings)
}

const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

#[cfg(test)]
mod tests;
