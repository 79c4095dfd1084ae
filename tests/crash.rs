//! Kills the real server in mid-load, twenty times over, lets its disk run full, and checks every message
//! that it had answered with 200. More rounds: `cargo run --release --example crash -- --rounds 200`.

#[path = "crash/mod.rs"]
mod crash;

use std::ops::ControlFlow;
use std::path::Path;

use crash::Settings;

/// Well below a minute without optimisation.
const ROUNDS: u32 = 20;
const FULL_DISK_ROUNDS: u32 = 2;
const SEED: u64 = 1;

#[test]
fn what_was_answered_with_200_survives_kill_9_at_any_moment_and_full_disks() {
    let server = Path::new(env!("CARGO_BIN_EXE_lomiri-push"));
    let settings = Settings { rounds: ROUNDS, full_disk_rounds: FULL_DISK_ROUNDS, seed: SEED };
    match crash::run(settings, server, &mut |_| ControlFlow::Continue(())) {
        Ok(report) => println!("{report}"),
        Err(failure) => panic!("{failure}"),
    }
}
