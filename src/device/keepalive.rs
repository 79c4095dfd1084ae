//! How long a device may stay silent on each network: learnt from what its NATs have survived. A
//! function of observations; no clock, no socket. What a network is called is its owner's business.
//!
//! ```text
//!  Rising: each silence twice the last ── lost ──▶ Closing in: each a good sixth longer than what survived
//!                                                     │ the longest survived is 85 % of the shortest lost
//!                                                     ▼
//!  Rising, below that ◀── lost twice: the NAT ──── Settled: what survived, again and again
//!                         has changed                │ seldom, and more and more so
//!                                                    ▼
//!  Rising, if that was more than was ever lost ◀─── a look: a good sixth longer ── lost ──▶ Settled
//! ```
//!
//! Survivals cost nothing and losses cost a connect, so it comes from below: two losses find a NAT. A look
//! now and then finds out that a NAT has grown, or that a loss was no fault of the NAT's.

use std::mem;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The shortest silence, in seconds. NATs that forget sooner would cost a phone its battery.
pub const KEEPALIVE_SECONDS_MIN: u32 = 60;
/// The longest silence, in seconds: what RFC 5382 asks of NATs, and servers grant.
pub const KEEPALIVE_SECONDS_MAX: u32 = 7_200;
/// Most networks that are remembered: those of a traveller's months. The one not used for longest is
/// forgotten first.
pub const NETWORKS_MAX: usize = 64;
/// The longest name of a network that is taken, in bytes; a longer one is cut.
const NETWORK_BYTES_MAX: usize = 128;
/// A silence that survives is long enough at this share of one that does not, in percent: trying for
/// more costs lost connections, and wins little.
const CLOSE_ENOUGH_PERCENT: u64 = 85;
/// How much longer than what survived the next silence is while closing in, in percent: if that is lost,
/// what survived is close enough.
const STEP_PERCENT: u32 = 117;
/// So many losses at a proven silence, one after the other, mean that the NAT has changed. One alone
/// is a coincidence: a cell handover, a router's restart.
const LOSSES_AT_PROVEN: u8 = 2;
/// So many survivals after it has settled, it looks whether more would survive; after each look that was
/// lost, it waits for twice as many. That is a handful of lost connections in a phone's life.
const SURVIVALS_BEFORE_LOOK: u32 = 64;
/// No further doublings: beyond these, years lie between two looks.
const LOOKS_MAX: u8 = 16;

/// What has become of a connection that was silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// A PONG came after so long a silence of both sides.
    Survived(Duration),
    /// None came after so long a silence, and *the same network* reached the server right after. Where
    /// it did not, nothing was observed: the network itself was gone.
    Lost(Duration),
}

/// What a device has learnt, to be stored between its runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learner {
    /// The one used last comes last.
    networks: Vec<Network>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Network {
    name: String,
    /// The longest silence that survived, in seconds; 0 for none.
    works: u32,
    /// The shortest that did not, always more than `works`.
    fails: Option<u32>,
    /// Losses at a silence that had worked, since one last survived.
    losses: u8,
    /// Survivals since it settled or last looked.
    #[serde(default)]
    survivals: u32,
    /// Looks that were lost.
    #[serde(default)]
    looks: u8,
}

impl Learner {
    /// How long to stay silent now on `network`: whole seconds, at most `granted` by the server.
    pub fn silence(&self, network: &str, granted: Duration) -> Duration {
        let name = cut(network);
        let known = self.networks.iter().find(|known| known.name == name);
        let next = known.map_or(KEEPALIVE_SECONDS_MIN, Network::next);
        Duration::from_secs(next.into()).min(granted)
    }

    /// Whether the silence on `network` will stay as it is, unless the network changes.
    pub fn is_settled(&self, network: &str) -> bool {
        let name = cut(network);
        self.networks.iter().any(|known| known.name == name && known.is_settled())
    }

    /// Learns from what has happened on `network`.
    pub fn observe(&mut self, network: &str, observation: Observation) {
        let known = self.known(network);
        match observation {
            Observation::Survived(silence) => known.survived(seconds(silence)),
            Observation::Lost(silence) => known.lost(seconds(silence)),
        }
    }

    /// What was stored may be damaged: it is brought back within the limits.
    pub fn sanitized(mut self) -> Learner {
        let excess = self.networks.len().saturating_sub(NETWORKS_MAX);
        self.networks.drain(..excess);
        for network in &mut self.networks {
            network.name = cut(&network.name).to_owned();
            network.works = network.works.min(KEEPALIVE_SECONDS_MAX);
            network.fails = network.fails.filter(|fails| *fails > network.works.max(KEEPALIVE_SECONDS_MIN));
            network.looks = network.looks.min(LOOKS_MAX);
        }
        self
    }

    fn known(&mut self, network: &str) -> &mut Network {
        let name = cut(network);
        let known = self.networks.iter().position(|known| known.name == name);
        let used = match known {
            Some(index) => self.networks.remove(index),
            None => Network { name: name.to_owned(), ..Network::default() },
        };
        if self.networks.len() == NETWORKS_MAX {
            self.networks.remove(0);
        }
        self.networks.push(used);
        self.networks.last_mut().expect("just pushed")
    }
}

impl Network {
    fn next(&self) -> u32 {
        let next = match self.fails {
            None => self.works.saturating_mul(2),
            Some(fails) if self.is_close_to(fails) && !self.is_time_to_look() => self.works,
            Some(fails) if self.works.saturating_mul(2) < fails => self.works.saturating_mul(2),
            Some(_) => self.works * STEP_PERCENT / 100,
        };
        next.clamp(KEEPALIVE_SECONDS_MIN, KEEPALIVE_SECONDS_MAX)
    }

    fn is_settled(&self) -> bool {
        self.works >= KEEPALIVE_SECONDS_MAX || self.fails.is_some_and(|fails| self.is_close_to(fails))
    }

    fn is_time_to_look(&self) -> bool {
        self.survivals >= SURVIVALS_BEFORE_LOOK << self.looks
    }

    fn is_close_to(&self, fails: u32) -> bool {
        u64::from(self.works) * 100 >= u64::from(fails) * CLOSE_ENOUGH_PERCENT
    }

    fn survived(&mut self, silence: u32) {
        if silence > self.works {
            (self.survivals, self.looks) = (0, 0);
        }
        // A shorter silence, ended by traffic, says nothing of the proven one.
        if silence >= self.works {
            self.losses = 0;
            self.survivals = self.survivals.saturating_add(u32::from(self.is_settled()));
        }
        self.works = self.works.max(silence.min(KEEPALIVE_SECONDS_MAX));
        // The loss that was seen was no fault of the NAT's.
        self.fails = self.fails.filter(|fails| *fails > self.works);
    }

    fn lost(&mut self, silence: u32) {
        if silence <= self.works {
            self.losses = self.losses.saturating_add(1);
            if self.losses < LOSSES_AT_PROVEN {
                return;
            }
            *self = Network { name: mem::take(&mut self.name), ..Network::default() };
        } else if self.is_settled() {
            (self.survivals, self.looks) = (0, LOOKS_MAX.min(self.looks + 1));
        }
        let fails = self.fails.map_or(silence, |fails| fails.min(silence));
        self.fails = (fails > KEEPALIVE_SECONDS_MIN).then_some(fails);
    }
}

fn seconds(silence: Duration) -> u32 {
    silence.as_secs().try_into().unwrap_or(u32::MAX)
}

fn cut(network: &str) -> &str {
    let end = (0..=NETWORK_BYTES_MAX.min(network.len())).rev().find(|end| network.is_char_boundary(*end));
    &network[..end.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRANTED: Duration = Duration::from_secs(KEEPALIVE_SECONDS_MAX as u64);

    /// A NAT that forgets a connection that was silent for `timeout` or, if it is `strict`, for as long.
    #[derive(Clone, Copy)]
    struct Nat {
        timeout: u64,
        strict: bool,
    }

    impl Nat {
        fn observe(self, silence: Duration) -> Observation {
            let is_lost =
                silence.as_secs() > self.timeout || self.strict && silence.as_secs() == self.timeout;
            if is_lost { Observation::Lost(silence) } else { Observation::Survived(silence) }
        }
    }

    /// Lives behind `nat` for so many silences; counts the losses.
    fn live(learner: &mut Learner, network: &str, nat: Nat, silences: usize) -> usize {
        let mut losses = 0;
        for _ in 0..silences {
            let observed = nat.observe(learner.silence(network, GRANTED));
            losses += usize::from(matches!(observed, Observation::Lost(_)));
            learner.observe(network, observed);
        }
        losses
    }

    fn assert_settled(learner: &Learner, network: &str, nat: Nat) {
        let silence = learner.silence(network, GRANTED).as_secs();
        let most = nat.timeout.min(KEEPALIVE_SECONDS_MAX.into());
        assert!(learner.is_settled(network), "{}", nat.timeout);
        assert!(silence * 100 >= most * 85 && silence <= most, "{silence} of {most}");
    }

    #[test]
    fn it_finds_what_a_nat_bears_within_five_losses_and_settles_close_below() {
        for minutes in [4, 5, 10, 30, 120] {
            for strict in [false, true] {
                let nat = Nat { timeout: minutes * 60, strict };
                let mut learner = Learner::default();
                let losses = live(&mut learner, "home", nat, 25);
                assert!(losses <= 5, "{minutes} min: {losses}");
                assert_settled(&learner, "home", nat);
                assert!(live(&mut learner, "home", nat, 1_000) <= 4, "settled is settled, but for a look");
                assert_settled(&learner, "home", nat);
            }
        }
    }

    #[test]
    fn it_finds_every_timeout_from_a_minute_to_three_hours() {
        for timeout in KEEPALIVE_SECONDS_MIN as u64 + 1..=10_800 {
            let nat = Nat { timeout, strict: timeout % 2 == 0 };
            let mut learner = Learner::default();
            assert!(live(&mut learner, "home", nat, 25) <= 5, "{timeout}");
            assert_settled(&learner, "home", nat);
        }
    }

    #[test]
    fn networks_are_learnt_apart_while_roaming() {
        let [home, mobile] = [(1_800, "home"), (300, "mobile")];
        let mut learner = Learner::default();
        let mut losses = 0;
        for _ in 0..30 {
            for (timeout, name) in [home, mobile] {
                losses += live(&mut learner, name, Nat { timeout, strict: false }, 1);
            }
        }
        assert!(losses <= 10, "{losses} on two networks");
        for (timeout, name) in [home, mobile] {
            assert_settled(&learner, name, Nat { timeout, strict: false });
        }
    }

    #[test]
    fn a_nat_that_forgets_sooner_than_it_did_is_learnt_anew() {
        for (before, after) in [(1_800, 300), (7_200, 240), (600, 500), (300, 90)] {
            let mut learner = Learner::default();
            live(&mut learner, "home", Nat { timeout: before, strict: false }, 30);
            let nat = Nat { timeout: after, strict: false };
            let losses = live(&mut learner, "home", nat, 30);
            assert!(losses <= 5, "{before} to {after}: {losses}");
            assert_settled(&learner, "home", nat);
        }
    }

    #[test]
    fn traffic_between_two_losses_does_not_hide_that_the_nat_has_changed() {
        let mut learner = Learner::default();
        live(&mut learner, "home", Nat { timeout: 1_800, strict: false }, 30);
        let before = learner.silence("home", GRANTED);
        for observed in [
            Observation::Lost(before),
            Observation::Survived(Duration::from_secs(70)),
            Observation::Lost(before),
        ] {
            learner.observe("home", observed);
        }
        assert!(learner.silence("home", GRANTED) < before);
    }

    #[test]
    fn one_loss_at_a_proven_silence_is_a_coincidence() {
        let mut learner = Learner::default();
        live(&mut learner, "home", Nat { timeout: 1_800, strict: false }, 30);
        let before = learner.silence("home", GRANTED);
        for _ in 0..5 {
            learner.observe("home", Observation::Lost(before));
            assert_eq!(learner.silence("home", GRANTED), before);
            learner.observe("home", Observation::Survived(before));
        }
    }

    #[test]
    fn a_nat_that_bears_more_than_it_did_is_found_in_time_and_one_that_does_not_costs_ever_less() {
        let mut learner = Learner::default();
        live(&mut learner, "home", Nat { timeout: 300, strict: false }, 30);
        assert!(live(&mut learner, "home", Nat { timeout: 300, strict: false }, 100_000) <= 12);
        let mut learner = Learner::default();
        live(&mut learner, "home", Nat { timeout: 300, strict: false }, 30);
        let grown = Nat { timeout: 3_600, strict: false };
        assert!(live(&mut learner, "home", grown, 100) <= 5);
        assert_settled(&learner, "home", grown);
    }

    #[test]
    fn a_loss_that_was_no_fault_of_the_nats_is_made_up_for() {
        let mut learner = Learner::default();
        learner.observe("home", Observation::Survived(Duration::from_secs(60)));
        learner.observe("home", Observation::Lost(Duration::from_secs(120)));
        let nat = Nat { timeout: 1_800, strict: false };
        assert!(live(&mut learner, "home", nat, 100) <= 5);
        assert_settled(&learner, "home", nat);
    }

    #[test]
    fn the_servers_grant_bounds_it_and_teaches_nothing_wrong() {
        let mut learner = Learner::default();
        let granted = Duration::from_secs(600);
        for _ in 0..20 {
            let silence = learner.silence("home", granted);
            learner.observe("home", Observation::Survived(silence));
            assert!(silence <= granted);
        }
        assert_eq!(learner.silence("home", granted), granted);
        assert!(learner.silence("home", GRANTED) > granted);
    }

    #[test]
    fn a_nat_below_the_shortest_silence_is_left_at_that() {
        let mut learner = Learner::default();
        live(&mut learner, "home", Nat { timeout: 30, strict: false }, 20);
        assert_eq!(learner.silence("home", GRANTED).as_secs(), u64::from(KEEPALIVE_SECONDS_MIN));
    }

    #[test]
    fn the_network_not_used_for_longest_is_forgotten_first_and_names_are_bounded() {
        let mut learner = Learner::default();
        let two_minutes = Observation::Survived(Duration::from_secs(120));
        learner.observe("first", two_minutes);
        for number in 1..NETWORKS_MAX {
            learner.observe(&format!("{}{number}", "é".repeat(60)), two_minutes);
        }
        learner.observe("first", two_minutes);
        learner.observe("one more", two_minutes);
        assert_eq!(learner.networks.len(), NETWORKS_MAX);
        assert!(
            learner.silence("first", GRANTED) > learner.silence(&format!("{}1", "é".repeat(60)), GRANTED)
        );
        learner.observe(&"é".repeat(1_000), two_minutes);
        assert!(learner.networks.iter().all(|network| network.name.len() <= NETWORK_BYTES_MAX));
    }

    #[test]
    fn what_was_stored_comes_back_and_what_was_damaged_does_no_harm() {
        let mut learner = Learner::default();
        live(&mut learner, "home", Nat { timeout: 1_800, strict: false }, 30);
        let stored = serde_json::to_string(&learner).expect("plain");
        assert_eq!(serde_json::from_str::<Learner>(&stored).expect("written above").sanitized(), learner);
        let damaged = r#"{"networks":[{"name":"home","works":4000000000,"fails":3,"losses":255}]}"#;
        let mut learner = serde_json::from_str::<Learner>(damaged).expect("well-formed").sanitized();
        assert_eq!(learner.silence("home", GRANTED), GRANTED);
        learner.observe("home", Observation::Lost(GRANTED));
        assert!(learner.silence("home", GRANTED) < GRANTED);
    }
}
