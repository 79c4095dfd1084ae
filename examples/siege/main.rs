//! What the others notice while one address misbehaves: how long their messages take, beside how long they
//! take in the quiet before, in the same run and over the same disk.
//!
//! ```text
//! cargo run --release --example siege
//! cargo run --release --example siege -- --rounds 50 --json
//! ```
//!
//! The server, the devices and the attacker share one machine here. From elsewhere the attacker would take no
//! processor time from those he attacks, so here his process has the lowest priority there is, and theirs, as root, a
//! real-time one. What the machine itself makes of a second process shows in the line
//! "other work", which does nothing to the server: what an attack has beyond that is the server's share.
//!
//! Quiet and attacks take turns, some messages at a time, so that what else goes on reaches all of them alike.

mod attacker;
mod attacks;
mod bystanders;
mod server;
mod target;

use std::time::Duration;

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use attacker::{Attacker, Orders, get_ahead};
use attacks::ATTACKS;
use bystanders::Bystanders;
use server::Besieged;

#[derive(Parser)]
#[command(about = "Reports how long messages to others take while one address misbehaves")]
struct Arguments {
    /// Messages at a time, in the quiet and under each attack
    #[arg(long, default_value_t = 100)]
    messages: usize,
    /// How often all attacks take their turn
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Devices that behave
    #[arg(long, default_value_t = 50)]
    devices: usize,
    /// Connections at a time of the address that does not
    #[arg(long, default_value_t = 4)]
    attackers: usize,
    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// What the process does that this one starts to be attacked by
    #[command(hide = true)]
    Attack(Orders),
}

/// Times from a post to its arrival.
#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    /// So many of a hundred were at most this long, in milliseconds.
    fn percentile_ms(&self, percent: usize) -> f64 {
        let mut times = self.0.clone();
        times.sort_unstable();
        let index = (times.len() * percent).div_ceil(100).saturating_sub(1);
        times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
    }
}

/// One attack, and the quiet between its parts.
#[derive(Default)]
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

fn main() {
    let arguments = Arguments::parse();
    match &arguments.role {
        Some(Role::Attack(orders)) => attacker::attack(orders),
        None => report(&besiege(&arguments), arguments.json),
    }
}

fn besiege(arguments: &Arguments) -> Vec<Siege> {
    get_ahead();
    let besieged = Besieged::start();
    let mut bystanders = Bystanders::connect(&besieged, arguments.devices);
    let bar = progress_bar(2 * (arguments.rounds * arguments.messages * ATTACKS.len()) as u64);
    let mut sieges: Vec<Siege> =
        ATTACKS.iter().map(|(attack, _)| Siege { attack, ..Siege::default() }).collect();
    for _ in 0..arguments.rounds {
        for (number, siege) in sieges.iter_mut().enumerate() {
            bar.set_message(siege.attack);
            siege.quiet.0.extend(bystanders.deliver(arguments.messages, &bar));
            let attacker = Attacker::start(&besieged, number, arguments.attackers);
            siege.under_attack.0.extend(bystanders.deliver(arguments.messages, &bar));
            siege.strokes += attacker.stop();
        }
    }
    bar.finish_and_clear();
    sieges
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
