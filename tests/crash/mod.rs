//! Kills a real server in mid-load, round after round on the same data, and holds what app servers
//! were answered against what devices get afterwards. It sees the server from outside only: its HTTP
//! API, its device port, its log.
//!
//! ```text
//! round   [start ── kill at once]  start ── check ── load ── kill
//!                                             │        │
//!                          tokens live or are dead;    app servers post; devices ack, go, come;
//!                          some devices come back      the others are away
//!                          and get what they are owed
//!
//! end     start ── check all ── SIGTERM ── start ── check that what was acked does not come again
//! ```
//!
//! All choices come from a seed. What the threads and the server make of them is theirs: a seed
//! brings back the same kind of run, not the same run.

mod api;
mod app_server;
mod dice;
mod ledger;
mod phone;
mod players;
mod registration;
mod server;
mod shared;

use std::fmt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use self::dice::Dice;
use self::ledger::Counts;
use self::players::{DEVICES, Players, Stage};
use self::server::Server;
use self::shared::Shared;

/// How long a server lives, at most, that is killed while it starts.
const START_MS_MAX: u64 = 60;
/// How much of the log a failure shows.
const LOG_LINES: usize = 20;

/// One run: so many rounds, from this seed.
#[derive(Clone, Copy)]
pub struct Settings {
    pub rounds: u32,
    pub seed: u64,
}

/// What came of a run so far.
pub struct Report {
    rounds: u32,
    kills: u32,
    counts: Counts,
}

/// Something was lost, or came that should not have come, or did not work at all.
pub struct Failure {
    settings: Settings,
    round: u32,
    complaints: Vec<String>,
    log: Vec<String>,
    folder: PathBuf,
}

/// Runs `program serve` through all rounds, and tells how it stands after each.
pub fn run(settings: Settings, program: &Path, tell: &mut dyn FnMut(&Report)) -> Result<Report, Failure> {
    let mut crash = Crash::new(settings, program);
    match crash.all_rounds(tell) {
        Ok(()) => Ok(crash.report()),
        Err(Broken) => Err(crash.fail()),
    }
}

struct Crash<'a> {
    settings: Settings,
    program: &'a Path,
    folder: TempDir,
    dice: Dice,
    players: Players,
    shared: Shared,
    round: u32,
    kills: u32,
    /// What the last server said.
    log: Vec<String>,
}

/// The ledger has complaints.
struct Broken;

impl<'a> Crash<'a> {
    fn new(settings: Settings, program: &'a Path) -> Crash<'a> {
        let mut dice = Dice::new(settings.seed);
        let folder = tempfile::Builder::new().prefix("lomiri-push-crash-").tempdir();
        Crash {
            settings,
            program,
            folder: folder.expect("a temporary folder"),
            players: Players::new(dice.split()),
            dice,
            shared: Shared::default(),
            round: 0,
            kills: 0,
            log: Vec::new(),
        }
    }

    fn all_rounds(&mut self, tell: &mut dyn FnMut(&Report)) -> Result<(), Broken> {
        while self.round < self.settings.rounds {
            self.round += 1;
            while self.dice.one_in(3) {
                self.kill_a_start()?;
            }
            self.with_server(Players::load_and_kill)?;
            self.kills += 1;
            tell(&self.report());
        }
        self.with_server(Players::settle_and_terminate)?;
        let again = self.report().counts.again;
        self.with_server(Players::settle_and_terminate)?;
        // The ack of each device's last mark may have been on its way when the server stopped.
        if self.report().counts.again > again + DEVICES.len() {
            self.shared.complain("what had been acked came again after SIGTERM");
        }
        self.check()
    }

    /// A server that never gets to work must do no harm either.
    fn kill_a_start(&mut self) -> Result<(), Broken> {
        let lifetime = Duration::from_millis(self.dice.below(START_MS_MAX));
        let mut server = Server::start(self.program, self.folder.path());
        thread::sleep(lifetime);
        server.kill();
        self.kills += 1;
        self.check_log(server)
    }

    /// Starts a server, and lets the players use and end it.
    fn with_server(&mut self, act: fn(&mut Players, &Stage<'_>, &mut Server)) -> Result<(), Broken> {
        self.shared.expect_end(false);
        let mut server = Server::start(self.program, self.folder.path());
        match server.listening(self.folder.path()) {
            Ok((http, devices)) => {
                let stage = Stage { http, devices, shared: &self.shared };
                act(&mut self.players, &stage, &mut server);
            }
            Err(complaint) => self.shared.complain(complaint),
        }
        self.check_log(server)
    }

    /// A server may be killed, but it must not stumble.
    fn check_log(&mut self, server: Server) -> Result<(), Broken> {
        self.log = server.end();
        for line in self.log.iter().filter(|line| line.contains("panicked") || line.contains(" ERROR ")) {
            self.shared.complain(line.as_str());
        }
        self.check()
    }

    fn check(&self) -> Result<(), Broken> {
        if self.shared.with(|ledger| ledger.complaints().is_empty()) { Ok(()) } else { Err(Broken) }
    }

    fn report(&self) -> Report {
        let counts = self.shared.with(|ledger| ledger.counts());
        Report { rounds: self.round, kills: self.kills, counts }
    }

    fn fail(self) -> Failure {
        let log = self.log[self.log.len().saturating_sub(LOG_LINES)..].to_vec();
        Failure {
            settings: self.settings,
            round: self.round,
            complaints: self.shared.with(|ledger| ledger.complaints().to_vec()),
            log,
            folder: self.folder.keep(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { accepted, refused, unanswered, stored, again } = self.counts;
        write!(
            f,
            "{} rounds, {} kills: {accepted} posts accepted, {refused} refused, {unanswered} unanswered; \
             {stored} stored, {again} came again",
            self.rounds, self.kills,
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { seed, rounds } = self.settings;
        writeln!(f, "round {} of {rounds} with seed {seed} failed:", self.round)?;
        self.complaints.iter().try_for_each(|complaint| writeln!(f, "  {complaint}"))?;
        writeln!(f, "the server's last lines:")?;
        self.log.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        write!(f, "its data is kept in {}", self.folder.display())
    }
}
