//! The directory of a queue: whose it is, and who may open it.

use std::os::unix::fs::PermissionsExt;

use lomiri_push::queue::MESSAGE_BYTES_MAX;
use lomiri_push::store::StoreError;

use super::load::{message, open, promise};

#[test]
fn a_second_holder_is_refused_and_the_first_goes_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = open(dir.path()).expect("opens");
    let Err(second) = open(dir.path()) else { panic!("opened twice") };
    assert!(matches!(second, StoreError::InUse { .. }), "{second}");
    assert!(second.to_string().ends_with("is in use by another process"), "{second}");
    drop(first);
    open(dir.path()).expect("opens when the first has gone");
}

#[test]
fn the_directory_is_for_its_owner_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let inside = dir.path().join("state/queue");
    open(&inside).expect("opens");
    let mode = inside.metadata().expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

/// sled moves what is long into files that it never syncs, and a page of many long rows is long.
#[test]
fn the_longest_messages_stay_in_the_file_that_is_synced() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut queue = open(dir.path()).expect("opens");
    for number in 0..500 {
        promise(&mut queue, vec![message(number % 10, number, MESSAGE_BYTES_MAX - 40)]);
    }
    let strays = dir.path().join("blobs").read_dir().expect("made by sled").count();
    assert_eq!(strays, 0);
}
