//! `serve`: the push server as a process. Configuration, certificates and signals are dealt with
//! here; what the server does is the other layers' business.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use log::{info, warn};
use rustix::process::{Resource, Rlimit, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use super::certificates::Shown;
use super::config::{CertificateFiles, Config, DeviceAuth, Flags, Surroundings};
use super::operator::key;
use super::own_certificate::{chain_path, key_path, make_if_missing};
use super::ticket_keys::KeyFile;
use super::{Failure, logging, say};
use crate::api::{self, StatsCredential};
use crate::base::Credential;
use crate::files::raise_limit;
use crate::queue::Limits;
use crate::reactor::{self, Clock, Control, Server};
use crate::session;
use crate::store::{Disk, DurableQueue};
use crate::tls::{ServerOptions, Tickets, server_config};

/// Runs the push server
///
/// Without a configuration it listens for devices on all addresses and for app servers on loopback,
/// keeps its data under $STATE_DIRECTORY or in the XDG state folder, and makes itself a certificate
/// at first start.
///
/// SIGTERM and SIGINT stop it (a second one at once). SIGUSR1 does too, for good: devices on wire 1 ask
/// for the list of hosts again. SIGHUP loads a renewed certificate. It logs to stderr: $RUST_LOG says
/// what, from `info` up if unset.
#[derive(clap::Args)]
pub struct Arguments {
    /// The configuration, in TOML: see the commented sample lomiri-push.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only check that configuration, certificates, keys and the limit on open files will do; changes nothing
    #[arg(long)]
    check: bool,
    /// Take this machine's clock as right, though the queue has stored a later time: for the one start
    /// after the clock was wrong
    #[arg(long, conflicts_with = "check")]
    trust_clock: bool,
    #[command(flatten)]
    flags: Flags,
}

/// The certificates of both listeners; the API may have none.
struct Certificates {
    devices: Shown,
    http: Option<Shown>,
}

/// Runs the server until it is told to stop, or only checks its configuration.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let around = Surroundings::look(raise_limit());
    let config = Config::load(arguments.config.as_deref(), arguments.flags, &around)?;
    reactor::check_descriptors(around.descriptors, config.shards)
        .map_err(|error| Failure::Run(error.to_string()))?;
    match arguments.check {
        true => check(&config, arguments.config.as_deref()),
        false => serve(config, &around, arguments.trust_clock),
    }
}

/// The server's own certificate may not be there yet.
fn check(config: &Config, file: Option<&Path>) -> Result<(), Failure> {
    let own = own_files(config.data_dir.path());
    match &config.certificate {
        None if !own.chain.path().exists() => {}
        given => drop(Shown::load(given.clone().unwrap_or(own))?),
    }
    config.http_certificate.clone().map(Shown::load).transpose()?;
    let subject = file.map_or("the default configuration".into(), |file| file.display().to_string());
    say(&format!("{subject} is in order"))
}

fn serve(config: Config, around: &Surroundings, trust_clock: bool) -> Result<(), Failure> {
    logging::start();
    forbid_core_dumps();
    for warning in &config.warnings {
        warn!("{warning}");
    }
    // A second signal ends the process whatever it is doing; the first is waited for below.
    let signals = watch_signals().map_err(|error| failed("cannot watch for signals", &error))?;
    // What the configuration names and cannot be used is told before anything is made.
    let http = config.http_certificate.clone().map(Shown::load).transpose()?;
    let given = config.certificate.clone().map(Shown::load).transpose()?;
    let queue = open_queue(&config, trust_clock)?;
    let devices = given.map_or_else(|| own_certificate(&config, around), Ok)?;
    devices.warn_unless_for(&config.delivery_domain);
    let operator = operator_key(config.data_dir.path())?;
    warn_of_auth(&config);

    let certificates = Certificates { devices, http };
    let tickets = tickets(&config, &certificates.devices)
        .map_err(|error| failed("cannot start the thread that rotates ticket keys", &error))?;
    let server = Server::start(options(&config, &certificates, tickets, &operator), queue)
        .map_err(|error| Failure::Run(error.to_string()))?;
    handle_signals(signals, server.control(), certificates);
    server.wait().map_err(|error| failed("stopped", &error))?;
    info!("stopped");
    Ok(())
}

/// The server's memory is full of secrets.
fn forbid_core_dumps() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        warn!("core dumps cannot be forbidden: {error}");
    }
}

fn failed(what: &str, error: &dyn std::error::Error) -> Failure {
    Failure::Run(format!("{what}: {error}"))
}

/// The queue as it stands on disk, which is for this server's user alone to read.
fn open_queue(config: &Config, trust_clock: bool) -> Result<DurableQueue<Disk>, Failure> {
    let folder = config.data_dir.path();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| config.data_dir.refuse(format!("cannot be made: {error}")))?;
    let limits = Limits {
        messages_per_app_max: config.max_notifications_per_app,
        messages_per_user_max: config.user_messages_max,
        messages_max: config.queue_messages_max,
        bytes_max: config.queue_bytes_max,
        free_disk_min_bytes: config.disk_free_bytes_min,
        tracked_max: config.state_rows_max,
        tracked_for: config.state_retention,
        rates: config.rates,
        ..Limits::default()
    };
    let store = Disk::open(&folder.join("queue")).map_err(|error| failed("the queue", &error))?;
    let now = Clock::new().now();
    let queue = match trust_clock {
        true => DurableQueue::open_trusting_clock(store, limits, now),
        false => DurableQueue::open(store, limits, now),
    };
    queue.map_err(|error| failed("the queue", &error))
}

/// Whoever has it operates the server through `/v1`.
fn operator_key(folder: &Path) -> Result<Credential, Failure> {
    let refuse = |error: io::Error| failed("the operator's key", &error);
    key::open(folder).map_err(refuse)
}

fn warn_of_auth(config: &Config) {
    if config.device_auth == DeviceAuth::Open {
        warn!(
            "device_auth = \"open\": whoever reaches this server can take any device's messages, post to any \
             and broadcast; let only a network reach it that you trust"
        );
    } else if config.api_url.is_none() {
        warn!(
            "enrolled devices are not told where the HTTP API is, as only plain HTTP is known: set api_url"
        );
    }
}

fn own_files(folder: &Path) -> CertificateFiles {
    CertificateFiles { chain: chain_path(folder).into(), key: key_path(folder).into() }
}

/// The certificate that the server made itself, now or at an earlier start.
fn own_certificate(config: &Config, around: &Surroundings) -> Result<Shown, Failure> {
    let names = [config.delivery_domain.as_str(), &around.host_name];
    let is_new = make_if_missing(config.data_dir.path(), &names)
        .map_err(|error| failed("the server's own certificate", &error))?;
    let files = own_files(config.data_dir.path());
    let (verb, path) = (if is_new { "made" } else { "using" }, files.chain.path().display());
    info!("{verb} own certificate {path}");
    Shown::load(files).map_err(|error| failed("the server's own certificate", &error))
}

/// Tickets for devices, if they are wanted, under keys that are in the data folder.
fn tickets(config: &Config, shown: &Shown) -> io::Result<Option<Arc<Tickets>>> {
    if !config.tls_tickets {
        return Ok(None);
    }
    let clock = Clock::new();
    let file = KeyFile::open(config.data_dir.path(), clock.now().wall);
    let tickets = Tickets::new(file.keys(), shown.certificates());
    file.keep_rotating(tickets.clone(), clock)?;
    Ok(Some(tickets))
}

fn options(
    config: &Config,
    certificates: &Certificates,
    tickets: Option<Arc<Tickets>>,
    operator: &Credential,
) -> reactor::Options {
    let post_quantum = config.tls_post_quantum;
    let devices = ServerOptions { tickets, post_quantum, slim: config.tls_slim };
    // App servers are few, and their connections busy.
    let http = ServerOptions { post_quantum, ..ServerOptions::default() };
    reactor::Options {
        devices: config.addr,
        http: config.http_addr,
        tls: server_config(&certificates.devices.certificates(), &devices),
        http_tls: certificates.http.as_ref().map(|shown| server_config(&shown.certificates(), &http)),
        shards: config.shards,
        connections_max: Some(config.connections_max),
        peers: config.peers.clone(),
        is_auth_required: config.device_auth == DeviceAuth::Required,
        api_url: config.api_url.clone().unwrap_or_default(),
        session: session::server::Options {
            ping_interval: config.ping_interval,
            exchange_timeout: config.exchange_timeout,
            keepalive_max: config.keepalive_max,
        },
        api: api::Options {
            body_bytes_max: config.body_bytes_max,
            payload_bytes_max: config.payload_bytes_max,
            read_timeout: config.http_read_timeout,
            hosts: config.delivery_hosts.clone(),
            domain: config.delivery_domain.clone(),
            is_auth_required: config.device_auth == DeviceAuth::Required,
            operator: Some(operator.digest()),
            enrolling: Some(certificates.devices.certificates()),
            stats: config.stats.as_ref().map(|stats| StatsCredential::new(&stats.user, &stats.password.0)),
        },
        http_write_timeout: config.http_write_timeout,
    }
}

fn watch_signals() -> io::Result<Signals> {
    let is_stopping = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 1, is_stopping.clone())?;
        flag::register(signal, is_stopping.clone())?;
    }
    flag::register(SIGUSR1, is_stopping)?;
    Signals::new([SIGINT, SIGTERM, SIGUSR1, SIGHUP])
}

fn handle_signals(mut signals: Signals, server: Control, certificates: Certificates) {
    thread::spawn(move || {
        for signal in signals.forever() {
            match signal {
                SIGHUP => certificates.reload(),
                SIGUSR1 => server.drain(),
                _ => server.terminate(),
            }
        }
    });
}

impl Certificates {
    fn reload(&self) {
        self.devices.reload();
        self.http.iter().for_each(Shown::reload);
    }
}
