//! `connect`: a device in a terminal. It connects, prints what arrives, and acks what it has printed.

mod line;
mod printer;
mod reconnecting;
mod signals;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use printer::{Printer, Stop};
use reconnecting::stay;
use signals::Stopping;

use super::{Failure, logging};
use crate::base::{ChannelId, DeviceId, Level, Urgency, parse_duration};
use crate::device::keepalive::{KEEPALIVE_SECONDS_MAX, Learner};
use crate::device::lifeline::Lifeline;
use crate::device::{Connection, Server};
use crate::protocol::wire1::CREDENTIAL_BYTES_MAX;
use crate::protocol::{wire0, wire1};
use crate::session::device::{Event, Options, Session};
use crate::tls::{ClientConfig, DeviceOptions, ServerName, Trust, device_config};

/// How long a device stays silent that learns nothing: less than most NATs forget in.
const KEEPALIVE_DEFAULT: Duration = Duration::from_secs(240);
/// A device that does not look at its network takes it for always the same.
const NETWORK: &str = "default";

/// Connects as a device and prints what arrives
///
/// Each message is acked when it is printed, so the server drops it: don't pass for a device that
/// someone uses. Takes its leave and ends with status 0 on Ctrl-C, or when --count messages have come;
/// with status 1 when the connection ends, unless it may --reconnect.
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
    /// How long to stay silent at most, on wire 1: whole seconds, such as 90s or 28m [default: 4m, or 2h
    /// with --reconnect]
    #[arg(long, value_name = "DURATION", value_parser = keepalive)]
    keepalive: Option<Duration>,
    /// Connect again when the connection ends, on wire 1: when the server says, or within a second at first
    /// and 192 s at last. The silence begins at a minute and grows to what the network bears, which is forgotten at exit
    #[arg(long)]
    reconnect: bool,
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
    /// broken, goaway, cookie, ended, unreachable or waiting
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
    let mut printer = Printer::new(arguments.json, arguments.count);
    let stop = match arguments.reconnect {
        false => visit(&server, options(&arguments)?, &mut printer)?,
        true => stay(&server, lifeline(&arguments)?, &mut printer, &Stopping::on_signals()?)?,
    };
    match stop {
        Stop::Enough | Stop::Asked | Stop::Unread => Ok(()),
        Stop::Unwritable(error) => Err(Failure::Run(format!("cannot write to stdout: {error}"))),
        Stop::Ended => Err(Failure::Told),
    }
}

/// Connects once.
fn visit(server: &Server, options: Options, printer: &mut Printer) -> Result<Stop, Failure> {
    let stopping = Stopping::on_signals()?;
    let connection = Connection::open(server, options).map_err(|error| Failure::Run(error.to_string()))?;
    Ok(hold(connection, printer, &stopping, |_, _| ()))
}

/// Prints what a connection brings, until there is a reason to leave it. `note` learns of each event.
fn hold(
    mut connection: Connection,
    printer: &mut Printer,
    stopping: &Stopping,
    note: impl FnMut(&Event, &mut Session),
) -> Stop {
    stopping.hold(connection.interrupter());
    let stop = printer.print_all(&mut connection, note);
    connection.close();
    if stopping.release() { Stop::Asked } else { stop }
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
    Ok(Options::new(match arguments.wire {
        0 => wire0_connect(arguments).into(),
        _ => wire1_connect(arguments, KEEPALIVE_DEFAULT)?.into(),
    }))
}

/// A life that has learnt nothing yet.
fn lifeline(arguments: &Arguments) -> Result<Lifeline, Failure> {
    if arguments.wire != 1 {
        return Err(Failure::Usage("--reconnect: only with --wire 1".into()));
    }
    let connect = wire1_connect(arguments, Duration::from_secs(KEEPALIVE_SECONDS_MAX.into()))?;
    Ok(Lifeline::new(connect, Learner::default(), NETWORK))
}

fn wire0_connect(arguments: &Arguments) -> wire0::Connect {
    wire0::Connect {
        client_ver: env!("CARGO_PKG_VERSION").into(),
        model: arguments.model.clone(),
        image_channel: arguments.channel.clone(),
        levels: levels(arguments),
        ..wire0::Connect::new(arguments.device_id.clone())
    }
}

fn wire1_connect(arguments: &Arguments, keepalive_default: Duration) -> Result<wire1::Connect, Failure> {
    let keepalive = arguments.keepalive.unwrap_or(keepalive_default);
    Ok(wire1::Connect {
        least: arguments.urgency,
        credential: credential(arguments.credential_file.as_deref())?,
        image: format!("{}/{}", arguments.channel, arguments.model),
        levels: levels(arguments),
        ..wire1::Connect::new(arguments.device_id.clone(), keepalive)
    })
}

fn levels(arguments: &Arguments) -> BTreeMap<ChannelId, Level> {
    arguments.level.map(|level| (ChannelId::SYSTEM, Level(level))).into_iter().collect()
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
