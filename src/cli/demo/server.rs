//! The demo's server: this program run again as `serve`.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use super::Failure;
use super::said::Said;
use super::stage::Stage;

/// What the stage knows it by.
const NAME: &str = "server";
const CONFIGURATION: &str =
    "data_dir = \"data\"\ndelivery_domain = \"localhost\"\ndevice_auth = \"required\"\nshards = 2\n";

/// A server: its configuration and data are on the stage, whether it runs or not.
pub struct Server<'a> {
    stage: &'a Stage,
    /// Where it listens.
    pub addresses: Addresses,
}

/// Where a running server listens.
#[derive(Clone, Copy)]
pub struct Addresses {
    /// For phones.
    pub devices: SocketAddr,
    /// For app servers.
    pub http: SocketAddr,
}

impl<'a> Server<'a> {
    /// Starts it on free ports, and waits until it listens.
    pub fn start(stage: &'a Stage) -> Result<Server<'a>, Failure> {
        fs::write(stage.path("lomiri-push.toml"), CONFIGURATION)?;
        let addresses = start(stage, ["127.0.0.1:0".into(), "127.0.0.1:0".into()])?;
        Ok(Server { stage, addresses })
    }

    /// Kills it as a power cut would.
    pub fn kill(&self) -> Result<(), Failure> {
        Ok(self.stage.kill(NAME)?)
    }

    /// Starts it again where it was, on the same data.
    pub fn restart(&mut self) -> Result<(), Failure> {
        let Addresses { devices, http } = self.addresses;
        self.addresses = start(self.stage, [devices.to_string(), http.to_string()])?;
        Ok(())
    }

    /// Has it stop in good order.
    pub fn stop(&self) -> Result<(), Failure> {
        self.stage.stop(NAME)
    }
}

fn start(stage: &Stage, [devices, http]: [String; 2]) -> Result<Addresses, Failure> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("serve").arg("--config").arg(stage.path("lomiri-push.toml"));
    command.args(["--addr", &devices, "--http-addr", &http]);
    command.env("RUST_LOG", "info,lomiri_push=debug");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let pipes = stage.start(NAME, &mut command)?;
    let mut said = Said::lines("the server", pipes.stderr.expect("piped"), Some(stage.log(NAME)?));
    let http = address(&mut said, "listening for http on ")?;
    let devices = address(&mut said, "listening for devices on ")?;
    Ok(Addresses { devices, http })
}

fn address(said: &mut Said, before: &str) -> Result<SocketAddr, Failure> {
    let line = said.wait(before)?;
    let address = line.split_once(before).and_then(|(_, address)| address.parse().ok());
    address.ok_or_else(|| Failure::Run(format!("the server said `{line}`")))
}
