//! Times between a post and its arrival, as percentiles.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longest time that is told apart: an hour, in microseconds.
const MICROS_MAX: u64 = 3_600_000_000;
/// Digits that count: a thousandth.
const DIGITS: u8 = 3;

/// Some times.
#[derive(Debug)]
pub(super) struct Times(Histogram<u64>);

/// How long it takes, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// Half of all take no longer.
    pub p50: f64,
    /// 99 of 100 take no longer.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl Times {
    pub(super) fn new() -> Times {
        Times(Histogram::new_with_bounds(1, MICROS_MAX, DIGITS).expect("such bounds are allowed"))
    }

    pub(super) fn add(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros.clamp(1, MICROS_MAX));
    }

    pub(super) fn len(&self) -> u64 {
        self.0.len()
    }

    /// None if there is no time.
    pub(super) fn latency(&self) -> Option<Latency> {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1_000.0;
        (!self.0.is_empty()).then(|| Latency {
            p50: at(0.5),
            p99: at(0.99),
            max: self.0.max() as f64 / 1_000.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_added() {
        let mut times = Times::new();
        assert_eq!(times.latency(), None);
        (1..=100).for_each(|ms| times.add(Duration::from_millis(ms)));
        let Latency { p50, p99, max } = times.latency().expect("there are some");
        for (found, expected) in [(p50, 50.0), (p99, 99.0), (max, 100.0)] {
            assert!((found - expected).abs() < 0.1, "{found} {expected}");
        }
        times.add(Duration::MAX);
        assert_eq!(times.len(), 101);
    }
}
