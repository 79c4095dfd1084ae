//! Runs the binary: to its end, or as a process whose lines are awaited. Waits are bounded only so
//! that a failure is told; no test depends on how long anything takes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// The binary with these arguments, in an environment without configuration.
pub fn binary(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lomiri-push"));
    command.args(arguments).stdin(Stdio::null());
    for name in ["RUST_LOG", "STATE_DIRECTORY", "XDG_STATE_HOME"] {
        command.env_remove(name);
    }
    command
}

/// Runs the binary to its end.
pub fn run(arguments: &[&str]) -> Output {
    binary(arguments).output().expect("the binary runs")
}

/// What a run wrote to stdout.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a run wrote to stderr.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

/// A process whose lines can be awaited. Killed when dropped.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    /// Starts a command and reads its stdout.
    pub fn with_stdout(mut command: Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary runs");
        let lines = lines_of(child.stdout.take().expect("piped"));
        Running { child, lines }
    }

    /// Starts a command and reads its stderr.
    pub fn with_stderr(mut command: Command) -> Running {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary runs");
        let lines = lines_of(child.stderr.take().expect("piped"));
        Running { child, lines }
    }

    /// The next line.
    pub fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line is due")
    }

    /// What follows `before` in the next line that has it.
    pub fn line_after(&self, before: &str) -> String {
        loop {
            if let Some((_, after)) = self.line().split_once(before) {
                return after.to_owned();
            }
        }
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Waits for the end; the lines that nobody has read.
    pub fn wait(mut self) -> (ExitStatus, Vec<String>) {
        let mut rest = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            rest.push(line);
        }
        (self.child.wait().expect("a child"), rest)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let read = BufReader::new(stream).lines().map_while(Result::ok);
        read.map(|line| sender.send(line)).take_while(Result::is_ok).for_each(drop);
    });
    lines
}

/// A server on free ports of loopback, with its data and its certificate in a temporary folder.
pub struct Serving {
    pub process: Running,
    pub devices: SocketAddr,
    pub http: SocketAddr,
}

/// A folder for a server, with this configuration. Devices are believed unless it says otherwise.
pub fn folder(configuration: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let auth = if configuration.contains("device_auth") { "" } else { "device_auth = \"open\"" };
    std::fs::write(configuration_file(&folder), format!("data_dir = \"data\"\n{configuration}\n{auth}\n"))
        .expect("writable");
    folder
}

/// Where the configuration in such a folder is.
pub fn configuration_file(folder: &TempDir) -> PathBuf {
    folder.path().join("lomiri-push.toml")
}

/// `serve` on the configuration in `folder`, on free ports.
pub fn serve_command(folder: &TempDir) -> Command {
    let config = configuration_file(folder);
    binary(&["serve", "--config", text(&config), "--addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"])
}

/// Starts a server and waits until it listens.
pub fn serve(folder: &TempDir) -> Serving {
    Serving::started(serve_command(folder))
}

impl Serving {
    /// Starts `serve` by this command and waits until it listens.
    pub fn started(command: Command) -> Serving {
        Serving::of(Running::with_stderr(command))
    }

    /// Waits until a server listens.
    pub fn of(process: Running) -> Serving {
        let http = process.line_after("listening for http on ").parse().expect("an address");
        let devices = process.line_after("listening for devices on ").parse().expect("an address");
        Serving { process, devices, http }
    }

    /// Posts JSON to the API; the answer's status line and body.
    pub fn post(&self, path: &str, body: &str) -> (String, String) {
        let length = body.len();
        let head = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
        self.ask(&format!("POST {path} HTTP/1.1\r\n{head}"), body)
    }

    /// Asks the API; the answer's status line and body.
    pub fn ask(&self, head: &str, body: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.http).expect("it listens");
        write!(stream, "{head}Host: push\r\nConnection: close\r\n\r\n{body}").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
    }

    /// Posts a message for `chatter` on a device.
    pub fn notify(&self, device: &str, data: &str) {
        let to = format!(r#""userid":"someone","deviceid":"{device}","appid":"chatter""#);
        let body = format!(r#"{{{to},"expire_on":"2100-01-01T00:00:00Z","data":{data}}}"#);
        let (status, answer) = self.post("/notify", &body);
        assert_eq!(status, "HTTP/1.1 200 OK", "{answer}");
    }
}
