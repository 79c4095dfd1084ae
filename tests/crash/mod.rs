//! Kills a real server in mid-load, round after round on the same data, and holds what app servers
//! were answered against what devices get afterwards. It sees the server from outside only: its HTTP
//! API, its device port, its log.
//!
//! All choices come from a seed. What the threads and the processes make of them is theirs: a seed
//! brings back the same kind of run, not the same run.

mod api;
mod app_server;
mod connected;
mod device;
mod dice;
mod ledger;
#[path = "../outside/mod.rs"]
mod outside;
mod phone;
mod place;
mod players;
mod registration;
mod run;
mod sendings;
mod shared;
#[path = "../store/small_disk.rs"]
mod small_disk;
mod tail;

use std::fmt;
use std::ops::{AddAssign, ControlFlow};
use std::path::{Path, PathBuf};

use self::dice::Dice;
use self::ledger::Counts;
use self::place::Place;
use self::run::Run;
use self::small_disk::SmallDisk;

/// Room for the queue, its ballast and the least that must be free.
const MEMORY_DISK_MIB: u32 = 192;
/// The same, and what this file system needs for itself.
const EXT4_DISK_MIB: u64 = 256;

/// What is run, from this seed.
#[derive(Clone, Copy)]
pub struct Settings {
    /// How often the server is killed in mid-load.
    pub rounds: u32,
    /// How often its disk runs full in mid-load, on each of two small disks.
    pub full_disk_rounds: u32,
    pub seed: u64,
}

/// What was done so far, and what came of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    pub rounds: u32,
    pub full_disk_rounds: u32,
    /// How often the server was killed.
    pub kills: u32,
    /// How often a device was.
    pub device_kills: u32,
    pub counts: Counts,
}

/// Something was lost, or came that should not have come, or did not work at all.
pub struct Failure {
    settings: Settings,
    pub report: Report,
    pub complaints: Vec<String>,
    log: Vec<String>,
    folder: PathBuf,
}

/// Runs `program serve` through all rounds, and tells how it stands after each, until it is told to
/// stop: then it checks what there is.
pub fn run(
    settings: Settings,
    program: &Path,
    tell: &mut dyn FnMut(&Report) -> ControlFlow<()>,
) -> Result<Report, Box<Failure>> {
    let mut dice = Dice::new(settings.seed);
    let mut report = Report::default();
    for (place, rounds) in places(settings) {
        let Some(place) = place() else { continue };
        let mut run = Run::new(place, program, dice.split());
        let outcome = run.all_rounds(rounds, &mut |more| tell(&report.and(more)));
        report += run.report();
        match outcome {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => break,
            Err(broken) => return Err(Box::new(run.fail(broken, settings, report))),
        }
    }
    Ok(report)
}

type Choice = (fn() -> Option<Place>, u32);

/// Where it runs, and for how many rounds.
fn places(settings: Settings) -> [Choice; 3] {
    let Settings { rounds, full_disk_rounds, .. } = settings;
    [
        (|| Some(Place::folder()), rounds),
        (|| SmallDisk::in_memory(MEMORY_DISK_MIB).map(Place::disk), full_disk_rounds),
        (|| SmallDisk::ext4(EXT4_DISK_MIB).map(Place::disk), full_disk_rounds),
    ]
}

impl Report {
    fn and(mut self, more: Report) -> Report {
        self += more;
        self
    }
}

impl AddAssign for Report {
    fn add_assign(&mut self, more: Report) {
        self.rounds += more.rounds;
        self.full_disk_rounds += more.full_disk_rounds;
        self.kills += more.kills;
        self.device_kills += more.device_kills;
        self.counts += more.counts;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { rounds, full_disk_rounds, kills, device_kills, counts } = self;
        let Counts { accepted, refused, unanswered, stored, again, states } = counts;
        write!(
            f,
            "{rounds} rounds and {full_disk_rounds} of a full disk; server killed {kills} times, devices \
             {device_kills} times; {accepted} posts accepted, {refused} refused, {unanswered} unanswered; \
             {stored} stored, {again} came again; {states} states asked for"
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} failed after {}:", self.settings.seed, self.report)?;
        self.complaints.iter().try_for_each(|complaint| writeln!(f, "  {complaint}"))?;
        writeln!(f, "the server's last lines:")?;
        self.log.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        write!(f, "its data is kept in {}", self.folder.display())
    }
}
