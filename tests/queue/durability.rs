//! What holds when the store fails, forgets or lies.

use std::time::Duration;

use lomiri_push::base::{Now, Seq, Wall};
use lomiri_push::queue::{Answer, Command, Limits, Refusal};
use lomiri_push::store::{Fault, Memory, StoreError};

use super::world::{World, broadcast, fetch, post};

fn damaged(result: Result<World, StoreError>) -> String {
    match result {
        Err(StoreError::Damaged { file, reason }) => {
            assert_eq!(file.to_string_lossy(), "memory");
            reason
        }
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("the damage went unnoticed"),
    }
}

#[test]
fn a_failure_of_the_store_is_final_and_leaves_nothing_half_written() {
    for fault in [Fault::Full, Fault::CrashBefore, Fault::CrashAfter] {
        let mut world = World::new(Limits::default());
        world.promise([post("carol", "a", "1")]);
        world.queue.store_mut().fail_next(fault);
        let outcomes =
            world.handle(vec![post("carol", "a", "2"), fetch("carol", Seq(0)), post("carol", "a", "3")]);
        let is_refused = |answer: &Answer| matches!(answer, Answer::Refused(Refusal::Unavailable));
        assert!(outcomes.answers.iter().all(is_refused), "{outcomes:?}");
        assert!(outcomes.events.is_empty());
        world.queue.store_mut().restart();
        assert_eq!(world.refusal(post("carol", "a", "4")), Refusal::Unavailable);
        assert_eq!(world.refusal(fetch("carol", Seq(0))), Refusal::Unavailable);
        assert!(world.queue.failure().is_some());
        assert_eq!(world.queue.due_in(world.now), None);

        world.restart();
        let expected: &[&str] = if fault == Fault::CrashAfter { &["1", "2", "3"] } else { &["1"] };
        assert_eq!(world.pending("carol"), expected, "{fault:?}");
    }
}

#[test]
fn a_number_is_never_given_twice_even_after_an_empty_queue_restarts() {
    let mut world = World::new(Limits::default());
    world.promise([post("carol", "a", "1")]);
    let (first, _) = world.pending_with_seqs("carol")[0];
    world.ack("carol", 1);
    world.wait(Duration::from_secs(1));
    world.handle(Vec::new());
    assert_eq!(world.queue.counts().messages, 0);
    world.restart();
    world.promise([post("carol", "a", "2")]);
    let (second, _) = world.pending_with_seqs("carol")[0];
    assert!(second > first);
}

/// A message that the journal does not take.
fn large_post() -> Command {
    post("carol", "a", &format!("\"{}\"", "2".repeat(2_000)))
}

#[test]
fn a_lost_row_a_row_too_many_and_a_changed_one_are_noticed() {
    let mut world = World::new(Limits::default());
    world.token("carol", "a");
    world.promise([post("carol", "a", "1"), large_post(), broadcast("3", Wall(u64::MAX))]);
    let store = world.queue.store_mut().clone();
    let keys: Vec<Vec<u8>> = store.clone().rows_mut().keys().cloned().collect();
    let kinds: Vec<u8> = keys.iter().map(|key| key[0]).collect();
    assert_eq!(
        kinds, *b"bhjmr",
        "a broadcast, the head, the journal with a message, another, a registration"
    );
    let open = |store: Memory| World::open(store, Limits::default(), Now::default());
    for key in keys {
        let mut lossy = store.clone();
        lossy.rows_mut().remove(&key);
        damaged(open(lossy));
        let mut changed = store.clone();
        changed.rows_mut().get_mut(&key).expect("there")[7] ^= 1;
        damaged(open(changed));
    }
    world.ack("carol", 1);
    let mut revived = world.queue.close().expect("the store works");
    for (key, value) in store.clone().rows_mut() {
        revived.rows_mut().entry(key.clone()).or_insert(value.clone());
    }
    assert_eq!(damaged(open(revived)), "4 rows where 3 were written, or others than those");
    assert!(open(store).is_ok());
}

#[test]
fn rows_older_than_the_last_durable_batch_are_noticed() {
    let mut world = World::new(Limits::default());
    world.promise([post("carol", "a", "1")]);
    let mut earlier = world.queue.store_mut().clone();
    world.promise([post("carol", "a", "2")]);
    let mut rolled_back = world.queue.store_mut().clone();
    *rolled_back.rows_mut() = earlier.rows_mut().clone();
    let reason = damaged(World::open(rolled_back, Limits::default(), Now::default()));
    assert_eq!(reason, "it ends at batch 1, though batch 2 had been written");
    let mut emptied = world.queue.store_mut().clone();
    emptied.rows_mut().clear();
    damaged(World::open(emptied, Limits::default(), Now::default()));
}

#[test]
fn a_message_that_vanishes_under_a_running_queue_ends_it() {
    let mut world = World::new(Limits::default());
    world.promise([large_post()]);
    world.queue.store_mut().rows_mut().retain(|key, _| key[0] != b'm');
    assert_eq!(world.refusal(fetch("carol", Seq(0))), Refusal::Unavailable);
    assert!(matches!(world.queue.failure(), Some(StoreError::Damaged { .. })));
}
