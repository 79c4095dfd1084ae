//! `swarm`: simulated devices and app servers, to see what a server bears.

mod members;
mod progress;
mod target;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use progress::Bar;
use target::Target;

use super::{Failure, logging, say};
use crate::base::parse_duration;
use crate::files::raise_limit;
use crate::swarm::{Gauge, Halt, Plan, Rate, Report, Room, Run, sources_for};

/// Connects simulated devices to a server, puts load on it, and measures what it costs
///
/// Phases run in the order of their flags below, each only if its flag is given; devices always connect first. The
/// generator uses one core: as long as that is not full, figures are the server's. Exits with 0 if all was done without an error, with 1 if not
/// (what and why is in the report), with 130 after Ctrl-C, which ends the phase and reports what is known by then.
///
/// In the JSON report latency_ms is the time from a POST to the arrival at a device, post_ms from a POST to its answer,
/// and all_ms from a broadcast's POST to the last device, on average over those that were not cut short.
///
/// Many devices need descriptors, one each (ulimit -n), and ports, some 28,000 for each source address: where --addr is
/// on 127.0.0.0/8, each process has addresses of its own there; elsewhere give the machine's --source addresses. The operator's limits count for a swarm too: with device_auth = "required" set the server's rates to 0.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    target: target::TargetArguments,
    #[command(flatten)]
    members: members::MemberArguments,
    /// How many devices
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = at_least_one)]
    devices: usize,
    /// Connect from this address, in turn with others
    #[arg(long, value_name = "IP")]
    source: Vec<IpAddr>,
    /// The server's process on this machine, to measure its processor time and memory; several are added up
    #[arg(long, value_name = "PID")]
    server_pid: Vec<u32>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    phases: PhaseArguments,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Phases, in this order")]
struct PhaseArguments {
    /// Connects a second [default: as fast as the server takes them]
    #[arg(long, value_name = "RATE", value_parser = positive)]
    rate: Option<f64>,
    /// Connects under way at once
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = at_least_one)]
    handshakes: usize,
    /// Then let all be quiet for so long, such as 15s
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    hold: Option<Duration>,
    /// Let each device send a keepalive so often in the hold: whole seconds. On wire 0 the server asks, by its own
    /// ping_interval
    #[arg(long, value_name = "DURATION", value_parser = whole_seconds, requires = "hold")]
    keepalive: Option<Duration>,
    /// Let so many devices a second break off and come back, for --for
    #[arg(long, value_name = "RATE", value_parser = positive)]
    churn: Option<f64>,
    /// Let all devices break off at once and come back at once
    #[arg(long)]
    storm: bool,
    /// Post so many messages a second, for --for, to devices in turn; `max` for as many as --in-flight lets under way
    #[arg(long, value_name = "RATE", value_parser = rate)]
    notify: Option<Rate>,
    /// Make so many broadcasts, one after the other, each until all devices have it
    #[arg(long, value_name = "K", default_value_t = 0)]
    broadcast: usize,
    /// Let so many devices read a few bytes a second while messages are posted to the others (--notify, or 100 a
    /// second; a broadcast too if there is --broadcast)
    #[arg(long, value_name = "N", default_value_t = 0)]
    slow: usize,
    /// The same with devices that read nothing at all
    #[arg(long, value_name = "N", default_value_t = 0)]
    dead: usize,
    /// How long churn and posts go on
    #[arg(long = "for", value_name = "DURATION", default_value = "10s", value_parser = longer_than_nothing)]
    lasting: Duration,
    /// Connections to the API that are kept open
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = at_least_one)]
    in_flight: usize,
    /// Bytes of a message's payload, at most a million
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = payload)]
    payload: usize,
}

/// Runs the phases and prints what they showed.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    logging::start();
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // Who asks twice does not want to wait.
        flag::register_conditional_shutdown(signal, 130, stop.clone())?;
        flag::register(signal, stop.clone())?;
    }
    let (report, failure) = measure(&arguments, &stop)?;
    say(if arguments.json { serde_json::to_string(&report).expect("it is JSON") } else { report.table() }
        .trim_end())?;
    if let Some(why) = failure {
        return Err(Failure::Run(why));
    }
    match report {
        Report { interrupted: true, .. } => Err(Failure::Interrupted),
        report if report.is_complete() => Ok(()),
        _ => Err(Failure::Told),
    }
}

/// What was measured, and why it ended early if that is no wish of the user's.
fn measure(arguments: &Arguments, stop: &AtomicBool) -> Result<(Report, Option<String>), Failure> {
    let mut plan = arguments.phases.plan(arguments.devices);
    let callers =
        if plan.posts() || arguments.members.needs_codes() { arguments.phases.in_flight } else { 0 };
    let room = Room::of(raise_limit(), callers);
    let note = cut(&mut plan, room)?;
    let mut target = Target::of(&arguments.target, plan.devices)?;
    let sources = || sources_for(plan.devices, target.server.address.ip(), std::process::id());
    target.server.sources = if arguments.source.is_empty() { sources() } else { arguments.source.clone() };
    check_sources(&target)?;
    let operator_key = arguments.members.operator_key()?;
    if callers > 0 {
        target.check_api(operator_key.is_some() || arguments.members.are_enrolled())?;
    }
    let gauges: Result<Vec<Gauge>, Failure> = arguments.server_pid.iter().map(|pid| gauge(*pid)).collect();
    let mut bar = Bar::new();
    let mut watch = |progress| bar.show(progress);
    let Target { server, api, address } = target;
    let base = api.as_ref().map(|api| api.url.to_string()).unwrap_or_default();
    let (devices, known) = (plan.devices, address.clone());
    let mut run = Run::new(plan, server, (api, callers), operator_key, gauges?, stop, &mut watch)?;
    note.into_iter().for_each(|note| run.note(note));
    let outcome = arguments.members.add_to(&mut run, devices, &known)?.map_or_else(|| run.all(), Err);
    let failure = match outcome {
        Ok(()) | Err(Halt::Stopped) => None,
        Err(Halt::NobodyIn(why) | Halt::NotEnrolled(why)) => Some(target::explain(&address, &why)),
        Err(Halt::NoCode(why)) => Some(format!("{base}: {why}")),
        Err(Halt::Io(error)) => Some(error.to_string()),
    };
    Ok((run.report(), failure))
}

/// Nobody connects from an address of one family to one of the other.
fn check_sources(target: &Target) -> Result<(), Failure> {
    let to = target.server.address.ip();
    match target.server.sources.iter().find(|source| source.is_ipv4() != to.is_ipv4()) {
        Some(source) => Err(Failure::Usage(format!("--source {source}: nothing goes from there to {to}"))),
        None => Ok(()),
    }
}

/// Lets as many devices be as there is room for; what is to be told then.
fn cut(plan: &mut Plan, room: Room) -> Result<Option<String>, Failure> {
    let Room { descriptors, devices } = room;
    if plan.devices <= devices {
        return Ok(None);
    }
    if devices == 0 {
        let why = format!(
            "only {descriptors} open files are allowed: raise the limit (ulimit -n), or lower --in-flight"
        );
        return Err(Failure::Run(why));
    }
    let note = format!(
        "{} of {} devices: only {descriptors} open files are allowed, so {devices} were used; raise the limit (ulimit -n), or \
         run several swarms",
        plan.devices - devices,
        plan.devices
    );
    plan.devices = devices;
    Ok(Some(note))
}

fn gauge(pid: u32) -> Result<Gauge, Failure> {
    Gauge::of(pid)
        .map_err(|error| Failure::Usage(format!("--server-pid {pid}: {error}: it must run on this machine")))
}

impl PhaseArguments {
    fn plan(&self, devices: usize) -> Plan {
        Plan {
            devices,
            rate: self.rate,
            handshakes_max: self.handshakes,
            hold: self.hold,
            keepalive: self.keepalive,
            churn: self.churn,
            storm: self.storm,
            notify: self.notify,
            lasting: self.lasting,
            broadcasts: self.broadcast,
            slow: self.slow,
            dead: self.dead,
            payload_bytes: self.payload,
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

fn longer_than_nothing(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be longer than nothing".into()),
        duration => Ok(duration),
    }
}

fn whole_seconds(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    match duration.subsec_nanos() {
        0 if !duration.is_zero() => Ok(duration),
        _ => Err("whole seconds, and at least one".into()),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or("must be a number above 0".into())
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or("must be a whole number above 0".into())
}

/// More than any server takes, and no more than this machine has memory for.
fn payload(text: &str) -> Result<usize, String> {
    let bytes = text.parse().ok().filter(|bytes| *bytes <= 1_000_000);
    bytes.ok_or("must be a whole number up to 1000000".into())
}

fn rate(text: &str) -> Result<Rate, String> {
    match text {
        "max" | "0" => Ok(Rate::Max),
        text => positive(text).map(Rate::PerSecond),
    }
}
