//! Everyone but the server: app servers and devices, and what they do while it runs.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use lomiri_push::device;

use super::api::Api;
use super::app_server::AppServer;
use super::dice::Dice;
use super::ledger::Ledger;
use super::phone::Phone;
use super::server::Server;
use super::shared::Shared;

pub const DEVICES: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];
/// Each has an app server of its own; the first one's posts broadcasts too.
const APPS: [&str; 4] = ["chatter", "mail", "weather", "chess"];
/// A message of this app tells that all before it has come.
const MARKER_APP: &str = "marker";
/// After how many answers with 200 the server is killed, at most.
const ANSWERS_MAX: u64 = 400;
/// How long after the last of these, at most: the time of a few batches.
const KILL_DELAY_US_MAX: u64 = 5_000;

pub struct Players {
    dice: Dice,
    app_servers: Vec<AppServer>,
    marker: AppServer,
    phones: Vec<Phone>,
}

/// A server that listens, and the ledger.
pub struct Stage<'a> {
    pub http: SocketAddr,
    pub devices: device::Server,
    pub shared: &'a Shared,
}

impl Players {
    pub fn new(mut dice: Dice) -> Players {
        let mut app_server = |app| AppServer::new(app, app == APPS[0], &DEVICES, dice.split());
        let (app_servers, marker) = (APPS.map(&mut app_server).into(), app_server(MARKER_APP));
        let phones = DEVICES.map(|name| Phone::new(name, dice.split())).into();
        Players { dice, app_servers, marker, phones }
    }

    /// Some devices come back and must get what they are owed. Then all app servers post until the
    /// server is killed. What goes wrong is in the ledger.
    pub fn load_and_kill(&mut self, stage: &Stage<'_>, server: &mut Server) {
        self.check_tokens(stage);
        let answers = 1 + self.dice.below(ANSWERS_MAX) as usize;
        let delay = Duration::from_micros(self.dice.below(KILL_DELAY_US_MAX));
        let here = some_of(&mut self.phones, &mut self.dice);
        let (app_servers, marker) = (&mut self.app_servers, &mut self.marker);
        thread::scope(|scope| {
            let names: Vec<String> = here.iter().map(|phone| phone.name().to_owned()).collect();
            for phone in here {
                scope.spawn(|| phone.stay(&stage.devices, stage.shared));
            }
            check_devices(marker, &names, stage);
            let goal = stage.shared.with(|ledger| ledger.counts().accepted) + answers;
            for app_server in app_servers {
                scope.spawn(|| app_server.load(&Api::new(stage.http), stage.shared));
            }
            stage.shared.wait_for("answers", |ledger| ledger.counts().accepted >= goal);
            thread::sleep(delay);
            stage.shared.expect_end(true);
            server.kill();
        });
    }

    /// All devices come back, get what they are owed and ack it; then the server stops in order.
    pub fn settle_and_terminate(&mut self, stage: &Stage<'_>, server: &mut Server) {
        self.check_tokens(stage);
        thread::scope(|scope| {
            for phone in &mut self.phones {
                phone.calm_down();
                scope.spawn(|| phone.stay(&stage.devices, stage.shared));
            }
            let names = DEVICES.map(str::to_owned);
            check_devices(&mut self.marker, &names, stage);
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
        let api = Api::new(stage.http);
        for app_server in &mut self.app_servers {
            // What was not answered is in the ledger.
            let _ = app_server.check_tokens(&api, stage.shared);
        }
    }
}

/// Each is chosen or not; at least one is.
fn some_of<'a>(phones: &'a mut [Phone], dice: &mut Dice) -> Vec<&'a mut Phone> {
    let certain = dice.index(phones.len());
    let indexed = phones.iter_mut().enumerate();
    indexed.filter(|(index, _)| *index == certain || dice.one_in(3)).map(|(_, phone)| phone).collect()
}

/// Marks the end of what is pending, waits until the marks have come, and checks what came before.
fn check_devices(marker: &mut AppServer, names: &[String], stage: &Stage<'_>) {
    let Stage { http, shared, .. } = stage;
    let api = Api::new(*http);
    // What was not answered is in the ledger.
    let Ok(marks) =
        names.iter().map(|name| marker.mark(name, &api, shared)).collect::<Result<Vec<usize>, _>>()
    else {
        return;
    };
    let have_come = |ledger: &Ledger| marks.iter().all(|mark| ledger.is_stored(*mark));
    if shared.wait_for("the marks of the devices", have_come) {
        let now = Timestamp::now();
        shared.with(|ledger| names.iter().for_each(|name| ledger.check_device(name, now)));
    }
}
