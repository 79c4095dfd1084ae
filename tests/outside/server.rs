//! The real server as a process, on free ports and always the same data.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;

use lomiri_push::device;
use lomiri_push::tls::{DeviceOptions, ServerName, Trust, device_config};
use rustix::process::{Pid, Signal, kill_process};

use super::PATIENCE;

/// What every configuration says.
const CONFIGURATION: &str = r#"
data_dir = "data"
delivery_domain = "localhost"
"#;
/// Any port that is free.
const ANYWHERE: &str = "127.0.0.1:0";
/// The name in the certificate that it makes itself: the delivery domain.
const SERVER_NAME: &str = "localhost";

/// A started server. Killed when it is dropped.
pub struct Server {
    pub child: Child,
    /// Its log, as it comes.
    lines: Receiver<String>,
    /// What was read of it.
    log: Vec<String>,
}

/// Where a server listens.
pub struct Listening {
    /// For app servers.
    pub http: SocketAddr,
    /// As devices see it.
    pub devices: device::Server,
}

impl Server {
    /// Starts `program serve` with its data in `folder`, and with these lines in its configuration.
    pub fn start(program: &Path, folder: &Path, configuration: &str) -> Server {
        Server::start_at(program, folder, [ANYWHERE; 2], configuration)
    }

    /// The same, for app servers and for devices at these addresses.
    pub fn start_at(
        program: &Path,
        folder: &Path,
        [http, devices]: [&str; 2],
        configuration: &str,
    ) -> Server {
        std::fs::create_dir_all(folder).expect("a writable folder");
        let config = folder.join("lomiri-push.toml");
        let addresses = format!("addr = \"{devices}\"\nhttp_addr = \"{http}\"\n");
        let text = [CONFIGURATION, &addresses, configuration].concat();
        std::fs::write(&config, text).expect("a writable folder");
        let mut command = Command::new(program);
        command.args(["serve", "--config"]).arg(config).env("RUST_LOG", "info");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // Whoever presses Ctrl-C means this program, which ends the server when it is done with it.
        command.process_group(0);
        let mut child = command.spawn().expect("the program runs");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Server { child, lines, log: Vec::new() }
    }

    /// Waits until it listens. Devices trust the certificate that it made itself in `folder`.
    pub fn listening(&mut self, folder: &Path) -> Result<Listening, String> {
        let http = self.address_after("listening for http on ")?;
        let addr = self.address_after("listening for devices on ")?.to_string();
        let certificate = data_in(folder).join("certificate.pem");
        let pem = std::fs::read(&certificate).map_err(|error| format!("the certificate: {error}"))?;
        let tls = device_config(&Trust::CaPem(pem), DeviceOptions::default())
            .map_err(|error| format!("the certificate: {error}"))?;
        let name = ServerName::try_from(SERVER_NAME).expect("a name");
        Ok(Listening { http, devices: device::Server { addr, name, tls } })
    }

    fn address_after(&mut self, before: &str) -> Result<SocketAddr, String> {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.map_err(|_| format!("the server did not say `{before}…`"))?;
            let address = line.split_once(before).map(|(_, address)| address.parse());
            self.log.push(line);
            if let Some(address) = address {
                return address.map_err(|_| "the server told a strange address".into());
            }
        }
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        // It may have ended by itself; its log tells.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop, and waits until it has.
    pub fn terminate(&mut self) -> Result<(), String> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).map_err(|error| error.to_string())?;
        self.read_log()?;
        let status = self.child.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("SIGTERM ended the server with {status}")) }
    }

    /// Makes sure that it has ended; its whole log.
    pub fn end(mut self) -> Vec<String> {
        self.kill();
        // Nobody writes any more, so that the end comes at once.
        let _ = self.read_log();
        std::mem::take(&mut self.log)
    }

    /// Reads its log until it closes it, which it does when it ends.
    fn read_log(&mut self) -> Result<(), String> {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.log.push(line),
                Err(RecvTimeoutError::Timeout) => return Err("SIGTERM did not end the server".into()),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }
}

/// Where a server keeps its data that was started in `folder`.
pub fn data_in(folder: &Path) -> PathBuf {
    folder.join("data")
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
