//! Phases in which devices come: the first connects, churn, the storm.

use std::time::Duration;

use super::{Halt, Run, Standing, cpu_us, each, more};
use crate::base::Monotonic;
use crate::swarm::clock::now;
use crate::swarm::gauge::Reading;
use crate::swarm::latency::Times;
use crate::swarm::plan::due_after;
use crate::swarm::report::Returned;

/// How many begin to connect in one turn: between them, those on their way are served. In a storm all begin first.
const BEGIN_PER_TURN: usize = 32;
/// How often the server's memory is looked at in a storm.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long the server may still be busy with what the last connect has left behind.
const SETTLE: Duration = Duration::from_millis(500);

/// How fast those who wait may come.
#[derive(Clone, Copy)]
struct Gate {
    begin: Monotonic,
    rate: Option<f64>,
    window: usize,
    per_turn: usize,
    begun: usize,
}

impl Gate {
    fn new(rate: Option<f64>, window: usize) -> Gate {
        Gate { begin: now(), rate, window, per_turn: BEGIN_PER_TURN, begun: 0 }
    }

    fn is_open(&self, coming: usize) -> bool {
        coming < self.window && self.next_at() <= now()
    }

    fn next_at(&self) -> Monotonic {
        self.begin + self.rate.map_or(Duration::ZERO, |rate| due_after(self.begun, rate))
    }
}

impl Run<'_> {
    /// All come.
    pub(super) fn connect(&mut self) -> Result<(), Halt> {
        let (before, bytes) = (self.gauge(), self.fleet.bytes());
        self.before = before;
        self.waiting = (0..self.fleet.len()).collect();
        let mut gate = Gate::new(self.plan.rate, self.plan.handshakes_max);
        let begin = gate.begin;
        let outcome = self.bring_in("connect", &mut gate);
        let took = now().since(begin);
        self.report.devices = self.there;
        self.report.connects_per_s = Some(self.ever_there as f64 / took.as_secs_f64());
        self.report.bytes.per_connect = each(more(bytes, self.fleet.bytes()), self.ever_there);
        outcome?;
        self.fleet.resume();
        self.settle()?;
        let after = self.gauge();
        self.report.connect_cpu_us = cpu_us(before, after, self.ever_there);
        self.set_memory(after);
        Ok(())
    }

    /// What a device costs the server by now.
    pub(super) fn set_memory(&mut self, after: Option<Reading>) {
        if let (Some(before), Some(after), true) = (self.before, after, self.there > 0) {
            let grown = after.rss_bytes as f64 - before.rss_bytes as f64;
            self.report.rss_bytes_per_device = Some(grown / self.there as f64);
        }
    }

    fn settle(&mut self) -> Result<(), Halt> {
        let until = now() + SETTLE;
        while now() < until {
            self.turn(until)?;
        }
        Ok(())
    }

    /// Some break off and come back, round and round, for a while.
    pub(super) fn churn(&mut self) -> Result<(), Halt> {
        let rate = self.plan.churn.unwrap_or_default();
        let round = self.devices_there();
        let (before, come, problems_before) = (self.gauge(), self.ever_there, self.problems.len());
        self.until_in = Times::new();
        let mut gate = Gate::new(Some(rate), self.plan.handshakes_max);
        let end = gate.begin + self.plan.lasting;
        let mut places = round.iter().copied().cycle();
        let outcome = loop {
            while now() < end && gate.is_open(self.coming) {
                let Some(device) = places.next() else { break };
                gate.begun += 1;
                if self.standings[device] == Standing::There {
                    self.cut(device);
                    self.begin(device);
                }
            }
            self.begin_again();
            if now() >= end && self.is_nobody_coming() {
                break Ok(());
            }
            if let Err(halt) = self.turn(if now() < end { gate.next_at() } else { self.next_try() }) {
                break Err(halt);
            }
            let elapsed = now().since(gate.begin).min(self.plan.lasting);
            self.tell("churn", elapsed.as_secs(), self.plan.lasting.as_secs());
        };
        let came = self.ever_there - come;
        self.report.churn = self.returned((gate.begin, before), came);
        if gate.begun == 0 && self.problems.len() == problems_before {
            self.note("churn: no device was there".into());
        }
        outcome
    }

    /// All break off at once, and come back at once.
    pub(super) fn storm(&mut self) -> Result<(), Halt> {
        let (before, come) = (self.gauge(), self.ever_there);
        self.until_in = Times::new();
        let all = self.devices_there();
        let mut gate = Gate { per_turn: usize::MAX, ..Gate::new(None, all.len()) };
        all.iter().for_each(|device| self.cut(*device));
        self.waiting = all.into();
        self.rss_bytes_max = before.map(|reading| reading.rss_bytes);
        let outcome = self.bring_in("storm", &mut gate);
        let came = self.ever_there - come;
        self.report.storm = self.returned((gate.begin, before), came);
        outcome
    }

    fn returned(&mut self, (begin, before): (Monotonic, Option<Reading>), came: u64) -> Option<Returned> {
        let seconds = now().since(begin).as_secs_f64();
        let after = self.gauge();
        Some(Returned {
            devices: came,
            seconds,
            connect_cpu_us: cpu_us(before, after, came),
            latency_ms: self.until_in.latency(),
            rss_bytes_before: before.map(|reading| reading.rss_bytes),
            rss_bytes_after: after.map(|reading| reading.rss_bytes),
            rss_bytes_max: self.rss_bytes_max.take().zip(after).map(|(max, after)| max.max(after.rss_bytes)),
        })
    }

    /// Lets those who wait come, until all are there or have given up.
    fn bring_in(&mut self, what: &'static str, gate: &mut Gate) -> Result<(), Halt> {
        let (of, come) = (self.waiting.len() as u64, self.ever_there);
        let mut look_at = now();
        while !(self.waiting.is_empty() && self.is_nobody_coming()) {
            let mut room = gate.per_turn;
            while room > 0 && gate.is_open(self.coming) {
                let Some(device) = self.waiting.pop_front() else { break };
                self.begin(device);
                (room, gate.begun) = (room - 1, gate.begun + 1);
            }
            self.begin_again();
            let may_go_on = !self.waiting.is_empty() && self.coming < gate.window;
            self.turn(if may_go_on { gate.next_at() } else { self.next_try() })?;
            self.tell(what, self.ever_there - come, of);
            if self.rss_bytes_max.is_some() && look_at <= now() {
                look_at = now() + LOOK_AGAIN;
                let reading = self.gauge();
                self.rss_bytes_max = self.rss_bytes_max.max(reading.map(|reading| reading.rss_bytes));
            }
            match &self.first_problem {
                Some(why) if self.ever_there == 0 => return Err(Halt::NobodyIn(why.clone())),
                _ => {}
            }
        }
        Ok(())
    }

    fn is_nobody_coming(&self) -> bool {
        self.coming == 0 && self.later.is_empty()
    }

    fn next_try(&self) -> Monotonic {
        self.later.front().map_or(now() + super::TURN_MAX, |(at, _)| *at)
    }

    fn begin(&mut self, device: usize) {
        self.standings[device] = Standing::Coming { tries: 1, since: now() };
        self.coming += 1;
        self.fleet.connect(device);
    }

    /// Those who failed a while ago try again.
    fn begin_again(&mut self) {
        while let Some((_, device)) = self.later.front().copied().filter(|(at, _)| *at <= now()) {
            self.later.pop_front();
            self.coming += 1;
            self.fleet.connect(device);
        }
    }

    fn cut(&mut self, device: usize) {
        if self.standings[device] == Standing::There {
            self.there -= 1;
        }
        self.standings[device] = Standing::Away;
        self.fleet.hang_up(device);
    }
}
