//! Finds out how many messages a second the real server bears, offers it ten times as many, and looks at
//! what becomes of everyone else. It sees the server from outside only: its HTTP API, its device port,
//! and what the system says of its memory.
//!
//! ```text
//! server without rates   capacity ── calm ── flood ── calm
//! server with rates                  calm ── flood ── calm
//! ```
//!
//! Calm senders post a message now and then, all the time. All that floods, and all devices, run on the
//! same machine as the server, and take from it what they need.

mod caller;
mod capacity;
mod flood;
mod latency;
mod memory;
#[path = "../outside/mod.rs"]
mod outside;
mod receiver;
mod report;
mod steady;
mod trial;

use std::path::Path;
use std::time::Duration;

pub use self::report::Report;
use self::trial::Trial;

/// How many times what is sustainable is offered.
const OVERLOAD: f64 = 10.0;
/// What the configuration says where there are no rates.
const NO_RATES: &str = "token_rate_per_minute = 0\napp_rate_per_minute = 0\nuser_rate_per_minute = 0\n";

/// How long each part takes.
#[derive(Clone, Copy)]
pub struct Settings {
    /// The search for the sustainable rate.
    pub capacity: Duration,
    /// Before and after the flood, each.
    pub calm: Duration,
    /// The flood.
    pub flood: Duration,
}

/// Runs `program serve` through all of it, saying what is going on. An error if it could not be done.
pub fn run(settings: Settings, program: &Path, say: &dyn Fn(&str)) -> Result<Report, String> {
    let folder = tempfile::Builder::new().prefix("lomiri-push-overload-").tempdir();
    let folder = folder.map_err(|error| error.to_string())?;
    say("enrolling devices");
    let mut trial = Trial::new(program, folder.path(), NO_RATES)?;
    say("looking for the sustainable rate");
    let capacity = trial.capacity(settings.capacity)?;
    let offered = OVERLOAD * capacity.per_second;
    say("flooding a server without rates");
    let without_rates = trial.flood(settings, offered)?;
    let mut trial = trial.again("")?;
    say("flooding a server with its usual rates");
    let with_rates = trial.flood(settings, offered)?;
    trial.end()?;
    Ok(Report { capacity, offered, without_rates, with_rates })
}
