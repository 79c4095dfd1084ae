//! Kills the real server in mid-load, twenty times over, and checks every message that it had
//! answered with 200. More rounds: `cargo run --release --example crash -- --rounds 200`.

#[path = "crash/mod.rs"]
mod crash;

use std::path::Path;

use crash::Settings;

/// Well below a minute without optimisation.
const ROUNDS: u32 = 20;
const SEED: u64 = 1;

#[test]
fn what_was_answered_with_200_survives_kill_9_at_any_moment() {
    let server = Path::new(env!("CARGO_BIN_EXE_lomiri-push"));
    let settings = Settings { rounds: ROUNDS, seed: SEED };
    match crash::run(settings, server, &mut |_| {}) {
        Ok(report) => println!("{report}"),
        Err(failure) => panic!("{failure}"),
    }
}
