//! What a week of being reachable costs a roaming phone: how often it wakes, how often it connects and how many
//! bytes go over the air; and what a model of the existing service costs in the same week. Simulated, by the
//! parts that the service is made of.
//!
//! ```text
//! cargo run --release --example week
//! cargo run --release --example week -- --seed 7
//! cargo run --release --example week -- --json
//! ```

#[path = "../tests/week/mod.rs"]
mod week;

use clap::Parser;
use serde_json::{Map, Value, json};
use week::{Figures, ROWS, Week};

/// Weeks that differ in NATs, dead spots and when messages come.
const WEEKS: u64 = 1_000;

#[derive(Parser)]
#[command(about = "Simulates weeks of a roaming phone, and tells what being reachable costs it")]
struct Arguments {
    /// The week of this seed alone, in place of the medians of a thousand
    #[arg(long)]
    seed: Option<u64>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn main() {
    let arguments = Arguments::parse();
    let seeds = arguments.seed.map_or(0..WEEKS, |seed| seed..seed + 1);
    let weeks: Vec<Week> = seeds.map(week::live).collect();
    for week in &weeks {
        assert_eq!(week.ours.messages, week.posted, "every message arrives");
    }
    match arguments.json {
        true => println!("{}", json(&weeks)),
        false => println!("{}", table(&weeks)),
    }
}

fn json(weeks: &[Week]) -> Value {
    let medians = |figures: fn(&Week) -> &Figures| -> Map<String, Value> {
        let row = |(name, of): week::Row| (name.to_owned(), middle(weeks, |week| of(figures(week))).into());
        ROWS.into_iter().map(row).collect()
    };
    json!({
        "weeks": weeks.len(),
        "messages": middle(weeks, |week| week.posted),
        "arrivals": middle(weeks, |week| week.arrivals),
        "ours": medians(|week| &week.ours),
        "existing_model": medians(|week| &week.existing_model),
    })
}

fn table(weeks: &[Week]) -> String {
    let (posted, arrivals) = (middle(weeks, |week| week.posted), middle(weeks, |week| week.arrivals));
    let mut lines = vec![
        format!("{} weeks, medians: {posted} messages, {arrivals} arrivals at a network", weeks.len()),
        format!("{:<20}{:>10}{:>34}", "", "ours", "the existing service, a model"),
    ];
    lines.extend(ROWS.map(|(name, of)| {
        let ours = middle(weeks, |week| of(&week.ours));
        let existing = middle(weeks, |week| of(&week.existing_model));
        format!("{name:<20}{ours:>10}{existing:>34}")
    }));
    lines.join("\n")
}

/// The median of a figure.
fn middle(weeks: &[Week], figure: impl Fn(&Week) -> usize) -> usize {
    let mut all: Vec<usize> = weeks.iter().map(figure).collect();
    all.sort_unstable();
    all[all.len() / 2]
}
