//! What a swarm is to do, in which order.

use std::time::Duration;

/// What is to be done with how many devices.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many.
    pub devices: usize,
    /// Connects a second; as fast as the server takes them without it.
    pub rate: Option<f64>,
    /// Connects under way at once. In a storm all are.
    pub handshakes_max: usize,
    /// How long all is quiet once everybody is there.
    pub hold: Option<Duration>,
    /// How long a device is silent meanwhile, on wire 1.
    pub keepalive: Option<Duration>,
    /// Devices a second that break off and come back.
    pub churn: Option<f64>,
    /// Whether all break off and come back at once.
    pub storm: bool,
    /// How often messages are posted.
    pub notify: Option<Rate>,
    /// How long churn and posts go on.
    pub lasting: Duration,
    /// How many broadcasts are made, one after the other.
    pub broadcasts: usize,
    /// How many devices hardly read, while the others are posted to.
    pub slow: usize,
    /// How many do not read at all, while the others are posted to.
    pub dead: usize,
    /// Bytes of a message's payload.
    pub payload_bytes: usize,
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// So many a second.
    PerSecond(f64),
    /// As fast as answers come.
    Max,
}

/// What is done for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// All devices come.
    Connect,
    /// Nobody does anything but live.
    Hold,
    /// Some break off and come back.
    Churn,
    /// All break off, and come back.
    Storm,
    /// Messages to single devices.
    Notify,
    /// Messages to all devices.
    Broadcast,
    /// Messages to the others, while some hardly read.
    Slow,
    /// Messages to the others, while some do not read.
    Dead,
}

impl Plan {
    /// What is to be done, in its order.
    pub fn phases(&self) -> Vec<Phase> {
        let wanted = [
            (Phase::Connect, true),
            (Phase::Hold, self.hold.is_some()),
            (Phase::Churn, self.churn.is_some()),
            (Phase::Storm, self.storm),
            (Phase::Notify, self.notify.is_some()),
            (Phase::Broadcast, self.broadcasts > 0),
            (Phase::Slow, self.slow > 0),
            (Phase::Dead, self.dead > 0),
        ];
        wanted.into_iter().filter_map(|(phase, is_wanted)| is_wanted.then_some(phase)).collect()
    }

    /// Whether something has to be asked of the HTTP API.
    pub fn posts(&self) -> bool {
        self.notify.is_some() || self.broadcasts > 0 || self.slow > 0 || self.dead > 0
    }
}

/// When the next of those that come so often a second is due, after so many. As good as never is never.
pub(super) fn due_after(count: usize, per_second: f64) -> Duration {
    Duration::try_from_secs_f64(count as f64 / per_second).unwrap_or(Duration::MAX)
}

impl Phase {
    /// What people read.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Connect => "connect",
            Phase::Hold => "hold",
            Phase::Churn => "churn",
            Phase::Storm => "storm",
            Phase::Notify => "notify",
            Phase::Broadcast => "broadcast",
            Phase::Slow => "slow",
            Phase::Dead => "dead",
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Nothing but to connect.
    pub(in crate::swarm) fn quiet() -> Plan {
        Plan {
            devices: 10,
            rate: None,
            handshakes_max: 4,
            hold: None,
            keepalive: None,
            churn: None,
            storm: false,
            notify: None,
            lasting: Duration::from_secs(1),
            broadcasts: 0,
            slow: 0,
            dead: 0,
            payload_bytes: 100,
        }
    }

    #[test]
    fn what_is_due_hardly_ever_is_due_at_the_end_of_time() {
        assert_eq!(due_after(3, 2.0), Duration::from_millis(1_500));
        assert_eq!((due_after(0, 1e-300), due_after(1, 1e-300)), (Duration::ZERO, Duration::MAX));
    }

    #[test]
    fn phases_have_an_order_whatever_the_flags_have() {
        assert_eq!(quiet().phases(), [Phase::Connect]);
        assert!(!quiet().posts());
        let all = Plan {
            hold: Some(Duration::from_secs(1)),
            churn: Some(1.0),
            storm: true,
            notify: Some(Rate::Max),
            broadcasts: 1,
            slow: 1,
            dead: 1,
            ..quiet()
        };
        let names: Vec<&str> = all.phases().into_iter().map(Phase::name).collect();
        assert_eq!(names, ["connect", "hold", "churn", "storm", "notify", "broadcast", "slow", "dead"]);
        assert!(all.posts() && Plan { dead: 1, ..quiet() }.posts());
    }
}
