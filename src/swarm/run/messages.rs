//! Phases in which something is posted: messages to single devices, broadcasts, and both while some devices misbehave.

use std::time::Duration;

use serde::de::{DeserializeOwned, IgnoredAny};

use super::{Halt, Run, Standing, cpu_us, each, more};
use crate::base::Monotonic;
use crate::swarm::callers::{Answered, Unanswered};
use crate::swarm::clock::now;
use crate::swarm::fleet::Pace;
use crate::swarm::gauge::Gauge;
use crate::swarm::latency::{Latency, Times};
use crate::swarm::plan::{Phase, Rate, due_after};
use crate::swarm::posts::{Registered, post, registration};
use crate::swarm::report::{Crowd, Posted, Told};

/// Devices that are posted to at most: enough that none has more than the server's default rates allow in a short run,
/// and few enough to be registered in a second.
const TARGETS_MAX: usize = 4_096;
/// How long nothing may arrive before what has not is taken for lost.
const ARRIVE_WITHIN: Duration = Duration::from_secs(10);
/// Posts in one turn: between them, devices are read.
const POSTS_PER_TURN: usize = 32;
/// What is posted each second while some misbehave, unless something else was wanted.
const CROWD_RATE: Rate = Rate::PerSecond(100.0);
/// Messages that each device that misbehaves has waiting: what it holds up is not nothing.
const BURDEN: u64 = 20;
/// Devices that are burdened so at most.
const BURDENED_MAX: usize = 100;

/// Posts that go on for a while.
struct Volley {
    begin: Monotonic,
    first: u64,
    /// When each was posted, by its number; none if it has arrived or failed.
    sent: Vec<Option<Monotonic>>,
    left: u64,
    arrived: u64,
    last_arrival: Monotonic,
    times: Times,
    /// From each post to its answer.
    post_times: Times,
}

impl Run<'_> {
    /// Messages to some devices, round and round.
    pub(super) fn notify(&mut self) -> Result<(), Halt> {
        let rate = self.plan.notify.unwrap_or(CROWD_RATE);
        let targets = self.targets(&self.devices_there())?;
        let (before, bytes, own) = (self.gauge(), self.fleet.bytes(), own_cpu());
        let (volley, outcome) = self.volley("notify", &targets, rate, self.plan.lasting);
        let after = self.gauge();
        let own = own_cpu().saturating_sub(own).as_secs_f64() / now().since(volley.begin).as_secs_f64();
        self.report.unicast_cpu_us = cpu_us(before, after, volley.arrived);
        self.report.bytes.per_message = each(more(bytes, self.fleet.bytes()), volley.arrived);
        self.report.latency_ms = volley.times.latency();
        self.report.post_ms = volley.post_times.latency();
        let seconds = volley.last_arrival.since(volley.begin).as_secs_f64();
        self.report.notify = Some(Posted {
            posts: volley.sent.len() as u64,
            arrived: volley.arrived,
            per_s: if seconds > 0.0 { volley.arrived as f64 / seconds } else { 0.0 },
            generator_cpu: own.min(1.0),
        });
        outcome
    }

    /// Broadcasts one after the other, each until all devices have it.
    pub(super) fn broadcast(&mut self) -> Result<(), Halt> {
        let (before, mut all, mut whole) = (self.gauge(), Duration::ZERO, 0);
        let (mut times, mut post_times) = (Times::new(), Times::new());
        let mut outcome = Ok(());
        for _ in 0..self.plan.broadcasts {
            match self.broadcast_once(&mut times, &mut post_times) {
                Ok(took) => {
                    all += took.unwrap_or_default();
                    whole += u64::from(took.is_some());
                    self.tell("broadcast", post_times.len(), self.plan.broadcasts as u64);
                }
                Err(halt) => {
                    outcome = Err(halt);
                    break;
                }
            }
        }
        let (after, made) = (self.gauge(), post_times.len());
        self.report.broadcast_cpu_us_per_device = cpu_us(before, after, times.len());
        self.report.broadcast = Some(Told {
            broadcasts: made,
            deliveries: times.len(),
            latency_ms: times.latency(),
            post_ms: post_times.latency(),
            all_ms: (whole > 0).then(|| all.as_secs_f64() * 1e3 / whole as f64),
        });
        outcome
    }

    /// How long it took until the last had it, if it was made.
    fn broadcast_once(
        &mut self,
        times: &mut Times,
        post_times: &mut Times,
    ) -> Result<Option<Duration>, Halt> {
        let number = self.next_number();
        let body = self.writer.broadcast(&self.image, number);
        self.told.clear();
        let (begin, key) = (now(), self.operator_key.clone());
        self.fleet.ask(number, &post("/broadcast", key.as_deref(), body));
        let (mut got, mut last, mut is_refused) = (0, begin, false);
        while !is_refused && (got < self.there || self.fleet.callers.waiting() > 0) {
            self.turn(now() + ARRIVE_WITHIN)?;
            while let Some(answered) = self.fleet.callers.answered.pop_front() {
                let took = answered.took;
                match self.take_answer::<IgnoredAny>("POST /broadcast", answered) {
                    Some(_) => post_times.add(took),
                    None => is_refused = true,
                }
            }
            while let Some((device, told, at)) = self.told.pop_front() {
                // An earlier one may come late.
                if told == number && self.standings[device] == Standing::There {
                    times.add(at.since(begin));
                    (got, last) = (got + 1, at);
                }
            }
            if now() > last + ARRIVE_WITHIN && self.fleet.callers.waiting() == 0 {
                let missing = self.there.saturating_sub(got);
                (0..missing).for_each(|_| self.problem("a broadcast did not arrive at a device".into()));
                break;
            }
        }
        Ok((!is_refused).then(|| last.since(begin)))
    }

    /// The last so many devices misbehave, and messages are posted to the others.
    pub(super) fn crowd(&mut self, phase: Phase, count: usize, pace: Pace) -> Result<Option<Crowd>, Halt> {
        let mut others = self.devices_there();
        let odd = others.split_off(others.len().saturating_sub(count));
        if odd.len() < count || others.is_empty() {
            self.note(format!(
                "{}: of {} devices that are there, {count}",
                phase.name(),
                odd.len() + others.len()
            ));
            return Ok(None);
        }
        let targets = self.targets(&others)?;
        let burdened = self.targets(&odd[..odd.len().min(BURDENED_MAX)])?;
        for device in &odd {
            self.standings[*device] = Standing::Odd;
            self.there -= 1;
            self.fleet.set_pace(*device, pace);
        }
        self.burden(&burdened)?;
        let (volley, outcome) =
            self.volley(phase.name(), &targets, self.plan.notify.unwrap_or(CROWD_RATE), self.plan.lasting);
        let mut times = Times::new();
        let broadcast: Option<Latency> = match outcome {
            Ok(()) if self.plan.broadcasts > 0 => {
                self.broadcast_once(&mut times, &mut Times::new())?;
                times.latency()
            }
            Ok(()) => None,
            Err(halt) => return Err(halt),
        };
        for device in &odd {
            self.fleet.hang_up(*device);
            self.fleet.set_pace(*device, Pace::Brisk);
            self.standings[*device] = Standing::Away;
        }
        Ok(Some(Crowd {
            devices: odd.len(),
            arrived: volley.arrived,
            posts: volley.sent.len() as u64,
            latency_ms: volley.times.latency(),
            post_ms: volley.post_times.latency(),
            broadcast_ms: broadcast,
        }))
    }

    /// Posts to those who will not take it, and waits for the answers alone.
    fn burden(&mut self, targets: &[(usize, String)]) -> Result<(), Halt> {
        for (_, token) in targets.iter().cycle().take(targets.len() * BURDEN as usize) {
            while !self.fleet.callers.has_idle() {
                self.turn(now() + ARRIVE_WITHIN)?;
                self.take_burdened();
            }
            let number = self.next_number();
            self.fleet.ask(number, &post("/notify", None, self.writer.notify(token, number)));
        }
        while self.fleet.callers.waiting() > 0 {
            self.turn(now() + ARRIVE_WITHIN)?;
        }
        self.take_burdened();
        Ok(())
    }

    fn take_burdened(&mut self) {
        while let Some(answered) = self.fleet.callers.answered.pop_front() {
            self.take_answer::<IgnoredAny>("POST /notify", answered);
        }
    }

    /// Some of these devices with their tokens, as many as are of use: all that there are if nobody counts.
    fn targets(&mut self, devices: &[usize]) -> Result<Vec<(usize, String)>, Halt> {
        let wanted = match self.plan.notify.unwrap_or(CROWD_RATE) {
            Rate::PerSecond(rate) => (rate * self.plan.lasting.as_secs_f64()).ceil() as usize,
            Rate::Max => TARGETS_MAX,
        };
        let devices = &devices[..devices.len().min(wanted.clamp(1, TARGETS_MAX))];
        self.fleet.connect_callers();
        self.register(devices)?;
        let with_token = |device: &usize| Some((*device, self.tokens.get(device)?.clone()));
        Ok(devices.iter().filter_map(with_token).collect())
    }

    fn register(&mut self, devices: &[usize]) -> Result<(), Halt> {
        let mut new =
            devices.iter().copied().filter(|device| !self.tokens.contains_key(device)).collect::<Vec<_>>();
        let of = new.len() as u64;
        while !new.is_empty() || self.fleet.callers.waiting() > 0 {
            while let (true, Some(device)) = (self.fleet.callers.has_idle(), new.last().copied()) {
                new.pop();
                let identity = self.fleet.identity(device);
                let (bearer, body) = (identity.bearer(), registration(identity));
                self.fleet.ask(device as u64, &post("/register", bearer.as_deref(), body));
            }
            self.turn(now() + ARRIVE_WITHIN)?;
            while let Some(answered) = self.fleet.callers.answered.pop_front() {
                let device = answered.number as usize;
                // An API that does not answer keeps nobody waiting once for each device.
                if matches!(answered.answer, Err(Unanswered::Late(_))) {
                    new.clear();
                }
                if let Some(Registered { token }) = self.take_answer("POST /register", answered) {
                    self.tokens.insert(device, token);
                }
            }
            self.tell("register", of - new.len() as u64, of);
        }
        Ok(())
    }

    /// Posts for so long, then waits for what has not arrived.
    fn volley(
        &mut self,
        what: &'static str,
        targets: &[(usize, String)],
        rate: Rate,
        lasting: Duration,
    ) -> (Volley, Result<(), Halt>) {
        let begin = now();
        let mut volley = Volley {
            begin,
            first: self.posted,
            sent: Vec::new(),
            left: 0,
            arrived: 0,
            last_arrival: begin,
            times: Times::new(),
            post_times: Times::new(),
        };
        if targets.is_empty() {
            self.note(format!("{what}: no device to post to"));
            return (volley, Ok(()));
        }
        self.arrived.clear();
        let outcome = self.shoot(what, targets, rate, begin + lasting, &mut volley);
        // Who stops it does not wait for what is on its way.
        if outcome.is_ok() {
            (0..volley.left).for_each(|_| self.problem("a message did not arrive".into()));
        }
        (volley, outcome)
    }

    fn shoot(
        &mut self,
        what: &'static str,
        targets: &[(usize, String)],
        rate: Rate,
        end: Monotonic,
        volley: &mut Volley,
    ) -> Result<(), Halt> {
        let mut tokens = targets.iter().map(|(_, token)| token).cycle();
        let mut quiet_since = volley.begin;
        loop {
            let mut room = POSTS_PER_TURN;
            while room > 0 && now() < end && self.may_post(rate, volley) {
                let token = tokens.next().expect("there is one, and it comes again");
                let number = self.next_number();
                let body = self.writer.notify(token, number);
                volley.sent.push(Some(now()));
                volley.left += 1;
                self.fleet.ask(number, &post("/notify", None, body));
                room -= 1;
            }
            self.turn(self.next_shot(rate, end, volley))?;
            self.take_posted(volley);
            quiet_since = quiet_since.max(volley.last_arrival);
            if now() < end {
                quiet_since = now();
                self.tell(
                    what,
                    now().since(volley.begin).as_millis() as u64 / 1_000,
                    end.since(volley.begin).as_secs(),
                );
            } else if self.fleet.callers.waiting() == 0
                && (volley.left == 0 || now() > quiet_since + ARRIVE_WITHIN)
            {
                return Ok(());
            }
        }
    }

    fn next_shot(&self, rate: Rate, end: Monotonic, volley: &Volley) -> Monotonic {
        let is_full = rate == Rate::Max && !self.may_post(rate, volley);
        match now() < end && self.fleet.callers.has_idle() && !is_full {
            true => volley.next_at(rate).min(end),
            false => now() + ARRIVE_WITHIN,
        }
    }

    /// As fast as can be is as many posts under way as there are callers, from post to arrival.
    fn may_post(&self, rate: Rate, volley: &Volley) -> bool {
        let is_due = match rate {
            Rate::PerSecond(_) => volley.next_at(rate) <= now(),
            Rate::Max => volley.left < self.fleet.callers.len() as u64,
        };
        is_due && self.fleet.callers.has_idle()
    }

    fn take_posted(&mut self, volley: &mut Volley) {
        while let Some((number, at)) = self.arrived.pop_front() {
            if let Some(sent) = volley.take(number) {
                volley.times.add(at.since(sent));
                volley.arrived += 1;
                volley.last_arrival = at;
            }
        }
        while let Some(answered) = self.fleet.callers.answered.pop_front() {
            let Answered { number, took, .. } = answered;
            match self.take_answer::<IgnoredAny>("POST /notify", answered) {
                Some(_) => volley.post_times.add(took),
                None => drop(volley.take(number)),
            }
        }
    }

    /// What the API says, if it does what it was asked to.
    fn take_answer<T: DeserializeOwned>(&mut self, what: &str, answered: Answered) -> Option<T> {
        let answer = answered.answer.map_err(|why| why.to_string());
        let said = answer.and_then(|answer| answer.success().map_err(|error| error.to_string()));
        said.map_err(|why| self.problem(format!("{what}: {why}"))).ok()
    }

    fn next_number(&mut self) -> u64 {
        self.posted += 1;
        self.posted - 1
    }
}

/// What this process has cost up to now.
fn own_cpu() -> Duration {
    let reading = Gauge::of(std::process::id()).and_then(|gauge| gauge.read());
    reading.map_or(Duration::ZERO, |reading| reading.cpu)
}

impl Volley {
    /// When the next post is due.
    fn next_at(&self, rate: Rate) -> Monotonic {
        match rate {
            Rate::PerSecond(rate) => self.begin + due_after(self.sent.len(), rate),
            Rate::Max => self.begin,
        }
    }

    /// When message `number` was posted, if it is one that is waited for; it is no more.
    fn take(&mut self, number: u64) -> Option<Monotonic> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let sent = self.sent.get_mut(place)?.take()?;
        self.left -= 1;
        Some(sent)
    }
}
