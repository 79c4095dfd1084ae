//! Small files that are there with all of their content, or not at all, also after a power cut; and how many may be open.

mod limit;

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

pub use limit::raise_limit;

/// Puts a file with `content` and `mode` in the place of what is at `path`, if anything is.
pub fn write_whole(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    // What an earlier try has left, or somebody put there, is not written to.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&unfinished)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_is_replaced_and_a_link_where_it_is_written_is_not_followed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [path, elsewhere] = ["keys", "elsewhere"].map(|name| folder.path().join(name));
        fs::write(&elsewhere, "untouched").expect("writable");
        symlink(&elsewhere, folder.path().join("keys.new")).expect("writable");
        for content in ["first", "second"] {
            write_whole(&path, content.as_bytes(), 0o640).expect("writable");
            assert_eq!(fs::read_to_string(&path).expect("written"), content);
        }
        assert_eq!(fs::metadata(&path).expect("written").permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_to_string(&elsewhere).expect("there"), "untouched");
    }
}
