//! Users, devices and tokens at random, held against a naive model of who may do what. Now and then the
//! process is killed, or the machine goes down with a change in hand.
//!
//! A failure prints its seed: `QUEUE_SEED=7 cargo test --test queue people` runs that one alone.

use std::collections::BTreeMap;

use lomiri_push::base::{CodeSecret, Credential, DeviceId, Token};
use lomiri_push::queue::{Address, Answer, Command, Enrolled, Event, Limits, Notify, Refusal, Registered};
use lomiri_push::store::Fault;

use super::world::{DAY, Seeded, World, app, for_each_seed, notify};

const SEEDS: u64 = 60;
const TURNS: usize = 200;
const USERS: [&str; 3] = ["alice", "bob", "carol"];
const APPS: [&str; 3] = ["chatter", "mail", "weather"];
const DEVICES_PER_USER: usize = 3;

type Name = &'static str;

/// A device as the model knows it.
struct Device {
    user: Name,
    enrolled: Enrolled,
    tokens: BTreeMap<Name, Token>,
    /// The numbers of the messages that it is owed.
    owed: Vec<u64>,
}

#[derive(Default)]
struct Model {
    codes: Vec<(Name, CodeSecret)>,
    devices: Vec<Device>,
    user_tokens: BTreeMap<(Name, Name), Token>,
    app_keys: BTreeMap<Name, Credential>,
    /// Tokens, credentials and codes that must open nothing any more.
    dead_tokens: Vec<(Name, Token)>,
    dead_devices: Vec<Enrolled>,
    dead_codes: Vec<CodeSecret>,
}

struct Run {
    random: Seeded,
    world: World,
    model: Model,
    next_number: u64,
}

impl Run {
    fn new(seed: u64) -> Run {
        let limits = Limits {
            devices_per_user_max: DEVICES_PER_USER,
            messages_per_app_max: usize::MAX,
            ..Limits::default()
        };
        Run { random: Seeded(seed), world: World::new(limits), model: Model::default(), next_number: 1 }
    }

    fn turn(&mut self) {
        match self.random.below(20) {
            0..2 => self.make_code(),
            2..5 => self.enrol(),
            5..8 => self.register(),
            8 => self.unregister(),
            9 => self.revoke(),
            10 if self.random.one_in(4) => self.erase(),
            11 => self.revoke_user_token(),
            12 => self.bind_or_unbind(),
            13 => self.world.restart(),
            14 => self.try_the_dead(),
            _ => self.post(),
        }
        self.check();
    }

    fn make_code(&mut self) {
        let user = self.pick(&USERS);
        let code = self.world.code(user, DAY);
        self.model.codes.push((user, code));
    }

    fn enrol(&mut self) {
        if self.model.codes.is_empty() {
            return;
        }
        let at = self.random.below(self.model.codes.len() as u64) as usize;
        let (user, code) = self.model.codes[at];
        let has_room = self.model.of_user(user).count() < DEVICES_PER_USER;
        match self.world.use_code(code) {
            Ok(enrolled) if has_room => {
                self.model.codes.remove(at);
                self.model.dead_codes.push(code);
                let (tokens, owed) = (BTreeMap::new(), Vec::new());
                self.model.devices.push(Device { user, enrolled, tokens, owed });
            }
            Err(Refusal::TooManyDevices) if !has_room => {}
            other => panic!("{other:?}, though there is room: {has_room}"),
        }
    }

    fn register(&mut self) {
        let Some(at) = self.any_device() else { return };
        let app = self.pick(&APPS);
        let device = &mut self.model.devices[at];
        let Registered { token, user_token } = self.world.tokens(&device.enrolled, app);
        let known = *device.tokens.entry(app).or_insert(token);
        assert_eq!(token, known);
        let user_token = user_token.expect("an enrolled device is a user's");
        assert_eq!(*self.model.user_tokens.entry((device.user, app)).or_insert(user_token), user_token);
    }

    fn unregister(&mut self) {
        let Some(at) = self.any_device() else { return };
        let name = self.pick(&APPS);
        let Enrolled { device, credential } = self.model.devices[at].enrolled.clone();
        let command = Command::Unregister { device, app: app(name), credential: Some(credential) };
        let Some(&token) = self.model.devices[at].tokens.get(name) else {
            self.world.promise([command]);
            return;
        };
        if self.holds(command) {
            self.model.devices[at].tokens.remove(name);
            self.model.dead_tokens.push((name, token));
            self.model.bury_user_tokens();
        }
    }

    fn revoke(&mut self) {
        let Some(at) = self.any_device() else { return };
        let device = self.model.devices[at].enrolled.device.clone();
        if self.holds(Command::Revoke { device }) {
            self.model.bury(at);
        }
    }

    fn erase(&mut self) {
        let user = self.pick(&USERS);
        let is_known =
            self.model.of_user(user).next().is_some() || self.model.codes.iter().any(|(of, _)| *of == user);
        let command = Command::EraseUser { user: user.parse().expect("valid") };
        if !is_known {
            assert_eq!(self.world.refusal(command), Refusal::UnknownUser);
        } else if self.holds(command) {
            let gone = self.model.codes.extract_if(.., |(of, _)| *of == user);
            self.model.dead_codes.extend(gone.map(|(_, code)| code));
            while let Some(at) = self.model.devices.iter().position(|device| device.user == user) {
                self.model.bury(at);
            }
        }
    }

    fn revoke_user_token(&mut self) {
        let (user, name) = (self.pick(&USERS), self.pick(&APPS));
        let command = Command::RevokeUserToken { user: user.parse().expect("valid"), app: app(name) };
        match self.model.user_tokens.get(&(user, name)).copied() {
            None => assert_eq!(self.world.refusal(command), Refusal::UnknownToken),
            Some(token) => {
                if self.holds(command) {
                    self.model.user_tokens.remove(&(user, name));
                    self.model.dead_tokens.push((name, token));
                }
            }
        }
    }

    /// Asks for a change. Now and then the machine goes down with it; says whether it holds all the same.
    fn holds(&mut self, change: Command) -> bool {
        let fault = match self.random.below(12) {
            0 => Fault::CrashBefore,
            1 => Fault::CrashAfter,
            2 => Fault::Full,
            _ => {
                self.promise(change);
                return true;
            }
        };
        self.world.queue.store_mut().fail_next(fault);
        assert_eq!(self.world.refusal(change), Refusal::Unavailable);
        self.world.restart();
        fault == Fault::CrashAfter
    }

    fn promise(&mut self, change: Command) {
        let revoked = match &change {
            Command::Revoke { device } => Some(device.clone()),
            _ => None,
        };
        let events = self.world.promise([change]);
        let is_told = |gone| matches!(&events[..], [Event::Revoked { device }] if *device == gone);
        assert!(revoked.is_none_or(is_told), "{events:?}");
    }

    fn bind_or_unbind(&mut self) {
        let name = self.pick(&APPS);
        if self.random.one_in(2) {
            match self.world.one(Command::BindApp { app: app(name) }) {
                Answer::AppKey(key) => drop(self.model.app_keys.insert(name, key)),
                other => panic!("{other:?}"),
            }
        } else {
            self.unbind(name);
        }
    }

    fn unbind(&mut self, name: Name) {
        let command = Command::UnbindApp { app: app(name) };
        if !self.model.app_keys.contains_key(name) {
            self.world.promise([command]);
        } else if self.holds(command) {
            self.model.app_keys.remove(name);
        }
    }

    /// To a device or to all of a user's; sometimes for another app, sometimes without the app's key.
    fn post(&mut self) {
        let tokens = self.model.all_tokens();
        if tokens.is_empty() {
            return;
        }
        let (token, of_app, devices) = tokens[self.random.below(tokens.len() as u64) as usize].clone();
        let named = if self.random.one_in(8) { self.pick(&APPS) } else { of_app };
        let key = self.model.app_keys.get(named).cloned().filter(|_| !self.random.one_in(4));
        let is_allowed = key.is_some() || !self.model.app_keys.contains_key(named);
        let number = self.next_number;
        self.next_number += 1;
        let command = post(token, named, key, number);
        if named != of_app {
            assert_eq!(self.world.refusal(command), Refusal::Unauthorized);
        } else if !is_allowed {
            assert_eq!(self.world.refusal(command), Refusal::AppKeyNeeded);
        } else if self.holds(command) {
            let owing = self.model.devices.iter_mut();
            owing
                .filter(|device| devices.contains(&device.enrolled.device))
                .for_each(|device| device.owed.push(number));
        }
    }

    fn try_the_dead(&mut self) {
        for (name, token) in self.model.dead_tokens.clone() {
            let key = self.model.app_keys.get(name).cloned();
            assert_eq!(self.world.refusal(post(token, name, key, 0)), Refusal::UnknownToken);
        }
        for Enrolled { device, credential } in &self.model.dead_devices {
            assert!(!self.world.is_admitted(device, credential.as_bytes()));
        }
        for &code in &self.model.dead_codes {
            assert_eq!(self.world.use_code(code).err(), Some(Refusal::UnknownCode));
        }
    }

    fn check(&mut self) {
        let devices = &self.model.devices;
        for (at, device) in devices.iter().enumerate() {
            let id = &device.enrolled.device;
            let other = &devices[(at + 1) % devices.len()].enrolled;
            assert!(self.world.is_admitted(id, device.enrolled.credential.as_bytes()));
            assert!(other.device == *id || !self.world.is_admitted(id, other.credential.as_bytes()));
            let owed: Vec<String> = device.owed.iter().map(u64::to_string).collect();
            assert_eq!(self.world.pending(id.as_str()), owed);
        }
        let counts = self.world.queue.counts();
        let registrations = devices.iter().map(|device| device.tokens.len()).sum::<usize>();
        let owed = devices.iter().map(|device| device.owed.len()).sum::<usize>();
        let expected = (devices.len(), devices.len(), registrations, owed);
        assert_eq!((counts.devices, counts.enrolled, counts.registrations, counts.messages), expected);
    }

    fn any_device(&mut self) -> Option<usize> {
        let count = self.model.devices.len() as u64;
        (count > 0).then(|| self.random.below(count) as usize)
    }

    fn pick(&mut self, from: &[Name]) -> Name {
        from[self.random.below(from.len() as u64) as usize]
    }
}

fn post(token: Token, for_app: &str, app_key: Option<Credential>, number: u64) -> Command {
    let notify = notify("nobody", for_app, &number.to_string());
    Command::Notify(Notify { to: Address::Token(token), app_key, ..notify })
}

impl Model {
    fn of_user(&self, user: Name) -> impl Iterator<Item = &Device> {
        self.devices.iter().filter(move |device| device.user == user)
    }

    /// Every token that lives, its app, and the devices that it stands for.
    fn all_tokens(&self) -> Vec<(Token, Name, Vec<DeviceId>)> {
        let of_devices = self.devices.iter().flat_map(|device| {
            let id = &device.enrolled.device;
            device.tokens.iter().map(|(&app, &token)| (token, app, vec![id.clone()]))
        });
        let of_users = self.user_tokens.iter().map(|(&(user, app), &token)| {
            let devices = self.of_user(user).filter(|device| device.tokens.contains_key(app));
            (token, app, devices.map(|device| device.enrolled.device.clone()).collect())
        });
        of_devices.chain(of_users).collect()
    }

    fn bury(&mut self, at: usize) {
        let gone = self.devices.remove(at);
        self.dead_tokens.extend(gone.tokens);
        self.dead_devices.push(gone.enrolled);
        self.bury_user_tokens();
    }

    /// User tokens die with the last registration.
    fn bury_user_tokens(&mut self) {
        let has_app = |user: Name, app: Name| {
            self.devices.iter().any(|device| device.user == user && device.tokens.contains_key(app))
        };
        for (&(user, app), &token) in &self.user_tokens {
            if !has_app(user, app) {
                self.dead_tokens.push((app, token));
            }
        }
        self.user_tokens.retain(|_, token| !self.dead_tokens.iter().any(|(_, dead)| dead == token));
    }
}

#[test]
fn only_who_may_does_through_crashes_and_revocations() {
    for_each_seed(SEEDS, |seed| {
        let mut run = Run::new(seed);
        for _ in 0..TURNS {
            run.turn();
        }
    });
}
