//! A swarm at work: takes the fleet through the phases of a plan, and notes what that costs. One thread, one loop.

mod coming;
mod messages;
mod still;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::callers::{Api, Callers};
use super::clock::{date_in, now, run_name};
use super::fleet::{Fleet, Happened, Identity, Pace, Server};
use super::gauge::{Gauge, Reading};
use super::latency::Times;
use super::plan::{Phase, Plan};
use super::posts::Writer;
use super::report::{Report, count_problem};
use crate::base::Monotonic;

/// How long a turn waits at most, so that progress is seen and a signal is.
const TURN_MAX: Duration = Duration::from_millis(100);
/// How long messages are of use: beyond any run that posts them.
const EXPIRES_IN: Duration = Duration::from_secs(3_600);
/// How often a device tries to get in, and how long it waits in between.
const TRIES_MAX: u8 = 3;
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How far a phase is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is done.
    pub what: &'static str,
    /// How much of it.
    pub done: u64,
    /// How much there is; 0 if nobody knows.
    pub of: u64,
}

/// Why a run has ended early.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// Somebody wanted it.
    #[error("stopped")]
    Stopped,
    /// Not a single device got in: why.
    #[error("{0}")]
    NobodyIn(String),
    /// The API gave no code: why.
    #[error("{0}")]
    NoCode(String),
    /// A code did not make a device: why.
    #[error("{0}")]
    NotEnrolled(String),
    /// This machine's.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A swarm at work: [`Run::new`], perhaps [`Run::enrol`], [`Run::add`], [`Run::all`], and then [`Run::report`], whatever
/// came of it.
pub struct Run<'a> {
    plan: Plan,
    pub(super) fleet: Fleet,
    gauges: Vec<Gauge>,
    pub(super) operator_key: Option<String>,
    /// What this run has to itself.
    pub(super) name: String,
    image: String,
    writer: Writer,
    stop: &'a AtomicBool,
    watch: &'a mut dyn FnMut(Progress),
    standings: Vec<Standing>,
    /// Who is to come next, and who is to try again.
    waiting: VecDeque<usize>,
    later: VecDeque<(Monotonic, usize)>,
    /// How many are on their way, are there, and have ever come.
    coming: usize,
    there: usize,
    ever_there: u64,
    resumed: u64,
    confirmed: u64,
    /// How long those who came took, in this phase.
    until_in: Times,
    tokens: BTreeMap<usize, String>,
    /// Messages that came, by number, and devices that broadcasts came to, with their numbers.
    arrived: VecDeque<(u64, Monotonic)>,
    told: VecDeque<(usize, u64, Monotonic)>,
    posted: u64,
    problems: BTreeMap<String, u64>,
    first_problem: Option<String>,
    before: Option<Reading>,
    /// The server's memory at its most, where that is looked at.
    rss_bytes_max: Option<u64>,
    report: Report,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Away,
    Coming {
        tries: u8,
        since: Monotonic,
    },
    There,
    /// It misbehaves as it is told to: whatever becomes of it is no error.
    Odd,
}

impl<'a> Run<'a> {
    /// Nobody is there yet. With `api` something can be posted, over so many connections; with the operator's key codes
    /// can be had and broadcasts made where that is not open to all. `watch` is told of progress. Once `stop` is set
    /// the run ends soon.
    ///
    /// # Errors
    /// The system has no selector for it.
    pub fn new(
        plan: Plan,
        mut server: Server,
        (api, callers): (Option<Api>, usize),
        operator_key: Option<String>,
        gauges: Vec<Gauge>,
        stop: &'a AtomicBool,
        watch: &'a mut dyn FnMut(Progress),
    ) -> io::Result<Run<'a>> {
        let run = run_name();
        let writer = Writer::new(run.clone(), plan.payload_bytes, date_in(EXPIRES_IN));
        server.image = ("swarm".into(), run.clone());
        let image = format!("{}/{}", server.image.0, server.image.1);
        let fleet = Fleet::new(server, Callers::new(api, callers))?;
        Ok(Run {
            plan,
            fleet,
            gauges,
            operator_key,
            name: run,
            image,
            writer,
            stop,
            watch,
            standings: Vec::new(),
            waiting: VecDeque::new(),
            later: VecDeque::new(),
            coming: 0,
            there: 0,
            ever_there: 0,
            resumed: 0,
            confirmed: 0,
            until_in: Times::new(),
            tokens: BTreeMap::new(),
            arrived: VecDeque::new(),
            told: VecDeque::new(),
            posted: 0,
            problems: BTreeMap::new(),
            first_problem: None,
            before: None,
            rss_bytes_max: None,
            report: Report::default(),
        })
    }

    /// One more device.
    pub fn add(&mut self, identity: Identity) {
        self.fleet.add(identity);
        self.standings.push(Standing::Away);
    }

    /// Something that was asked for cannot be done: what and why.
    pub fn note(&mut self, what: String) {
        self.report.notes.push(what);
    }

    /// Goes through all phases.
    ///
    /// # Errors
    /// It was stopped, or cannot go on.
    pub fn all(&mut self) -> Result<(), Halt> {
        for phase in self.plan.phases() {
            match phase {
                Phase::Connect => self.connect()?,
                Phase::Hold => self.hold()?,
                Phase::Churn => self.churn()?,
                Phase::Storm => self.storm()?,
                Phase::Notify => self.notify()?,
                Phase::Broadcast => self.broadcast()?,
                Phase::Slow => self.report.slow = self.crowd(phase, self.plan.slow, Pace::Slow)?,
                Phase::Dead => self.report.dead = self.crowd(phase, self.plan.dead, Pace::Dead)?,
            }
        }
        Ok(())
    }

    /// What was measured. All devices take their leave.
    pub fn report(mut self) -> Report {
        (0..self.fleet.len()).for_each(|device| self.fleet.leave(device));
        let (up, down) = self.fleet.bytes();
        (self.report.bytes.up, self.report.bytes.down) = (up, down);
        self.report.resumed = self.resumed;
        self.report.interrupted = self.stop.load(Ordering::Relaxed);
        self.report.set_problems(&self.problems);
        self.report
    }

    /// Waits until something happens, until `until` at the latest, and notes it.
    fn turn(&mut self, until: Monotonic) -> Result<(), Halt> {
        self.check_stop()?;
        self.fleet.turn(until.min(now() + TURN_MAX))?;
        while let Some(happened) = self.fleet.happened.pop_front() {
            self.note_happened(happened);
        }
        Ok(())
    }

    pub(super) fn check_stop(&self) -> Result<(), Halt> {
        if self.stop.load(Ordering::Relaxed) { Err(Halt::Stopped) } else { Ok(()) }
    }

    fn note_happened(&mut self, happened: Happened) {
        match happened {
            Happened::Connected { device, is_resumed } => self.note_in(device, is_resumed),
            Happened::Message(payload, at) => {
                self.arrived.extend(self.writer.number_in(&payload).map(|number| (number, at)));
            }
            Happened::Broadcast(device, payloads, at) => {
                let numbers = payloads.iter().filter_map(|payload| self.writer.number_in(payload));
                self.told.extend(numbers.map(|number| (device, number, at)));
            }
            Happened::Confirmed => self.confirmed += 1,
            Happened::Ended(device, why) => self.note_end(device, why),
            Happened::Enrolled(..) => {}
        }
    }

    fn note_in(&mut self, device: usize, is_resumed: bool) {
        if let Standing::Coming { since, .. } = self.standings[device] {
            self.until_in.add(now().since(since));
            self.coming -= 1;
        }
        self.standings[device] = Standing::There;
        self.there += 1;
        self.ever_there += 1;
        self.resumed += u64::from(is_resumed);
    }

    fn note_end(&mut self, device: usize, why: String) {
        match self.standings[device] {
            Standing::Coming { tries, since } => {
                self.coming -= 1;
                if tries < TRIES_MAX {
                    self.standings[device] = Standing::Coming { tries: tries + 1, since };
                    self.later.push_back((now() + TRY_AGAIN_AFTER, device));
                } else {
                    self.standings[device] = Standing::Away;
                    self.first_problem.get_or_insert(why.clone());
                }
                self.problem(format!("connect: {why}"));
            }
            Standing::There => {
                self.there -= 1;
                self.standings[device] = Standing::Away;
                self.problem(format!("lost: {why}"));
            }
            Standing::Away | Standing::Odd => {}
        }
    }

    pub(super) fn problem(&mut self, what: String) {
        count_problem(&mut self.problems, what);
    }

    pub(super) fn tell(&mut self, what: &'static str, done: u64, of: u64) {
        (self.watch)(Progress { what, done, of });
    }

    /// What the server's processes cost up to now, if they are known.
    fn gauge(&mut self) -> Option<Reading> {
        let readings: Result<Vec<Reading>, _> = self.gauges.iter().map(Gauge::read).collect();
        match readings {
            Ok(readings) => readings.into_iter().reduce(|sum, reading| Reading {
                cpu: sum.cpu + reading.cpu,
                rss_bytes: sum.rss_bytes + reading.rss_bytes,
            }),
            Err(error) => {
                self.gauges.clear();
                self.note(format!("to measure the server from here on: its process: {error}"));
                None
            }
        }
    }

    fn devices_there(&self) -> Vec<usize> {
        let is_there = |device: &usize| self.standings[*device] == Standing::There;
        (0..self.standings.len()).filter(is_there).collect()
    }
}

/// The server's microseconds for each of `count`.
fn cpu_us(before: Option<Reading>, after: Option<Reading>, count: u64) -> Option<f64> {
    let spent = after?.cpu.saturating_sub(before?.cpu);
    (count > 0).then(|| spent.as_secs_f64() * 1e6 / count as f64)
}

/// So many more there are now.
fn more((up_before, down_before): (u64, u64), (up, down): (u64, u64)) -> u64 {
    up + down - up_before - down_before
}

fn each(total: u64, count: u64) -> Option<f64> {
    (count > 0).then(|| total as f64 / count as f64)
}
