//! Where a phone is in a week: at home, at work, on its way, on a train. Drawn from a seed.

use std::time::Duration;

use lomiri_push::base::Monotonic;

use super::dice::Dice;

pub const MINUTE: Duration = Duration::from_secs(60);
const HOUR: f64 = 3_600.0;
const DAYS: u32 = 7;
/// Days at home and out, behind as many to work.
const WORKDAYS: u32 = 5;
pub const WEEK: Duration = Duration::from_secs(DAYS as u64 * 24 * 3_600);

/// From when on a phone is somewhere.
#[derive(Clone, Copy)]
pub struct Stay {
    pub from: Monotonic,
    /// None: it knows of no network.
    pub network: Option<Network>,
}

/// A network as its phone meets it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Network {
    pub name: &'static str,
    /// After so long a silence its NAT forgets a connection, and tells nobody.
    pub nat_timeout: Duration,
    /// Whether anything passes: a phone in a tunnel may not know of it.
    pub passes: bool,
}

/// A week under way, hour by hour.
struct Trip<'a> {
    stays: Vec<Stay>,
    dice: &'a mut Dice,
    home: Network,
    work: Network,
    mobile: Network,
    cafe: Network,
}

/// Where a phone is, all week. It begins at home, on a Monday at midnight.
pub fn draw(dice: &mut Dice) -> Vec<Stay> {
    let mut network = |name, minutes: &[u32]| {
        let nat_timeout = MINUTE * dice.of(minutes);
        Network { name, nat_timeout, passes: true }
    };
    let home = network("home", &[30, 60, 120]);
    let work = network("work", &[10, 30, 60]);
    let mobile = network("mobile", &[4, 10, 15, 30]);
    let cafe = network("cafe", &[5, 10]);
    let mut trip = Trip { stays: Vec::new(), dice, home, work, mobile, cafe };
    trip.arrive(0.0, Some(home));
    (0..DAYS).for_each(|day| trip.live_a_day(day));
    trip.stays
}

impl Trip<'_> {
    fn live_a_day(&mut self, day: u32) {
        let midnight = f64::from(day) * 24.0;
        match day {
            0..WORKDAYS => self.go_to_work(midnight),
            WORKDAYS => self.go_to_town(midnight),
            _ => self.go_for_a_walk(midnight),
        }
    }

    fn go_to_work(&mut self, midnight: f64) {
        let Trip { home, work, mobile, .. } = *self;
        self.ride(midnight + 7.5, midnight + 8.25);
        self.arrive(midnight + 8.25, Some(work));
        self.arrive(midnight + 12.5, Some(mobile));
        self.arrive(midnight + 13.0, Some(work));
        self.take_the_train(midnight + 17.0, midnight + 17.75);
        self.arrive(midnight + 17.75, Some(home));
    }

    fn go_to_town(&mut self, midnight: f64) {
        let Trip { home, cafe, .. } = *self;
        self.ride(midnight + 13.0, midnight + 15.0);
        self.arrive(midnight + 15.0, Some(cafe));
        self.ride(midnight + 16.0, midnight + 18.0);
        self.arrive(midnight + 18.0, Some(home));
    }

    fn go_for_a_walk(&mut self, midnight: f64) {
        self.arrive(midnight + 14.0, Some(self.mobile));
        self.arrive(midnight + 16.0, Some(self.home));
    }

    /// Mobile data with a dead spot now and then.
    fn ride(&mut self, from: f64, until: f64) {
        self.go_by(from, until, [8.0, 20.0], [0.3, 2.0]);
    }

    /// Mobile data that comes and goes.
    fn take_the_train(&mut self, from: f64, until: f64) {
        self.go_by(from, until, [2.0, 6.0], [0.3, 3.0]);
    }

    /// Mobile data, good and bad by turns, each for so many minutes. Of each three bad times the phone knows
    /// of two.
    fn go_by(&mut self, from: f64, until: f64, good: [f64; 2], bad: [f64; 2]) {
        let mobile = self.mobile;
        let mut at = from;
        while at < until {
            self.arrive(at, Some(mobile));
            at += self.minutes(good);
            if at < until {
                let tunnel = Network { passes: false, ..mobile };
                let is_known = !self.dice.one_in(3);
                self.arrive(at, if is_known { None } else { Some(tunnel) });
            }
            at += self.minutes(bad);
        }
    }

    /// Something between so many minutes, in hours.
    fn minutes(&mut self, [least, most]: [f64; 2]) -> f64 {
        (least + (most - least) * self.dice.part()) / 60.0
    }

    fn arrive(&mut self, hour: f64, network: Option<Network>) {
        let from = Monotonic(Duration::from_secs_f64(hour * HOUR));
        self.stays.push(Stay { from, network });
    }
}
