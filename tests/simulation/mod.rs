//! Whole worlds, simulated: the server's shards, queue and store, devices with their sessions, lifelines and
//! push services, and app servers, users and operators, on virtual time, with all that can fail. Each is drawn
//! from a seed, which replays it. `cargo test --test simulation` runs some; `examples/simulate` many.

mod around;
mod bug;
mod daemon;
mod device;
mod device_disk;
mod dice;
mod line;
mod mail;
mod model;
mod posting;
mod profile;
mod script;
mod seen;
mod server;
mod server_disk;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use bug::Bug;
pub use script::Told;

/// Simulates the world of a seed. That a part of the program panics is a complaint like any other.
pub fn run(seed: u64, bug: Option<Bug>) -> Told {
    catch_unwind(AssertUnwindSafe(|| script::tell(seed, bug))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let complaint = Some(format!("panicked: {}", text.unwrap_or_default()));
        Told { simulated: Default::default(), messages: 0, complaint }
    })
}
