//! The folder where a device keeps what makes it this device. What is in its file, `device::state` knows.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Failure;
use crate::device::state::State;
use crate::files::write_whole;

/// Whoever reads the file can pass for the device.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
/// What a mode allows others than the owner.
const OTHERS: u32 = 0o077;

/// The device that is enrolled in `folder`.
pub fn load(folder: &Path) -> Result<State, Failure> {
    let path = file_in(folder);
    let refuse = |problem: String| Failure::Usage(format!("{}: {problem}", path.display()));
    let unreadable = |error: io::Error| match error.kind() {
        ErrorKind::NotFound => Failure::Usage(format!(
            "{}: no device is enrolled here: `lomiri-push device enrol CODE --state {}`",
            folder.display(),
            folder.display()
        )),
        _ => refuse(format!("cannot be read: {error}")),
    };
    let mode = fs::metadata(&path).map_err(unreadable)?.permissions().mode();
    if mode & OTHERS != 0 {
        let mode = mode & 0o777;
        return Err(refuse(format!(
            "others may read it (mode {mode:03o}): make it yours alone, by chmod 600"
        )));
    }
    State::from_json(&fs::read(&path).map_err(unreadable)?).map_err(|error| refuse(error.to_string()))
}

/// Whether a device is enrolled in `folder`.
pub fn is_enrolled(folder: &Path) -> bool {
    file_in(folder).exists()
}

/// Makes sure that a device can be kept in `folder`, and that none is yet: a code is good only once.
pub fn prepare(folder: &Path) -> Result<(), Failure> {
    let refuse = |problem: String| Failure::Usage(format!("{}: {problem}", folder.display()));
    if is_enrolled(folder) {
        return Err(refuse("a device is enrolled here already: take another folder".into()));
    }
    let unusable = |error: io::Error| refuse(format!("cannot be used: {error}"));
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).map_err(unusable)?;
    let probe = folder.join("device.json.probe");
    write_whole(&probe, b"", FILE_MODE).and_then(|()| fs::remove_file(&probe)).map_err(unusable)
}

/// Keeps `state` in `folder`, which was prepared.
pub fn store(folder: &Path, state: &State) -> io::Result<()> {
    write_whole(&file_in(folder), state.to_json().as_bytes(), FILE_MODE)
}

fn file_in(folder: &Path) -> PathBuf {
    folder.join("device.json")
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;
    use crate::base::{Credential, Pin};

    fn state() -> State {
        State {
            server: "push.example.org:9090".parse().expect("an address"),
            name: "push.example.org".into(),
            pin: Pin([7; 32]),
            device: "q".parse().expect("an id"),
            credential: Credential::new([9; 32]),
            api: None,
        }
    }

    fn problem<T>(outcome: Result<T, Failure>) -> String {
        match outcome {
            Err(Failure::Usage(line)) => line,
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("was taken"),
        }
    }

    #[test]
    fn a_device_is_kept_for_its_owner_alone_and_never_replaced() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let folder = folder.path().join("new/phone");
        prepare(&folder).expect("nothing is there");
        store(&folder, &state()).expect("writable");
        assert_eq!(format!("{:?}", load(&folder).expect("stored")), format!("{:?}", state()));
        for (path, mode) in [(folder.clone(), 0o700), (file_in(&folder), 0o600)] {
            assert_eq!(fs::metadata(path).expect("made").permissions().mode() & 0o777, mode);
        }
        assert_eq!(fs::read_dir(&folder).expect("readable").count(), 1, "nothing else is left");
        assert!(
            problem(prepare(&folder)).ends_with("a device is enrolled here already: take another folder")
        );
    }

    #[test]
    fn a_folder_without_a_device_says_how_to_enrol_one() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = folder.path().display();
        let expected =
            format!("{place}: no device is enrolled here: `lomiri-push device enrol CODE --state {place}`");
        assert_eq!(problem(load(folder.path())), expected);
    }

    #[test]
    fn a_file_that_others_may_read_or_that_is_damaged_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = file_in(folder.path());
        store(folder.path(), &state()).expect("writable");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("ours");
        assert!(problem(load(folder.path())).contains("others may read it (mode 640)"));
        for (text, expected) in [("{", "is damaged"), ("{\"version\":9}", "made for another version")] {
            write_whole(&path, text.as_bytes(), FILE_MODE).expect("writable");
            assert!(problem(load(folder.path())).contains(expected));
        }
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told_before_a_code_is_spent() {
        assert!(problem(prepare(Path::new("/proc/phone"))).starts_with("/proc/phone: cannot be used: "));
    }
}
