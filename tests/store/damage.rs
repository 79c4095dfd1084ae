//! Damaged files: an error that names the file, or everything is there. Never a silent loss.

use std::fs;
use std::path::{Path, PathBuf};

use lomiri_push::store::StoreError;

use super::load::{Queue, message, open, pending, promise};

const DEVICES: u64 = 20;
const MESSAGES: u64 = 2_000;

/// A directory with a queue in it, closed.
fn filled() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let mut queue = open(dir.path()).expect("a new queue opens");
    for first in (0..MESSAGES).step_by(50) {
        let batch = (first..first + 50).map(|number| message(number % DEVICES, number, 200)).collect();
        promise(&mut queue, batch);
    }
    assert_all_there(&mut queue, "before the damage");
    dir
}

fn assert_all_there(queue: &mut Queue, when: &str) {
    for device in 0..DEVICES {
        let expected: Vec<u64> = (0..MESSAGES).filter(|number| number % DEVICES == device).collect();
        assert_eq!(pending(queue, device), expected, "{when}");
    }
}

fn copy(dir: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().expect("a directory");
    for entry in fs::read_dir(dir).expect("readable") {
        let entry = entry.expect("readable");
        if entry.file_type().expect("known").is_file() && entry.file_name() != "ballast" {
            fs::copy(entry.path(), to.path().join(entry.file_name())).expect("copies");
        }
    }
    to
}

fn snapshots(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).expect("readable").map(|entry| entry.expect("readable").path());
    paths.filter(|path| path.to_string_lossy().contains("/snap.")).collect()
}

/// Opens what is in `dir`; true if it was refused as damaged.
fn is_noticed(dir: &Path, when: &str) -> bool {
    match open(dir) {
        Ok(mut queue) => {
            assert_all_there(&mut queue, when);
            false
        }
        Err(StoreError::Damaged { file, reason }) => {
            assert_eq!(file, dir.join("db"), "{when}: {reason}");
            println!("{when}: {reason}");
            true
        }
        Err(error) => panic!("{when}: {error}"),
    }
}

#[test]
fn a_flipped_byte_in_the_data_file_is_noticed_or_harmless() {
    let dir = filled();
    let length = fs::metadata(dir.path().join("db")).expect("there").len();
    let mut noticed = 0;
    for step in 0..40 {
        let damaged = copy(dir.path());
        let file = damaged.path().join("db");
        let mut bytes = fs::read(&file).expect("readable");
        let at = (length * step / 40 + 17 * step) as usize;
        bytes[at] ^= 0x40;
        fs::write(&file, bytes).expect("writes");
        noticed += u32::from(is_noticed(damaged.path(), &format!("byte {at} of {length}")));
    }
    assert!(noticed > 0, "no flipped byte hit any data");
}

#[test]
fn a_cut_data_file_is_noticed_every_time_it_is_opened() {
    let dir = filled();
    let length = fs::metadata(dir.path().join("db")).expect("there").len();
    for kept in (0..20).map(|part| length * part / 20) {
        let damaged = copy(dir.path());
        let file = fs::OpenOptions::new().write(true).open(damaged.path().join("db")).expect("opens");
        file.set_len(kept).expect("cuts");
        let when = format!("cut to {kept} of {length}");
        if is_noticed(damaged.path(), &when) {
            assert!(is_noticed(damaged.path(), &when), "{when}: not noticed the second time");
        }
    }
}

#[test]
fn a_missing_data_file_is_not_an_empty_queue() {
    let dir = filled();
    fs::remove_file(dir.path().join("db")).expect("removes");
    assert!(is_noticed(dir.path(), "removed"));
    for snapshot in snapshots(dir.path()) {
        fs::remove_file(snapshot).expect("removes");
    }
    assert!(is_noticed(dir.path(), "removed with its snapshots"));
}

#[test]
fn a_data_file_from_before_the_last_batch_is_noticed() {
    let dir = filled();
    let before = copy(dir.path());
    let mut queue = open(dir.path()).expect("opens");
    promise(&mut queue, vec![message(DEVICES, MESSAGES, 10)]);
    drop(queue);
    fs::copy(dir.path().join("written"), before.path().join("written")).expect("copies");
    assert!(is_noticed(before.path(), "an older data file"));
}

#[test]
fn damaged_and_unfinished_snapshots_do_no_harm() {
    let dir = filled();
    drop(open(dir.path()).expect("opens, and leaves a snapshot"));
    let snapshots = snapshots(dir.path());
    assert!(!snapshots.is_empty());
    for snapshot in &snapshots {
        let mut bytes = fs::read(snapshot).expect("readable");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x40;
        fs::write(snapshot, bytes).expect("writes");
    }
    fs::write(dir.path().join("snap.0000000000000001.generating"), b"half").expect("writes");
    assert!(!is_noticed(dir.path(), "damaged snapshots"));
    assert!(!is_noticed(dir.path(), "after damaged snapshots"));
}
