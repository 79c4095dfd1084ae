//! What the push service costs the device that it runs on: its memory and its wake-ups while nothing comes, and how
//! long a message takes from its post to its bubble.
//!
//! ```text
//! cargo build --profile phone --no-default-features --features device
//! cargo run --release --example footprint -- target/phone/lomiri-push
//! ```
//!
//! The push service is the program that is named, as a process on a bus of its own; the server is this program
//! itself, started as `serve`. With `--check`, exit status 1 if the service takes more memory or wakes up more often
//! than it should. Times are only told: they are the machine's, too.

mod idle;
#[path = "../../tests/outside/mod.rs"]
mod outside;
mod phone;
#[path = "../../tests/private_bus/mod.rs"]
mod private_bus;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use idle::{Memory, wake_ups};
use phone::{Helping, Phone};

/// Resident memory of an idle service, at most, in KiB.
const RESIDENT_MAX_KIB: u64 = 8 * 1_024;
/// Wake-ups of threads that one keepalive is, at most: it is due, it is sent, it is answered, it is noted.
const WAKE_UPS_PER_KEEPALIVE_MAX: u64 = 8;
/// The shortest silence between two keepalives on a network that is not known yet.
const KEEPALIVE_MIN: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(100);

#[derive(Parser)]
#[command(about = "Measures what the push service costs the device that it runs on")]
struct Arguments {
    /// The lomiri-push to measure
    program: PathBuf,
    /// How long it is left alone
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Messages whose time to the bubble is taken, with and without a helper
    #[arg(long, default_value_t = 200)]
    messages: usize,
    /// Fail if it takes more memory or wakes up more often than it should
    #[arg(long)]
    check: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What was found.
struct Report {
    memory: Memory,
    seconds: u64,
    wake_ups: u64,
    /// From the post to the bubble, in microseconds: the payload is shown as it is.
    shown: Histogram<u64>,
    /// The same by way of a helper, a shell script.
    helped: Histogram<u64>,
}

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|command| command == "serve") {
        return lomiri_push::cli::run();
    }
    let arguments = Arguments::parse();
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(TICK);
    let report = measure(&arguments, &bar);
    bar.finish_and_clear();
    match report {
        Ok(report) => tell(&report, &arguments),
        Err(problem) => {
            eprintln!("footprint: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments, bar: &ProgressBar) -> Result<Report, String> {
    let phone = Phone::new(&arguments.program)?;
    match measure_on(&phone, arguments, bar) {
        Ok(report) => phone.end().map(|()| report),
        Err(problem) => Err(format!("{problem}\nthe server's log:\n{}", phone.log())),
    }
}

fn measure_on(phone: &Phone, arguments: &Arguments, bar: &ProgressBar) -> Result<Report, String> {
    let &Arguments { seconds, messages, .. } = arguments;
    bar.set_message(format!("left alone for {seconds} s"));
    let service = phone.start(Helping::Helper)?;
    let wake_ups = wake_ups(service.pid(), Duration::from_secs(seconds))?;
    let memory = Memory::of(service.pid())?;
    bar.set_message("messages by way of a helper");
    let helped = phone.times_to_bubble(messages)?;
    drop(service);
    bar.set_message("messages that are shown as they are");
    let _service = phone.start(Helping::Simulated)?;
    let shown = phone.times_to_bubble(messages)?;
    Ok(Report { memory, seconds, wake_ups, shown, helped })
}

fn tell(report: &Report, arguments: &Arguments) -> ExitCode {
    match arguments.json {
        true => println!("{}", report.as_json()),
        false => report.print(),
    }
    let faults = if arguments.check { report.faults() } else { Vec::new() };
    faults.iter().for_each(|fault| eprintln!("footprint: {fault}"));
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Report {
    fn print(&self) {
        let Memory { resident_kib, own_kib } = self.memory;
        println!(
            "resident memory, idle    {resident_kib} KiB, of which {own_kib} its own, the rest pages of files"
        );
        println!("wake-ups in {:>3} s        {}", self.seconds, self.wake_ups);
        println!("from post to bubble, ms       p50      p99      max");
        for (what, times) in [("shown as it is", &self.shown), ("by way of a helper", &self.helped)] {
            let [p50, p99, max] = milliseconds(times);
            println!("  {what:<22} {p50:>8.1} {p99:>8.1} {max:>8.1}");
        }
    }

    fn as_json(&self) -> Value {
        let times = |times| {
            let [p50, p99, max] = milliseconds(times);
            json!({ "p50": p50, "p99": p99, "max": max })
        };
        json!({
            "resident_kib": self.memory.resident_kib,
            "own_kib": self.memory.own_kib,
            "seconds": self.seconds,
            "wake_ups": self.wake_ups,
            "to_bubble_ms": { "shown": times(&self.shown), "helped": times(&self.helped) },
        })
    }

    fn faults(&self) -> Vec<String> {
        let resident = self.memory.resident_kib;
        let keepalives = self.seconds / KEEPALIVE_MIN.as_secs() + 1;
        let wake_ups_max = keepalives * WAKE_UPS_PER_KEEPALIVE_MAX;
        let mut faults = Vec::new();
        if resident > RESIDENT_MAX_KIB {
            faults.push(format!("{resident} KiB resident, and {RESIDENT_MAX_KIB} are allowed"));
        }
        if self.wake_ups > wake_ups_max {
            faults.push(format!(
                "{} wake-ups, and {keepalives} keepalives explain {wake_ups_max}",
                self.wake_ups
            ));
        }
        faults
    }
}

fn milliseconds(times: &Histogram<u64>) -> [f64; 3] {
    [times.value_at_quantile(0.5), times.value_at_quantile(0.99), times.max()].map(|us| us as f64 / 1e3)
}
