//! Which helpers run, so that all of them can be ended at once when the service ends. How one is run, it does not know.

use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};

use super::processes::Mark;
use super::run::RunError;

/// The helpers that run, of all threads.
#[derive(Debug, Default)]
pub struct Runs(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    running: Vec<Run>,
    /// None may begin any more.
    are_over: bool,
}

/// One that runs. Until its process is awaited, no other one gets its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    process: Pid,
    mark: Mark,
}

impl Run {
    /// Kills its group, and whatever of its processes has left that.
    fn end(self) {
        let _ = kill_process_group(self.process, Signal::KILL);
        self.mark.end_all();
    }
}

impl Runs {
    /// Starts a helper, whose processes are known by `mark`. [`Runs::leave`] must follow, once all of them have ended and
    /// before it is awaited.
    pub fn start(&self, command: &mut Command, mark: Mark) -> Result<Child, RunError> {
        let mut state = self.state();
        if state.are_over {
            return Err(RunError::Over);
        }
        let child = command.spawn().map_err(RunError::Start)?;
        state.running.push(Run { process: Pid::from_child(&child), mark });
        Ok(child)
    }

    /// All of this one has ended.
    pub fn leave(&self, child: &Child) {
        let process = Pid::from_child(child);
        self.state().running.retain(|run| run.process != process);
    }

    /// Ends all of them, with all that they have started, and lets none begin.
    pub fn end_all(&self) {
        let mut state = self.state();
        state.are_over = true;
        state.running.iter().for_each(|run| run.end());
    }

    /// Whether none may begin any more.
    pub fn are_over(&self) -> bool {
        self.state().are_over
    }

    /// What a thread that panicked has left is intact: nothing here panics between two changes.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
