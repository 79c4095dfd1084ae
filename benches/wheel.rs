//! What a shard's deadlines cost it when there are a million: `cargo bench --bench wheel`.

use std::cell::RefCell;
use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;
use lomiri_push::base::Monotonic;
use lomiri_push::broker::{DEADLINE_MOVES_MAX, DEADLINES_MAX, Wheel};

const DEADLINES: u32 = 1_000_000;
/// A keepalive of half an hour: each device's deadline lies somewhere in it.
const SPREAD_MS: u64 = 1_800_000;
/// So often a shard looks that has much to do.
const TICK_MS: u64 = 10;
/// One life of a wheel whose deadlines all come at once takes about as many turns.
const TURNS: u32 = 1_200;

fn main() {
    divan::main();
}

fn at(millis: u64) -> Monotonic {
    Monotonic(Duration::from_millis(millis))
}

/// All keys, in no order.
fn keys() -> impl Iterator<Item = u32> {
    (0..u64::from(DEADLINES)).map(|number| (number * 618_033 % u64::from(DEADLINES)) as u32)
}

/// When a key is due.
fn due(key: u32) -> Monotonic {
    at(u64::from(key) * 1_299_709 % SPREAD_MS)
}

/// Keys as they are given to those who come.
fn filled(due: impl Fn(u32) -> Monotonic) -> Wheel {
    let mut wheel = Wheel::default();
    (0..DEADLINES).for_each(|key| wheel.set(key, due(key)));
    wheel
}

/// With the growth that it takes.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn insert(bencher: Bencher) {
    bencher.counter(ItemsCount::new(DEADLINES)).bench_local(|| filled(due));
}

/// As whenever a device has said something.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn set_again(bencher: Bencher) {
    bencher.counter(ItemsCount::new(DEADLINES)).with_inputs(|| filled(due)).bench_local_refs(|wheel| {
        keys().for_each(|key| wheel.set(key, due(DEADLINES - key)));
    });
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn cancel(bencher: Bencher) {
    bencher.counter(ItemsCount::new(DEADLINES)).with_inputs(|| filled(due)).bench_local_refs(|wheel| {
        keys().for_each(|key| wheel.cancel(key));
    });
}

/// The half hour passes, tick by tick.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn expire(bencher: Bencher) {
    bencher.counter(ItemsCount::new(DEADLINES)).with_inputs(|| filled(due)).bench_local_refs(|wheel| {
        let ticks = (0..=SPREAD_MS / TICK_MS).map(|tick| at(tick * TICK_MS));
        let expired: usize = ticks.map(|now| expire_until(wheel, now, usize::MAX)).sum();
        assert_eq!(expired, DEADLINES as usize);
    });
}

/// What one turn of the shard spends here when all come at once, an hour from now: look at the slowest.
#[divan::bench(sample_count = TURNS, sample_size = 1)]
fn turn(bencher: Bencher) {
    let now = at(3_600_000);
    let full = || filled(|key| at(now.0.as_millis() as u64 - u64::from(key % 100)));
    let wheel = RefCell::new(full());
    let refill = || {
        if wheel.borrow().next().is_none() {
            wheel.replace(full());
        }
    };
    bencher
        .with_inputs(refill)
        .bench_local_values(|()| expire_until(&mut wheel.borrow_mut(), now, DEADLINES_MAX));
}

/// At most `most`, with as many moves as a turn has.
fn expire_until(wheel: &mut Wheel, now: Monotonic, most: usize) -> usize {
    let mut moves = DEADLINE_MOVES_MAX;
    (0..most).take_while(|_| wheel.expire(now, &mut moves).is_some()).count()
}
