//! `connect`: a device in a terminal. It connects, prints what arrives, and acks what it has printed.

mod line;
mod printer;
mod reconnecting;
mod signals;
mod who;

use std::collections::BTreeMap;
use std::time::Duration;

use printer::{Printer, Stop};
use reconnecting::stay;
use signals::Stopping;
use who::{Who, WhoArguments};

use super::{Failure, logging};
use crate::base::{ChannelId, Level, Urgency, parse_duration};
use crate::device::keepalive::{KEEPALIVE_SECONDS_MAX, Learner};
use crate::device::lifeline::Lifeline;
use crate::device::{Connection, Server};
use crate::protocol::{wire0, wire1};
use crate::session::device::{Event, Options, Session};
use crate::tls::{DeviceOptions, Versions};

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
    #[command(flatten)]
    who: WhoArguments,
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

/// Stays connected until the session ends, the count is reached or a signal comes.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    logging::start();
    let versions = if arguments.wire == 1 { Versions::Tls13 } else { Versions::Both };
    let tls = DeviceOptions { versions, post_quantum: arguments.post_quantum, ..DeviceOptions::default() };
    let who = arguments.who.read(tls)?;
    let mut printer = Printer::new(arguments.json, arguments.count);
    let stop = match arguments.reconnect {
        false => visit(&who.server, options(&arguments, &who), &mut printer)?,
        true => stay(&who.server, lifeline(&arguments, &who)?, &mut printer, &Stopping::on_signals()?)?,
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

fn options(arguments: &Arguments, who: &Who) -> Options {
    Options::new(match arguments.wire {
        0 => wire0_connect(arguments, who).into(),
        _ => wire1_connect(arguments, who, KEEPALIVE_DEFAULT).into(),
    })
}

/// A life that has learnt nothing yet.
fn lifeline(arguments: &Arguments, who: &Who) -> Result<Lifeline, Failure> {
    if arguments.wire != 1 {
        return Err(Failure::Usage("--reconnect: only with --wire 1".into()));
    }
    let connect = wire1_connect(arguments, who, Duration::from_secs(KEEPALIVE_SECONDS_MAX.into()));
    Ok(Lifeline::new(connect, Learner::default(), NETWORK))
}

fn wire0_connect(arguments: &Arguments, who: &Who) -> wire0::Connect {
    wire0::Connect {
        authorization: who.proof.authorization(),
        client_ver: env!("CARGO_PKG_VERSION").into(),
        model: arguments.model.clone(),
        image_channel: arguments.channel.clone(),
        levels: levels(arguments),
        ..wire0::Connect::new(who.device.clone())
    }
}

fn wire1_connect(arguments: &Arguments, who: &Who, keepalive_default: Duration) -> wire1::Connect {
    let keepalive = arguments.keepalive.unwrap_or(keepalive_default);
    wire1::Connect {
        least: arguments.urgency,
        credential: who.proof.bytes(),
        image: format!("{}/{}", arguments.channel, arguments.model),
        levels: levels(arguments),
        ..wire1::Connect::new(who.device.clone(), keepalive)
    }
}

fn levels(arguments: &Arguments) -> BTreeMap<ChannelId, Level> {
    arguments.level.map(|level| (ChannelId::SYSTEM, Level(level))).into_iter().collect()
}

/// A silence as CONNECT can announce it.
fn keepalive(text: &str) -> Result<Duration, String> {
    let keepalive = parse_duration(text).map_err(|error| error.to_string())?;
    match keepalive.subsec_nanos() {
        0 if keepalive >= Duration::from_secs(1) => Ok(keepalive),
        _ => Err("whole seconds, and at least one".into()),
    }
}
