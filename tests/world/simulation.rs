//! Weeks of a server's life at random, with crashes and faults, held against a model. A failure prints
//! the line that replays it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use lomiri_push::queue::{Answer, Command, Notify, Refusal};
use lomiri_push::store::Fault;

use crate::model::{Model, Outcome, Post};
use crate::scenes::{app, notify, payload};
use crate::world::World;

const SEEDS: u64 = 150;
const STEPS: usize = 300;
const DEVICES: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

/// A small generator whose whole state is the seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

struct Simulation {
    random: Random,
    world: World,
    model: Model,
}

#[test]
fn nothing_that_was_accepted_is_lost_whatever_happens() {
    let chosen = std::env::var("SEED").ok().map(|seed| seed.parse().expect("SEED is a number"));
    let seeds = chosen.map_or(0..SEEDS, |seed: u64| seed..seed + 1);
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| Simulation::new(seed).run())) {
            eprintln!("replay with: SEED={seed} cargo test --test world nothing_that_was_accepted");
            resume_unwind(panic);
        }
    }
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        Simulation { random: Random(seed), world: World::new(), model: Model::default() }
    }

    fn run(mut self) {
        for _ in 0..STEPS {
            self.step();
            self.model.check(&self.world);
        }
        self.settle();
        self.model.check(&self.world);
        self.model.check_end(&self.world);
        assert_eq!(self.world.counts().messages, 0, "acked messages stayed in the queue");
    }

    fn step(&mut self) {
        let name = self.random.of(&DEVICES);
        match self.random.below(100) {
            0..45 => self.post(),
            45..62 => self.world.connect(name),
            62..70 => self.world.disconnect(name),
            70..74 => self.world.device(name).connection = None,
            74..78 => self.world.device(name).is_silent ^= true,
            78..84 => self.broadcast(),
            84..88 => self.world.crash(),
            88..91 => {
                let fault = self.random.of(&[Fault::Full, Fault::CrashBefore, Fault::CrashAfter]);
                self.world.fail_next(fault);
            }
            _ => {
                let seconds = self.random.of(&[1, 10, 40, 400, 4_000]);
                self.world.pass(Duration::from_secs(seconds));
            }
        }
        self.restart_if_failed();
    }

    /// Some messages that reach the storage thread together.
    fn post(&mut self) {
        let mut commands = Vec::new();
        let mut posts = Vec::new();
        for offset in 0..1 + self.random.below(4) {
            let (command, post) = self.message(self.model.next_number() + offset);
            commands.push(Command::Notify(command));
            posts.push(post);
        }
        let answers = self.world.ask_all(commands);
        let failed = self.world.has_failed();
        for (post, answer) in posts.into_iter().zip(answers) {
            let received = self.world.device(&post.device).received.len();
            self.model.posted(post, outcome(&answer, failed), received);
        }
    }

    fn message(&mut self, number: usize) -> (Notify, Post) {
        let device = self.random.of(&DEVICES);
        let app_id = self.random.of(&["chatter", "mail"]);
        let tag = self.random.one_in(4).then(|| self.random.of(&["x", "y"]).to_string());
        let clears = self.random.one_in(20);
        let expires = self.world.now.wall + Duration::from_secs(self.random.of(&[5, 60, 600, 1_000_000]));
        let command = Notify {
            app: app(app_id),
            expires,
            urgency: Default::default(),
            clear_pending: clears,
            replace_tag: tag.clone(),
            ..notify(&self.world, device, &number.to_string())
        };
        (command, Post { device: device.into(), app: app_id.into(), tag, clears, expires })
    }

    fn broadcast(&mut self) {
        let expires = self.world.now.wall + Duration::from_secs(self.random.of(&[60, 100_000]));
        let payload = payload(&self.model.next_announcement());
        let answer = self.world.ask(Command::Broadcast { channel: "system".into(), expires, payload });
        self.model.announced(expires, outcome(&answer, self.world.has_failed()));
    }

    fn restart_if_failed(&mut self) {
        if self.world.has_failed() {
            self.world.crash();
        }
    }

    /// Every device comes back, listens, and gets what it is owed.
    fn settle(&mut self) {
        for name in DEVICES {
            self.world.device(name).is_silent = false;
            self.world.connect(name);
            self.restart_if_failed();
        }
        for name in DEVICES {
            self.world.connect(name);
        }
    }
}

fn outcome(answer: &Answer, failed: bool) -> Outcome {
    match answer {
        Answer::Done => Outcome::Accepted,
        Answer::Refused(Refusal::Unavailable) if failed => Outcome::Failed,
        Answer::Refused(_) => Outcome::Refused,
        other => panic!("{other:?}"),
    }
}
