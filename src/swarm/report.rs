//! What a swarm has measured, as an object and as a table.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::latency::Latency;

/// What was measured; what was not is left out. Processor time is the server's, user and system, in microseconds, and
/// memory is its resident one.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Devices that were connected at the end of the first phase.
    pub devices: usize,
    /// Connects a second, as long as the first phase took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connects_per_s: Option<f64>,
    /// For each connect of the first phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_cpu_us: Option<f64>,
    /// Connects, of all phases, that resumed an earlier TLS session.
    pub resumed: u64,
    /// What the server has more of than before the first connect, for each device: at the end of the hold, or of the
    /// first phase if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_bytes_per_device: Option<f64>,
    /// For each keepalive of the hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepalive_cpu_us: Option<f64>,
    /// For each message of the notify phase, from post to ack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unicast_cpu_us: Option<f64>,
    /// For each device that got a broadcast.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broadcast_cpu_us_per_device: Option<f64>,
    /// From the post's first byte to the message's arrival, in the notify phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<Latency>,
    /// From the post's first byte to the API's answer, in the notify phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_ms: Option<Latency>,
    /// What went over the devices' sockets, TLS included.
    pub bytes: Bytes,
    /// The hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Held>,
    /// The churn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub churn: Option<Returned>,
    /// The storm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storm: Option<Returned>,
    /// The notify phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<Posted>,
    /// The broadcasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broadcast: Option<Told>,
    /// The others, while some devices hardly read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<Crowd>,
    /// The others, while some devices did not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead: Option<Crowd>,
    /// How often something failed.
    pub errors: u64,
    /// What, and how often.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// What could not be done, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Whether it was stopped before it was through.
    pub interrupted: bool,
}

/// Bytes of TLS records and all that is around them, above TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Bytes {
    /// From devices.
    pub up: u64,
    /// To devices.
    pub down: u64,
    /// Both ways, for each connect of the first phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_connect: Option<f64>,
    /// Both ways, for each keepalive of the hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_keepalive: Option<f64>,
    /// Both ways, for each message of the notify phase with its ack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_message: Option<f64>,
}

/// What came of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Held {
    /// How long it was measured.
    pub seconds: f64,
    /// Keepalives that were answered meanwhile.
    pub keepalives: u64,
    /// Devices that were there no more at its end.
    pub lost: u64,
    /// The server's memory at its begin and its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_bytes_before: Option<u64>,
    /// See before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_bytes_after: Option<u64>,
}

/// What came of devices that broke off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Returned {
    /// How many came back.
    pub devices: u64,
    /// Until the last of them was there.
    pub seconds: f64,
    /// For each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_cpu_us: Option<f64>,
    /// From a device's first try to its arrival.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<Latency>,
    /// The server's memory before, when all were back, and, in a storm, at its most in between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_bytes_before: Option<u64>,
    /// See before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_bytes_after: Option<u64>,
    /// See before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_bytes_max: Option<u64>,
}

/// What came of posts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Posted {
    /// Posts that were made.
    pub posts: u64,
    /// Messages that arrived.
    pub arrived: u64,
    /// The same a second.
    pub per_s: f64,
    /// How much of its core the generator needed meanwhile, at most 1: near that, latencies are its own.
    pub generator_cpu: f64,
}

/// What came of broadcasts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Told {
    /// How many were made.
    pub broadcasts: u64,
    /// Arrivals at devices.
    pub deliveries: u64,
    /// From the post's first byte to a device's arrival.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<Latency>,
    /// From the post's first byte to the API's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_ms: Option<Latency>,
    /// From the post's first byte to the last device, on average over those that were not cut short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all_ms: Option<f64>,
}

/// What others noticed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Crowd {
    /// Devices that misbehaved.
    pub devices: usize,
    /// Messages of the others that arrived, and were to.
    pub arrived: u64,
    /// See before.
    pub posts: u64,
    /// The others' messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<Latency>,
    /// Their posts, until the API's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_ms: Option<Latency>,
    /// A broadcast to the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broadcast_ms: Option<Latency>,
}

/// Something that failed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Problem {
    /// What.
    pub what: String,
    /// How often.
    pub count: u64,
}

/// Kinds of problems that are told apart; more are a kind of their own.
const PROBLEMS_MAX: usize = 20;
const MIB: f64 = 1_048_576.0;
const OTHERS: &str = "something else";

impl Report {
    /// Puts in what failed.
    pub(super) fn set_problems(&mut self, problems: &BTreeMap<String, u64>) {
        self.errors = problems.values().sum();
        let told = problems.iter().map(|(what, count)| Problem { what: what.clone(), count: *count });
        self.problems = told.collect();
        self.problems.sort_by_key(|problem| std::cmp::Reverse(problem.count));
    }

    /// Whether all that was asked for was done.
    pub fn is_complete(&self) -> bool {
        self.errors == 0 && self.notes.is_empty() && !self.interrupted
    }

    /// A table for people.
    pub fn table(&self) -> String {
        let mut table = Table::default();
        table.row("devices", Some(self.devices as f64), 0, "");
        table.row("connects", self.connects_per_s, 0, "/s");
        table.row("… resumed", Some(self.resumed as f64).filter(|count| *count > 0.0), 0, "");
        table.row("connect, CPU", self.connect_cpu_us, 1, "µs");
        table.row("memory, each device", self.rss_bytes_per_device, 0, "bytes");
        if let Some(held) = &self.hold {
            table.row("hold", Some(held.seconds), 1, "s");
            table.row("… keepalives", Some(held.keepalives as f64).filter(|count| *count > 0.0), 0, "");
            table.row("… lost devices", Some(held.lost as f64), 0, "");
            table.memory(held.rss_bytes_before, held.rss_bytes_after);
        }
        table.row("keepalive, CPU", self.keepalive_cpu_us, 1, "µs");
        for (name, returned) in [("churn", &self.churn), ("storm", &self.storm)] {
            let Some(returned) = returned else { continue };
            table.row(name, Some(returned.devices as f64), 0, "devices came back");
            table.row("… all back after", Some(returned.seconds), 2, "s");
            table.row("… connect, CPU", returned.connect_cpu_us, 1, "µs");
            table.latency("… until in", returned.latency_ms);
            table.memory(returned.rss_bytes_before, returned.rss_bytes_after);
            table.row("… at its most", returned.rss_bytes_max.map(|bytes| bytes as f64 / MIB), 1, "MiB");
        }
        if let Some(posted) = &self.notify {
            table.row("messages", Some(posted.arrived as f64), 0, &format!("of {}", posted.posts));
            table.row("… rate", Some(posted.per_s), 0, "/s");
            table.row("… generator's core", Some(posted.generator_cpu * 100.0), 0, "%");
        }
        table.row("… CPU", self.unicast_cpu_us, 1, "µs");
        table.latency("… POST to arrival", self.latency_ms);
        table.latency("… POST to answer", self.post_ms);
        if let Some(told) = &self.broadcast {
            table.row(
                "broadcasts",
                Some(told.broadcasts as f64),
                0,
                &format!("with {} deliveries", told.deliveries),
            );
            table.row("… last device after", told.all_ms, 1, "ms");
            table.latency("… each device", told.latency_ms);
            table.latency("… POST to answer", told.post_ms);
        }
        table.row("… CPU, each device", self.broadcast_cpu_us_per_device, 2, "µs");
        for (name, crowd) in [("slow", &self.slow), ("dead", &self.dead)] {
            let Some(crowd) = crowd else { continue };
            table.row(name, Some(crowd.devices as f64), 0, "devices");
            table.row("… others' messages", Some(crowd.arrived as f64), 0, &format!("of {}", crowd.posts));
            table.latency("… … POST to arrival", crowd.latency_ms);
            table.latency("… … POST to answer", crowd.post_ms);
            table.latency("… … a broadcast", crowd.broadcast_ms);
        }
        table.row("bytes up", Some(self.bytes.up as f64), 0, "");
        table.row("bytes down", Some(self.bytes.down as f64), 0, "");
        table.row("… each connect", self.bytes.per_connect, 0, "");
        table.row("… each keepalive", self.bytes.per_keepalive, 1, "");
        table.row("… each message", self.bytes.per_message, 1, "");
        table.row("errors", Some(self.errors as f64), 0, "");
        for Problem { what, count } in &self.problems {
            writeln!(table.text, "  {count} × {what}").expect("a string takes all");
        }
        for note in &self.notes {
            writeln!(table.text, "not done: {note}").expect("a string takes all");
        }
        table.text
    }
}

/// Notes that something failed.
pub(super) fn count_problem(problems: &mut BTreeMap<String, u64>, what: String) {
    let is_known = problems.contains_key(&what) || problems.len() < PROBLEMS_MAX;
    *problems.entry(if is_known { what } else { OTHERS.to_owned() }).or_default() += 1;
}

#[derive(Default)]
struct Table {
    text: String,
}

impl Table {
    fn row(&mut self, name: &str, value: Option<f64>, digits: usize, unit: &str) {
        let Some(value) = value else { return };
        let line = format!("{name:<22}{value:>12.digits$} {unit}");
        writeln!(self.text, "{}", line.trim_end()).expect("a string takes all");
    }

    fn latency(&mut self, name: &str, latency: Option<Latency>) {
        let Some(Latency { p50, p99, max }) = latency else { return };
        let line = format!("{name:<22}{p50:>12.2} ms p50, {p99:.2} p99, {max:.2} max");
        writeln!(self.text, "{line}").expect("a string takes all");
    }

    fn memory(&mut self, before: Option<u64>, after: Option<u64>) {
        let (Some(before), Some(after)) = (before, after) else { return };
        let [before, after] = [before, after].map(|bytes| bytes as f64 / MIB);
        let line = format!("{:<22}{before:>12.1} MiB before, {after:.1} after", "… memory");
        writeln!(self.text, "{line}").expect("a string takes all");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn phases_not_run_are_left_out() {
        let report = Report { devices: 3, connects_per_s: Some(2.0), ..Report::default() };
        let expected = json!({
            "devices": 3, "connects_per_s": 2.0, "resumed": 0, "bytes": {"up": 0, "down": 0}, "errors": 0,
            "interrupted": false,
        });
        assert_eq!(serde_json::to_value(&report).expect("JSON"), expected);
        assert!(!report.table().contains("CPU") && !report.table().contains("storm"), "{}", report.table());
    }

    #[test]
    fn a_phase_that_was_run_has_its_rows() {
        let latency = Some(Latency { p50: 1.0, p99: 2.0, max: 3.5 });
        let posted = Some(Posted { posts: 7, arrived: 6, per_s: 3.0, generator_cpu: 0.5 });
        let post_ms = latency.map(|latency| Latency { max: 7.25, ..latency });
        let report = Report {
            latency_ms: latency,
            post_ms,
            notify: posted,
            unicast_cpu_us: Some(55.0),
            ..Report::default()
        };
        let object = serde_json::to_value(&report).expect("JSON");
        assert_eq!(object["latency_ms"], json!({"p50": 1.0, "p99": 2.0, "max": 3.5}));
        assert_eq!(object["unicast_cpu_us"], 55.0);
        for part in ["6 of 7", "1.00 ms p50, 2.00 p99, 3.50 max", "2.00 p99, 7.25 max", "55.0 µs"] {
            assert!(report.table().contains(part), "{}", report.table());
        }
    }

    #[test]
    fn problems_are_counted_by_kind_and_kinds_are_bounded() {
        let mut problems = BTreeMap::new();
        (0..PROBLEMS_MAX + 5).for_each(|kind| count_problem(&mut problems, format!("problem {kind}")));
        count_problem(&mut problems, "problem 1".into());
        let mut report = Report::default();
        assert!(report.is_complete());
        report.set_problems(&problems);
        assert_eq!(report.errors as usize, PROBLEMS_MAX + 6);
        assert_eq!(report.problems[0], Problem { what: OTHERS.into(), count: 5 });
        assert_eq!(report.problems[1], Problem { what: "problem 1".into(), count: 2 });
        assert!(!report.is_complete());
    }
}
