//! What being reachable for a week may cost a phone's battery, whatever week it is.

#[path = "week/mod.rs"]
mod week;

use week::{ROWS, Week};

/// Two seconds without optimisation.
const SEEDS: u64 = 50;

/// Fifty weeks, each of which is so.
fn hold(what: &str, is_so: impl Fn(&Week) -> bool) {
    for seed in 0..SEEDS {
        let week = week::live(seed);
        let figures = ROWS.map(|(name, of)| (name, of(&week.ours), of(&week.existing_model)));
        assert!(is_so(&week), "{what}; seed {seed}: {figures:?}");
    }
}

#[test]
fn every_message_arrives_within_minutes_of_there_being_a_network() {
    hold("all came", |week| week.ours.messages == week.posted && week.existing_model.messages == week.posted);
    hold("none was later than ten minutes", |week| week.ours.delay_s_max < 600);
    hold("half came at once", |week| week.ours.delay_s_p50 == 0);
}

#[test]
fn a_phone_wakes_for_what_happens_and_seldom_for_a_timer() {
    hold("a quarter of the timers, at most", |week| week.ours.by_timer * 4 <= week.existing_model.by_timer);
    hold("less than half of all", |week| week.ours.wake_ups * 2 < week.existing_model.wake_ups);
}

#[test]
fn a_network_costs_one_connect_and_a_nat_a_handful_until_it_is_known() {
    hold("two attempts for each arrival, at most", |week| {
        let ours = &week.ours;
        ours.connects_full + ours.connects_resumed + ours.connects_failed <= 2 * week.arrivals
    });
    hold("five for each of four networks", |week| week.ours.lost <= 4 * 5);
}

#[test]
fn a_ticket_spares_all_full_handshakes_but_the_first() {
    hold("one is full", |week| week.ours.connects_full == 1);
}

#[test]
fn less_than_half_of_the_bytes_are_on_the_air() {
    hold("half of the bytes", |week| week.ours.bytes * 2 < week.existing_model.bytes);
}

#[test]
fn a_seed_is_a_week() {
    assert_eq!(week::live(7), week::live(7));
    assert_ne!(week::live(7), week::live(8));
}
