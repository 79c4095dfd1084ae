//! Where the tests meet the service: a bus of their own, or a socket without one.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use lomiri_push::device::bus::Address;
use tempfile::TempDir;

/// A D-Bus daemon, or a folder for a socket. Gone when dropped.
pub struct Place {
    daemon: Option<Child>,
    address: Address,
    _folder: TempDir,
}

/// A socket without a bus.
pub fn peer() -> Place {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let address = Address::Peer(folder.path().join("push.sock"));
    Place { daemon: None, address, _folder: folder }
}

/// A bus of its own; `None`, and a word about it, on a machine without.
pub fn bus() -> Option<Place> {
    if !has_tool("dbus-daemon") {
        return None;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let listen = format!("--address=unix:path={}", folder.path().join("bus").display());
    let mut command = Command::new("dbus-daemon");
    command.args(["--session", "--nofork", "--print-address", &listen]).stdin(Stdio::null());
    // It complains of how many files it may open, as whoever is not root.
    command.stderr(Stdio::null());
    let mut daemon = command.stdout(Stdio::piped()).spawn().expect("dbus-daemon runs");
    let mut line = String::new();
    BufReader::new(daemon.stdout.take().expect("piped")).read_line(&mut line).expect("an address");
    let address = Address::At(line.trim().into());
    Some(Place { daemon: Some(daemon), address, _folder: folder })
}

/// Whether a tool is installed. It must be where the environment insists on the tools.
pub fn has_tool(name: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&folders).any(|folder| folder.join(name).exists());
    assert!(is_there || std::env::var_os("LOMIRI_PUSH_REQUIRE_TOOLS").is_none(), "{name} is not installed");
    if !is_there {
        println!("{name} is not installed: what needs it is skipped");
    }
    is_there
}

impl Place {
    /// Where the service is to be called.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The bus's address as tools take it.
    pub fn bus_address(&self) -> &str {
        match &self.address {
            Address::At(address) => address,
            _ => panic!("there is no bus"),
        }
    }

    /// Where the socket is, without a bus.
    pub fn socket(&self) -> Option<&PathBuf> {
        match &self.address {
            Address::Peer(path) => Some(path),
            _ => None,
        }
    }

    /// Ends the bus, as a session's end does.
    pub fn end(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().expect("it runs");
            daemon.wait().expect("a child");
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.end();
    }
}
