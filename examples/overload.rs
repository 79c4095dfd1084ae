//! Finds out how many messages a second the real server bears, then offers it ten times as many, and tells
//! what became of the flood, of senders within their limits and of its memory. Exit status 1 if a calm
//! sender was refused, if it was not told when to come again, or if memory went beyond its bound.
//!
//! ```text
//! cargo run --release --example overload
//! cargo run --release --example overload -- --seconds 10 --json
//! ```
//!
//! The server is this program itself, started as `serve`: the same code as `lomiri-push serve`.

#[path = "../tests/overload/mod.rs"]
mod overload;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use indicatif::ProgressBar;
use overload::{Report, Settings};

/// Commands of this program that are commands of the product.
const PRODUCT: [&str; 2] = ["serve", "device"];
const CAPACITY: Duration = Duration::from_secs(10);
const CALM: Duration = Duration::from_secs(15);
const TICK: Duration = Duration::from_millis(100);

#[derive(Parser)]
#[command(about = "Offers a server ten times the messages that it bears")]
struct Arguments {
    /// How long it is flooded, each time
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|command| PRODUCT.contains(&command.as_str())) {
        return lomiri_push::cli::run();
    }
    let Arguments { seconds, json } = Arguments::parse();
    let program = std::env::current_exe().expect("this program's own path");
    let settings = Settings { capacity: CAPACITY, calm: CALM, flood: Duration::from_secs(seconds) };
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(TICK);
    let outcome = overload::run(settings, &program, &|what| bar.set_message(what.to_owned()));
    bar.finish_and_clear();
    match outcome {
        Ok(report) => tell(&report, json),
        Err(problem) => {
            eprintln!("overload: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn tell(report: &Report, as_json: bool) -> ExitCode {
    match as_json {
        true => println!("{}", report.as_json()),
        false => println!("{report}"),
    }
    let violations = report.violations();
    violations.iter().for_each(|violation| eprintln!("{violation}"));
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
