//! The file with the keys of TLS tickets: found again at each start, so that devices resume after a
//! restart too, and renewed while the server runs. What a ticket is, `tls` knows.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io, thread};

use log::warn;

use crate::base::Wall;
use crate::files::write_whole;
use crate::reactor::Clock;
use crate::tls::{TicketKeys, Tickets};

/// Whoever has the keys can open tickets, and pass for the server to those who resume.
const MODE: u32 = 0o600;
/// What a mode allows others than the owner.
const OTHERS: u32 = 0o077;
/// How often to look whether a rotation is due: seldom enough to cost nothing, and soon after a wrong
/// clock was set.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);

/// The keys as they are in the data folder, or would be if it could be written.
pub struct KeyFile {
    path: PathBuf,
    keys: TicketKeys,
}

impl KeyFile {
    /// The keys in `folder`, or first ones if there are none that can be used. Nothing of this is worth
    /// stopping a server for: without the old keys each device makes one full handshake.
    pub fn open(folder: &Path, now: Wall) -> KeyFile {
        let path = folder.join("ticket-keys.json");
        let found = load(&path).unwrap_or_else(|error| {
            warn!("{}: {error}: devices cannot resume until each has connected once", path.display());
            None
        });
        let is_missing = found.is_none();
        let mut file = KeyFile { path, keys: found.unwrap_or_else(|| TicketKeys::new(now, &mut random)) };
        // A key from the future is left for an hour: small boards boot with a clock that is behind.
        if file.keys.are_due(now) {
            file.rotate(now);
        } else if is_missing {
            file.store();
        }
        file
    }

    /// What tickets are sealed with now.
    pub fn keys(&self) -> &TicketKeys {
        &self.keys
    }

    /// Rotates the keys of `tickets` for as long as the process runs.
    pub fn keep_rotating(mut self, tickets: Arc<Tickets>, clock: Clock) -> io::Result<()> {
        let run = move || {
            loop {
                thread::sleep(LOOK_AGAIN);
                if self.rotate_if_due(clock.now().wall) {
                    tickets.use_keys(&self.keys);
                }
            }
        };
        thread::Builder::new().name("ticket keys".into()).spawn(run).map(drop)
    }

    fn rotate_if_due(&mut self, now: Wall) -> bool {
        let is_due = self.keys.are_due(now) || self.keys.are_from_after(now);
        if is_due {
            self.rotate(now);
        }
        is_due
    }

    fn rotate(&mut self, now: Wall) {
        self.keys = self.keys.rotated(now, &mut random);
        self.store();
    }

    fn store(&self) {
        if let Err(error) = write_whole(&self.path, self.keys.to_json().as_bytes(), MODE) {
            let path = self.path.display();
            warn!("{path}: cannot be written: {error}: devices will not resume after the next start");
        }
    }
}

/// None if there is no file yet.
fn load(path: &Path) -> Result<Option<TicketKeys>, String> {
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
        Ok(found) if !found.is_file() => return Err("is no file".to_owned()),
        Ok(found) if found.permissions().mode() & OTHERS != 0 => {
            return Err("others could read it, so its keys are not used any more".to_owned());
        }
        Ok(_) => {}
    }
    let text = fs::read(path).map_err(unreadable)?;
    TicketKeys::from_json(&text).map(Some).ok_or_else(|| "is damaged".to_owned())
}

fn random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system has random numbers");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::ROTATION;
    use std::fs::Permissions;

    const NOW: Wall = Wall(1_800_000_000_000);

    fn file_in(folder: &Path) -> PathBuf {
        folder.join("ticket-keys.json")
    }

    #[test]
    fn keys_are_made_once_and_are_for_the_owner_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let made = KeyFile::open(folder.path(), NOW).keys;
        assert!(KeyFile::open(folder.path(), NOW).keys == made, "they are found again");
        let mode = fs::metadata(file_in(folder.path())).expect("made").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1, "nothing else is left");
    }

    #[test]
    fn keys_rotate_when_their_day_is_over_at_a_start_and_while_running() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut file = KeyFile::open(folder.path(), NOW);
        let first = file.keys.clone();
        assert!(!file.rotate_if_due(NOW + (ROTATION - Duration::from_secs(1))));
        assert!(file.rotate_if_due(NOW + ROTATION) && file.keys != first);
        let second = file.keys;
        assert!(KeyFile::open(folder.path(), NOW + ROTATION).keys == second, "it was stored");
        assert!(KeyFile::open(folder.path(), NOW + 2 * ROTATION).keys != second);
    }

    #[test]
    fn a_clock_that_starts_behind_costs_no_keys_and_one_that_stays_so_does() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let made = KeyFile::open(folder.path(), NOW).keys;
        let mut file = KeyFile::open(folder.path(), Wall(0));
        assert!(file.keys == made);
        assert!(file.rotate_if_due(Wall(3_600_000)) && file.keys != made);
    }

    #[test]
    fn a_damaged_file_is_replaced() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let whole = KeyFile::open(folder.path(), NOW).keys.to_json();
        let make_private = || fs::set_permissions(file_in(folder.path()), Permissions::from_mode(MODE));
        for damaged in ["", "{}", "\0\u{7f}", &whole[..whole.len() / 2], &whole.replace("==", "")] {
            fs::write(file_in(folder.path()), damaged).expect("writable");
            make_private().expect("ours");
            let fresh = KeyFile::open(folder.path(), NOW).keys;
            assert!(KeyFile::open(folder.path(), NOW).keys == fresh, "{damaged}");
        }
    }

    #[test]
    fn keys_that_others_could_read_are_replaced() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let made = KeyFile::open(folder.path(), NOW).keys;
        fs::set_permissions(file_in(folder.path()), Permissions::from_mode(0o640)).expect("ours");
        let fresh = KeyFile::open(folder.path(), NOW).keys;
        assert!(fresh != made && KeyFile::open(folder.path(), NOW).keys == fresh);
    }

    #[test]
    fn a_file_that_cannot_be_used_stops_nobody() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(file_in(folder.path())).expect("writable");
        let mut file = KeyFile::open(folder.path(), NOW);
        assert!(file.rotate_if_due(NOW + ROTATION));
    }
}
