//! The push server beside Mosquitto, one after the other on one machine: what an idle TLS connection takes of memory, and
//! what it costs to bring one message to all. Other programs do other things; these two figures both are judged by.
//!
//! ```text
//! cargo build --release && cargo run --release --example beside_mosquitto        # needs mosquitto
//! ```
//!
//! Mosquitto: MQTT 3.1.1 over TLS 1.3, QoS 1, nothing on disk. The push server: wire 1 over TLS 1.3, a broadcast
//! that is on disk, driven by `lomiri-push swarm`. Both send to each the same payload and get an ack from each.

mod broker;
mod clients;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Parser;
use serde::Deserialize;
use serde_json::json;

use broker::Mosquitto;
use clients::{Clients, Measured};

#[derive(Parser)]
#[command(about = "Measures the push server and Mosquitto side by side")]
struct Arguments {
    /// How many connections
    #[arg(long, default_value_t = 5_000)]
    devices: usize,
    /// How many messages to all
    #[arg(long, default_value_t = 10)]
    broadcasts: usize,
    /// Rounds; the figures are the medians
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The lomiri-push to measure
    #[arg(long, default_value = "target/release/lomiri-push")]
    program: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

type Problem = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("beside_mosquitto: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Problem> {
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for round in 1..=arguments.rounds {
        eprintln!("round {round} of {}", arguments.rounds);
        theirs.push(measure_mosquitto(arguments)?);
        ours.push(measure_ours(arguments)?);
    }
    let (theirs, ours) = (median(theirs), median(ours));
    if arguments.json {
        println!("{}", json!({ "devices": arguments.devices, "mosquitto": theirs, "lomiri_push": ours }));
    } else {
        println!(
            "{:<44}{:>14}{:>14}",
            format!("{} connections", arguments.devices),
            "Mosquitto",
            "Lomiri Push"
        );
        let row = |name: &str, figure: fn(&Measured) -> f64| {
            println!("{name:<44}{:>14.1}{:>14.1}", figure(&theirs), figure(&ours));
        };
        row("resident memory for each, bytes", |measured| measured.rss_bytes_per_connection);
        row("processor time for each connect, µs", |measured| measured.connect_cpu_us);
        row("processor time for each delivery and ack, µs", |measured| measured.delivery_cpu_us);
    }
    Ok(())
}

fn measure_mosquitto(arguments: &Arguments) -> Result<Measured, Problem> {
    let broker = Mosquitto::start()?;
    Clients::measure(&broker, arguments.devices, arguments.broadcasts)
}

/// What a swarm says, as far as it matters here.
#[derive(Deserialize)]
struct Swarm {
    rss_bytes_per_device: f64,
    connect_cpu_us: f64,
    broadcast_cpu_us_per_device: f64,
}

fn measure_ours(arguments: &Arguments) -> Result<Measured, Problem> {
    let folder = tempfile::tempdir()?;
    let server = Ours::start(&arguments.program, folder.path())?;
    let output = Command::new(&arguments.program)
        .args(["swarm", "--devices", &arguments.devices.to_string(), "--addr", &server.devices, "--insecure"])
        .args(["--api", &format!("http://{}", server.http), "--server-pid", &server.child.id().to_string()])
        .args(["--hold", "2s", "--broadcast", &arguments.broadcasts.to_string(), "--json"])
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("swarm: {}", output.status).into());
    }
    let Swarm { rss_bytes_per_device, connect_cpu_us, broadcast_cpu_us_per_device } =
        serde_json::from_slice(&output.stdout)?;
    Ok(Measured {
        rss_bytes_per_connection: rss_bytes_per_device,
        connect_cpu_us,
        delivery_cpu_us: broadcast_cpu_us_per_device,
    })
}

/// Our server, with free ports. Killed when it is dropped.
struct Ours {
    child: Child,
    devices: String,
    http: String,
}

impl Ours {
    fn start(program: &Path, folder: &Path) -> Result<Ours, Problem> {
        let [devices, http] =
            [broker::free_port()?, broker::free_port()?].map(|port| format!("127.0.0.1:{port}"));
        let child = Command::new(program)
            .args(["serve", "--addr", &devices, "--http-addr", &http, "--device-auth", "open", "--data-dir"])
            .arg(folder)
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| {
                format!("{}: {error}: build it first (cargo build --release)", program.display())
            })?;
        let ours = Ours { child, devices, http };
        broker::await_port(&ours.devices)?;
        Ok(ours)
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Of each figure by itself.
fn median(rounds: Vec<Measured>) -> Measured {
    let of = |figure: fn(&Measured) -> f64| {
        let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    Measured {
        rss_bytes_per_connection: of(|measured| measured.rss_bytes_per_connection),
        connect_cpu_us: of(|measured| measured.connect_cpu_us),
        delivery_cpu_us: of(|measured| measured.delivery_cpu_us),
    }
}

/// Longer than anything may take that works.
const PATIENCE: Duration = Duration::from_secs(120);
