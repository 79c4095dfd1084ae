//! The bus of one phone: a D-Bus daemon of its own where that program is installed, else a socket at which its
//! push service listens itself. Nobody else is on it, and it starts nothing of the machine's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Failure;
use super::said::Said;
use super::stage::Stage;
use crate::device::bus::Address;

/// Which bus apps and push service of a phone meet on.
pub enum Bus {
    /// A `dbus-daemon`, at this address.
    Daemon(String),
    /// None: apps call the service at this socket.
    Peer(PathBuf),
}

impl Bus {
    /// Starts one in a folder, if it can; the stage knows it by this name.
    pub fn start(stage: &Stage, name: &str, folder: &Path) -> Result<Bus, Failure> {
        let configuration = folder.join("bus.conf");
        fs::write(&configuration, configuration_for(&folder.join("bus")))?;
        let mut command = Command::new("dbus-daemon");
        command.args(["--nofork", "--print-address", "--config-file"]).arg(configuration);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let Ok(pipes) = stage.start(name, &mut command) else {
            return Ok(Bus::Peer(folder.join("peer")));
        };
        match Said::lines(name, pipes.stdout.expect("piped"), None).wait("unix:") {
            Ok(address) => Ok(Bus::Daemon(address)),
            // It is installed, and does not work here.
            Err(_) => {
                stage.kill(name)?;
                Ok(Bus::Peer(folder.join("peer")))
            }
        }
    }

    /// Where apps call.
    pub fn address(&self) -> Address {
        match self {
            Bus::Daemon(address) => Address::At(address.clone()),
            Bus::Peer(socket) => Address::Peer(socket.clone()),
        }
    }

    /// Tells a push service that is to be started where it meets its apps.
    pub fn tell(&self, service: &mut Command) {
        match self {
            Bus::Daemon(address) => service.env("DBUS_SESSION_BUS_ADDRESS", address),
            Bus::Peer(socket) => service.arg("--peer").arg(socket),
        };
    }
}

/// A session bus without a folder of services.
fn configuration_for(socket: &Path) -> String {
    format!(
        "<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
         <policy context='default'><allow send_destination='*' eavesdrop='true'/>\
         <allow eavesdrop='true'/><allow own='*'/></policy></busconfig>",
        socket.display()
    )
}
