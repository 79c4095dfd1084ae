//! All deadlines of a shard: a hierarchical timing wheel. Setting and cancelling cost the same
//! however many there are. It knows keys and times, not what they are for.
//!
//! Time runs in ticks of 10 ms. A deadline lies on the level where its tick first differs from the
//! current one, in groups of six bits, and sinks a level each time the current tick enters its slot:
//!
//! ```text
//! tick      …  | 6 bits | 6 bits | 6 bits |
//! level            2        1        0
//! slot width    40.96 s   640 ms    10 ms
//! ```
//!
//! A deadline never fires early, and at most one tick late after the caller looks and has made all moves.
//! When a slot of many is entered they sink some at a time, as many as the caller has time for.

use std::time::Duration;

use crate::base::Monotonic;

/// Half of the 20 ms that a deadline may be late, which leaves the other half to the loop.
const TICK_MS: u64 = 10;
const TICK_NANOS: u128 = TICK_MS as u128 * 1_000_000;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// Six levels reach 2^36 ticks, 21 years of uptime.
const LEVELS: usize = 6;
/// Later deadlines are set here: the process will not live to see it.
const TICK_MAX: u64 = (1 << (SLOT_BITS * LEVELS as u32)) - 1;
/// The end of a list, and the slot of a key that has no deadline.
const NONE: u32 = u32::MAX;

/// At most one deadline for each key; keys are small dense numbers.
///
/// Drive it by [`Wheel::set`] and [`Wheel::cancel`]; look again at [`Wheel::next`], and then call
/// [`Wheel::expire`] until it returns `None`. Each of these takes constant time, but for the moves that
/// [`Wheel::expire`] is allowed.
#[derive(Debug)]
pub struct Wheel {
    /// Every deadline before this tick has been returned.
    current: u64,
    levels: [Level; LEVELS],
    /// The slot that the current tick has entered and not all have left. Time stands still until they have.
    sinking: Option<(usize, usize)>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    /// Bit n: slot n has an entry.
    occupied: u64,
    heads: [u32; SLOTS],
}

/// A link in the list of its slot.
#[derive(Clone, Copy, Debug)]
struct Entry {
    due: u64,
    before: u32,
    after: u32,
    /// `level * SLOTS + slot`, or [`NONE`].
    place: u32,
}

const UNSET: Entry = Entry { due: 0, before: NONE, after: NONE, place: NONE };

impl Default for Wheel {
    /// An empty wheel.
    fn default() -> Wheel {
        let level = Level { occupied: 0, heads: [NONE; SLOTS] };
        Wheel { current: 0, levels: [level; LEVELS], sinking: None, entries: Vec::new() }
    }
}

impl Wheel {
    /// Gives `key` this deadline in place of any it had.
    pub fn set(&mut self, key: u32, deadline: Monotonic) {
        self.cancel(key);
        let index = key as usize;
        if index >= self.entries.len() {
            self.entries.resize(index + 1, UNSET);
        }
        let due = first_tick_at_or_after(deadline).clamp(self.current, TICK_MAX);
        self.link(key, due);
    }

    /// Takes the deadline of `key` away, if it has one.
    pub fn cancel(&mut self, key: u32) {
        if self.entries.get(key as usize).is_some_and(|entry| entry.place != NONE) {
            self.unlink(key);
        }
    }

    /// When to call [`Wheel::expire`] next: no later than the earliest deadline's tick.
    pub fn next(&self) -> Option<Monotonic> {
        let (level, slot) = self.first_occupied()?;
        Some(Monotonic(Duration::from_millis(self.slot_start(level, slot) * TICK_MS)))
    }

    /// A key whose deadline has passed; its deadline is gone. None if there is no more, or if all `moves` have
    /// been made, each of which takes one key a level down: then more may be due.
    pub fn expire(&mut self, now: Monotonic, moves: &mut usize) -> Option<u32> {
        let reached = last_tick_at_or_before(now);
        while let Some((level, slot)) = self.first_occupied() {
            let start = self.slot_start(level, slot);
            if start > reached {
                break;
            }
            self.current = start;
            if level == 0 {
                let head = self.levels[level].heads[slot];
                self.unlink(head);
                return Some(head);
            }
            self.sink(level, slot, moves);
            if self.sinking.is_some() {
                return None;
            }
        }
        self.current = self.current.max(reached.min(TICK_MAX));
        None
    }

    /// Moves the keys of a slot that the current tick has entered to lower levels.
    fn sink(&mut self, level: usize, slot: usize, moves: &mut usize) {
        self.sinking = Some((level, slot));
        while self.levels[level].heads[slot] != NONE {
            if *moves == 0 {
                return;
            }
            *moves -= 1;
            let key = self.levels[level].heads[slot];
            let Entry { due, .. } = self.entries[key as usize];
            self.unlink(key);
            self.link(key, due);
        }
        self.sinking = None;
    }

    /// The slot that the current tick reaches first. No slot before the current one is occupied on
    /// any level, and a lower level's slots all come before a higher one's, but for one that is sinking.
    fn first_occupied(&self) -> Option<(usize, usize)> {
        if self.sinking.is_some() {
            return self.sinking;
        }
        let level = self.levels.iter().position(|level| level.occupied != 0)?;
        Some((level, self.levels[level].occupied.trailing_zeros() as usize))
    }

    /// The first tick of a slot in the current turn of its level.
    fn slot_start(&self, level: usize, slot: usize) -> u64 {
        let width = SLOT_BITS * level as u32;
        let turn = self.current >> (width + SLOT_BITS) << (width + SLOT_BITS);
        turn | (slot as u64) << width
    }

    fn link(&mut self, key: u32, due: u64) {
        let differs = (self.current ^ due) | 1;
        let level = (differs.ilog2() / SLOT_BITS) as usize;
        let slot = (due >> (SLOT_BITS * level as u32)) as usize % SLOTS;
        let Level { occupied, heads } = &mut self.levels[level];
        let after = std::mem::replace(&mut heads[slot], key);
        *occupied |= 1 << slot;
        if after != NONE {
            self.entries[after as usize].before = key;
        }
        let place = (level * SLOTS + slot) as u32;
        self.entries[key as usize] = Entry { due, before: NONE, after, place };
    }

    fn unlink(&mut self, key: u32) {
        let Entry { before, after, place, .. } = std::mem::replace(&mut self.entries[key as usize], UNSET);
        if after != NONE {
            self.entries[after as usize].before = before;
        }
        if before != NONE {
            self.entries[before as usize].after = after;
            return;
        }
        let (level, slot) = (place as usize / SLOTS, place as usize % SLOTS);
        self.levels[level].heads[slot] = after;
        if after == NONE {
            self.levels[level].occupied &= !(1 << slot);
        }
    }
}

fn first_tick_at_or_after(time: Monotonic) -> u64 {
    ticks(time.0.as_nanos().div_ceil(TICK_NANOS))
}

fn last_tick_at_or_before(time: Monotonic) -> u64 {
    ticks(time.0.as_nanos() / TICK_NANOS)
}

fn ticks(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn at(millis: u64) -> Monotonic {
        Monotonic(Duration::from_millis(millis))
    }

    fn expired(wheel: &mut Wheel, now: Monotonic) -> Vec<u32> {
        let mut moves = usize::MAX;
        let mut keys: Vec<u32> = std::iter::from_fn(|| wheel.expire(now, &mut moves)).collect();
        keys.sort_unstable();
        keys
    }

    /// Each device has one.
    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Entry>(), 24);
    }

    #[test]
    fn a_deadline_fires_once_and_never_early() {
        let mut wheel = Wheel::default();
        wheel.set(7, at(1_005));
        assert!(wheel.next().expect("set") <= at(1_010));
        assert!(expired(&mut wheel, at(1_004)).is_empty());
        assert_eq!(wheel.next(), Some(at(1_010)));
        assert_eq!(expired(&mut wheel, at(1_010)), [7]);
        assert_eq!(wheel.next(), None);
        assert!(expired(&mut wheel, at(9_999)).is_empty());
    }

    #[test]
    fn a_deadline_in_the_past_fires_at_once() {
        let mut wheel = Wheel::default();
        assert_eq!(wheel.expire(at(60_000), &mut 0), None);
        wheel.set(0, at(5));
        assert_eq!(wheel.next(), Some(at(60_000)));
        assert_eq!(expired(&mut wheel, at(60_000)), [0]);
    }

    #[test]
    fn a_deadline_that_is_moved_or_cancelled_does_not_fire_at_its_old_time() {
        let mut wheel = Wheel::default();
        for key in 0..3 {
            wheel.set(key, at(500));
        }
        wheel.set(0, at(90_000));
        wheel.cancel(1);
        wheel.cancel(1);
        wheel.cancel(1_000_000);
        assert_eq!(expired(&mut wheel, at(600)), [2]);
        assert_eq!(expired(&mut wheel, at(100_000)), [0]);
    }

    #[test]
    fn a_deadline_beyond_all_levels_waits_there() {
        let mut wheel = Wheel::default();
        wheel.set(0, Monotonic(Duration::MAX));
        assert!(expired(&mut wheel, at(10 * TICK_MS * TICK_MAX / 11)).is_empty());
        assert!(wheel.next().is_some());
    }

    #[test]
    fn a_million_deadlines_sink_as_many_at_a_time_as_there_is_time_for() {
        const KEYS: u32 = 1_000_000;
        let mut wheel = Wheel::default();
        for key in 0..KEYS {
            // All in one slot of the third level.
            wheel.set(key, at(3_600_000 + u64::from(key % 100)));
        }
        let (mut turns, mut fired) = (0, 0);
        while wheel.next().is_some() {
            let mut moves = 10_000;
            while wheel.expire(at(3_600_200), &mut moves).is_some() {
                fired += 1;
            }
            turns += 1;
        }
        assert_eq!(fired, KEYS);
        assert!(turns >= 2 * KEYS / 10_000, "each sinks several times: {turns}");
    }

    #[test]
    fn what_is_set_and_cancelled_while_others_sink_counts() {
        let mut wheel = Wheel::default();
        for key in 0..10 {
            wheel.set(key, at(90_000 + u64::from(key)));
        }
        let now = at(90_000 + 5_000);
        assert_eq!(wheel.expire(now, &mut 3), None, "no move is left");
        assert!(wheel.next().expect("more is due") <= now);
        (0..10).step_by(2).for_each(|key| wheel.cancel(key));
        wheel.set(20, at(1));
        wheel.set(21, at(200_000));
        assert_eq!(expired(&mut wheel, now), [1, 3, 5, 7, 9, 20]);
        assert_eq!(expired(&mut wheel, at(200_000)), [21]);
    }

    /// Any order of setting, cancelling and time passing gives what a sorted map gives.
    #[test]
    fn it_agrees_with_a_sorted_map() {
        let mut state: u64 = 42;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut wheel = Wheel::default();
        let mut model: BTreeMap<u32, u64> = BTreeMap::new();
        let mut now = 0;
        for step in 0..200_000 {
            let key = random(300) as u32;
            let reach = [20, 1_000, 100_000, 100_000_000][random(4) as usize];
            match random(4) {
                0 | 1 => {
                    let due = now + random(reach);
                    wheel.set(key, at(due));
                    model.insert(key, due);
                }
                2 => {
                    wheel.cancel(key);
                    model.remove(&key);
                }
                _ => {
                    now += random(reach.min(5_000));
                    // Sometimes not all at once, with all that may happen in between.
                    let is_whole = random(2) == 0;
                    let mut moves = if is_whole { usize::MAX } else { random(20) as usize };
                    let due: Vec<u32> = std::iter::from_fn(|| wheel.expire(at(now), &mut moves)).collect();
                    for key in &due {
                        let time = model.remove(key).expect("it was set");
                        assert!(time <= now, "step {step}: key {key} of {time} fired early at {now}");
                    }
                    let late = model.iter().find(|&(_, &time)| is_whole && time + TICK_MS <= now);
                    assert_eq!(late, None, "step {step}: late at {now}");
                }
            }
            let earliest = model.values().min().map(|&time| at(time + TICK_MS));
            match (wheel.next(), earliest) {
                (Some(next), Some(bound)) => assert!(next <= bound, "step {step}"),
                (next, bound) => assert_eq!(next.is_some(), bound.is_some(), "step {step}"),
            }
        }
    }
}
