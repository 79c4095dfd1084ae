//! What each wire costs in bytes of TLS records, both ways, over real sockets: a server and a device of
//! this package, and a proxy between them that counts.
//!
//! ```text
//! cargo run --release --example wire_cost
//! cargo run --release --example wire_cost -- --json
//! ```

mod bench;
mod certificates;
mod idle;
mod proxy;

use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;

use bench::{Bench, Ticket, Wire};
use certificates::Made;
use idle::Idle;

#[derive(Parser)]
#[command(
    about = "Measures the bytes of TLS records that connects, keepalives and messages cost on each wire"
)]
struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Bytes of TLS records both ways.
#[derive(Serialize)]
struct Costs {
    wire0: Wire0,
    wire1: Wire1,
}

#[derive(Serialize)]
struct Wire0 {
    connect_full: usize,
    keepalive: usize,
    unicast_100: usize,
}

#[derive(Serialize)]
struct Wire1 {
    connect_full_no_ticket: usize,
    connect_full: usize,
    connect_resumed: usize,
    keepalive: usize,
    unicast_100: usize,
}

/// Connects alone, where the certificates differ.
struct Connects {
    wire0: usize,
    full_no_ticket: usize,
    full: usize,
    resumed: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match measure(arguments.json) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("wire_cost: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn measure(as_json: bool) -> Result<String, String> {
    let small = certificates::small();
    let connects = connects(&small)?;
    let costs = costs(&connects, &Bench::start(&small, Ticket::One)?)?;
    if as_json {
        return serde_json::to_string(&costs).map_err(|error| error.to_string());
    }
    let chain = certificates::chain_of_two();
    let chained = self::connects(&chain)?;
    Ok(table(&costs, &connects, &small, &chained, &chain))
}

fn connects(made: &Made) -> Result<Connects, String> {
    let (without, with) = (Bench::start(made, Ticket::None)?, Bench::start(made, Ticket::One)?);
    Ok(Connects {
        wire0: with.connect_full(Wire::Zero),
        full_no_ticket: without.connect_full(Wire::One),
        full: with.connect_full(Wire::One),
        resumed: with.connect_resumed(Wire::One),
    })
}

fn costs(connects: &Connects, bench: &Bench) -> Result<Costs, String> {
    Ok(Costs {
        wire0: Wire0 {
            connect_full: connects.wire0,
            keepalive: bench.keepalive(Wire::Zero),
            unicast_100: bench.unicast(Wire::Zero)?,
        },
        wire1: Wire1 {
            connect_full_no_ticket: connects.full_no_ticket,
            connect_full: connects.full,
            connect_resumed: connects.resumed,
            keepalive: bench.keepalive(Wire::One),
            unicast_100: bench.unicast(Wire::One)?,
        },
    })
}

fn table(costs: &Costs, small: &Connects, one: &Made, chained: &Connects, two: &Made) -> String {
    let Costs { wire0, wire1 } = costs;
    let mut lines = vec![
        "Bytes of TLS records, both ways (TLS 1.3, AES-128-GCM, X25519):".to_owned(),
        row("", "wire 0", "wire 1"),
    ];
    for (connects, made) in [(small, one), (chained, two)] {
        lines.push(format!("certificate chain of {} bytes", made.sizes.join(" + ")));
        lines.push(row("  full connect, no ticket", "", connects.full_no_ticket));
        lines.push(row("  full connect, one ticket", connects.wire0, connects.full));
        lines.push(row("  resumed connect, one fresh ticket", "", connects.resumed));
    }
    lines.push(row("keepalive", wire0.keepalive, wire1.keepalive));
    lines.push(row("100-byte message and its ack", wire0.unicast_100, wire1.unicast_100));
    lines.push(String::new());
    lines.push("An idle device a day on wire 1, with IP and TCP headers, once it knows its NAT:".to_owned());
    lines.extend(Idle::behind_typical_nats(wire1.keepalive).map(|idle| idle.to_string()));
    lines.join("\n")
}

fn row(what: &str, wire0: impl ToString, wire1: impl ToString) -> String {
    format!("{what:<36}{:>8}{:>8}", wire0.to_string(), wire1.to_string())
}
