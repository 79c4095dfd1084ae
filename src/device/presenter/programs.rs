//! Starts the programs that play and open things, and collects those that have ended. What they do, it does
//! not know.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// Programs that run at a time, at most: so many sounds over each other are noise already.
const RUNNING_MAX: usize = 4;

#[derive(Default)]
pub(super) struct Programs {
    running: Vec<Child>,
}

impl Programs {
    /// Starts a program, found on the `PATH`, with these arguments and without a shell. False if it is not
    /// there, or too many are running.
    pub(super) fn start(&mut self, program: &str, arguments: &[&str]) -> bool {
        self.running.retain_mut(|child| !matches!(child.try_wait(), Ok(Some(_)) | Err(_)));
        if self.running.len() >= RUNNING_MAX {
            log::debug!("{RUNNING_MAX} programs are running already; {program} is not started");
            return false;
        }
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.process_group(0).spawn() {
            Ok(child) => self.running.push(child),
            Err(error) => {
                log::debug!("{program} does not start: {error}");
                return false;
            }
        }
        true
    }
}
