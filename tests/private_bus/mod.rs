//! A D-Bus daemon of a test's own, which nobody else is on and which starts no services by itself.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// Whether a tool is installed. Where the environment insists on the tools, it must be.
pub fn has_tool(name: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&folders).any(|folder| folder.join(name).exists());
    assert!(is_there || std::env::var_os("LOMIRI_PUSH_REQUIRE_TOOLS").is_none(), "{name} is not installed");
    if !is_there {
        println!("{name} is not installed: what needs it is skipped");
    }
    is_there
}

/// A bus that ends when it is dropped.
pub struct PrivateBus {
    daemon: Child,
    address: String,
    _folder: TempDir,
}

impl PrivateBus {
    /// `None`, and a word about it, on a machine without `dbus-daemon`.
    pub fn start() -> Option<PrivateBus> {
        has_tool("dbus-daemon").then(|| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let configuration = folder.path().join("bus.conf");
            let socket = folder.path().join("bus");
            std::fs::write(&configuration, configuration_for(&socket.display())).expect("a file");
            let mut command = Command::new("dbus-daemon");
            command.args(["--nofork", "--print-address", "--config-file"]).arg(configuration);
            // It complains of how many files it may open, as whoever is not root.
            command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped());
            let mut daemon = command.spawn().expect("dbus-daemon runs");
            let mut line = String::new();
            let stdout = daemon.stdout.take().expect("piped");
            BufReader::new(stdout).read_line(&mut line).expect("an address");
            PrivateBus { daemon, address: line.trim().into(), _folder: folder }
        })
    }

    /// In the form of `DBUS_SESSION_BUS_ADDRESS`.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for PrivateBus {
    fn drop(&mut self) {
        self.daemon.kill().expect("it is ours");
        self.daemon.wait().expect("it is ours");
    }
}

/// A session bus without a folder of services, so that none of the machine's own ever answers.
fn configuration_for(socket: &impl std::fmt::Display) -> String {
    format!(
        "<busconfig><type>session</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>\
         <policy context='default'><allow send_destination='*' eavesdrop='true'/>\
         <allow eavesdrop='true'/><allow own='*'/></policy></busconfig>"
    )
}
