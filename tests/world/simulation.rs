//! Weeks of a server's life at random, with crashes and faults, and devices of both wires on bad lines,
//! held against a model. A failure prints the line that replays it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use lomiri_push::base::Urgency;
use lomiri_push::protocol::Wire;
use lomiri_push::queue::{Answer, Command, Notify, Refusal};
use lomiri_push::session::device::Session;
use lomiri_push::store::Fault;

use crate::device::Profile;
use crate::model::{Model, Outcome, Post};
use crate::scenes::{app, notify, payload};
use crate::world::World;

const SEEDS: u64 = 150;
const STEPS: usize = 300;
/// So that some dozen fill the bytes of a window.
const LONG_BYTES: usize = 5_900;
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
    /// Whether the next batch meets a fault, so that no clean stop is possible.
    is_fault_due: bool,
    /// One in so many messages is long.
    long_each: usize,
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
        let mut random = Random(seed);
        let long_each = random.of(&[1, 30, 30, 30, 30, 30]);
        let (world, model) = (World::new(), Model::default());
        Simulation { random, world, model, is_fault_due: false, long_each }
    }

    fn run(mut self) {
        for _ in 0..STEPS {
            self.step();
            self.check();
        }
        self.settle();
        self.model.check_end(&self.world);
        assert_eq!(self.world.counts().messages, 0, "acked messages stayed in the queue");
    }

    fn check(&mut self) {
        self.model.follow(&mut self.world);
        self.model.check(&self.world);
    }

    fn step(&mut self) {
        let name = self.random.of(&DEVICES);
        match self.random.below(100) {
            0..36 => self.post(),
            36..48 => self.connect(name),
            48..54 => self.end_connection(name),
            54..66 => self.slow_down(name),
            66..76 => self.change_wishes(name),
            76..82 => self.broadcast(),
            82..85 => self.crash(),
            85..87 if !self.is_fault_due => self.world.restart(),
            87..90 => {
                let fault = self.random.of(&[Fault::Full, Fault::CrashBefore, Fault::CrashAfter]);
                self.world.fail_next(fault);
                self.is_fault_due = true;
            }
            _ => {
                let seconds = self.random.of(&[1, 10, 40, 400, 4_000]);
                self.world.pass(Duration::from_secs(seconds));
            }
        }
        self.restart_if_failed();
    }

    /// A device connects, as another sort of device than it was. A session that it has is taken over.
    fn connect(&mut self, name: &str) {
        let profile = Profile {
            wire: self.random.of(&[Wire::Zero, Wire::One, Wire::One]),
            window: self.random.of(&[1, 2, 5, 64]),
            keepalive: Duration::from_secs(self.random.of(&[20, 300, 1_700, 100_000])),
            least: self.random.of(&Urgency::ALL),
        };
        let device = self.world.device(name);
        device.profile = profile;
        self.world.connect(name);
    }

    /// In the middle of a frame, if one is on its way; the server may not hear of it.
    fn end_connection(&mut self, name: &str) {
        let (up, down) = (self.random.below(100), self.random.below(300));
        self.world.trickle(name, up, down);
        match self.random.below(3) {
            0 => self.world.disconnect(name),
            1 => self.world.device(name).forget_connection(),
            _ => {
                self.world.device(name).leave();
                self.world.run();
            }
        }
    }

    /// A device or its line lets things lie, or goes on with some of them, or with all.
    fn slow_down(&mut self, name: &str) {
        let (up, down) = (self.random.below(100), self.random.below(300));
        let device = self.world.device(name);
        match self.random.below(9) {
            0..3 => device.is_silent = true,
            3 => device.is_stalled = true,
            4 | 5 => device.look(1 + up % 3),
            6 => self.world.trickle(name, up, down),
            _ => {
                (device.is_silent, device.is_stalled) = (false, false);
                device.look(usize::MAX);
            }
        }
        self.world.run();
    }

    /// What a device on wire 1 may say at any time.
    fn change_wishes(&mut self, name: &str) {
        let least = self.random.of(&Urgency::ALL);
        let keepalive = Duration::from_secs(self.random.of(&[30, 600, 7_200]));
        let device = self.world.device(name);
        match self.random.below(5) {
            0 | 1 => device.say(|session| session.want(least)),
            2 | 3 => device.say(Session::flush),
            _ => device.say(|session| session.keep_alive(keepalive)),
        }
        self.world.run();
    }

    /// Some messages that reach the storage thread together, half of the time for one device.
    fn post(&mut self) {
        let first = self.model.next_number();
        let count = 1 + self.random.below(4);
        let mut posts: Vec<Post> = std::iter::repeat_with(|| self.draw_post()).take(count).collect();
        if self.random.one_in(2) {
            let device = posts[0].device;
            posts.iter_mut().for_each(|post| post.device = device);
        }
        let commands = (first..).zip(&posts).map(|(number, post)| self.command(number, post)).collect();
        let answers = self.world.ask_all(commands);
        let failed = self.world.has_failed();
        for (post, answer) in posts.into_iter().zip(answers) {
            self.model.posted(post, outcome(&answer, failed));
        }
    }

    fn draw_post(&mut self) -> Post {
        Post {
            device: self.random.of(&DEVICES),
            app: self.random.of(&["chatter", "mail"]),
            tag: self.random.one_in(4).then(|| self.random.of(&["x", "y"])),
            clears: self.random.one_in(20),
            urgency: self.random.of(&Urgency::ALL),
            expires: self.world.now.wall + Duration::from_secs(self.random.of(&[5, 60, 600, 1_000_000])),
        }
    }

    fn command(&self, number: usize, post: &Post) -> Command {
        let json = if number.is_multiple_of(self.long_each) {
            format!(r#"[{number},"{}"]"#, "x".repeat(LONG_BYTES))
        } else {
            number.to_string()
        };
        Command::Notify(Notify {
            app: app(post.app),
            expires: post.expires,
            urgency: post.urgency,
            clear_pending: post.clears,
            replace_tag: post.tag.map(str::to_owned),
            ..notify(&self.world, post.device, &json)
        })
    }

    fn broadcast(&mut self) {
        let expires = self.world.now.wall + Duration::from_secs(self.random.of(&[60, 100_000]));
        let payload = payload(&self.model.next_announcement());
        let answer = self.world.ask(Command::Broadcast { channel: "system".into(), expires, payload });
        self.model.announced(expires, outcome(&answer, self.world.has_failed()));
    }

    fn crash(&mut self) {
        self.model.follow(&mut self.world);
        self.world.crash();
        self.model.crashed();
    }

    fn restart_if_failed(&mut self) {
        if self.world.has_failed() {
            self.crash();
            self.is_fault_due = false;
        }
    }

    /// Every device comes back, listens, wants all, and gets what it is owed.
    fn settle(&mut self) {
        for name in DEVICES.into_iter().chain(DEVICES) {
            let device = self.world.device(name);
            (device.is_silent, device.is_stalled) = (false, false);
            device.profile.least = Urgency::VeryLow;
            self.world.connect(name);
            self.restart_if_failed();
            self.check();
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
