//! What a day of silence costs a device that has learnt how long its NAT bears it. Arithmetic over the
//! learner that devices use; nothing here is measured but the keepalive that it is given.

use std::fmt;
use std::time::Duration;

use lomiri_push::device::keepalive::{KEEPALIVE_SECONDS_MAX, Learner, Observation};

/// Segments of a keepalive: the ping, the answer that also acknowledges it, and the acknowledgement of
/// the answer.
const SEGMENTS: usize = 3;
/// TCP's header with the timestamps that Linux puts into each segment.
const TCP_BYTES: usize = 32;
const IPV4_BYTES: usize = 20;
const IPV6_BYTES: usize = 40;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// More silences than any NAT takes to be learnt.
const SILENCES: usize = 100;

/// A day behind one kind of NAT.
pub struct Idle {
    nat: Duration,
    silence: Duration,
    keepalive_bytes: usize,
}

impl Idle {
    /// Days behind NATs that forget after 30 minutes and after 2 hours.
    pub fn behind_typical_nats(keepalive_bytes: usize) -> impl Iterator<Item = Idle> {
        let hours = |hours: f64| Duration::from_secs_f64(hours * 3600.0);
        [hours(0.5), hours(2.0)].into_iter().map(move |nat| Idle {
            nat,
            silence: learnt(nat),
            keepalive_bytes,
        })
    }

    fn bytes(&self, ip_bytes: usize) -> f64 {
        let keepalive = self.keepalive_bytes + SEGMENTS * (ip_bytes + TCP_BYTES);
        keepalive as f64 * DAY.as_secs_f64() / self.silence.as_secs_f64()
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (nat, silence) = (self.nat.as_secs() / 60, self.silence.as_secs());
        let (ipv4, ipv6) = (self.bytes(IPV4_BYTES) / 1e3, self.bytes(IPV6_BYTES) / 1e3);
        write!(
            f,
            "  NAT of {nat:>3} min: silent for {silence} s, {ipv4:.1} kB over IPv4, {ipv6:.1} kB over IPv6"
        )
    }
}

/// The silence that a device settles on behind a NAT that forgets after `timeout`.
fn learnt(timeout: Duration) -> Duration {
    let granted = Duration::from_secs(KEEPALIVE_SECONDS_MAX.into());
    let mut learner = Learner::default();
    for _ in 0..SILENCES {
        let silence = learner.silence("home", granted);
        let is_lost = silence > timeout;
        learner.observe(
            "home",
            if is_lost { Observation::Lost(silence) } else { Observation::Survived(silence) },
        );
    }
    assert!(learner.is_settled("home"), "so many silences are enough");
    learner.silence("home", granted)
}
