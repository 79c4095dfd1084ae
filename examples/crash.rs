//! Kills the real server and some of its devices in mid-load, lets its disk run full, as often as you
//! like, and checks every message that it had answered with 200. Exit status 1 if anything was lost,
//! came twice, or came that should not have come; 130 after Ctrl-C, which ends the run after its round and
//! the last checks.
//!
//! ```text
//! cargo run --release --example crash -- --rounds 200
//! cargo run --release --example crash -- --rounds 200 --seed 7 --json
//! ```
//!
//! `cargo test --test crash` does the same in a few rounds. The server and the devices that are
//! processes are this program itself, started as `serve` and `connect`: the same code as `lomiri-push`.

#[path = "../tests/crash/mod.rs"]
mod crash;

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use crash::{Report, Settings};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use signal_hook::consts::SIGINT;
use signal_hook::flag;

/// Commands of this program that are commands of the product.
const PRODUCT: [&str; 3] = ["serve", "connect", "device"];
/// Of so many rounds one is with a full disk, unless it is said how many are.
const ROUNDS_PER_FULL_DISK: u32 = 20;
/// The exit status of what Ctrl-C has ended, as shells have it.
const INTERRUPTED: u8 = 130;

#[derive(Parser)]
#[command(about = "Kills a server in mid-load and checks what it had answered with 200")]
struct Arguments {
    /// How often the server is killed in mid-load
    #[arg(long, default_value_t = 100)]
    rounds: u32,
    /// How often its disk runs full, on each of two small disks, which only root may mount [default: a
    /// twentieth of --rounds, and at least 1]
    #[arg(long)]
    full_disk_rounds: Option<u32>,
    /// Where the random choices begin; without it, somewhere else each time
    #[arg(long)]
    seed: Option<u64>,
    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|command| PRODUCT.contains(&command.as_str())) {
        return lomiri_push::cli::run();
    }
    let Arguments { rounds, full_disk_rounds, seed, json } = Arguments::parse();
    let full_disk_rounds = full_disk_rounds.unwrap_or((rounds / ROUNDS_PER_FULL_DISK).max(1));
    let seed = seed.unwrap_or_else(seed_of_the_moment);
    play(Settings { rounds, full_disk_rounds, seed }, json)
}

fn play(settings: Settings, as_json: bool) -> ExitCode {
    let start = Instant::now();
    let program = std::env::current_exe().expect("this program's own path");
    let bar = progress_bar(settings);
    let is_stopped = stopped_by_ctrl_c();
    let mut tell = |report: &Report| {
        bar.set_position((report.rounds + report.full_disk_rounds).into());
        bar.set_message(format!("{} accepted, {} stored", report.counts.accepted, report.counts.stored));
        if is_stopped.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let outcome = crash::run(settings, &program, &mut tell);
    bar.finish_and_clear();
    let (report, violations) = match &outcome {
        Ok(report) => (report, 0),
        Err(failure) => (&failure.report, failure.complaints.len()),
    };
    if let Err(failure) = &outcome {
        eprintln!("{failure}");
    }
    let seconds = start.elapsed().as_secs_f64();
    match as_json {
        true => println!("{}", as_line(settings.seed, report, violations, seconds)),
        false if violations == 0 => {
            println!("nothing was lost in {seconds:.0} s with seed {}: {report}", settings.seed)
        }
        false => {}
    }
    let way_on = is_stopped.load(Ordering::SeqCst).then(|| way_on(settings, report)).flatten();
    match (violations, way_on) {
        (0, None) => ExitCode::SUCCESS,
        (0, Some(way_on)) => {
            eprintln!("interrupted; to go on: {way_on}");
            ExitCode::from(INTERRUPTED)
        }
        _ => ExitCode::FAILURE,
    }
}

fn as_line(seed: u64, report: &Report, violations: usize, seconds: f64) -> serde_json::Value {
    let counts = report.counts;
    json!({
        "seed": seed,
        "rounds": report.rounds,
        "full_disk_rounds": report.full_disk_rounds,
        "kills": report.kills,
        "device_kills": report.device_kills,
        "accepted": counts.accepted,
        "refused": counts.refused,
        "unanswered": counts.unanswered,
        "stored": counts.stored,
        "came_again": counts.again,
        "states": counts.states,
        "violations": violations,
        "wall_s": seconds,
    })
}

fn progress_bar(settings: Settings) -> ProgressBar {
    let Settings { rounds, full_disk_rounds, seed } = settings;
    let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} rounds, {eta} left; {msg}");
    let bar = ProgressBar::new((rounds + 2 * full_disk_rounds).into());
    bar.with_style(style.expect("a valid template")).with_prefix(format!("seed {seed}"))
}

/// Set by Ctrl-C. Nothing ends the run at once, for then its server would go on without it.
fn stopped_by_ctrl_c() -> Arc<AtomicBool> {
    let is_stopped = Arc::new(AtomicBool::new(false));
    flag::register(SIGINT, is_stopped.clone()).expect("signals can be watched");
    is_stopped
}

/// How to do the rounds that Ctrl-C has left out, if there are any. The full disks are two.
fn way_on(settings: Settings, report: &Report) -> Option<String> {
    let rounds = settings.rounds - report.rounds;
    let full_disk_rounds = (2 * settings.full_disk_rounds - report.full_disk_rounds).div_ceil(2);
    let seed = settings.seed + 1;
    let options = format!("--rounds {rounds} --full-disk-rounds {full_disk_rounds} --seed {seed}");
    (rounds + full_disk_rounds > 0).then(|| format!("cargo run --release --example crash -- {options}"))
}

fn seed_of_the_moment() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as u64)
}
