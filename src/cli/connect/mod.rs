//! `connect`: a device in a terminal. It connects, prints what arrives, and acks what it has printed.

mod line;
mod printer;
mod signals;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use printer::{Printer, Stop};
use signals::Stopping;

use super::{Failure, logging};
use crate::base::{ChannelId, DeviceId, Level, Urgency, parse_duration};
use crate::device::{Connection, Server};
use crate::protocol::wire1::CREDENTIAL_BYTES_MAX;
use crate::protocol::{wire0, wire1};
use crate::session::device::Options;
use crate::tls::{ClientConfig, DeviceOptions, ServerName, Trust, device_config};

/// Connects as a device and prints what arrives
///
/// Each message is acked when it is printed, so the server drops it: don't pass for a device that
/// someone uses. Takes its leave and ends with status 0 on Ctrl-C, or when --count messages have come.
#[derive(clap::Args)]
pub struct Arguments {
    /// What to speak: 0, as deployed phones do, or 1, which costs a fraction of the bytes
    #[arg(long, value_name = "VERSION", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    wire: u8,
    /// Where the server listens for devices
    #[arg(long, value_name = "HOST:PORT")]
    addr: String,
    #[command(flatten)]
    trust: TrustArguments,
    /// The name in the server's certificate [default: the host of --addr]
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
    /// Who to connect as: 1 to 128 characters of ASCII without space
    #[arg(long, value_name = "ID")]
    device_id: DeviceId,
    /// The device's model, for system broadcasts
    #[arg(long, value_name = "NAME", default_value = "?")]
    model: String,
    /// The device's image channel, for system broadcasts
    #[arg(long, value_name = "NAME", default_value = "?")]
    channel: String,
    /// The last system broadcast that the device has had
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    level: Option<i64>,
    /// The least urgency to deliver now, on wire 1; the rest waits on the server
    #[arg(long, value_name = "URGENCY", default_value_t = Urgency::VeryLow)]
    urgency: Urgency,
    /// How long to stay silent at most, on wire 1: whole seconds, such as 90s or 28m
    #[arg(long, value_name = "DURATION", default_value = "4m", value_parser = keepalive)]
    keepalive: Duration,
    /// A file with the credential, on wire 1: at most 64 bytes, taken as they are
    #[arg(long, value_name = "FILE")]
    credential_file: Option<PathBuf>,
    /// Offer the server a key exchange that quantum computers will not break: 1.2 kB more each way
    #[arg(long)]
    post_quantum: bool,
    /// Exit when so many messages have come, and those that came together with the last of them
    #[arg(long, value_name = "NUMBER")]
    count: Option<u64>,
    /// Print one JSON object a line: its `event` is connected, message, broadcast, expired, warned,
    /// broken, goaway, cookie or ended
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct TrustArguments {
    /// Believe a server whose certificate is, or leads to, one in this PEM file
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Believe any server: for tries on one's own machine
    #[arg(long)]
    insecure: bool,
}

/// Stays connected until the session ends, the count is reached or a signal comes.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    logging::start();
    let server = server(&arguments)?;
    let options = options(&arguments)?;
    let stopping = Stopping::on_signals()?;
    let connection = Connection::open(&server, options).map_err(|error| Failure::Run(error.to_string()))?;
    match hold(connection, &mut Printer::new(arguments.json, arguments.count), &stopping)? {
        Stop::Enough | Stop::Asked | Stop::Unread => Ok(()),
        Stop::Ended => Err(Failure::Told),
    }
}

/// Prints what a connection brings, until there is a reason to leave it.
fn hold(mut connection: Connection, printer: &mut Printer, stopping: &Stopping) -> Result<Stop, Failure> {
    stopping.hold(connection.interrupter());
    let printed = printer.print_all(&mut connection);
    connection.close();
    let is_asked = stopping.release();
    let stop = printed.map_err(|error| Failure::Run(format!("cannot write to stdout: {error}")))?;
    Ok(if is_asked { Stop::Asked } else { stop })
}

fn server(arguments: &Arguments) -> Result<Server, Failure> {
    let host = arguments.addr.rsplit_once(':').map_or(arguments.addr.as_str(), |(host, _)| host);
    let name = arguments.domain.as_deref().unwrap_or(host.trim_matches(['[', ']'])).to_owned();
    let name = ServerName::try_from(name.clone()).map_err(|_| {
        Failure::Usage(format!("no certificate can be for `{}`: give --domain", name.escape_debug()))
    })?;
    Ok(Server { addr: arguments.addr.clone(), name, tls: tls(arguments)? })
}

/// Believes servers by the certificates in the file that `--ca` names, or else any server.
fn tls(arguments: &Arguments) -> Result<Arc<ClientConfig>, Failure> {
    let options = DeviceOptions { tls13_only: arguments.wire == 1, post_quantum: arguments.post_quantum };
    let Some(file) = arguments.trust.ca.as_deref() else {
        return Ok(device_config(&Trust::Insecure, options).expect("no certificate could be wrong"));
    };
    let refuse = |problem: String| Failure::Usage(format!("--ca {}: {problem}", file.display()));
    let pem = fs::read(file).map_err(|error| refuse(format!("cannot be read: {error}")))?;
    device_config(&Trust::CaPem(pem), options).map_err(|error| refuse(error.to_string()))
}

fn options(arguments: &Arguments) -> Result<Options, Failure> {
    let device_id = arguments.device_id.clone();
    let levels = arguments.level.map(|level| (ChannelId::SYSTEM, Level(level))).into_iter().collect();
    if arguments.wire == 0 {
        let connect = wire0::Connect {
            client_ver: env!("CARGO_PKG_VERSION").into(),
            model: arguments.model.clone(),
            image_channel: arguments.channel.clone(),
            levels,
            ..wire0::Connect::new(device_id)
        };
        return Ok(Options::new(connect.into()));
    }
    let connect = wire1::Connect {
        least: arguments.urgency,
        credential: credential(arguments.credential_file.as_deref())?,
        image: format!("{}/{}", arguments.channel, arguments.model),
        levels,
        ..wire1::Connect::new(device_id, arguments.keepalive)
    };
    Ok(Options::new(connect.into()))
}

fn credential(file: Option<&Path>) -> Result<Vec<u8>, Failure> {
    let Some(file) = file else { return Ok(Vec::new()) };
    let refuse = |problem: String| Failure::Usage(format!("--credential-file {}: {problem}", file.display()));
    let bytes = fs::read(file).map_err(|error| refuse(format!("cannot be read: {error}")))?;
    if bytes.len() > CREDENTIAL_BYTES_MAX {
        return Err(refuse(format!("{} bytes, where {CREDENTIAL_BYTES_MAX} are allowed", bytes.len())));
    }
    Ok(bytes)
}

/// A silence as CONNECT can announce it.
fn keepalive(text: &str) -> Result<Duration, String> {
    let keepalive = parse_duration(text).map_err(|error| error.to_string())?;
    match keepalive.subsec_nanos() {
        0 if keepalive >= Duration::from_secs(1) => Ok(keepalive),
        _ => Err("whole seconds, and at least one".into()),
    }
}
