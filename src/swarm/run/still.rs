//! The hold: nobody does anything but live.

use std::time::Duration;

use super::{Halt, Run, cpu_us, each, more};
use crate::base::Monotonic;
use crate::swarm::clock::now;
use crate::swarm::fleet::SILENCE_MAX;
use crate::swarm::gauge::Reading;
use crate::swarm::report::Held;

impl Run<'_> {
    /// With keepalives, each device first says how long it will be silent: one after the other for as long as that is,
    /// so that its keepalives come at a time of its own. The hold is measured after that.
    pub(super) fn hold(&mut self) -> Result<(), Halt> {
        let lasting = self.plan.hold.unwrap_or_default();
        if let Some(silence) = self.plan.keepalive {
            self.announce(silence)?;
        }
        let (before, bytes, confirmed) = (self.gauge(), self.fleet.bytes(), self.confirmed);
        let (begin, there, said) = (now(), self.there, self.fleet.said);
        let outcome = self.wait("hold", begin, lasting);
        let after = self.gauge();
        // On wire 0 it is the server that asks, and all that devices say is the answer.
        let keepalives = match self.fleet.wire() {
            0 => self.fleet.said - said,
            _ => self.confirmed - confirmed,
        };
        self.report.hold = Some(Held {
            seconds: now().since(begin).as_secs_f64(),
            keepalives,
            lost: there.saturating_sub(self.there) as u64,
            rss_bytes_before: before.map(|reading: Reading| reading.rss_bytes),
            rss_bytes_after: after.map(|reading| reading.rss_bytes),
        });
        self.report.keepalive_cpu_us = cpu_us(before, after, keepalives);
        self.report.bytes.per_keepalive = each(more(bytes, self.fleet.bytes()), keepalives);
        self.set_memory(after);
        outcome?;
        if self.plan.keepalive.is_some() && keepalives == 0 {
            self.note("keepalives: none came in the hold; make it longer, or on wire 0 the server's ping_interval shorter".into());
        }
        if self.plan.keepalive.is_some() && self.fleet.wire() == 1 {
            // Later phases measure something else.
            self.devices_there().into_iter().for_each(|device| self.fleet.keep_alive(device, SILENCE_MAX));
        }
        Ok(())
    }

    fn announce(&mut self, silence: Duration) -> Result<(), Halt> {
        if self.fleet.wire() == 0 {
            return Ok(());
        }
        let (begin, devices) = (now(), self.devices_there());
        let apart = silence / devices.len().max(1) as u32;
        for (place, device) in devices.iter().enumerate() {
            let at = begin + apart * place as u32;
            while now() < at {
                self.turn(at)?;
            }
            self.fleet.keep_alive(*device, silence);
            if place % 256 == 0 {
                self.turn(now())?;
                self.tell("keepalives", place as u64, devices.len() as u64);
            }
        }
        self.wait("keepalives", begin, silence)
    }

    fn wait(&mut self, what: &'static str, begin: Monotonic, lasting: Duration) -> Result<(), Halt> {
        while now() < begin + lasting {
            if self.there == 0 {
                self.note(format!("{what}: nobody is there any more"));
                break;
            }
            self.turn(begin + lasting)?;
            self.tell(what, now().since(begin).as_secs(), lasting.as_secs());
        }
        Ok(())
    }
}
