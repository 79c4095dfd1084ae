//! Everyone but the server: app servers and devices, and what they do while it runs.

use std::path::Path;
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Duration;

use jiff::Timestamp;

use super::api::Api;
use super::app_server::AppServer;
use super::device::{DEVICES, Device};
use super::dice::Dice;
use super::ledger::{EXPIRY_STEP, Ledger};
use super::outside::server::{Listening, Server};
use super::place::Place;
use super::shared::Shared;

/// Each has an app server of its own; the first one's posts broadcasts too.
const APPS: [&str; 4] = ["chatter", "mail", "weather", "chess"];
/// A message of this app tells that all before it has come.
const MARKER_APP: &str = "marker";
/// After how many answers with 200 the server is killed, at most.
const ANSWERS_MAX: u64 = 400;
/// How long after the last of these, at most: the time of a few batches.
const KILL_DELAY_US_MAX: u64 = 5_000;

/// In one round of so many a device is revoked.
const REVOCATIONS: u64 = 4;

pub struct Players {
    dice: Dice,
    app_servers: Vec<AppServer>,
    marker: AppServer,
    devices: Vec<Device>,
}

/// A server that listens, and the ledger.
pub struct Stage<'a> {
    pub server: Listening,
    pub operator_key: String,
    /// What the server is, and what devices that are processes run.
    pub program: &'a Path,
    /// Where the server keeps what is its own.
    pub place: &'a Place,
    /// Where devices do.
    pub devices: &'a Path,
    pub shared: &'a Shared,
}

/// Who is at work, and who is not.
struct Cast<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    /// App servers.
    working: Vec<ScopedJoinHandle<'scope, ()>>,
    away: Vec<&'env mut Device>,
}

impl Stage<'_> {
    fn api(&self) -> Api {
        Api::new(self.server.http, &self.operator_key)
    }
}

impl Players {
    pub fn new(mut dice: Dice) -> Players {
        let mut app_server = |app| AppServer::new(app, app == APPS[0], dice.split());
        let (app_servers, marker) = (APPS.map(&mut app_server).into(), app_server(MARKER_APP));
        let devices = (0..DEVICES.len()).map(|index| Device::new(index, dice.split())).collect();
        Players { dice, app_servers, marker, devices }
    }

    /// Makes devices of the users' that are not yet, and tells app servers.
    pub fn enrol(&mut self, stage: &Stage<'_>) -> Result<(), String> {
        for device in self.devices.iter_mut().filter(|device| !device.is_enrolled()) {
            device.enrol(stage)?;
            for app_server in self.app_servers.iter_mut().chain([&mut self.marker]) {
                app_server.use_device(device.name, device.user, device.identity());
            }
        }
        Ok(())
    }

    /// The operator revokes one device, or none, which is enrolled anew. Who was revoked stays out.
    pub fn revoke(&mut self, stage: &Stage<'_>) -> Result<(), String> {
        self.devices.iter().for_each(|device| device.try_revoked(stage));
        if !self.dice.one_in(REVOCATIONS) {
            return Ok(());
        }
        let at = self.dice.index(self.devices.len());
        let device = &mut self.devices[at];
        let api = stage.api();
        api.delete(&format!("/v1/devices/{}", device.identity().device))
            .map_err(|error| error.to_string())?;
        stage.shared.with(|ledger| ledger.revoked(device.name));
        device.was_revoked();
        self.enrol(stage)
    }

    /// How often devices were killed.
    pub fn device_kills(&self) -> u32 {
        self.devices.iter().map(Device::kills).sum()
    }

    /// Some devices come back and must get what they are owed. Then all app servers post until the
    /// server is killed. What goes wrong is in the ledger.
    pub fn load_and_kill(&mut self, stage: &Stage<'_>, server: &mut Server) {
        let delay = Duration::from_micros(self.dice.below(KILL_DELAY_US_MAX));
        self.load(stage, |_| {
            thread::sleep(delay);
            let is_well = stage.shared.with(|ledger| ledger.complaints().is_empty());
            stage.shared.expect_end(true);
            if !is_well {
                // If it stumbles it says why when it stops.
                let _ = server.terminate();
            }
            server.kill();
        });
    }

    /// The same, but in mid-load others take all the room that there is on the disk. App servers post
    /// until they are answered no more, or only that nothing can be taken. Then those devices come that
    /// were away, and get what they are owed, if the server bears their acks.
    pub fn load_and_fill(&mut self, stage: &Stage<'_>, server: &mut Server) {
        self.load(stage, |cast| {
            stage.shared.expect_end(true);
            stage.place.fill();
            cast.working.into_iter().for_each(|app_server| app_server.join().expect("they don't panic"));
            for device in cast.away {
                cast.scope.spawn(|| device.stay(stage));
            }
            let has_all = |ledger: &Ledger, name: &str| ledger.has_messages(name, now());
            stage.shared.wait_for("what devices are owed on a full disk", |ledger| {
                stage.shared.is_gone() || DEVICES.iter().all(|(name, ..)| has_all(ledger, name))
            });
            server.kill();
        });
    }

    /// `end` is to end the server.
    fn load<'env>(
        &'env mut self,
        stage: &'env Stage<'env>,
        end: impl for<'scope> FnOnce(Cast<'scope, 'env>),
    ) {
        if let Err(complaint) = self.revoke(stage) {
            return stage.shared.complain(complaint);
        }
        self.check_tokens(stage);
        let answers = 1 + self.dice.below(ANSWERS_MAX) as usize;
        let (here, away) = some_of(&mut self.devices, &mut self.dice);
        let (app_servers, marker) = (&mut self.app_servers, &mut self.marker);
        thread::scope(|scope| {
            let names: Vec<&str> = here.iter().map(|device| device.name).collect();
            for device in here {
                scope.spawn(|| device.stay(stage));
            }
            check_devices(marker, &names, stage);
            check_states(app_servers, false, stage);
            let goal = stage.shared.with(|ledger| ledger.counts().accepted) + answers;
            let load = |app_server: &mut AppServer| app_server.load(&stage.api(), stage.shared);
            let working = app_servers.iter_mut().map(|app_server| scope.spawn(move || load(app_server)));
            let working = working.collect();
            stage.shared.wait_for("answers", |ledger| ledger.counts().accepted >= goal);
            end(Cast { scope, working, away });
        });
    }

    /// All devices come back, get what they are owed and ack it; then the server stops in order.
    pub fn settle_and_terminate(&mut self, stage: &Stage<'_>, server: &mut Server) {
        self.check_tokens(stage);
        thread::scope(|scope| {
            for device in &mut self.devices {
                device.calm_down();
                scope.spawn(|| device.stay(stage));
            }
            let names = DEVICES.map(|(name, ..)| name);
            check_devices(&mut self.marker, &names, stage);
            check_states(&self.app_servers, true, stage);
            // A second mark comes only after the ack of all that came before it.
            check_devices(&mut self.marker, &names, stage);
            stage.shared.expect_end(true);
            if let Err(complaint) = server.terminate() {
                stage.shared.complain(complaint);
                server.kill();
            }
        });
    }

    fn check_tokens(&mut self, stage: &Stage<'_>) {
        let api = stage.api();
        for app_server in &mut self.app_servers {
            // What was not answered is in the ledger.
            let _ = app_server.check_tokens(&api, stage.shared);
        }
    }
}

fn check_states(app_servers: &[AppServer], is_settled: bool, stage: &Stage<'_>) {
    let api = stage.api();
    for app_server in app_servers {
        // What was not answered is in the ledger.
        let _ = app_server.check_states(is_settled, &api, stage.shared);
    }
}

/// Each is chosen or not, and at least one is; and those that are not.
fn some_of<'a>(devices: &'a mut [Device], dice: &mut Dice) -> (Vec<&'a mut Device>, Vec<&'a mut Device>) {
    let certain = dice.index(devices.len());
    let choose = |index| index == certain || dice.one_in(3);
    let chosen: Vec<bool> = (0..devices.len()).map(choose).collect();
    let (here, away): (Vec<_>, Vec<_>) = devices.iter_mut().zip(chosen).partition(|(_, is_here)| *is_here);
    let devices_of = |all: Vec<(&'a mut Device, bool)>| all.into_iter().map(|(device, _)| device).collect();
    (devices_of(here), devices_of(away))
}

/// From when on what expires must have come.
fn now() -> Timestamp {
    Timestamp::now() + EXPIRY_STEP
}

/// Marks the end of what is pending, waits until the marks have come, and checks what came before.
fn check_devices(marker: &mut AppServer, names: &[&str], stage: &Stage<'_>) {
    let (shared, api) = (stage.shared, stage.api());
    // What was not answered is in the ledger.
    let Ok(marks) =
        names.iter().map(|name| marker.mark(name, &api, shared)).collect::<Result<Vec<usize>, _>>()
    else {
        return;
    };
    let have_come = |ledger: &Ledger| {
        marks.iter().all(|mark| ledger.is_stored(*mark))
            && names.iter().all(|name| ledger.has_broadcasts(name, now()))
    };
    if shared.wait_for("the marks of the devices", have_come) {
        shared.with(|ledger| names.iter().for_each(|name| ledger.check_device(name, now())));
    }
}
