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

use super::shared::PATIENCE;

/// What its configuration says. A floor of free disk as low as it may be leaves room on small disks.
const CONFIGURATION: &str = r#"
data_dir = "data"
addr = "127.0.0.1:0"
http_addr = "127.0.0.1:0"
device_auth = "open"
disk_free_bytes_min = 67_108_864
"#;
/// The name in the certificate that it makes itself.
pub const SERVER_NAME: &str = "localhost";

/// A started server. Killed when it is dropped.
pub struct Server {
    child: Child,
    /// Its log, as it comes.
    lines: Receiver<String>,
    /// What was read of it.
    log: Vec<String>,
}

impl Server {
    /// Starts `program serve` with its data in `folder`.
    pub fn start(program: &Path, folder: &Path) -> Server {
        std::fs::create_dir_all(folder).expect("a writable folder");
        let config = folder.join("lomiri-push.toml");
        std::fs::write(&config, CONFIGURATION).expect("a writable folder");
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

    /// Waits until it listens: where for app servers, and how devices see it. They trust the
    /// certificate that it made itself in `folder`.
    pub fn listening(&mut self, folder: &Path) -> Result<(SocketAddr, device::Server), String> {
        let http = self.address_after("listening for http on ")?;
        let addr = self.address_after("listening for devices on ")?.to_string();
        let certificate = certificate_in(folder);
        let pem = std::fs::read(&certificate).map_err(|error| format!("the certificate: {error}"))?;
        let tls = device_config(&Trust::CaPem(pem), DeviceOptions::default())
            .map_err(|error| format!("the certificate: {error}"))?;
        Ok((http, device::Server { addr, name: ServerName::try_from(SERVER_NAME).expect("a name"), tls }))
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

/// The certificate that a server with its data in `folder` makes itself.
pub fn certificate_in(folder: &Path) -> PathBuf {
    folder.join("data/certificate.pem")
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
