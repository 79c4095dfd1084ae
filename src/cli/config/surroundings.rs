//! What a process finds around itself, and defaults depend on.

use std::num::NonZero;
use std::path::PathBuf;
use std::{env, thread};

use rustls::pki_types::DnsName;

/// What defaults depend on.
#[derive(Debug)]
pub struct Surroundings {
    /// The cores of this machine.
    pub cores: usize,
    /// How many files and connections this process may have open.
    pub descriptors: usize,
    /// This machine's name.
    pub host_name: String,
    /// Where state is kept, if the environment says so.
    pub state_folder: Option<PathBuf>,
}

impl Surroundings {
    /// What this process finds around itself, with leave to have so many descriptors open.
    pub fn look(descriptors: usize) -> Surroundings {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Surroundings {
            cores: thread::available_parallelism().map_or(1, NonZero::get),
            descriptors,
            host_name: host_name(),
            state_folder: state_folder(variable),
        }
    }
}

/// The name that the kernel has for this machine, if devices could check it in a certificate.
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if DnsName::try_from(name.as_str()).is_ok() { name } else { "localhost".into() }
}

/// Where state belongs: what systemd gives, then what the desktop's rules say. systemd may name
/// several folders, divided by colons; relative XDG paths are to be ignored.
fn state_folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let given = variable("STATE_DIRECTORY").and_then(|folders| env::split_paths(&folders).next());
    let under_xdg = || variable("XDG_STATE_HOME").filter(|folder| folder.is_absolute());
    let under_home = || variable("HOME").map(|home| home.join(".local/state"));
    given.or_else(|| under_xdg().or_else(under_home).map(|folder| folder.join("lomiri-push")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn state_goes_where_the_environment_says() {
        let state = |given: &[(&str, &str)]| {
            let given: BTreeMap<&str, &str> = given.iter().copied().collect();
            state_folder(|name| given.get(name).map(PathBuf::from))
        };
        assert_eq!(state(&[("STATE_DIRECTORY", "/a"), ("XDG_STATE_HOME", "/b")]), Some("/a".into()));
        assert_eq!(state(&[("STATE_DIRECTORY", "/a:/b")]), Some("/a".into()));
        assert_eq!(state(&[("XDG_STATE_HOME", "/b"), ("HOME", "/h")]), Some("/b/lomiri-push".into()));
        let home = Some("/h/.local/state/lomiri-push".into());
        assert_eq!(state(&[("XDG_STATE_HOME", "relative"), ("HOME", "/h")]), home);
        assert_eq!(state(&[("HOME", "/h")]), home);
        assert_eq!(state(&[]), None);
    }
}
