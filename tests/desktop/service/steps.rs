//! `kill -9` before each step of the life of a message: before each call by which a thread of the service makes a
//! change last, and before each by which one sends something. `strace` watches one thread at a time and kills the
//! service as the thread enters its n-th such call, which then does nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::life::POLITE;
use super::notes;
use super::rig::{Phone, Service, on_post_signals};
use crate::fake::Fake;
use crate::outside::PATIENCE;
use crate::private_bus::has_tool;

/// What makes a change of a file last. The question mark is for calls that not each processor has.
const WRITES: [&str; 7] = ["fsync", "fdatasync", "?rename", "?renameat", "renameat2", "?unlink", "unlinkat"];
/// What a socket sends.
const SENDS: [&str; 2] = ["sendto", "sendmsg"];
/// The thread that owns the mailbox.
const OWNER: &str = "lomiri-push";
/// The message as it came, what its helper made of it, the shade, and that it has gone: what an earlier write has left
/// is removed, and each is synced, renamed, and synced in its folder. Then its file is removed, and that synced.
const WRITES_MIN: u32 = 18;
/// The ack, the bubble, the signal, and the answer to PopAll.
const SENDS_MIN: u32 = 4;

#[test]
fn a_service_that_is_killed_before_any_step_loses_nothing_and_shows_nothing_twice() {
    if !has_tool("strace") || !may_watch() {
        return;
    }
    let Some(phone) = Phone::new() else { return };
    let mut life = Life::of(&phone);
    let threads = life.threads();
    let owner = (OWNER.into(), 0);
    let writes: u32 = WRITES.iter().map(|call| life.steps(&owner, call)).sum();
    assert!(writes >= WRITES_MIN, "{writes} writes");
    let of_thread = |thread| SENDS.iter().map(|call| life.steps(thread, call)).sum();
    let sends: BTreeMap<&Thread, u32> = threads.iter().zip(threads.iter().map(of_thread)).collect();
    assert!(sends.values().sum::<u32>() >= SENDS_MIN, "{sends:?}");
    life.assert_shown_once_at_most(writes + sends.values().sum::<u32>());
}

/// A thread by its name, and which of those that have it.
type Thread = (String, usize);

/// What happens to whoever waits.
enum Happened {
    /// The app is told that there is something.
    Post,
    /// Nobody is watched any more: the service is dead, or `strace` was told to leave it alone.
    Unwatched,
}

/// How a message's life ends.
enum Ending {
    /// Its app has it.
    Popped,
    /// Its app has asked for it, and then the service died.
    Unanswered,
    /// The service died.
    Unwatched,
}

/// A phone that lives through one message after the other.
struct Life<'a> {
    phone: &'a Phone,
    desktop: Fake,
    service: Service,
    token: String,
    tell: Sender<Happened>,
    happened: Receiver<Happened>,
    messages: u32,
    popped: Vec<String>,
}

impl Life<'_> {
    fn of(phone: &Phone) -> Life<'_> {
        let desktop = notes::server(phone.bus.address());
        phone.install(POLITE);
        let service = phone.start();
        let (tell, happened) = mpsc::channel();
        let posts = tell.clone();
        on_post_signals(&phone.app, move || posts.send(Happened::Post).is_ok());
        let token = phone.call("Register");
        Life { phone, desktop, service, token, tell, happened, messages: 0, popped: Vec::new() }
    }

    /// In how many of its steps that are `call`s of `thread` a message's life can be cut short. It is, in each.
    fn steps(&mut self, thread: &Thread, call: &str) -> u32 {
        (1..).find(|step| !self.is_cut_short(thread, call, *step)).expect("a life ends") - 1
    }

    /// Whether the service was killed before this step of a message's life. The message is popped once all the same;
    /// only if its app had asked for it and got no answer, it may be gone.
    fn is_cut_short(&mut self, thread: &Thread, call: &str, step: u32) -> bool {
        let Some(number) = self.numbers().remove(thread) else { return false };
        self.popped.clear();
        let strace = watch(number, call, step, self.tell.clone());
        let text = self.post();
        let ending = self.live_until_popped_or_dead(&text);
        if !matches!(ending, Ending::Unwatched) {
            // It has ended by itself where its thread has.
            let _ = kill_process(strace, Signal::TERM);
            while !matches!(self.next(), Happened::Unwatched) {}
        }
        let was_asked = matches!(ending, Ending::Unanswered);
        let last = pop(self.phone);
        let is_dead = last.is_none();
        self.popped.extend(last.into_iter().flatten());
        if is_dead {
            self.service.end();
            self.service = self.phone.start();
        }
        let next = self.post();
        while !self.popped.contains(&next) {
            if let Happened::Post = self.next() {
                self.popped.extend(pop(self.phone).expect("it lives"));
            }
        }
        let expected = [text.clone(), next.clone()];
        let is_gone = was_asked && is_dead && self.popped == expected[1..];
        assert!(self.popped == expected || is_gone, "{thread:?} {call} {step}: {:?}", self.popped);
        is_dead
    }

    fn live_until_popped_or_dead(&mut self, text: &String) -> Ending {
        while !self.popped.contains(text) {
            match self.next() {
                Happened::Unwatched => return Ending::Unwatched,
                Happened::Post => match pop(self.phone) {
                    Some(popped) => self.popped.extend(popped),
                    None => return Ending::Unanswered,
                },
            }
        }
        Ending::Popped
    }

    fn next(&self) -> Happened {
        self.happened.recv_timeout(PATIENCE).expect("something happens")
    }

    /// Posts another message; its text.
    fn post(&mut self) -> String {
        self.messages += 1;
        let text = format!("note {}", self.messages);
        self.phone.post(&self.token, &json!({ "text": text }));
        text
    }

    fn threads(&self) -> Vec<Thread> {
        self.numbers().into_keys().collect()
    }

    /// The numbers of the service's threads.
    fn numbers(&self) -> BTreeMap<Thread, u32> {
        let folder = format!("/proc/{}/task", self.service.id());
        let tasks = fs::read_dir(folder).expect("it runs").filter_map(Result::ok);
        let mut numbers: Vec<u32> =
            tasks.filter_map(|task| task.file_name().to_str()?.parse().ok()).collect();
        numbers.sort_unstable();
        let mut named = BTreeMap::new();
        for number in numbers {
            let file = format!("/proc/{}/task/{number}/comm", self.service.id());
            // A thread may have ended meanwhile.
            let Ok(name) = fs::read_to_string(file) else { continue };
            let alike = named.keys().filter(|(other, _)| other == name.trim()).count();
            named.insert((name.trim().to_owned(), alike), number);
        }
        named
    }

    /// Between the write that says so and the call that shows a bubble, a kill costs the bubble.
    fn assert_shown_once_at_most(&self, kills: u32) {
        let mut shown = BTreeMap::<String, u32>::new();
        while let Some(notify) = self.desktop.next_of("Notify") {
            *shown.entry(notes::shown(&notify).1).or_default() += 1;
        }
        assert!(shown.values().all(|count| *count == 1), "{shown:?}");
        assert!(shown.len() as u32 >= self.messages - kills, "{} of {}", shown.len(), self.messages);
    }
}

/// What the app pops; nothing if the service dies before it answers.
fn pop(phone: &Phone) -> Option<Vec<String>> {
    let popped = phone.try_pop()?;
    Some(popped.iter().map(|message| message["text"].as_str().expect("text").to_owned()).collect())
}

/// Whether `strace` may watch what it has not started: many machines leave that to root.
fn may_watch() -> bool {
    // It ends when its input does, and `strace` with it.
    let mut watched = Command::new("cat").stdin(Stdio::piped()).spawn().expect("coreutils");
    let (mut strace, _, line) = attach(watched.id(), &[]);
    watched.wait().expect("it ends");
    strace.wait().expect("it ends");
    let may = is_attached(&line);
    assert!(may || std::env::var_os("LOMIRI_PUSH_REQUIRE_TOOLS").is_none(), "strace may not watch: {line}");
    if !may {
        println!("strace may not watch: what needs it is skipped: {line}");
    }
    may
}

/// Has `strace` kill the process of a thread as that enters its `call` number `step`.
fn watch(thread: u32, call: &str, step: u32, tell: Sender<Happened>) -> Pid {
    let inject = format!("inject={call}:signal=KILL:when={step}");
    let (mut strace, said, line) = attach(thread, &["-e", &format!("trace={call}"), "-e", &inject]);
    assert!(is_attached(&line), "strace may not watch: {line}");
    let number = Pid::from_child(&strace);
    thread::spawn(move || {
        // Its pipe is read to its end, so that it never waits.
        let _ = said.lines().count();
        let _ = strace.wait();
        let _ = tell.send(Happened::Unwatched);
    });
    number
}

/// Has `strace` watch a thread; and the first that it says.
fn attach(thread: u32, filters: &[&str]) -> (Child, BufReader<ChildStderr>, String) {
    let mut strace = Command::new("strace")
        .args(["-p", &thread.to_string(), "-o", "/dev/null"])
        .args(filters)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("strace runs");
    let mut said = BufReader::new(strace.stderr.take().expect("piped"));
    let mut line = String::new();
    said.read_line(&mut line).expect("a pipe");
    (strace, said, line)
}

fn is_attached(line: &str) -> bool {
    line.contains("attached")
}
