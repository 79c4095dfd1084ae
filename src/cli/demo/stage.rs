//! The demo's stage: a temporary folder, and the processes that run meanwhile. All of it is cleared away however
//! the demo ends. What the processes are, it does not know.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Failure, WAIT_MAX};

/// How often to look whether a process has stopped: no longer than anyone would notice.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How often to try to remove the folder: a helper whose service was killed may write to it for a moment still.
const CLEARINGS_MAX: u32 = 100;

/// What must be cleared away. Clones are of the same stage.
#[derive(Clone)]
pub struct Stage(Arc<Mutex<Props>>);

struct Props {
    folder: TempDir,
    running: BTreeMap<String, Child>,
}

/// What a process was started with.
pub struct Pipes {
    /// Where it reads, if that is a pipe.
    pub stdin: Option<ChildStdin>,
    /// Where it speaks, if that is a pipe.
    pub stdout: Option<ChildStdout>,
    /// Where it logs, if that is a pipe.
    pub stderr: Option<ChildStderr>,
}

impl Stage {
    /// An empty temporary folder.
    pub fn new() -> io::Result<Stage> {
        let folder = tempfile::Builder::new().prefix("lomiri-push-demo-").tempdir()?;
        Ok(Stage(Arc::new(Mutex::new(Props { folder, running: BTreeMap::new() }))))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Props) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A place in the temporary folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.with(|props| props.folder.path().join(name))
    }

    /// The file of this process's log.
    pub fn log(&self, name: &str) -> io::Result<File> {
        File::options().create(true).append(true).open(self.path(&format!("{name}.log")))
    }

    /// Starts a process. It is known by `name` from now on.
    pub fn start(&self, name: &str, command: &mut Command) -> Result<Pipes, Failure> {
        // Ctrl-C in a terminal would reach them all at once, and the story would stumble over those that stop.
        command.process_group(0);
        // Under the lock, so that there is no moment at which a running process could be forgotten.
        self.with(|props| {
            let mut child = command.spawn()?;
            let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
            props.running.insert(name.to_owned(), child);
            Ok(Pipes { stdin, stdout, stderr })
        })
        .map_err(|error: io::Error| Failure::Run(format!("{name} cannot be started: {error}")))
    }

    /// Kills a process as a power cut would: no signal that it could answer.
    pub fn kill(&self, name: &str) -> io::Result<()> {
        self.with(|props| props.running.remove(name).map_or(Ok(()), |mut child| end(&mut child)))
    }

    /// Asks a process to stop, and waits until it has, in good order.
    pub fn stop(&self, name: &str) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::Run(format!("{name} cannot be stopped: {error}"));
        self.with(|props| props.ask_to_stop(name)).map_err(failed)?;
        let patience = Instant::now() + WAIT_MAX;
        while Instant::now() < patience {
            match self.with(|props| props.status(name)).map_err(failed)? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    return Err(Failure::Run(format!("{name} was asked to stop, and ended with {status}")));
                }
                None => thread::sleep(LOOK_AGAIN),
            }
        }
        Err(Failure::Run(format!("{name} did not stop within {WAIT_MAX:?}")))
    }

    /// The end of each log.
    pub fn log_tails(&self, lines_max: usize) -> String {
        let entries = fs::read_dir(self.path("")).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut logs: Vec<PathBuf> =
            entries.filter(|path| path.extension().is_some_and(|ending| ending == "log")).collect();
        logs.sort();
        logs.iter().map(|log| tail(log, lines_max)).collect()
    }

    /// Kills all processes and removes the folder. What cannot be cleared away is left.
    pub fn clear(&self) {
        self.with(Props::clear);
    }

    /// The same, and ends this process. The stage stays locked: the story may stumble over what is
    /// missing now, but must not come to tell of it.
    pub fn clear_and_exit(&self, status: i32) -> ! {
        self.with(|props| {
            props.clear();
            process::exit(status)
        })
    }
}

impl Props {
    fn ask_to_stop(&self, name: &str) -> io::Result<()> {
        let pid = self.running.get(name).map(Pid::from_child);
        pid.map_or(Ok(()), |pid| kill_process(pid, Signal::TERM).map_err(io::Error::from))
    }

    /// How a process ended, if it has.
    fn status(&mut self, name: &str) -> io::Result<Option<ExitStatus>> {
        let status = self.running.get_mut(name).map_or(Ok(None), Child::try_wait)?;
        if status.is_some() {
            self.running.remove(name);
        }
        Ok(status)
    }

    fn clear(&mut self) {
        for child in self.running.values_mut() {
            let _ = end(child);
        }
        self.running.clear();
        for _ in 0..CLEARINGS_MAX {
            let _ = fs::remove_dir_all(self.folder.path());
            if !self.folder.path().exists() {
                return;
            }
            thread::sleep(LOOK_AGAIN);
        }
    }
}

fn end(child: &mut Child) -> io::Result<()> {
    child.kill()?;
    child.wait().map(drop)
}

fn tail(log: &Path, lines_max: usize) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let end = lines[lines.len().saturating_sub(lines_max)..].join("\n");
    let name = log.file_name().unwrap_or_default().to_string_lossy();
    format!("\nThe end of {name}:\n{end}\n")
}
