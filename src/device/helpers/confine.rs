//! Walls around helpers, by bubblewrap where it is installed and works: no network, a system that can only be
//! read, a private `/tmp`, and processes that see and outlive nobody. What helpers do, it does not know.
//!
//! A helper still reaches the session bus, for it may call the Postal service while it runs. An abstract
//! socket belongs to the network, so a bus that has only such an address is out of its reach.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Whether helpers are to be confined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Confinement {
    /// Where bubblewrap is installed and works.
    #[default]
    Auto,
    /// Without it, the service does not start.
    Always,
    /// Bubblewrap is not looked for.
    Never,
}

/// What stands around a helper. Its `Display` says so in plain words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Walls {
    /// This program of bubblewrap's.
    Bubblewrap(PathBuf),
    /// None.
    None {
        /// Whether there should be some.
        is_wanted: bool,
        /// Why there are none.
        why: ConfineError,
    },
}

/// Why helpers are not confined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfineError {
    /// Nobody wants it.
    #[error("confinement is switched off")]
    SwitchedOff,
    /// There is no `bwrap` in the `PATH`.
    #[error("bubblewrap (bwrap) is not installed")]
    NotInstalled,
    /// It is installed, and this is what it said when it was tried. Within containers it often may not work.
    #[error("bubblewrap does not work here: {0}")]
    NotWorking(String),
}

/// What a helper sees that is hidden from others.
#[derive(Debug, Default)]
pub struct Access {
    /// Folders that it may write to, as far as they are there.
    pub writable: Vec<PathBuf>,
    /// Files that it sees, as far as they are there, even if they lie in the real `/tmp`.
    pub visible: Vec<PathBuf>,
}

/// The world as a helper sees it, but for its own folders: those of the system, to be read.
const WORLD: [&str; 13] = [
    "--unshare-net",
    "--unshare-pid",
    "--unshare-ipc",
    "--die-with-parent",
    "--new-session",
    "--ro-bind",
    "/",
    "/",
    "--dev",
    "/dev",
    "--proc",
    "/proc",
    "--tmpfs",
];
/// Where everybody's temporary files lie.
const TEMPORARY: &str = "/tmp";

impl Walls {
    /// What there is, tried out. Fails only if there should always be some, and are not.
    pub fn new(confinement: Confinement) -> Result<Walls, ConfineError> {
        let path = env::var_os("PATH").unwrap_or_default();
        Walls::in_path(confinement, &path)
    }

    fn in_path(confinement: Confinement, path: &OsStr) -> Result<Walls, ConfineError> {
        if confinement == Confinement::Never {
            return Ok(Walls::None { is_wanted: false, why: ConfineError::SwitchedOff });
        }
        match bubblewrap(path) {
            Ok(walls) => Ok(walls),
            Err(why) if confinement == Confinement::Always => Err(why),
            Err(why) => Ok(Walls::None { is_wanted: why != ConfineError::NotInstalled, why }),
        }
    }

    /// What stands before a command that is to run within, if anything.
    pub fn arguments(&self, access: &Access) -> Vec<OsString> {
        let Walls::Bubblewrap(program) = self else { return Vec::new() };
        let mut arguments = vec![program.into()];
        arguments.extend(WORLD.map(OsString::from));
        arguments.push(TEMPORARY.into());
        let hidden = access.visible.iter().filter(|path| path.starts_with(TEMPORARY));
        let shown = hidden.map(|path| ("--ro-bind-try", path));
        let writable = access.writable.iter().map(|path| ("--bind-try", path));
        for (how, path) in shown.chain(writable) {
            arguments.extend([how.into(), path.into(), path.into()]);
        }
        arguments.push("--".into());
        arguments
    }
}

impl fmt::Display for Walls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Walls::Bubblewrap(program) => write!(f, "confined by {}", program.display()),
            Walls::None { why, .. } => write!(f, "not confined: {why}"),
        }
    }
}

fn bubblewrap(path: &OsStr) -> Result<Walls, ConfineError> {
    let mut programs = env::split_paths(path).map(|folder| folder.join("bwrap"));
    let program = programs.find(|program| program.is_file()).ok_or(ConfineError::NotInstalled)?;
    let walls = Walls::Bubblewrap(program);
    try_out(&walls).map_err(ConfineError::NotWorking)?;
    Ok(walls)
}

/// Runs nothing at all within. Says what came of it, if it did not work.
fn try_out(walls: &Walls) -> Result<(), String> {
    let mut arguments = walls.arguments(&Access::default()).into_iter();
    let mut command = Command::new(arguments.next().expect("a program"));
    command.args(arguments).args(["/bin/sh", "-c", ":"]).stdin(Stdio::null());
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.lines().next().map_or_else(|| output.status.to_string(), Into::into))
}

/// The sockets in the file system of a D-Bus address, which may be several.
pub fn sockets(address: &str) -> Vec<PathBuf> {
    let paths = address.split(';').filter_map(|one| one.strip_prefix("unix:"));
    let values = paths.flat_map(|one| one.split(',')).filter_map(|value| value.strip_prefix("path="));
    values.map(|path| Path::new(path).to_path_buf()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn in_folder(confinement: Confinement, folder: &Path) -> Result<Walls, ConfineError> {
        Walls::in_path(confinement, folder.as_os_str())
    }

    #[test]
    fn without_bubblewrap_there_are_no_walls_unless_they_are_insisted_on() {
        let empty = tempfile::tempdir().expect("a folder");
        let walls = in_folder(Confinement::Auto, empty.path()).expect("not insisted on");
        assert_eq!(walls.to_string(), "not confined: bubblewrap (bwrap) is not installed");
        assert!(walls.arguments(&Access::default()).is_empty());
        assert_eq!(in_folder(Confinement::Always, empty.path()), Err(ConfineError::NotInstalled));
    }

    #[test]
    fn one_that_does_not_work_is_not_used_and_what_it_says_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("bwrap");
        fs::write(&program, "no program").expect("written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).expect("its owner may");
        let walls = in_folder(Confinement::Auto, folder.path()).expect("not insisted on");
        assert!(matches!(walls, Walls::None { is_wanted: true, why: ConfineError::NotWorking(_) }));
        assert!(matches!(in_folder(Confinement::Always, folder.path()), Err(ConfineError::NotWorking(_))));
        let never = in_folder(Confinement::Never, folder.path()).expect("not insisted on");
        assert_eq!(never.to_string(), "not confined: confinement is switched off");
    }

    #[test]
    fn the_sockets_of_a_bus_are_read_from_its_address() {
        let address = "unix:guid=1,path=/tmp/bus;unix:abstract=/tmp/x;tcp:path=/no;unix:path=/run/bus,guid=2";
        assert_eq!(sockets(address), [Path::new("/tmp/bus"), Path::new("/run/bus")]);
    }
}
