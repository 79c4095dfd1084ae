//! Simulates as many worlds as you like, on all cores, and holds each against the rules. Exit status 1 if
//! one of them broke any, and 130 after Ctrl-C, when it says how to go on.
//!
//! ```text
//! cargo run --release --example simulate -- --seeds 100000
//! cargo run --release --example simulate -- --seeds 1 --seed-base 4711
//! cargo run --release --example simulate -- --seeds 1000 --break forget-seen-ids
//! ```
//!
//! `cargo test --test simulation` does the same with some hundreds.

#[path = "../tests/simulation/mod.rs"]
mod simulation;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::SIGINT;
use signal_hook::flag;
use simulation::{Bug, Told};

#[derive(Clone, Parser)]
#[command(about = "Simulates whole worlds, with all that can fail, and holds each against the rules")]
struct Arguments {
    /// How many worlds
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The seed of the first; the others follow
    #[arg(long, default_value_t = 0)]
    seed_base: u64,
    /// How many at a time; as many as there are cores, unless told otherwise
    #[arg(long)]
    threads: Option<usize>,
    /// End with a line of JSON
    #[arg(long)]
    json: bool,
    /// Switch in a bug, to see it found
    #[arg(long = "break", value_name = "NAME", value_parser = bug)]
    bug: Option<Bug>,
}

/// What the threads share.
struct Run {
    arguments: Arguments,
    next: AtomicU64,
    /// A world went wrong.
    is_over: AtomicBool,
    /// Ctrl-C: the worlds in hand are the last.
    is_interrupted: Arc<AtomicBool>,
    bar: ProgressBar,
}

/// The exit status of what Ctrl-C has ended, as shells have it.
const INTERRUPTED: u8 = 130;
const COMMAND: &str = "cargo run --release --example simulate --";

/// What came of some worlds.
#[derive(Default)]
struct Sum {
    seeds: u64,
    simulated: Duration,
    messages: usize,
    /// Which went wrong, and how.
    violations: Vec<(u64, String)>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let start = Instant::now();
    // What panics is told as a violation, with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    let run = Run::new(arguments);
    flag::register(SIGINT, run.is_interrupted.clone()).expect("a handler for Ctrl-C");
    let sum = run.on_all_threads();
    run.bar.finish_and_clear();
    tell(&sum, &run.arguments, start.elapsed());
    run.outcome(&sum)
}

fn bug(name: &str) -> Result<Bug, String> {
    let names = Bug::ALL.map(Bug::name).join(", ");
    Bug::ALL.into_iter().find(|bug| bug.name() == name).ok_or(format!("one of {names}"))
}

fn bar(seeds: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} worlds, {per_sec}, {eta} to go {msg}");
    ProgressBar::new(seeds).with_style(style.expect("a template"))
}

impl Run {
    fn new(arguments: Arguments) -> Run {
        Run {
            bar: bar(arguments.seeds),
            arguments,
            next: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            is_interrupted: Arc::default(),
        }
    }

    fn outcome(&self, sum: &Sum) -> ExitCode {
        let left = self.arguments.seeds - sum.seeds;
        if !sum.violations.is_empty() {
            ExitCode::FAILURE
        } else if left > 0 {
            // A world that was begun was also ended, so that no seed was left out.
            let (base, bug) = (self.arguments.seed_base + sum.seeds, self.arguments.break_option());
            eprintln!("interrupted; to go on: {COMMAND} --seeds {left} --seed-base {base}{bug}");
            ExitCode::from(INTERRUPTED)
        } else {
            ExitCode::SUCCESS
        }
    }

    fn on_all_threads(&self) -> Sum {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads = self.arguments.threads.unwrap_or(cores).max(1);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| self.work())).collect();
            let sums = workers.into_iter().map(|worker| worker.join().expect("a world's panic is caught"));
            sums.fold(Sum::default(), Sum::with)
        })
    }

    /// World after world. The first that goes wrong ends the run: a bug shows in many.
    fn work(&self) -> Sum {
        let mut sum = Sum::default();
        while !self.is_over.load(Ordering::Relaxed) && !self.is_interrupted.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.arguments.seeds {
                break;
            }
            let seed = self.arguments.seed_base + number;
            sum.add(seed, simulation::run(seed, self.arguments.bug));
            self.bar.inc(1);
            if !sum.violations.is_empty() {
                self.is_over.store(true, Ordering::Relaxed);
            }
        }
        sum
    }
}

impl Sum {
    fn add(&mut self, seed: u64, told: Told) {
        self.seeds += 1;
        self.simulated += told.simulated;
        self.messages += told.messages;
        self.violations.extend(told.complaint.map(|complaint| (seed, complaint)));
    }

    fn with(mut self, other: Sum) -> Sum {
        self.seeds += other.seeds;
        self.simulated += other.simulated;
        self.messages += other.messages;
        self.violations.extend(other.violations);
        self
    }
}

impl Arguments {
    /// How to switch in the same bug again.
    fn break_option(&self) -> String {
        self.bug.map_or(String::new(), |bug| format!(" --break {}", bug.name()))
    }
}

fn tell(sum: &Sum, arguments: &Arguments, time: Duration) {
    let bug = arguments.break_option();
    for (seed, complaint) in &sum.violations {
        eprintln!("seed {seed}: {complaint}; replay: {COMMAND} --seeds 1 --seed-base {seed}{bug}");
    }
    let (simulated_s, wall_s) = (sum.simulated.as_secs_f64(), time.as_secs_f64());
    println!(
        "{} worlds, {} messages, {:.0} simulated hours in {wall_s:.1} s: {} violations",
        sum.seeds,
        sum.messages,
        simulated_s / 3_600.0,
        sum.violations.len()
    );
    if arguments.json {
        println!(
            r#"{{"seeds": {}, "violations": {}, "simulated_s": {simulated_s:.1}, "wall_s": {wall_s:.1}}}"#,
            sum.seeds,
            sum.violations.len()
        );
    }
}
