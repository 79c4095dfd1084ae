//! `connect`: a device in a terminal. It connects, prints what arrives, and acks what it has printed.

mod line;

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, thread};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{Failure, logging};
use crate::base::{ChannelId, DeviceId, Level, Urgency, parse_duration};
use crate::device::{Connection, Server};
use crate::protocol::wire1::CREDENTIAL_BYTES_MAX;
use crate::protocol::{wire0, wire1};
use crate::session::device::{Event, Options};
use crate::tls::{ClientConfig, DeviceOptions, ServerName, Trust, device_config};

/// Connects as a device and prints what arrives
///
/// Each message is acked when it is printed, so the server drops it: don't pass for a device that
/// someone uses. Ends with status 0 on Ctrl-C, or when --count messages have come.
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
    /// Offer the server a key exchange that quantum computers will not break: 1.2 kB more each way in a
    /// full handshake
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

/// Why the printing stopped.
enum Stop {
    /// As many messages came as were asked for.
    Enough,
    /// A signal came.
    Asked,
    /// Whoever read the output has gone.
    Unread,
    /// The session ended, which has been printed.
    Ended,
}

/// Stays connected until the session ends, the count is reached or a signal comes.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    logging::start();
    let server = server(&arguments)?;
    let connection =
        Connection::open(&server, options(&arguments)?).map_err(|error| Failure::Run(error.to_string()))?;
    let is_stopping = close_on_signal(&connection)?;
    let printed = print_all(connection, &arguments, &is_stopping);
    match printed.map_err(|error| Failure::Run(format!("cannot write to stdout: {error}")))? {
        Stop::Enough | Stop::Asked | Stop::Unread => Ok(()),
        Stop::Ended => Err(Failure::Told),
    }
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

/// Lets SIGINT and SIGTERM close the connection. Tells whether one has come.
fn close_on_signal(connection: &Connection) -> io::Result<Arc<AtomicBool>> {
    let is_stopping = Arc::new(AtomicBool::new(false));
    let (closer, stopping) = (connection.closer()?, is_stopping.clone());
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            stopping.store(true, Ordering::SeqCst);
            closer.close();
        }
    });
    Ok(is_stopping)
}

/// Prints what comes, and acks it then.
fn print_all(
    mut connection: Connection,
    arguments: &Arguments,
    is_stopping: &AtomicBool,
) -> io::Result<Stop> {
    let mut wanted = arguments.count.unwrap_or(u64::MAX);
    while let Some(event) = connection.next_event(None) {
        if is_stopping.load(Ordering::SeqCst) {
            return Ok(Stop::Asked);
        }
        match print(&event, arguments.json) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(Stop::Unread),
            printed => printed?,
        }
        if matches!(event, Event::Broadcast(_) | Event::Message(_)) {
            connection.ack();
            wanted = wanted.saturating_sub(messages_in(&event));
        }
        // What came in one frame of wire 0 is acked as a whole, so it is printed as a whole.
        if wanted == 0 && !connection.session().has_events() {
            connection.close();
            return Ok(Stop::Enough);
        }
    }
    Ok(if wanted == 0 { Stop::Enough } else { Stop::Ended })
}

fn messages_in(event: &Event) -> u64 {
    match event {
        Event::Message(_) => 1,
        Event::Broadcast(broadcast) => broadcast.payloads.len() as u64,
        _ => 0,
    }
}

/// Prints all of `event`; it is out of this process when this returns.
fn print(event: &Event, as_json: bool) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    if let Some(line) = line::line(event) {
        match as_json {
            true => writeln!(stdout, "{}", serde_json::to_string(&line)?)?,
            false => writeln!(stdout, "{line}")?,
        }
    }
    stdout.flush()
}
