//! One queue through all its rounds: which server lives when, and how it ends.
//!
//! ```text
//! round   [start ── kill at once]  start ── check ── load ── kill
//!                                             │        │
//!                          tokens live or are dead;    app servers post; devices ack, go, come;
//!                          some devices come back      the others are away
//!                          and get what they are owed
//!
//! on a small disk          start ── check ── load ── others fill the disk ── no more is taken ── kill
//!                          [start on the full disk ── kill] ── others make room
//!
//! end     start ── check all ── SIGTERM ── start ── check that what was acked does not come again
//! ```

use std::ops::ControlFlow;
use std::path::Path;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::device::DEVICES;
use super::dice::Dice;
use super::outside::enrolment::operator_key;
use super::outside::server::{Listening, Server};
use super::place::{Place, new_folder};
use super::players::{Players, Stage};
use super::shared::Shared;
use super::{Failure, Report, Settings};

/// Loads come from a few app servers, at no rate; devices that are away must not be full; and small disks
/// are too small for the usual floor.
const CONFIGURATION: &str = r#"
token_rate_per_minute = 0
app_rate_per_minute = 0
user_rate_per_minute = 0
max_notifications_per_app = 10_000
disk_free_bytes_min = 67_108_864
"#;
/// How long a server lives, at most, that is killed while it starts.
const START_MS_MAX: u64 = 60;
/// How much of the log a failure shows.
const LOG_LINES: usize = 20;

/// One queue, and all who have to do with it.
pub struct Run<'a> {
    program: &'a Path,
    place: Place,
    /// What devices keep, on a disk of their own.
    devices: TempDir,
    dice: Dice,
    players: Players,
    shared: Shared,
    rounds: u32,
    kills: u32,
    /// What the last server said.
    log: Vec<String>,
}

/// The ledger has complaints.
pub struct Broken;

impl<'a> Run<'a> {
    pub fn new(place: Place, program: &'a Path, mut dice: Dice) -> Run<'a> {
        let (players, shared) = (Players::new(dice.split()), Shared::default());
        Run {
            program,
            place,
            devices: new_folder(),
            players,
            dice,
            shared,
            rounds: 0,
            kills: 0,
            log: Vec::new(),
        }
    }

    /// Goes through so many rounds, or fewer if it is told to stop, and then to the end.
    pub fn all_rounds(
        &mut self,
        rounds: u32,
        tell: &mut dyn FnMut(Report) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Broken> {
        let mut go_on = ControlFlow::Continue(());
        while self.rounds < rounds && go_on.is_continue() {
            match self.place {
                Place::Folder(_) => self.round()?,
                Place::Disk(..) => self.full_disk_round()?,
            }
            self.rounds += 1;
            go_on = tell(self.report());
        }
        self.settle()?;
        Ok(go_on)
    }

    pub fn report(&self) -> Report {
        let rounds = |is_here| if is_here { self.rounds } else { 0 };
        let is_small = matches!(self.place, Place::Disk(..));
        Report {
            rounds: rounds(!is_small),
            full_disk_rounds: rounds(is_small),
            kills: self.kills,
            device_kills: self.players.device_kills(),
            counts: self.shared.with(|ledger| ledger.counts()),
        }
    }

    pub fn fail(self, _: Broken, settings: Settings, report: Report) -> Failure {
        let log = self.log[self.log.len().saturating_sub(LOG_LINES)..].to_vec();
        let complaints = self.shared.with(|ledger| ledger.complaints().to_vec());
        Failure { settings, report, complaints, log, folder: self.place.keep() }
    }

    fn round(&mut self) -> Result<(), Broken> {
        while self.dice.one_in(3) {
            let lifetime = Duration::from_millis(self.dice.below(START_MS_MAX));
            self.kill_a_start(|_| thread::sleep(lifetime))?;
        }
        self.kills += 1;
        self.with_server(Players::load_and_kill)
    }

    fn full_disk_round(&mut self) -> Result<(), Broken> {
        self.kills += 1;
        self.with_server(Players::load_and_fill)?;
        if self.dice.one_in(2) {
            let folder = self.place.path();
            // It may find room enough, or say that there is none.
            self.kill_a_start(|server| drop(server.listening(&folder)))?;
        }
        self.place.empty();
        Ok(())
    }

    /// A server that never gets to work must do no harm either.
    fn kill_a_start(&mut self, wait: impl FnOnce(&mut Server)) -> Result<(), Broken> {
        let mut server = Server::start(self.program, &self.place.path(), CONFIGURATION);
        wait(&mut server);
        server.kill();
        self.kills += 1;
        self.check_log(server)
    }

    fn settle(&mut self) -> Result<(), Broken> {
        self.with_server(Players::settle_and_terminate)?;
        let again = self.report().counts.again;
        self.with_server(Players::settle_and_terminate)?;
        // The ack of each device's last mark may have been on its way when the server stopped.
        if self.report().counts.again > again + DEVICES.len() {
            self.shared.complain("what had been acked came again after SIGTERM");
        }
        self.check()
    }

    /// Starts a server, and lets the players use and end it.
    fn with_server(&mut self, act: fn(&mut Players, &Stage<'_>, &mut Server)) -> Result<(), Broken> {
        self.shared.expect_end(false);
        let folder = self.place.path();
        let mut server = Server::start(self.program, &folder, CONFIGURATION);
        match server.listening(&folder) {
            Ok(listening) => self.play(listening, |players, stage| act(players, stage, &mut server)),
            Err(complaint) => self.shared.complain(complaint),
        }
        self.check_log(server)
    }

    fn play(&mut self, server: Listening, act: impl FnOnce(&mut Players, &Stage<'_>)) {
        let Run { program, place, devices, shared, players, .. } = self;
        let outcome = operator_key(&place.path()).and_then(|operator_key| {
            let stage = Stage { server, operator_key, program, place, devices: devices.path(), shared };
            players.enrol(&stage).map(|()| act(players, &stage))
        });
        if let Err(complaint) = outcome {
            self.shared.complain(complaint);
        }
    }

    /// A server may be killed, but it must not stumble; unless its disk is full, which it may well say.
    fn check_log(&mut self, server: Server) -> Result<(), Broken> {
        self.log = server.end();
        let may_fail = matches!(self.place, Place::Disk(..));
        let is_bad = |line: &&String| line.contains("panicked") || (line.contains(" ERROR ") && !may_fail);
        self.log.iter().filter(is_bad).for_each(|line| self.shared.complain(line.as_str()));
        self.check()
    }

    fn check(&self) -> Result<(), Broken> {
        if self.shared.with(|ledger| ledger.complaints().is_empty()) { Ok(()) } else { Err(Broken) }
    }
}
