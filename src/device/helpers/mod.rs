//! Apps' helpers: finds them, runs them within limits, and gives back what they wrote. What it means is read
//! in `service::output`; which of them runs when is decided in `service::helping`.

mod confine;
mod exchange;
mod find;
mod processes;
mod run;
mod runs;

pub use confine::{ConfineError, Confinement, Walls};
pub use find::{Folders, Helper};
pub use run::RunError;

use std::time::Duration;

use crate::base::{AppId, Payload};
use runs::Runs;

/// How long a helper may run: what helpers are written for.
pub const TIME_LIMIT: Duration = Duration::from_secs(5);

/// How helpers run.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long each may.
    pub time_limit: Duration,
    /// Whether they are confined.
    pub confinement: Confinement,
    /// The session bus that they are told of; `None` for the one that this process was told of.
    pub bus_address: Option<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options { time_limit: TIME_LIMIT, confinement: Confinement::Auto, bus_address: None }
    }
}

/// All apps' helpers. Any number of threads may ask and run at once.
#[derive(Debug)]
pub struct Helpers {
    folders: Folders,
    options: Options,
    walls: Walls,
    runs: Runs,
}

impl Helpers {
    /// Tries whether helpers can be confined, says so in the log, and removes what an earlier process left
    /// in the caches. It fails only where confinement is insisted on and does not work.
    pub fn new(folders: Folders, options: Options) -> Result<Helpers, ConfineError> {
        let walls = Walls::new(options.confinement)?;
        match walls {
            Walls::None { is_wanted: true, .. } => log::warn!("helpers: {walls}"),
            _ => log::info!("helpers: {walls}"),
        }
        exchange::remove_leftovers(&folders.cache_home);
        Ok(Helpers { folders, options, walls, runs: Runs::default() })
    }

    /// The helper of `app`, if it has one.
    pub fn find(&self, app: &AppId) -> Option<Helper> {
        self.folders.find(app)
    }

    /// Whether the system knows `app`.
    pub fn is_installed(&self, app: &AppId) -> bool {
        self.folders.is_installed(app)
    }

    /// What confines helpers, in words as its `Display`.
    pub fn walls(&self) -> &Walls {
        &self.walls
    }

    /// What `helper` makes of `payload`, which came for `app`. Returns when it and all processes that it
    /// started have ended, which takes little longer than the time limit at most.
    pub fn run(&self, helper: &Helper, app: &AppId, payload: &Payload) -> Result<Vec<u8>, RunError> {
        run::run(self, helper, app, payload)
    }

    /// Whether [`Helpers::end_all`] was called: what became of a helper since says nothing of it.
    pub fn are_over(&self) -> bool {
        self.runs.are_over()
    }

    /// Ends all helpers that run, and all that they have started. From here on none runs.
    pub fn end_all(&self) {
        self.runs.end_all();
    }
}

#[cfg(test)]
mod tests;
