//! A disk that runs full, for real, while the queue is open and when it opens.

use std::fs;

use lomiri_push::queue::{Answer, Limits, Refusal};
use lomiri_push::store::{Disk, DurableQueue, StoreError};

use super::load::{NOW, Queue, handle, message, open, pending, promise};
use super::small_disk::SmallDisk;

/// Queues messages until the disk refuses one; how many were promised.
fn fill(queue: &mut Queue, first: u64) -> u64 {
    for number in first.. {
        match handle(queue, vec![message(number / 50, number, 2_000)]).pop() {
            Some(Answer::Done) => {}
            Some(Answer::Refused(Refusal::Unavailable)) => return number,
            answer => panic!("{answer:?}"),
        }
    }
    unreachable!("disks end")
}

fn assert_all_there(queue: &mut Queue, promised: u64) {
    let mut found = Vec::new();
    for device in 0..=promised / 50 {
        found.extend(pending(queue, device));
    }
    // The batch that failed may have reached the disk all the same.
    found.truncate(usize::try_from(promised).expect("few"));
    assert_eq!(found, (0..promised).collect::<Vec<_>>());
}

#[test]
fn a_full_disk_fails_the_queue_and_the_ballast_opens_it_again() {
    let Some(disk) = SmallDisk::in_memory(192) else { return };
    let mut queue = open(&disk.queue_dir()).expect("a new queue opens");
    let ballast = disk.queue_dir().join("ballast");
    assert!(ballast.exists());
    let filler = disk.path().join("filler");
    fs::write(&filler, vec![1; 136 << 20]).expect("other files take most of the disk");

    let promised = fill(&mut queue, 0);
    println!("{promised} messages until {}", queue.failure().expect("a failure"));
    let answers = handle(&mut queue, vec![message(0, promised, 1)]);
    assert!(matches!(answers[..], [Answer::Refused(Refusal::Unavailable)]), "the failure is final");
    drop(queue);
    fs::write(disk.path().join("rest"), vec![1; 64 << 20]).expect_err("the disk is full to the last byte");

    let mut queue = open(&disk.queue_dir()).expect("the ballast makes room");
    assert!(!ballast.exists());
    assert_all_there(&mut queue, promised);
    drop(queue);

    fs::remove_file(&filler).expect("someone makes room");
    let mut queue = open(&disk.queue_dir()).expect("opens");
    assert!(ballast.exists(), "the ballast is taken again");
    assert_all_there(&mut queue, promised);
    promise(&mut queue, vec![message(1 << 40, 1, 2_000)]);
}

/// On this file system sled leaves an empty snapshot behind when there is no room for one.
#[test]
fn others_fill_the_disk_and_the_ballast_opens_the_queue_nevertheless() {
    let Some(disk) = SmallDisk::ext4(400) else { return };
    let mut queue = open(&disk.queue_dir()).expect("a new queue opens");
    for number in 0..200 {
        promise(&mut queue, vec![message(number / 50, number, 3_000)]);
    }
    let filler = disk.fill();
    drop(queue);

    let mut queue = open(&disk.queue_dir()).expect("the ballast makes room");
    assert_all_there(&mut queue, 200);
    drop(queue);
    fs::remove_file(&filler).expect("someone makes room");
    assert_all_there(&mut open(&disk.queue_dir()).expect("opens"), 200);
}

#[test]
fn a_disk_without_room_to_open_is_called_full_and_nothing_is_lost() {
    let Some(disk) = SmallDisk::ext4(100) else { return };
    let mut queue = open(&disk.queue_dir()).expect("a new queue opens");
    for number in 0..200 {
        promise(&mut queue, vec![message(number / 50, number, 3_000)]);
    }
    assert!(!disk.queue_dir().join("ballast").exists(), "the disk is too small for it");
    let filler = disk.fill();
    drop(queue);

    for _ in 0..3 {
        let error = open(&disk.queue_dir()).err().expect("there is no room");
        assert!(matches!(error, StoreError::Full { .. }), "{error}");
        let file = disk.queue_dir().join("db").display().to_string();
        let expected = format!("cannot open {file}: the disk is full, and 32 MiB must be free");
        assert_eq!(error.to_string(), expected);
    }
    fs::remove_file(&filler).expect("someone makes room");
    assert_all_there(&mut open(&disk.queue_dir()).expect("opens"), 200);
}

#[test]
fn below_the_floor_of_free_disk_messages_are_refused_until_there_is_room() {
    let Some(disk) = SmallDisk::in_memory(64) else { return };
    let limits = Limits { free_disk_min_bytes: 32 << 20, ..Limits::default() };
    let store = Disk::open(&disk.queue_dir()).expect("opens");
    let mut queue = DurableQueue::open(store, limits, NOW).expect("opens");
    promise(&mut queue, vec![message(1, 1, 100)]);

    let filler = disk.path().join("filler");
    fs::write(&filler, vec![1; 40 << 20]).expect("other files take the room");
    let answers = handle(&mut queue, vec![message(1, 2, 100)]);
    assert!(matches!(answers[..], [Answer::Refused(Refusal::Unavailable)]));
    assert!(queue.failure().is_none());

    fs::remove_file(&filler).expect("someone makes room");
    promise(&mut queue, vec![message(1, 3, 100)]);
    assert_eq!(pending(&mut queue, 1), [1, 3]);
}
