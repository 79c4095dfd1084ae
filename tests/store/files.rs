//! The directory of a queue: whose it is, and who may open it.

use std::os::unix::fs::PermissionsExt;

use lomiri_push::store::StoreError;

use super::load::open;

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
