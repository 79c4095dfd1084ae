//! Some hundreds of simulated worlds, each held against the rules; and proof that worlds find bugs. Many
//! more: `cargo run --release --example simulate -- --seeds 100000`.

#[path = "simulation/mod.rs"]
mod simulation;

use simulation::Bug;

/// Half a minute without optimisation.
const SEEDS: u64 = 200;

#[test]
fn nothing_is_lost_doubled_or_misdirected_whatever_fails() {
    for seed in 0..SEEDS {
        let told = simulation::run(seed, None);
        assert!(told.complaint.is_none(), "seed {seed}: {}", told.complaint.unwrap_or_default());
        assert!(told.messages >= 200 && told.simulated.as_secs() >= 600, "seed {seed} is a small world");
    }
}

#[test]
fn every_bug_that_is_switched_in_is_found() {
    for bug in Bug::ALL {
        let is_found = (0..1_000).any(|seed| simulation::run(seed, Some(bug)).complaint.is_some());
        assert!(is_found, "{}", bug.name());
    }
}
