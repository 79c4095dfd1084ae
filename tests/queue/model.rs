//! The queue beside a naive model of it, under random commands, faults and restarts. The model says
//! what each command must be answered; and at every batch the queue is rebuilt from its rows and
//! compared with what the model held at that batch.
//!
//! A failure prints its seed: `QUEUE_SEED=7 cargo test --test queue model` runs that one alone.

use std::collections::BTreeMap;
use std::time::Duration;

use lomiri_push::base::{Seq, Token, Wall};
use lomiri_push::queue::{Address, Answer, Command, Limits, Notify, Refusal, Registered};
use lomiri_push::store::{Fault, Store};

use super::world::{Seeded, World, broadcast, device, for_each_seed, notify, payload, register, unregister};

const SEEDS: u64 = 40;
const TURNS: usize = 120;
const DEVICES: [&str; 4] = ["alice", "bob", "carol", "dave"];
const APPS: [&str; 3] = ["chatter", "mail", "weather"];
const TAGS: [&str; 2] = ["t", "u"];
const FREE_DISK_MIN: u64 = 1_000;

/// Small, so that every bound is met often.
fn limits() -> Limits {
    Limits {
        messages_per_app_max: 3,
        messages_per_device_max: 6,
        messages_max: 14,
        bytes_max: u64::MAX,
        free_disk_min_bytes: FREE_DISK_MIN,
        registrations_max: 5,
        broadcasts_live_max: 2,
        page_messages_max: 2,
        page_bytes_max: usize::MAX,
        ..Limits::default()
    }
}

type Name = &'static str;

/// A message as the model knows it: its payload is a number of its own.
#[derive(Clone, Debug, PartialEq)]
struct Message {
    number: u64,
    device: Name,
    app: Name,
    expires: Wall,
    tag: Option<Name>,
}

#[derive(Clone, Debug, Default)]
struct Model {
    messages: Vec<Message>,
    tokens: BTreeMap<(Name, Name), Token>,
    top: i64,
    broadcasts: Vec<Wall>,
}

/// A command in the model's words.
#[derive(Clone, Debug)]
enum Step {
    Notify { message: Message, token: Option<Token>, clear: bool },
    Broadcast { expires: Wall },
    Register { device: Name, app: Name },
    Unregister { device: Name, app: Name },
    Ack { device: Name, numbers: Vec<u64>, seqs: Vec<Seq> },
    Probe,
}

impl Step {
    fn command(&self) -> Command {
        match self.clone() {
            Step::Notify { message, token, clear } => Command::Notify(Notify {
                to: token.map_or(Address::Device(device(message.device)), Address::Token),
                expires: message.expires,
                clear_pending: clear,
                replace_tag: message.tag.map(str::to_owned),
                ..notify(message.device, message.app, &message.number.to_string())
            }),
            Step::Broadcast { expires } => broadcast("1", expires),
            Step::Register { device, app } => register(device, app),
            Step::Unregister { device, app } => unregister(device, app),
            Step::Ack { device: of, seqs, .. } => Command::Acked { device: device(of), seqs },
            Step::Probe => Command::Probe,
        }
    }
}

impl Model {
    fn expire(&mut self, now: Wall) {
        self.messages.retain(|message| message.expires > now);
        self.broadcasts.retain(|&expires| expires > now);
    }

    /// Takes the step, and checks the queue's answer to it; `None` if nobody heard it.
    fn take(&mut self, step: &Step, answer: Option<&Answer>, now: Wall, has_disk_room: bool) {
        let expected = match step {
            Step::Register { device, app } => {
                let answer = answer.expect("tokens are only asked for when they will be heard");
                return self.register(device, app, answer, has_disk_room);
            }
            Step::Notify { message, token, clear } => {
                self.notify(message, *token, *clear, now, has_disk_room)
            }
            Step::Broadcast { expires } => self.broadcast(*expires, now, has_disk_room),
            Step::Unregister { device, app } => {
                self.tokens.remove(&(*device, *app));
                Ok(())
            }
            Step::Ack { device, numbers, .. } => {
                self.messages
                    .retain(|message| message.device != *device || !numbers.contains(&message.number));
                Ok(())
            }
            Step::Probe if has_disk_room && self.messages.len() < limits().messages_max => Ok(()),
            Step::Probe => Err(Refusal::Unavailable),
        };
        match (expected, answer) {
            (_, None) | (Ok(()), Some(Answer::Done)) => {}
            (Err(expected), Some(Answer::Refused(refusal))) => assert_eq!(*refusal, expected, "{step:?}"),
            (expected, Some(answer)) => panic!("{step:?}: {answer:?} where {expected:?} was expected"),
        }
    }

    fn notify(
        &mut self,
        message: &Message,
        token: Option<Token>,
        clear: bool,
        now: Wall,
        has_disk_room: bool,
    ) -> Result<(), Refusal> {
        if let Some(token) = token {
            let owner = self.tokens.iter().find(|&(_, &known)| known == token);
            let (&(device, app), _) = owner.ok_or(Refusal::UnknownToken)?;
            if app != message.app {
                return Err(Refusal::Unauthorized);
            }
            assert_eq!(device, message.device);
        }
        if message.expires <= now {
            return Err(Refusal::PastExpiration);
        }
        let is_same = |other: &&Message| other.device == message.device && other.app == message.app;
        let goes = |other: &&Message| {
            is_same(other) && (clear || (message.tag.is_some() && other.tag == message.tag))
        };
        let kept: Vec<Message> = self.messages.iter().filter(|other| !goes(other)).cloned().collect();
        let same_app: Vec<&Message> = kept.iter().filter(is_same).collect();
        if same_app.len() >= limits().messages_per_app_max {
            let newest = same_app.last().expect("at the limit").number;
            return Err(Refusal::TooManyPending(Some(payload(&newest.to_string()))));
        }
        let of_device = kept.iter().filter(|other| other.device == message.device).count();
        let is_full = of_device >= limits().messages_per_device_max || kept.len() >= limits().messages_max;
        if is_full || !has_disk_room {
            return Err(Refusal::Unavailable);
        }
        self.messages = kept;
        self.messages.push(message.clone());
        Ok(())
    }

    fn broadcast(&mut self, expires: Wall, now: Wall, has_disk_room: bool) -> Result<(), Refusal> {
        if expires <= now {
            return Err(Refusal::PastExpiration);
        }
        if self.broadcasts.len() >= limits().broadcasts_live_max || !has_disk_room {
            return Err(Refusal::Unavailable);
        }
        self.top += 1;
        self.broadcasts.push(expires);
        Ok(())
    }

    fn register(&mut self, device: Name, app: Name, answer: &Answer, has_disk_room: bool) {
        let known = self.tokens.get(&(device, app)).copied();
        let has_room = self.tokens.len() < limits().registrations_max && has_disk_room;
        match (known, answer) {
            (Some(known), Answer::Registered(Registered { token, .. })) => assert_eq!(*token, known),
            (None, Answer::Registered(Registered { token, .. })) if has_room => {
                assert!(self.tokens.values().all(|other| other != token), "each token has one owner");
                self.tokens.insert((device, app), *token);
            }
            (None, Answer::Refused(Refusal::Unavailable)) if !has_room => {}
            _ => panic!("register {device} {app}: {answer:?}, known: {known:?}"),
        }
    }

    /// What the queue must hold, and nothing more.
    fn check(&self, world: &mut World) {
        for device in DEVICES {
            let expected: Vec<String> = self.of(device).map(|message| message.number.to_string()).collect();
            assert_eq!(world.pending(device), expected, "pending for {device}");
        }
        for (&(of, for_app), &token) in &self.tokens {
            assert!(
                matches!(world.one(register(of, for_app)), Answer::Registered(Registered { token: known, .. }) if known == token)
            );
        }
        let counts = world.queue.counts();
        assert_eq!((counts.messages, counts.registrations), (self.messages.len(), self.tokens.len()));
        let is_held =
            |of: &&Name| self.of(of).next().is_some() || self.tokens.keys().any(|(owner, _)| owner == *of);
        assert_eq!(counts.devices, DEVICES.iter().filter(is_held).count());
        let channel = world.queue.channel();
        assert_eq!(channel.top.0, self.top);
        let live: Vec<Wall> = channel.live.iter().map(|broadcast| broadcast.expires).collect();
        assert_eq!(live, self.broadcasts);
    }

    fn of(&self, device: &str) -> impl Iterator<Item = &Message> {
        self.messages.iter().filter(move |message| message.device == device)
    }
}

/// One run: the queue, the model, and the model as it was at the last durable batch.
struct Run {
    random: Seeded,
    world: World,
    model: Model,
    durable: Model,
    durable_batches: u64,
    armed: Option<Fault>,
    dead_tokens: Vec<Token>,
    /// What each device had seen pending when the last turn ended.
    delivered: BTreeMap<Name, Vec<(Seq, u64)>>,
    next_number: u64,
}

impl Run {
    fn new(seed: u64) -> Run {
        Run {
            random: Seeded(seed),
            world: World::new(limits()),
            model: Model::default(),
            durable: Model::default(),
            durable_batches: 0,
            armed: None,
            dead_tokens: Vec::new(),
            delivered: BTreeMap::new(),
            next_number: 1,
        }
    }

    fn turn(&mut self) {
        let pause = self.random.below(300);
        self.world.wait(Duration::from_millis(pause));
        let has_disk_room = !self.random.one_in(12);
        self.world.queue.store_mut().set_free_disk_bytes(FREE_DISK_MIN - u64::from(!has_disk_room));
        self.arm();
        let steps: Vec<Step> = (0..self.random.below(7)).map(|_| self.step()).collect();
        let answers = self.world.handle(steps.iter().map(Step::command).collect()).answers;
        let heard = self.world.queue.failure().is_none();
        if heard || self.armed == Some(Fault::CrashAfter) {
            self.advance(&steps, heard.then_some(&answers), has_disk_room);
        }
        self.note_batch();
        if !heard || self.random.one_in(10) {
            self.armed = self.armed.take_if(|_| heard);
            self.restart();
        }
        self.check_rebuilt();
        self.check_running();
    }

    /// Sometimes the next batch, in this turn or a later one, will fail.
    fn arm(&mut self) {
        let fault = match self.random.below(30) {
            0 => Fault::Full,
            1 => Fault::CrashBefore,
            2 => Fault::CrashAfter,
            _ => return,
        };
        self.world.queue.store_mut().fail_next(fault);
        self.armed = Some(fault);
    }

    fn restart(&mut self) {
        self.world.restart();
        self.model = self.durable.clone();
    }

    fn advance(&mut self, steps: &[Step], answers: Option<&Vec<Answer>>, has_disk_room: bool) {
        let now = self.world.now.wall;
        self.model.expire(now);
        for (at, step) in steps.iter().enumerate() {
            self.note_dead_token(step);
            self.model.take(step, answers.map(|answers| &answers[at]), now, has_disk_room);
        }
    }

    fn note_dead_token(&mut self, step: &Step) {
        if let Step::Unregister { device, app } = step {
            self.dead_tokens.extend(self.model.tokens.get(&(*device, *app)));
        }
    }

    /// A batch takes all that has changed: what was durable then is what the model holds now.
    fn note_batch(&mut self) {
        let batches = self.world.queue.store_mut().batches_written();
        if batches != self.durable_batches {
            self.durable_batches = batches;
            self.durable = self.model.clone();
        }
    }

    fn check_rebuilt(&mut self) {
        let store = self.world.queue.store_mut().clone();
        let mut rebuilt = World::open(store, limits(), self.world.now).expect("rows of a whole batch");
        let mut expected = self.durable.clone();
        expected.expire(self.world.now.wall);
        expected.check(&mut rebuilt);
    }

    fn check_running(&mut self) {
        self.model.expire(self.world.now.wall);
        self.model.check(&mut self.world);
        let number = |(seq, payload): (Seq, String)| (seq, payload.parse().expect("a number"));
        for device in DEVICES {
            let pending = self.world.pending_with_seqs(device).into_iter().map(number).collect();
            self.delivered.insert(device, pending);
        }
    }

    fn step(&mut self) -> Step {
        match self.random.below(20) {
            0..10 => self.notify(),
            10 => Step::Broadcast { expires: self.expiry() },
            11..14 if self.armed != Some(Fault::CrashAfter) => {
                Step::Register { device: self.pick(&DEVICES), app: self.pick(&APPS) }
            }
            14 => Step::Unregister { device: self.pick(&DEVICES), app: self.pick(&APPS) },
            11..19 => self.ack(),
            _ => Step::Probe,
        }
    }

    fn notify(&mut self) -> Step {
        let mut message = Message {
            number: self.next_number,
            device: self.pick(&DEVICES),
            app: self.pick(&APPS),
            expires: self.expiry(),
            tag: None,
        };
        self.next_number += 1;
        if self.random.one_in(3) {
            message.tag = Some(self.pick(&TAGS));
        }
        let token = self.token_for(&mut message);
        Step::Notify { message, token, clear: self.random.one_in(10) }
    }

    /// Sometimes a token: most often the right one, sometimes another app's or a dead one.
    fn token_for(&mut self, message: &mut Message) -> Option<Token> {
        let tokens: Vec<_> = self.model.tokens.iter().map(|(&owner, &token)| (owner, token)).collect();
        if self.random.one_in(8) {
            return self.dead_tokens.last().copied();
        }
        if tokens.is_empty() || self.random.one_in(2) {
            return None;
        }
        let ((device, app), token) = self.pick(&tokens);
        message.device = device;
        if !self.random.one_in(5) {
            message.app = app;
        }
        Some(token)
    }

    fn ack(&mut self) -> Step {
        let device = self.pick(&DEVICES);
        let mut delivered = self.delivered.get(device).cloned().unwrap_or_default();
        delivered.retain(|_| self.random.one_in(2));
        let (seqs, numbers) = delivered.into_iter().unzip();
        Step::Ack { device, numbers, seqs }
    }

    /// Mostly in the near future, sometimes just past.
    fn expiry(&mut self) -> Wall {
        let ahead = self.random.below(3_000);
        Wall((self.world.now.wall.0 + ahead).saturating_sub(100))
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.below(from.len() as u64) as usize]
    }
}

#[test]
fn the_queue_does_what_a_naive_model_does_through_faults_and_restarts() {
    for_each_seed(SEEDS, |seed| {
        let mut run = Run::new(seed);
        for _ in 0..TURNS {
            run.turn();
        }
    });
}
