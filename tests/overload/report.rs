//! What is told of a run, and what of it must not be.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::capacity::Capacity;
use super::flood::Flood;
use super::latency::Latencies;

/// How much a flood may add to the server's memory, in KiB. Each of the API's 512 connections has at most a
/// request and as much of the next one in memory, 32 KiB; the other half is for the store's cache, which
/// fills with use.
const GROWTH_MAX_KIB: u64 = 32 * 1024;

pub struct Report {
    pub capacity: Capacity,
    /// Messages a second.
    pub offered: f64,
    pub without_rates: Row,
    pub with_rates: Row,
}

/// One flood.
pub struct Row {
    pub seconds: f64,
    pub flood: Flood,
    /// Of calm senders, before.
    pub quiet: Latencies,
    /// Of calm senders, meanwhile.
    pub flooded: Latencies,
    /// How long after the flood calm senders had a message that took longer than before it.
    pub recovery: Duration,
    /// Messages of calm senders, all of which came.
    pub calm_messages: usize,
    pub quiet_kib: u64,
    pub peak_kib: u64,
    pub after_kib: u64,
}

impl Report {
    /// What must not be.
    pub fn violations(&self) -> Vec<String> {
        [("without rates", &self.without_rates), ("with rates", &self.with_rates)]
            .into_iter()
            .flat_map(|(name, row)| row.violations().into_iter().map(move |what| format!("{name}: {what}")))
            .collect()
    }

    pub fn as_json(&self) -> Value {
        json!({
            "sustainable_per_s": self.capacity.per_second,
            "post_to_ack": latencies(&self.capacity.latencies),
            "offered_per_s": self.offered,
            "without_rates": self.without_rates.as_json(),
            "with_rates": self.with_rates.as_json(),
            "violations": self.violations(),
        })
    }
}

impl Row {
    fn violations(&self) -> Vec<String> {
        let Flood { other, without_retry_after, .. } = self.flood;
        let mut found = Vec::new();
        if other > 0 {
            found.push(format!("{other} answers that no flood should get"));
        }
        if without_retry_after > 0 {
            found.push(format!("{without_retry_after} answers do not say when to come again"));
        }
        if self.peak_kib > self.quiet_kib + GROWTH_MAX_KIB {
            found.push(format!("{} KiB of memory, from {}", self.peak_kib, self.quiet_kib));
        }
        found
    }

    fn as_json(&self) -> Value {
        let Flood { accepted, rate_limited, full, unavailable, closed, .. } = self.flood;
        json!({
            "seconds": self.seconds,
            "answered_per_s": self.answered_per_second(),
            "accepted": accepted,
            "status_429": rate_limited,
            "status_413": full,
            "status_503": unavailable,
            "connections_closed": closed,
            "calm_messages": self.calm_messages,
            "calm_before": latencies(&self.quiet),
            "calm_meanwhile": latencies(&self.flooded),
            "recovery_s": self.recovery.as_secs_f64(),
            "memory_before_kib": self.quiet_kib,
            "memory_peak_kib": self.peak_kib,
            "memory_after_kib": self.after_kib,
        })
    }

    fn answered_per_second(&self) -> f64 {
        self.flood.answered() as f64 / self.seconds
    }
}

fn latencies(of: &Latencies) -> Value {
    json!({ "p50_ms": of.p50_ms, "p99_ms": of.p99_ms, "max_ms": of.max_ms })
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.1} ms, p99 {:.1} ms, at most {:.1} ms", self.p50_ms, self.p99_ms, self.max_ms)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Capacity { per_second, latencies } = self.capacity;
        writeln!(f, "sustainable: {per_second:.0} messages a second, from POST to ack ({latencies})")?;
        writeln!(f, "offered: {:.0} a second\n", self.offered)?;
        writeln!(f, "without rates:\n{}", self.without_rates)?;
        write!(f, "with rates:\n{}", self.with_rates)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Flood { accepted, rate_limited, full, unavailable, closed, .. } = self.flood;
        let mib = |kib: u64| kib as f64 / 1024.0;
        let (rate, seconds) = (self.answered_per_second(), self.seconds);
        writeln!(
            f,
            "  {rate:.0} a second answered, in {seconds:.0} s; the rest was not read from its sockets"
        )?;
        writeln!(
            f,
            "  {accepted} accepted; 429: {rate_limited}; 413, too many pending: {full}; 503: {unavailable}; \
             {closed} connections closed"
        )?;
        writeln!(f, "  {} messages of calm senders, all came", self.calm_messages)?;
        writeln!(f, "    before:    {}", self.quiet)?;
        writeln!(f, "    meanwhile: {}", self.flooded)?;
        writeln!(f, "    as before after {:.1} s", self.recovery.as_secs_f64())?;
        let (quiet, peak, after) = (mib(self.quiet_kib), mib(self.peak_kib), mib(self.after_kib));
        writeln!(f, "  memory: {quiet:.1} MiB before, {peak:.1} at most, {after:.1} after")
    }
}
