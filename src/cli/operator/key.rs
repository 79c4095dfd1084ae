//! The operator's key: made at the first start of `serve`, found again by every command that asks the
//! running server on the operator's behalf. What it opens, the API knows.

use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{fs, str};

use log::{info, warn};

use crate::base::Credential;
use crate::files::write_whole;

/// Whoever has the key can let devices in and erase users.
const MODE: u32 = 0o600;
/// What a mode allows others than the owner.
const OTHERS: u32 = 0o077;

/// Where a data folder has the key.
pub fn key_path(folder: &Path) -> PathBuf {
    folder.join("operator-key")
}

/// The key in `folder`, or a new one if there is none that can be used. A key that others could have read
/// is used no more.
pub fn open(folder: &Path) -> io::Result<Credential> {
    let path = key_path(folder);
    match read(folder) {
        Ok(key) => return Ok(key),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            info!("made the operator's key {}", path.display())
        }
        Err(error) => warn!("{}: {error}: the operator's key is a new one from now on", path.display()),
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random).expect("the system has random numbers");
    let key = Credential::new(random);
    write_whole(&path, format!("{}\n", key.reveal()).as_bytes(), MODE)?;
    Ok(key)
}

/// The key in `folder`. Errors name no file.
pub fn read(folder: &Path) -> io::Result<Credential> {
    let path = key_path(folder);
    if fs::metadata(&path)?.permissions().mode() & OTHERS != 0 {
        return Err(io::Error::new(ErrorKind::InvalidData, "others may read it, so it is not used"));
    }
    let text = fs::read(&path)?;
    let key = str::from_utf8(&text).ok().and_then(|text| text.trim_end().parse().ok());
    key.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "is damaged"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;

    #[test]
    fn a_key_is_made_once_for_the_owner_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let made = open(folder.path()).expect("writable");
        assert_eq!(open(folder.path()).expect("kept").as_bytes(), made.as_bytes());
        assert_eq!(read(folder.path()).expect("kept").as_bytes(), made.as_bytes());
        let text = fs::read_to_string(key_path(folder.path())).expect("made");
        assert_eq!(text, made.reveal() + "\n");
        let mode = fs::metadata(key_path(folder.path())).expect("made").permissions().mode();
        assert_eq!(mode & 0o777, MODE);
    }

    #[test]
    fn a_key_that_others_could_read_or_that_is_damaged_is_replaced() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut known = open(folder.path()).expect("writable");
        let path = key_path(folder.path());
        let spoilings: [&dyn Fn() -> io::Result<()>; 2] =
            [&|| fs::set_permissions(&path, Permissions::from_mode(0o640)), &|| fs::write(&path, "nonsense")];
        for spoil in spoilings {
            spoil().expect("ours");
            read(folder.path()).expect_err("not to be used");
            let fresh = open(folder.path()).expect("replaced");
            assert_ne!(fresh.as_bytes(), known.as_bytes());
            known = fresh;
        }
        assert_eq!(read(folder.path()).expect("stored").as_bytes(), known.as_bytes());
    }

    #[test]
    fn a_key_that_cannot_be_kept_is_an_error() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(key_path(folder.path())).expect("writable");
        open(folder.path()).expect_err("a folder is in its place");
    }
}
