//! Cuts the power of a disk in mid-load, again and again, and checks that whatever the queue had
//! promised by then is there afterwards. Needs root, ext4, `mkfs.ext4` and `perl`.
//!
//! ```text
//! cargo run --release --example powercut -- --rounds 50
//! cargo run --release --example powercut -- --rounds 10 --without-sync
//! ```
//!
//! The second form leaves out the sync that sled's flush lacks. It is expected to lose data: a check
//! that cannot fail proves nothing.

mod disk;
mod load;
mod unsynced;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command as Program, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use clap::Parser;
use lomiri_push::base::{Level, Seq, SessionId, Token, Urgency};
use lomiri_push::queue::{Answer, Command, Registered};
use lomiri_push::store::{Disk as Store, DurableQueue};

use disk::Disk;
use load::{DEVICES, NOW, device, limits};
use unsynced::Unsynced;

/// How long after its first promise the load loses its power: between these.
const LOAD_MS: std::ops::Range<u64> = 20..1_200;
/// How long the load may take to open the queue of the rounds before.
const START_MAX: Duration = Duration::from_secs(60);

/// Nobody acks what is left of earlier rounds, so that a queue grows by some 20 MB a round: so many rounds it
/// gets, on a disk of 2 GiB.
const ROUNDS_PER_QUEUE_MAX: u32 = 50;

#[derive(Parser)]
#[command(about = "Cuts the power of a disk in mid-load and checks what the queue had promised")]
struct Arguments {
    /// How often the power is cut.
    #[arg(long, default_value_t = 50)]
    rounds: u32,
    /// Trust sled's flush, which is no sync: expected to lose data.
    #[arg(long)]
    without_sync: bool,
    /// Only load the queue in this directory: what this program starts itself as.
    #[arg(long, hide = true)]
    load: Option<PathBuf>,
    /// The first number for that load.
    #[arg(long, hide = true, default_value_t = 0)]
    first: u64,
}

/// All that was promised so far, over all rounds.
#[derive(Default)]
struct Promised {
    messages: BTreeSet<u64>,
    tokens: BTreeMap<u64, Token>,
    level: Level,
    next: u64,
    count: u64,
}

fn main() -> ExitCode {
    env_logger::init();
    let arguments = Arguments::parse();
    let result = match &arguments.load {
        Some(dir) => load(dir, &arguments),
        None => cut(&arguments),
    };
    result.unwrap_or_else(|error| {
        eprintln!("powercut: {error}");
        ExitCode::from(2)
    })
}

fn load(dir: &Path, arguments: &Arguments) -> Result<ExitCode, String> {
    let ended = if arguments.without_sync {
        load::run(open(Unsynced::open(dir))?, arguments.first)
    } else {
        load::run(open(Store::open(dir))?, arguments.first)
    };
    ended.map(|()| ExitCode::SUCCESS).map_err(|error| error.to_string())
}

fn open<S: lomiri_push::store::Store>(
    store: Result<S, lomiri_push::store::StoreError>,
) -> Result<DurableQueue<S>, String> {
    store.and_then(|store| DurableQueue::open(store, limits(), NOW)).map_err(|error| error.to_string())
}

/// All rounds; the exit status tells whether what was expected came.
fn cut(arguments: &Arguments) -> Result<ExitCode, String> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted)).map_err(|error| error.to_string())?;
    }
    let mut disk = Disk::new()?;
    let mut promised = Promised::default();
    let (mut rounds, mut failed) = (0, 0);
    let (mut queue_rounds, dir) = (0, disk.path().join("queue"));
    while rounds < arguments.rounds && !interrupted.load(Ordering::Relaxed) {
        rounds += 1;
        if queue_rounds == ROUNDS_PER_QUEUE_MAX {
            fs::remove_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
            promised.start_anew();
            queue_rounds = 0;
        }
        queue_rounds += 1;
        let before = promised.count;
        let after_ms = round(&mut disk, &dir, &mut promised, arguments)?;
        let verdict = match check(&dir, &mut promised) {
            Ok(()) => "all there".to_owned(),
            Err(loss) => {
                failed += 1;
                queue_rounds = ROUNDS_PER_QUEUE_MAX;
                format!("LOST: {loss}")
            }
        };
        println!(
            "round {rounds}: cut after {after_ms} ms and {} promises: {verdict}",
            promised.count - before
        );
    }
    println!("{rounds} power cuts, {} promises, {failed} rounds with a loss", promised.count);
    let is_expected = (failed > 0) == arguments.without_sync;
    Ok(if is_expected && rounds == arguments.rounds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Loads the queue in `dir`, cuts the power, and brings it back; after how many milliseconds.
fn round(disk: &mut Disk, dir: &Path, promised: &mut Promised, arguments: &Arguments) -> Result<u64, String> {
    let mut child = start_load(dir, promised.next, arguments).map_err(|error| error.to_string())?;
    let output = child.stdout.take().expect("piped");
    let (start, is_loading) = mpsc::channel();
    let listener = std::thread::spawn(move || listen(output, &start));
    is_loading.recv_timeout(START_MAX).map_err(|_| "the load does not start")?;
    let started = Instant::now();
    std::thread::sleep(Duration::from_millis(LOAD_MS.start + random() % (LOAD_MS.end - LOAD_MS.start)));
    let after_ms = started.elapsed().as_millis() as u64;
    let is_cut = disk.cut_power();
    // Without its disk the load ends by itself; nothing depends on that.
    child.kill().and_then(|()| child.wait()).map_err(|error| error.to_string())?;
    is_cut?;
    let lines = listener.join().expect("the listener does not panic");
    lines.iter().try_for_each(|line| promised.take(line).ok_or_else(|| format!("the load says {line:?}")))?;
    disk.restore_power()?;
    Ok(after_ms)
}

fn start_load(dir: &Path, first: u64, arguments: &Arguments) -> std::io::Result<Child> {
    let mut program = Program::new(std::env::current_exe()?);
    program.arg("--load").arg(dir).arg("--first").arg(first.to_string());
    if arguments.without_sync {
        program.arg("--without-sync");
    }
    program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
}

/// The whole lines that the load writes; the last may be cut off with it. Says when there is the first.
fn listen(output: ChildStdout, start: &mpsc::Sender<()>) -> Vec<String> {
    let mut output = BufReader::new(output);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        let end = output.read_line(&mut line);
        if end.is_err() || !line.ends_with('\n') {
            return lines;
        }
        line.pop();
        lines.push(line);
        // The receiver has gone when it has heard of the first.
        let _ = start.send(());
    }
}

impl Promised {
    /// For another queue: numbers go on.
    fn start_anew(&mut self) {
        *self = Promised { next: self.next, count: self.count, ..Promised::default() };
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let words: Vec<&str> = line.split(' ').collect();
        self.count += u64::from(words[0] != "acking");
        match words[..] {
            ["queued", number] => {
                let number = number.parse().ok()?;
                self.messages.insert(number);
                self.next = number + 1;
            }
            ["acking", number] => {
                self.messages.remove(&number.parse().ok()?);
            }
            ["token", device, token] => {
                self.tokens.insert(device.parse().ok()?, token.parse().ok()?);
            }
            ["level", level] => self.level = Level(level.parse().ok()?),
            _ => return None,
        }
        Some(())
    }
}

/// Opens the queue as the server would, and looks for everything.
fn check(dir: &Path, promised: &mut Promised) -> Result<(), String> {
    let mut queue = open(Store::open(dir))?;
    let found = pending(&mut queue)?;
    let missing = promised.messages.difference(&found).count();
    if missing > 0 {
        return Err(format!("{missing} of {} messages", promised.messages.len()));
    }
    let top = queue.channel().top;
    if top < promised.level {
        return Err(format!("level {} fell to {top}", promised.level));
    }
    for (&number, &token) in &promised.tokens {
        let app = "chatter".parse().expect("an app id");
        let answer = ask(&mut queue, Command::Register { device: device(number), app, credential: None });
        if !matches!(answer, Answer::Registered(Registered { token: known, .. }) if known == token) {
            return Err(format!("the token of device {number}"));
        }
    }
    // What reached the disk unpromised is as good as promised in the rounds to come, but nobody acks it.
    promised.next = promised.next.max(found.last().map_or(0, |last| last + 1)).next_multiple_of(64);
    Ok(())
}

fn pending(queue: &mut DurableQueue<Store>) -> Result<BTreeSet<u64>, String> {
    let mut found = BTreeSet::new();
    for number in 0..DEVICES {
        let mut after = Seq(0);
        loop {
            let fetch = Command::Fetch {
                device: device(number),
                session: SessionId(0),
                after,
                least: Urgency::VeryLow,
                messages_max: usize::MAX,
            };
            let Answer::Page(page) = ask(queue, fetch) else {
                return Err(queue.failure().map_or("no page".into(), ToString::to_string));
            };
            found.extend(page.messages.iter().map(|message| load::number(&message.payload)));
            after = page.messages.last().map_or(after, |message| message.id.seq());
            if !page.more {
                break;
            }
        }
    }
    Ok(found)
}

fn ask(queue: &mut DurableQueue<Store>, command: Command) -> Answer {
    let mut outcomes = queue.handle(vec![command], NOW, &mut |bytes| {
        getrandom::fill(bytes).expect("the system has random bytes");
    });
    outcomes.answers.pop().expect("an answer to each command")
}

fn random() -> u64 {
    getrandom::u64().expect("the system has random bytes")
}
