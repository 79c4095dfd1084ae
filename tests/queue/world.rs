//! A durable queue over a store in memory, its clock and its randomness: what every test here drives.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lomiri_push::base::{AppId, CodeSecret, DeviceId, Now, Payload, Seq, SessionId, Token, Urgency, Wall};
use lomiri_push::queue::{
    Address, Answer, Command, Enrolled, Event, JournalRow, Key, Limits, Notify, Page, Refusal, Registered,
};
use lomiri_push::store::{DurableQueue, Memory, Outcomes, StoreError};

pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// Random numbers that a seed repeats (SplitMix64).
#[derive(Clone)]
pub struct Seeded(pub u64);

impl Seeded {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_be_bytes()[..chunk.len()]);
        }
    }
}

/// Runs something with so many seeds, or with that in `QUEUE_SEED` alone, and says which one failed.
pub fn for_each_seed(seeds: u64, run: impl Fn(u64)) {
    let only: Option<u64> = std::env::var("QUEUE_SEED").ok().map(|seed| seed.parse().expect("a number"));
    for seed in only.map_or(0..seeds, |seed| seed..seed + 1) {
        let _on_failure = OnFailure(seed);
        run(seed);
    }
}

struct OnFailure(u64);

impl Drop for OnFailure {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with QUEUE_SEED={}", self.0);
        }
    }
}

pub struct World {
    pub queue: DurableQueue<Memory>,
    pub limits: Limits,
    pub now: Now,
    random: Seeded,
}

impl World {
    pub fn new(limits: Limits) -> World {
        World::open(Memory::new(), limits, Now { wall: Wall(1_000), ..Now::default() })
            .expect("an empty store opens")
    }

    pub fn open(store: Memory, limits: Limits, now: Now) -> Result<World, StoreError> {
        Ok(World { queue: DurableQueue::open(store, limits, now)?, limits, now, random: Seeded(7) })
    }

    /// The process ends without a word and starts again; the machine stays up.
    pub fn restart(&mut self) {
        let store = self.restarted_store();
        self.queue = DurableQueue::open(store, self.limits, self.now).expect("an intact store opens");
    }

    /// The same, and whoever starts it says that the clock is right.
    pub fn restart_trusting_clock(&mut self) {
        let store = self.restarted_store();
        let queue = DurableQueue::open_trusting_clock(store, self.limits, self.now);
        self.queue = queue.expect("an intact store opens");
    }

    fn restarted_store(&mut self) -> Memory {
        let mut store = self.queue.store_mut().clone();
        store.restart();
        store
    }

    /// The rows that the queue has written: in the store, or in the journal that lies there.
    pub fn rows(&mut self) -> BTreeSet<Key> {
        let (mut rows, mut journal) = (BTreeSet::new(), BTreeMap::new());
        for (key, value) in self.queue.store_mut().rows_mut() {
            match Key::decode(key).expect("a key of ours") {
                key @ Key::Journal(_) => {
                    let row = JournalRow::decode(key, value).expect("a row of ours");
                    journal.insert(row.number, row.entries);
                }
                key => assert!(rows.insert(key)),
            }
        }
        for (place, value) in journal.into_values().flatten() {
            let key = Key::Message(place);
            if value.is_some() {
                assert!(rows.insert(key))
            } else {
                rows.remove(&key);
            }
        }
        rows
    }

    pub fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    pub fn handle(&mut self, commands: Vec<Command>) -> Outcomes {
        let random = &mut self.random;
        let count = commands.len();
        let outcomes = self.queue.handle(commands, self.now, &mut |bytes| random.fill(bytes));
        assert_eq!(outcomes.answers.len(), count, "an answer for each command");
        outcomes
    }

    pub fn one(&mut self, command: Command) -> Answer {
        self.handle(vec![command]).answers.pop().expect("an answer for each command")
    }

    /// Has the commands answered with [`Answer::Done`].
    pub fn promise(&mut self, commands: impl IntoIterator<Item = Command>) -> Vec<Event> {
        let outcomes = self.handle(commands.into_iter().collect());
        for answer in &outcomes.answers {
            assert!(matches!(answer, Answer::Done), "{answer:?}");
        }
        outcomes.events
    }

    pub fn refusal(&mut self, command: Command) -> Refusal {
        match self.one(command) {
            Answer::Refused(refusal) => refusal,
            answer => panic!("not refused: {answer:?}"),
        }
    }

    pub fn token(&mut self, of: &str, for_app: &str) -> Token {
        match self.one(register(of, for_app)) {
            Answer::Registered(Registered { token, .. }) => token,
            answer => panic!("no token: {answer:?}"),
        }
    }

    /// A new device of this user.
    pub fn enrol(&mut self, user: &str) -> Enrolled {
        let code = self.code(user, DAY);
        self.use_code(code).unwrap_or_else(|refusal| panic!("not enrolled: {refusal:?}"))
    }

    pub fn code(&mut self, user: &str, valid_for: Duration) -> CodeSecret {
        let user = user.parse().expect("a user id");
        match self.one(Command::MakeCode { user, valid_for }) {
            Answer::Code(code) => code.secret,
            answer => panic!("no code: {answer:?}"),
        }
    }

    pub fn use_code(&mut self, code: CodeSecret) -> Result<Enrolled, Refusal> {
        match self.one(Command::Enrol { session: SessionId(1), code }) {
            Answer::Enrolment(enrolment) => enrolment.outcome,
            answer => panic!("no enrolment: {answer:?}"),
        }
    }

    /// The app's tokens on an enrolled device.
    pub fn tokens(&mut self, of: &Enrolled, for_app: &str) -> Registered {
        let (device, credential) = (of.device.clone(), Some(of.credential.clone()));
        match self.one(Command::Register { device, app: app(for_app), credential }) {
            Answer::Registered(registered) => registered,
            answer => panic!("no tokens: {answer:?}"),
        }
    }

    pub fn is_admitted(&mut self, device: &DeviceId, credential: &[u8]) -> bool {
        let (device, credential) = (device.clone(), credential.to_vec());
        match self.one(Command::Admit { device, session: SessionId(1), credential }) {
            Answer::Admission(admission) => admission.is_admitted,
            answer => panic!("no admission: {answer:?}"),
        }
    }

    pub fn page(&mut self, of: &str, after: Seq) -> Page {
        self.page_of(of, after, Urgency::VeryLow, usize::MAX)
    }

    pub fn page_of(&mut self, of: &str, after: Seq, least: Urgency, messages_max: usize) -> Page {
        let (device, session) = (device(of), SessionId(1));
        match self.one(Command::Fetch { device, session, after, least, messages_max }) {
            Answer::Page(page) => page,
            answer => panic!("no page: {answer:?}"),
        }
    }

    /// All that is pending for a device, page by page: number and payload.
    pub fn pending_with_seqs(&mut self, of: &str) -> Vec<(Seq, String)> {
        let mut found = Vec::new();
        loop {
            let after = found.last().map_or(Seq(0), |&(seq, _)| seq);
            let page = self.page(of, after);
            found.extend(page.messages.iter().map(|message| (message.id.seq(), text(&message.payload))));
            if !page.more {
                return found;
            }
            assert!(!page.messages.is_empty(), "every page brings the reader on");
        }
    }

    pub fn pending(&mut self, of: &str) -> Vec<String> {
        self.pending_with_seqs(of).into_iter().map(|(_, payload)| payload).collect()
    }

    /// What rides along with the next batch is written.
    pub fn let_ride(&mut self) {
        self.wait(Duration::from_secs(1));
        self.handle(Vec::new());
    }

    /// The device acks the oldest `count` messages.
    pub fn ack(&mut self, of: &str, count: usize) {
        let seqs = self.pending_with_seqs(of).into_iter().take(count).map(|(seq, _)| seq).collect();
        self.promise([Command::Acked { device: device(of), seqs }]);
    }
}

pub fn text(payload: &Payload) -> String {
    String::from_utf8_lossy(payload.as_bytes()).into_owned()
}

pub fn payload(json: &str) -> Payload {
    Payload::from_json(json.as_bytes()).expect("JSON")
}

pub fn device(name: &str) -> DeviceId {
    name.parse().expect("a device id")
}

pub fn app(name: &str) -> AppId {
    name.parse().expect("an app id")
}

/// A message that does not expire within any test.
pub fn notify(to: &str, for_app: &str, json: &str) -> Notify {
    Notify {
        to: Address::Device(device(to)),
        app: app(for_app),
        expires: Wall(u64::MAX),
        payload: payload(json),
        urgency: Default::default(),
        clear_pending: false,
        app_key: None,
        replace_tag: None,
    }
}

pub fn post(to: &str, for_app: &str, json: &str) -> Command {
    Command::Notify(notify(to, for_app, json))
}

pub fn broadcast(json: &str, expires: Wall) -> Command {
    Command::Broadcast { channel: "system".into(), expires, payload: payload(json) }
}

pub fn register(of: &str, for_app: &str) -> Command {
    Command::Register { device: device(of), app: app(for_app), credential: None }
}

pub fn unregister(of: &str, for_app: &str) -> Command {
    Command::Unregister { device: device(of), app: app(for_app), credential: None }
}

pub fn fetch(of: &str, after: Seq) -> Command {
    Command::Fetch {
        device: device(of),
        session: SessionId(1),
        after,
        least: Urgency::VeryLow,
        messages_max: usize::MAX,
    }
}
