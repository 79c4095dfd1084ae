//! Offers the real server ten times the messages that it bears, for a moment. For a minute:
//! `cargo run --release --example overload`.

#[path = "overload/mod.rs"]
mod overload;

use std::path::Path;
use std::time::Duration;

use overload::Settings;

#[test]
fn a_flood_is_shed_and_calm_senders_are_served() {
    let server = Path::new(env!("CARGO_BIN_EXE_lomiri-push"));
    let part = Duration::from_secs(2);
    let settings = Settings { capacity: part, calm: part, flood: part };
    let report = overload::run(settings, server, &|_| {}).unwrap_or_else(|problem| panic!("{problem}"));
    println!("{}", report.as_json());
    assert_eq!(report.violations(), [""; 0]);
    assert!(report.with_rates.flood.rate_limited > 0, "some of the flood was beyond its rate");
}
