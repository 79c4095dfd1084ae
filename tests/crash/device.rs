//! One device: whose it is, who it is to the server, and what plays it.

use std::path::PathBuf;

use lomiri_push::device::Connection;
use lomiri_push::device::state::State;
use lomiri_push::session::device::Event;

use super::connected::Connected;
use super::dice::Dice;
use super::outside::enrolment::enrol;
use super::phone::{Phone, Wire, options};
use super::players::Stage;

/// All devices: what they are called here, and whose they are. The first ones are threads of this program,
/// and the others processes.
pub const DEVICES: [(&str, &str, Wire); 7] = [
    ("alice's phone", "alice", Wire::Zero),
    ("bob's phone", "bob", Wire::One),
    ("carol's phone", "carol", Wire::Zero),
    ("alice's tablet", "alice", Wire::One),
    ("carol's tablet", "carol", Wire::One),
    ("bob's laptop", "bob", Wire::Zero),
    ("carol's laptop", "carol", Wire::One),
];
const THREADS: usize = 5;

pub struct Device {
    pub name: &'static str,
    pub user: &'static str,
    wire: Wire,
    player: Player,
    /// Who it is to the server, and where it keeps that; none until it is enrolled.
    identity: Option<(State, PathBuf)>,
    /// Who it was before it was revoked, the last time.
    revoked: Option<State>,
    /// How often it was enrolled.
    enrolments: u32,
}

enum Player {
    Phone(Phone),
    Connected(Connected),
}

impl Device {
    /// The device with this place in [`DEVICES`].
    pub fn new(index: usize, dice: Dice) -> Device {
        let (name, user, wire) = DEVICES[index];
        let player = match index {
            ..THREADS => Player::Phone(Phone::new(name, wire, dice)),
            _ => Player::Connected(Connected::new(name, wire, dice)),
        };
        Device { name, user, wire, player, identity: None, revoked: None, enrolments: 0 }
    }

    /// From here on it has no whims.
    pub fn calm_down(&mut self) {
        match &mut self.player {
            Player::Phone(phone) => phone.calm_down(),
            Player::Connected(connected) => connected.calm_down(),
        }
    }

    /// How often it was killed.
    pub fn kills(&self) -> u32 {
        if let Player::Connected(connected) = &self.player { connected.kills } else { 0 }
    }

    pub fn is_enrolled(&self) -> bool {
        self.identity.is_some()
    }

    /// Who it is to the server.
    pub fn identity(&self) -> &State {
        &self.identity.as_ref().expect("enrolled before all else").0
    }

    /// Becomes its user's.
    pub fn enrol(&mut self, stage: &Stage<'_>) -> Result<(), String> {
        self.enrolments += 1;
        let folder = stage.devices.join(format!("{}, {}", self.name, self.enrolments));
        let state = enrol(stage.program, &stage.server, &stage.place.path(), self.user, &folder)?;
        self.identity = Some((state, folder));
        Ok(())
    }

    /// It was revoked, and is no longer who it was.
    pub fn was_revoked(&mut self) {
        self.revoked = self.identity.take().map(|(state, _)| state);
    }

    /// Is connected until the server goes.
    pub fn stay(&mut self, stage: &Stage<'_>) {
        let (state, folder) = self.identity.as_ref().expect("enrolled before all else");
        match &mut self.player {
            Player::Phone(phone) => phone.stay(state, &stage.server.devices, stage.shared),
            Player::Connected(connected) => connected.stay(folder, stage),
        }
        stage.shared.found_gone();
    }

    /// Tries to connect as who it was; says so if it was let in.
    pub fn try_revoked(&self, stage: &Stage<'_>) {
        let Some(state) = &self.revoked else { return };
        let connection = Connection::open(&stage.server.devices, options(self.wire, state, 0));
        let event = connection.map(|mut connection| connection.next_event(None));
        if let Ok(Some(Event::Connected { .. })) = event {
            stage.shared.complain(format!("{}: let in, though it is revoked", self.name));
        }
    }
}
