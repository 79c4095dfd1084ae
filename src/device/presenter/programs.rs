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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_programs_run_at_a_time_and_those_that_have_ended_make_room() {
        let mut programs = Programs::default();
        assert!(!programs.start("no-such-program-here", &[]));
        for _ in 0..RUNNING_MAX {
            assert!(programs.start("sleep", &["600"]));
        }
        assert!(!programs.start("sleep", &["600"]));
        for child in &mut programs.running {
            child.kill().expect("it is ours");
            child.wait().expect("it is ours");
        }
        assert!(programs.start("true", &[]));
        assert_eq!(programs.running.len(), 1);
        programs.running[0].wait().expect("it is ours");
    }

    #[test]
    fn an_argument_is_no_shells_business() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a b;$(c)").to_str().expect("a text").to_string();
        let mut programs = Programs::default();
        assert!(programs.start("touch", &[&path]));
        programs.running[0].wait().expect("it is ours");
        assert!(std::path::Path::new(&path).exists());
    }
}
