//! Kills the real server in mid-load, as often as you like, and checks every message that it had
//! answered with 200. Exit status 1 if anything was lost.
//!
//! ```text
//! cargo run --release --example crash -- --rounds 200
//! cargo run --release --example crash -- --rounds 200 --seed 7
//! ```
//!
//! `cargo test --test crash` does the same in twenty rounds. The server is this program itself,
//! started as `serve`: the same code as `lomiri-push serve`.

#[path = "../tests/crash/mod.rs"]
mod crash;

use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use crash::Settings;

#[derive(Parser)]
#[command(about = "Kills a server in mid-load and checks what it had answered with 200")]
struct Arguments {
    /// How often the server is killed in mid-load
    #[arg(long, default_value_t = 100)]
    rounds: u32,
    /// Where the random choices begin; without it, somewhere else each time
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|command| command == "serve") {
        return lomiri_push::cli::run();
    }
    let Arguments { rounds, seed } = Arguments::parse();
    let seed = seed.unwrap_or_else(seed_of_the_moment);
    println!("{rounds} rounds with seed {seed}");
    let start = Instant::now();
    let program = std::env::current_exe().expect("this program's own path");
    let mut tell = |report: &crash::Report| println!("{:6.1} s  {report}", start.elapsed().as_secs_f32());
    match crash::run(Settings { rounds, seed }, &program, &mut tell) {
        Ok(report) => {
            println!("nothing was lost in {report}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn seed_of_the_moment() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as u64)
}
