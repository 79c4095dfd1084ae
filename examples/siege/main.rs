//! What the others notice while one address misbehaves: how long their messages take, beside how long they
//! take in the quiet before, in the same run and over the same disk.
//!
//! ```text
//! cargo run --release --example siege
//! cargo run --release --example siege -- --messages 2000 --json
//! ```
//!
//! The server, the devices and the attacker share one machine here. From elsewhere the attacker would take no
//! processor time from those he attacks, so here he gets only what they leave.

mod attacks;
mod bystanders;
mod server;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use rustix::process::setpriority_process;
use rustix::thread::gettid;
use serde_json::{Value, json};

use attacks::ATTACKS;
use bystanders::Bystanders;
use server::Besieged;

#[derive(Parser)]
#[command(about = "Reports how long messages to others take while one address misbehaves")]
struct Arguments {
    /// Messages in the quiet, and again under each attack
    #[arg(long, default_value_t = 1_000)]
    messages: usize,
    /// Devices that behave
    #[arg(long, default_value_t = 50)]
    devices: usize,
    /// Connections at a time of the address that does not
    #[arg(long, default_value_t = 4)]
    attackers: usize,
    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
}

/// Times from a post to its arrival, in order.
struct Times(Vec<Duration>);

impl Times {
    fn of(mut times: Vec<Duration>) -> Times {
        times.sort_unstable();
        Times(times)
    }

    /// So many of a hundred were at most this long, in milliseconds.
    fn percentile_ms(&self, percent: usize) -> f64 {
        let index = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(index).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
    }
}

/// One attack, and the quiet before it.
struct Siege {
    attack: &'static str,
    quiet: Times,
    under_attack: Times,
    /// What the attacker has done meanwhile.
    strokes: u64,
}

impl Siege {
    fn ratio(&self) -> f64 {
        self.under_attack.percentile_ms(99) / self.quiet.percentile_ms(99)
    }

    fn line(&self) -> String {
        let Siege { attack, quiet, under_attack, strokes } = self;
        format!(
            "{attack:<16} {:>8.2} {:>8.2} {:>10.2} {:>10.2} {:>8.2} {strokes:>10}",
            quiet.percentile_ms(50),
            quiet.percentile_ms(99),
            under_attack.percentile_ms(50),
            under_attack.percentile_ms(99),
            self.ratio(),
        )
    }

    fn json(&self) -> Value {
        json!({
            "attack": self.attack,
            "quiet_p50_ms": self.quiet.percentile_ms(50),
            "quiet_p99_ms": self.quiet.percentile_ms(99),
            "p50_ms": self.under_attack.percentile_ms(50),
            "p99_ms": self.under_attack.percentile_ms(99),
            "p99_ratio": self.ratio(),
            "strokes": self.strokes,
        })
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let besieged = Arc::new(Besieged::start());
    let mut bystanders = Bystanders::connect(&besieged, arguments.devices);
    let bar = progress_bar(2 * (arguments.messages * ATTACKS.len()) as u64);
    let mut sieges = Vec::new();
    for (name, attack) in ATTACKS {
        bar.set_message(name);
        let quiet = Times::of(bystanders.deliver(arguments.messages, &bar));
        let stop = Arc::new(AtomicBool::new(false));
        let attackers: Vec<_> = (0..arguments.attackers)
            .map(|_| {
                let (besieged, stop) = (besieged.clone(), stop.clone());
                thread::spawn(move || {
                    yield_to_others();
                    attack(&besieged, &stop)
                })
            })
            .collect();
        let under_attack = Times::of(bystanders.deliver(arguments.messages, &bar));
        stop.store(true, Ordering::Relaxed);
        let strokes = attackers.into_iter().map(|attacker| attacker.join().expect("no panic")).sum();
        sieges.push(Siege { attack: name, quiet, under_attack, strokes });
    }
    bar.finish_and_clear();
    report(&sieges, arguments.json);
    ExitCode::SUCCESS
}

/// Takes only the processor time that nobody else wants.
fn yield_to_others() {
    // Where it may not, it attacks all the harder.
    let _ = setpriority_process(Some(gettid()), 19);
}

fn report(sieges: &[Siege], as_json: bool) {
    if as_json {
        let sieges: Vec<Value> = sieges.iter().map(Siege::json).collect();
        return println!("{}", json!({ "sieges": sieges }));
    }
    println!("from a post to its arrival, in ms");
    println!("attack            quiet p50  p99   attack p50        p99    ratio    strokes");
    sieges.iter().for_each(|siege| println!("{}", siege.line()));
}

fn progress_bar(messages: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} messages, {eta} left; {msg}");
    ProgressBar::new(messages).with_style(style.expect("a valid template"))
}
