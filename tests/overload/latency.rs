//! How long messages took, and when things were as before again.

use std::time::Duration;

/// One message, from when it was due until it was acked.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When it was due, since the clock began.
    pub at: Duration,
    pub latency: Duration,
}

/// Of several messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latencies {
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

impl Latencies {
    pub fn of(samples: impl IntoIterator<Item = Sample>) -> Latencies {
        let mut all: Vec<Duration> = samples.into_iter().map(|sample| sample.latency).collect();
        all.sort_unstable();
        let at = |share: f64| all.get(((all.len() as f64 * share) as usize).min(all.len().max(1) - 1));
        let milliseconds = |share| at(share).map_or(0.0, |latency| latency.as_secs_f64() * 1e3);
        Latencies { p50_ms: milliseconds(0.5), p99_ms: milliseconds(0.99), max_ms: milliseconds(1.0) }
    }
}

/// How long after `end` the last message was due that took longer than `usual`; zero if none did.
pub fn recovery(samples: &[Sample], end: Duration, usual: Duration) -> Duration {
    let slow = samples.iter().filter(|sample| sample.at >= end && sample.latency > usual);
    slow.map(|sample| sample.at - end).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_ms: u64, latency_ms: u64) -> Sample {
        Sample { at: Duration::from_millis(at_ms), latency: Duration::from_millis(latency_ms) }
    }

    #[test]
    fn percentiles_are_of_all_samples_whatever_their_order() {
        let latencies = Latencies::of((1..=100).rev().map(|latency| sample(0, latency)));
        assert_eq!((latencies.p50_ms, latencies.p99_ms, latencies.max_ms), (51.0, 100.0, 100.0));
        assert_eq!(Latencies::of([]).max_ms, 0.0);
    }

    #[test]
    fn recovery_ends_with_the_last_slow_message_after_the_flood() {
        let samples = [sample(900, 90), sample(1_000, 50), sample(1_200, 20), sample(1_300, 5)];
        let recovery = |usual| recovery(&samples, Duration::from_millis(1_000), Duration::from_millis(usual));
        assert_eq!(recovery(10), Duration::from_millis(200));
        assert_eq!(recovery(60), Duration::ZERO);
    }
}
