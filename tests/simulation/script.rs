//! What happens in a world at random: app servers post, users open apps, operators revoke; and networks,
//! machines, disks and clocks fail. Then all faults stop, and all that is owed must arrive.

use std::time::Duration;

use lomiri_push::base::{Urgency, UserId};
use lomiri_push::queue::Command;

use super::bug::Bug;
use super::device::Identity;
use super::line::{Connection, Network};
use super::world::{By, Request, World};

const USERS: usize = 3;
const DEVICES: usize = 5;
/// So many at most, those that were revoked included.
const DEVICES_MAX: usize = 8;
/// For how long things happen at least.
const TIME_MIN: Duration = Duration::from_secs(600);
/// How many messages are taken at least.
const MESSAGES_MIN: usize = 200;
/// How long it may take until nothing is pending any more: a device may be asked to stay away for an hour.
const CALM_MAX: Duration = Duration::from_secs(3 * 3_600);
/// How long it may take until apps have what they ask for, with the slowest of disks.
const POP_MAX: Duration = Duration::from_secs(20);

/// What came of a world.
pub struct Told {
    pub simulated: Duration,
    pub messages: usize,
    /// What is wrong, if anything is.
    pub complaint: Option<String>,
}

/// One seed, one world.
pub fn tell(seed: u64, bug: Option<Bug>) -> Told {
    let mut world = World::new(seed, bug);
    for device in 0..DEVICES {
        let user = if world.server.options.is_auth_required { device % USERS } else { device };
        world.add_device(user);
    }
    while (world.now.0 < TIME_MIN || world.model.count_taken() < MESSAGES_MIN) && world.is_well() {
        world.act();
        let pause = world.dice.millis(2_000);
        world.run_until(world.now + pause);
    }
    world.calm_down();
    let complaint = world.model.complaints.first().map(|what| format!("at {:?}: {what}", world.now.0));
    Told { simulated: world.now.0, messages: world.model.count_taken(), complaint }
}

impl World {
    fn is_well(&self) -> bool {
        self.model.complaints.is_empty()
    }

    fn act(&mut self) {
        self.keep_house();
        self.make_disk_room();
        match self.dice.below(1_000) {
            0..450 => self.post_some(),
            450..550 => self.use_app(),
            550..600 => self.register_any(),
            600..615 => self.unregister_any(),
            615..670 => self.query_any(),
            670..700 => self.post_again(),
            700..720 => self.broadcast(),
            720..745 => self.stall(),
            745..770 => self.cut(),
            770..790 => self.move_device(),
            790..815 => self.crash_device(),
            815..823 => self.fill_device(),
            823..831 => self.crash(),
            831..834 if self.server.is_up() => self.stop_server(),
            834..838 => self.server.disk_mut().is_full = true,
            838..843 => self.fill_disk(),
            843..847 => self.set_clock(),
            847..852 => self.revoke_any(),
            852..855 => self.storm(),
            855..857 => self.erase_any(),
            857..860 => self.revoke_any_user_token(),
            860..864 => self.bind_or_unbind_any(),
            864 => self.post_very_many(),
            _ => {}
        }
        self.drain_effects();
    }

    /// What must be asked for again until it is answered.
    fn keep_house(&mut self) {
        for index in 0..self.devices.len() {
            self.keep_device(index);
        }
        for app in 0..self.model.apps.len() {
            if !self.model.app_keys.is_certain(app) && !self.is_key_changing(app) {
                self.bind(app);
            }
        }
        if let Some((_, draft)) = self.retry.take_if(|(at, _)| *at <= self.now) {
            self.post(draft);
        }
    }

    fn keep_device(&mut self, index: usize) {
        let is_asked = |is_it: fn(&Request) -> Option<usize>| {
            self.requests.values().any(|request| is_it(request) == Some(index))
        };
        let is_code_asked = is_asked(|request| match request {
            Request::Code(device) => Some(*device),
            _ => None,
        });
        let is_end_asked = is_asked(|request| match request {
            Request::Revoke(device) => Some(*device),
            _ => None,
        });
        let (machine, owner) = (&self.devices[index], &self.model.owners[index]);
        let wants_code = machine.needs_code && matches!(machine.device.identity, Identity::Nobody);
        let is_half_revoked = owner.may_be_revoked && owner.revoked.is_none();
        if wants_code && !is_code_asked {
            let (user, valid_for) = (user_id(owner.user), Duration::from_secs(24 * 3_600));
            self.ask(Request::Code(index), Command::MakeCode { user, valid_for });
        }
        if is_half_revoked && !is_end_asked {
            self.revoke(index);
        }
    }

    /// Disks that are full are not so for ever.
    fn make_disk_room(&mut self) {
        if self.dice.one_in(20) {
            self.server.disk_mut().is_nearly_full = false;
            self.devices.iter_mut().for_each(|machine| machine.device.disk.is_full = false);
        }
    }

    fn any_device(&mut self) -> usize {
        self.dice.below(self.devices.len())
    }

    fn use_app(&mut self) {
        let (index, app) = (self.any_device(), self.dice.below(self.model.apps.len()));
        let app = self.model.apps[app].clone();
        self.devices[index].device.use_app(&app, self.now);
    }

    pub fn register_any(&mut self) {
        let (device, app) = (self.any_device(), self.dice.below(self.model.apps.len()));
        if let Identity::Known(id, credential) = self.devices[device].device.identity.clone() {
            let command = Command::Register { device: id, app: self.model.apps[app].clone(), credential };
            self.ask(Request::Register { device, app }, command);
        }
    }

    fn unregister_any(&mut self) {
        let (device, app) = (self.any_device(), self.dice.below(self.model.apps.len()));
        if let Identity::Known(id, credential) = self.devices[device].device.identity.clone() {
            let command = Command::Unregister { device: id, app: self.model.apps[app].clone(), credential };
            self.ask(Request::Unregister { device, app }, command);
        }
    }

    /// A device is lost, and its user gets another one.
    fn revoke_any(&mut self) {
        let index = self.any_device();
        let is_enrolled = self.server.options.is_auth_required && self.model.owners[index].id.is_some();
        let is_trusted = !self.model.owners[index].may_be_revoked;
        if is_enrolled && is_trusted && self.devices.len() < DEVICES_MAX && self.server.is_up() {
            self.model.owners[index].may_be_revoked = true;
            self.revoke(index);
            self.add_device(self.model.owners[index].user);
        }
    }

    /// A user leaves, and another of the same name comes.
    fn erase_any(&mut self) {
        let user = self.dice.below(USERS);
        let mates = self.model.mates(user);
        let are_enrolled = mates.iter().all(|&mate| self.model.owners[mate].id.is_some());
        if self.server.options.is_auth_required
            && are_enrolled
            && self.devices.len() < DEVICES_MAX
            && self.server.is_up()
        {
            mates.iter().for_each(|&mate| self.model.owners[mate].may_be_revoked = true);
            self.ask(Request::Erase { user }, Command::EraseUser { user: user_id(user) });
            self.add_device(user);
        }
    }

    fn revoke_any_user_token(&mut self) {
        if self.server.options.is_auth_required {
            let (user, app) = (self.dice.below(USERS), self.dice.below(self.model.apps.len()));
            let command = Command::RevokeUserToken { user: user_id(user), app: self.model.apps[app].clone() };
            self.ask(Request::RevokeToken { user, app }, command);
        }
    }

    fn revoke(&mut self, index: usize) {
        let device = self.model.owners[index].id.clone().expect("it was enrolled");
        self.ask(Request::Revoke(index), Command::Revoke { device });
    }

    fn stall(&mut self) {
        let index = self.any_device();
        let until = self.now + Duration::from_millis(self.dice.of(&[500, 5_000, 25_000, 120_000]));
        self.connections_of(index).for_each(|connection| connection.stall(until));
    }

    /// A connection breaks: told or not.
    fn cut(&mut self) {
        let (index, is_told) = (self.any_device(), self.dice.one_in(2));
        let clock = self.server.clock(self.now);
        self.connections_of(index).for_each(|connection| match is_told {
            true => connection.reset(clock),
            false => connection.die(),
        });
    }

    /// Every connection breaks at once.
    fn storm(&mut self) {
        let clock = self.server.clock(self.now);
        self.connections.values_mut().for_each(|connection| connection.reset(clock));
    }

    fn connections_of(&mut self, index: usize) -> impl Iterator<Item = &mut super::line::Connection> {
        self.connections.values_mut().filter(move |connection| connection.device == index)
    }

    fn move_device(&mut self) {
        let index = self.any_device();
        let (network, name) = (Network::draw(&mut self.dice), self.dice.of(&["home", "train", "office"]));
        self.connections_of(index).for_each(Connection::die);
        self.devices[index].device.move_to(network, name, self.now);
        self.note_seen(index);
    }

    fn crash_device(&mut self) {
        let index = self.any_device();
        if self.devices[index].device.is_on() {
            self.connections_of(index).for_each(Connection::die);
            self.devices[index].device.lose_power();
            self.devices[index].boot_at = Some(self.now + self.dice.millis(90_000));
            self.note_seen(index);
        }
    }

    fn fill_device(&mut self) {
        let index = self.any_device();
        self.devices[index].device.disk.is_full = true;
    }

    fn crash(&mut self) {
        if self.server.is_up() {
            let has_power = self.dice.one_in(2);
            self.crash_server(has_power);
        }
    }

    fn fill_disk(&mut self) {
        self.server.disk_mut().is_nearly_full = true;
        self.model.is_troubled = true;
    }

    fn set_clock(&mut self) {
        let ahead = &mut self.server.clock_ahead;
        if !self.dice.one_in(3) {
            *ahead += self.dice.millis(20 * 60_000);
        } else {
            *ahead -= self.dice.millis(10 * 60_000);
            self.model.was_set_back = true;
            self.model.is_troubled = true;
        }
    }

    /// All faults stop, and all that is owed must arrive.
    fn calm_down(&mut self) {
        self.mend();
        let end = self.now + CALM_MAX;
        while self.is_well() && !self.is_done() {
            if self.now >= end {
                return self.model.complain(format!("never calm: {:?}", self.server.counts()));
            }
            self.keep_house();
            self.run_until(self.now + Duration::from_secs(10));
        }
        if self.is_well() {
            self.open_all_apps();
            self.model.check_end();
            self.ask_for_all();
        }
    }

    fn mend(&mut self) {
        let disk = self.server.disk_mut();
        (disk.is_full, disk.is_nearly_full) = (false, false);
        for index in 0..self.devices.len() {
            let machine = &mut self.devices[index];
            machine.device.disk.is_full = false;
            machine.device.want(Urgency::VeryLow);
        }
    }

    fn is_done(&self) -> bool {
        let is_drained = self.server.counts().is_some_and(|counts| counts.messages == 0);
        // What was replaced or has expired may still be on its way.
        let is_arrived = self.connections.values().all(Connection::brings_nothing);
        let are_at_rest =
            self.devices.iter().all(|machine| machine.boot_at.is_none() && machine.device.is_idle());
        is_drained
            && is_arrived
            && self.requests.is_empty()
            && self.restart_at.is_none()
            && self.are_all_up_to_date()
            && are_at_rest
    }

    fn are_all_up_to_date(&self) -> bool {
        let level = self.model.level_owed();
        let is_up = |(index, machine): (usize, &super::world::Machine)| {
            let owner = &self.model.owners[index];
            owner.may_be_revoked || (machine.device.is_on() && owner.level >= level)
        };
        self.devices.iter().enumerate().all(is_up)
    }

    /// Users fetch all that waits.
    fn open_all_apps(&mut self) {
        for machine in &mut self.devices {
            self.model.apps.iter().for_each(|app| machine.device.open_app(app, self.now));
        }
        self.run_until(self.now + POP_MAX);
    }

    /// What the server says became of each message is what happened.
    fn ask_for_all(&mut self) {
        self.run_until(self.now + Duration::from_secs(5));
        for number in 0..self.model.posts.len() {
            if self.model.posts[number].draft.is_tracked {
                self.query(number, By::Token, true);
            }
        }
        self.run_until(self.now + Duration::from_secs(5));
    }
}

fn user_id(user: usize) -> UserId {
    format!("user-{user}").parse().expect("a user id")
}
