//! The demo's server: this program run again as `serve`, with its log in a file. It is killed
//! however the demo ends.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{env, process, thread};

use rustix::process::{Pid, Signal, kill_process};

use super::{Failure, WAIT_MAX};

/// How often to look whether the server has stopped: no longer than anyone would notice.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What must be cleared away: the running server, and the folder with its data.
#[derive(Clone)]
pub struct Stage(Arc<Mutex<Props>>);

struct Props {
    folder: Option<tempfile::TempDir>,
    server: Option<Child>,
}

/// Where a running server listens.
#[derive(Clone, Copy)]
pub struct Addresses {
    /// For phones.
    pub devices: SocketAddr,
    /// For app servers.
    pub http: SocketAddr,
}

impl Stage {
    /// An empty temporary folder.
    pub fn new() -> io::Result<Stage> {
        let folder = tempfile::Builder::new().prefix("lomiri-push-demo-").tempdir()?;
        Ok(Stage(Arc::new(Mutex::new(Props { folder: Some(folder), server: None }))))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Props) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A place in the temporary folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.with(|props| props.folder.as_ref().map(|folder| folder.path().join(name))).unwrap_or_default()
    }

    /// Starts the server on free ports, or on those it had before, and waits until it listens.
    pub fn start_server(&self, before: Option<Addresses>) -> Result<Addresses, Failure> {
        let failed = |error: io::Error| Failure::Run(format!("the server cannot be started: {error}"));
        let log = File::options().create(true).append(true).open(self.path("server.log")).map_err(failed)?;
        let mut command = self.serve(before).map_err(failed)?;
        // Under the lock, so that there is no moment at which a running server could be forgotten.
        let stderr = self.with(|props| props.start_server(&mut command)).map_err(failed)?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || copy_log(stderr, log, &sender));
        wait_for_addresses(&lines)
    }

    fn serve(&self, before: Option<Addresses>) -> io::Result<Command> {
        let addr =
            |of: fn(Addresses) -> SocketAddr| before.map_or("127.0.0.1:0".into(), |a| of(a).to_string());
        let mut command = Command::new(env::current_exe()?);
        command.arg("serve").arg("--config").arg(self.path("lomiri-push.toml"));
        command.arg("--addr").arg(addr(|addresses| addresses.devices));
        command.arg("--http-addr").arg(addr(|addresses| addresses.http));
        command.env("RUST_LOG", "info,lomiri_push=debug");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Ok(command)
    }

    /// Kills the server as a power cut would: no signal that it could answer.
    pub fn kill_server(&self) -> io::Result<()> {
        self.with(Props::kill_server)
    }

    /// Asks the server to stop, and waits for it.
    pub fn stop_server(&self) -> Result<ExitStatus, Failure> {
        let failed = |error: io::Error| Failure::Run(format!("the server cannot be stopped: {error}"));
        self.with(|props| props.ask_server_to_stop()).map_err(failed)?;
        let patience = Instant::now() + WAIT_MAX;
        while Instant::now() < patience {
            if let Some(status) = self.with(Props::server_status).map_err(failed)? {
                return Ok(status);
            }
            thread::sleep(LOOK_AGAIN);
        }
        Err(Failure::Run(format!("the server did not stop within {WAIT_MAX:?}")))
    }

    /// The end of the server's log.
    pub fn log_tail(&self, lines_max: usize) -> String {
        let log = std::fs::read_to_string(self.path("server.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(lines_max)..].join("\n")
    }

    /// Kills the server and removes the folder. What cannot be cleared away is left.
    pub fn clear(&self) {
        self.with(Props::clear);
    }

    /// The same, and ends the process. The stage stays locked: the story may stumble over what is
    /// missing now, but must not come to tell of it.
    pub fn clear_and_exit(&self, status: i32) -> ! {
        self.with(|props| {
            props.clear();
            process::exit(status)
        })
    }
}

impl Props {
    fn start_server(&mut self, command: &mut Command) -> io::Result<ChildStderr> {
        let mut server = command.spawn()?;
        let stderr = server.stderr.take().expect("piped");
        self.server = Some(server);
        Ok(stderr)
    }

    fn ask_server_to_stop(&self) -> io::Result<()> {
        let pid = self.server.as_ref().map(Pid::from_child);
        pid.map_or(Ok(()), |pid| kill_process(pid, Signal::TERM).map_err(io::Error::from))
    }

    /// How the server ended, if it has.
    fn server_status(&mut self) -> io::Result<Option<ExitStatus>> {
        self.server.as_mut().map_or(Ok(None), Child::try_wait)
    }

    fn kill_server(&mut self) -> io::Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        server.kill()?;
        server.wait().map(drop)
    }

    fn clear(&mut self) {
        let _ = self.kill_server();
        self.folder.take();
    }
}

/// Copies the server's log into a file and shows each line to `sender`, if anyone still listens.
fn copy_log(stderr: ChildStderr, mut log: File, sender: &Sender<String>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        let _ = writeln!(log, "{line}");
        let _ = sender.send(line);
    }
}

/// The server says where it listens: first for app servers, then for devices.
fn wait_for_addresses(lines: &Receiver<String>) -> Result<Addresses, Failure> {
    let deadline = Instant::now() + WAIT_MAX;
    let http = wait_for_address(lines, "listening for http on ", deadline)?;
    let devices = wait_for_address(lines, "listening for devices on ", deadline)?;
    Ok(Addresses { devices, http })
}

fn wait_for_address(
    lines: &Receiver<String>,
    before: &str,
    deadline: Instant,
) -> Result<SocketAddr, Failure> {
    loop {
        let patience = deadline.saturating_duration_since(Instant::now());
        let line = lines
            .recv_timeout(patience)
            .map_err(|_| Failure::Run(format!("the server did not say `{before}…` within {WAIT_MAX:?}")))?;
        if let Some((_, address)) = line.split_once(before) {
            return address.parse().map_err(|_| Failure::Run(format!("the server said `{line}`")));
        }
    }
}
