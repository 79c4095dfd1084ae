//! Helpers as they may be: shell scripts in a folder of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use rustix::process::{Pid, test_kill_process};
use tempfile::TempDir;

use super::*;
use crate::service::notification::Output;
use crate::service::output::OutputError;

/// Longer than any helper of these tests takes that is to end by itself.
const LONG: Duration = Duration::from_secs(120);

/// A device with nothing but a folder.
struct World {
    root: TempDir,
    helpers: Helpers,
}

impl World {
    fn new(time_limit: Duration, confinement: Confinement) -> World {
        let root = tempfile::tempdir().expect("a folder");
        let options = Options { time_limit, confinement, bus_address: None };
        let helpers = Helpers::new(folders_in(root.path()), options).expect("no confinement is insisted on");
        World { root, helpers }
    }

    fn free(time_limit: Duration) -> World {
        World::new(time_limit, Confinement::Never)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// A helper that is this script, in which `$W` is this world's folder. Another process writes it, so that
    /// none that a parallel test starts can hold it open for writing, which keeps it from being executed.
    fn script(&self, name: &str, text: &str) -> Helper {
        let (draft, exec) = (self.file("draft"), self.file(name));
        let text = format!("#!/bin/sh\nW='{}'\n{text}\n", self.root.path().display());
        fs::write(&draft, text).expect("written");
        let status = Command::new("install").args(["-m", "755"]).args([&draft, &exec]).status();
        assert!(status.expect("install is there").success());
        Helper { exec }
    }

    fn run_of(&self, app: &str, text: &str) -> Result<Vec<u8>, RunError> {
        self.helpers.run(&self.script("helper", text), &app_id(app), &payload())
    }

    fn run(&self, text: &str) -> Result<Vec<u8>, RunError> {
        self.run_of("_chatter", text)
    }

    /// What runs leave in the caches.
    fn left_in_caches(&self) -> usize {
        let count = |folder: PathBuf| fs::read_dir(folder).map_or(0, Iterator::count);
        let caches = fs::read_dir(self.file("cache")).into_iter().flatten().flatten();
        caches.map(|cache| count(cache.path().join("lomiri-push-helper"))).sum()
    }

    /// The processes whose numbers a script wrote down, as far as they still run.
    fn survivors(&self) -> Vec<i32> {
        let numbers = self.read("pids");
        let numbers = numbers.lines().map(|line| line.trim().parse::<i32>().expect("a number"));
        numbers.filter(|number| is_running(*number)).collect()
    }
}

fn is_running(number: i32) -> bool {
    let is_there = test_kill_process(Pid::from_raw(number).expect("a process's number")).is_ok();
    let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
    is_there && !stat.is_empty() && !stat.contains(") Z ")
}

fn folders_in(root: &Path) -> Folders {
    Folders {
        data_home: root.join("data"),
        data_dirs: Vec::new(),
        config_home: root.join("config"),
        cache_home: root.join("cache"),
        lib_dirs: Vec::new(),
        click_dirs: Vec::new(),
    }
}

fn app_id(text: &str) -> AppId {
    text.parse().expect("valid")
}

fn payload() -> Payload {
    Payload::from_json(br#"{"message":"Hello"}"#).expect("JSON")
}

/// What escapes a group, a session, a parent, an environment.
const BROOD: &str = r#"
    sleep 1000 & echo $! >> "$W/pids"
    setsid sleep 1000 & echo $! >> "$W/pids"
    env -i setsid sh -c 'echo $$ >> "$1"; (setsid sleep 1000 & echo $! >> "$1"); sleep 1000' sh "$W/pids" &
    while [ "$(wc -l < "$W/pids")" -lt 4 ]; do sleep 0.01; done
"#;

#[test]
fn all_can_be_ended_with_what_they_have_started_and_none_runs_any_more() {
    let world = World::free(LONG);
    let told = world.file("told");
    assert!(Command::new("mkfifo").arg(&told).status().expect("coreutils").success());
    let helper = world.script("helper", &format!("{BROOD} echo > \"$W/told\"; sleep 1000"));
    thread::scope(|scope| {
        let run = scope.spawn(|| world.helpers.run(&helper, &app_id("_chatter"), &payload()));
        fs::read(&told).expect("it tells that all run");
        assert_eq!(world.survivors().len(), 4);
        world.helpers.end_all();
        assert_eq!(world.survivors(), [0; 0]);
        run.join().expect("no panic").expect_err("it wrote nothing");
    });
    let late = world.helpers.run(&helper, &app_id("_chatter"), &payload());
    assert!(matches!(late, Err(RunError::Over)), "{late:?}");
}

#[test]
fn a_helper_gets_the_payload_and_its_output_is_taken_whatever_its_end() {
    let world = World::free(LONG);
    let output = world.run(r#"cat "$1" > "$2"; exit 3"#).expect("an output");
    assert_eq!(output, payload().as_bytes());
    let output = world.run(r#"cat "$1" > "$2.new"; mv "$2.new" "$2"; kill -SEGV $$"#).expect("an output");
    assert_eq!(output, payload().as_bytes());
}

#[test]
fn its_files_are_the_users_alone_in_the_cache_of_its_package_and_go_with_it() {
    let world = World::free(LONG);
    let look = r#"echo "$1" > "$2"; stat -c %a "$1" "$2" "$(dirname "$1")" >> "$2"; touch "$2.more""#;
    let output = String::from_utf8(world.run_of("ab_chatter", look).expect("an output")).expect("text");
    let (path, modes) = output.split_once('\n').expect("two lines");
    assert!(Path::new(path).starts_with(world.file("cache/ab")), "{path}");
    assert_eq!(modes, "600\n600\n700\n");
    world.run(look).expect("an output");
    assert!(world.file("cache/lomiri-push").is_dir(), "that of what is in no package");
    assert_eq!(world.left_in_caches(), 0);
}

#[test]
fn it_knows_of_the_environment_what_it_needs() {
    let mut world = World::free(LONG);
    world.helpers.options.bus_address = Some("unix:path=/bus".into());
    let output = String::from_utf8(world.run(r#"env > "$2""#).expect("an output")).expect("text");
    let names: Vec<&str> = output.lines().filter_map(|line| line.split('=').next()).collect();
    assert!(output.contains("APP_ID=_chatter\n") && output.contains("BUS_ADDRESS=unix:path=/bus\n"));
    assert!(names.contains(&"PATH") && !names.iter().any(|name| name.starts_with("CARGO")), "{names:?}");
}

#[test]
fn one_that_crashes_without_output_is_told() {
    let outcome = World::free(LONG).run("kill -SEGV $$");
    assert!(matches!(outcome, Err(RunError::NoOutput(status)) if !status.success()), "{outcome:?}");
    let outcome = World::free(LONG).run("true");
    assert!(matches!(outcome, Err(RunError::NoOutput(status)) if status.success()), "{outcome:?}");
}

#[test]
fn one_that_ends_takes_with_it_whatever_it_has_started() {
    let world = World::free(LONG);
    world.run(&format!("{BROOD}\necho '{{}}' > \"$2\"")).expect("an output");
    assert_eq!(world.read("pids").lines().count(), 4);
    assert_eq!(world.survivors(), [0; 0]);
}

#[test]
fn one_that_hangs_is_killed_with_whatever_it_has_started() {
    let world = World::free(Duration::from_millis(300));
    let outcome = world.run(&format!("echo '{{}}' > \"$2\"\n{BROOD}\nsleep 1000"));
    assert!(matches!(outcome, Err(RunError::Timeout(_))), "{outcome:?}");
    assert_eq!(world.survivors(), [0; 0]);
    assert_eq!(world.left_in_caches(), 0);
}

#[test]
fn one_that_writes_too_much_is_told() {
    let world = World::free(LONG);
    let outcome = world.run(r#"head -c 3000000 /dev/zero > "$2""#);
    assert!(matches!(outcome, Err(RunError::TooMuchOutput)), "{outcome:?}");
    let output = world.run(r#"truncate -s 1G "$2" || echo refused > "$2""#).expect("an output");
    assert_eq!(output, b"refused\n", "no file of a helper grows without end");
}

#[test]
fn one_that_writes_no_json_is_told_by_who_reads_it() {
    let output = World::free(LONG).run(r#"echo '{"message": ' > "$2""#).expect("an output");
    assert_eq!(Output::parse(&output), Err(OutputError::NotAnObject));
}

#[test]
fn one_that_talks_without_end_is_not_held_up() {
    let output =
        World::free(LONG).run(r#"head -c 3000000 /dev/zero; head -c 300000 /dev/zero >&2; echo 1 > "$2""#);
    assert_eq!(output.expect("an output"), b"1\n");
}

#[test]
fn one_that_has_vanished_or_is_no_program_is_told() {
    let world = World::free(LONG);
    let run = |exec: PathBuf| world.helpers.run(&Helper { exec }, &app_id("_chatter"), &payload());
    assert!(matches!(run(world.file("gone")), Err(RunError::Missing(_))));
    assert!(matches!(run(world.root.path().into()), Err(RunError::NotExecutable(_))));
    fs::write(world.file("text"), "no program").expect("written");
    assert!(matches!(run(world.file("text")), Err(RunError::NotExecutable(_))));
}

#[test]
fn what_it_puts_in_the_place_of_its_output_is_not_followed() {
    let world = World::free(LONG);
    let outcome = world.run(r#"ln -sf /etc/passwd "$2""#);
    assert!(matches!(outcome, Err(RunError::Unreadable(_))), "{outcome:?}");
    let outcome = world.run(r#"rm "$2"; mkfifo "$2""#);
    assert!(matches!(outcome, Err(RunError::NoOutput(_))), "{outcome:?}");
    let outcome = world.run(r#"rm "$2""#);
    assert!(matches!(outcome, Err(RunError::Unreadable(_))), "{outcome:?}");
}

#[test]
fn several_run_at_once_and_the_end_of_one_is_nothing_to_the_others() {
    let world = World::free(LONG);
    let await_file = |name: &str| format!("while [ ! -e \"$W/{name}\" ]; do sleep 0.01; done");
    let early = world.script("early", &format!("{}\necho early > \"$2\"", await_file("ready-4")));
    let late: Vec<Helper> = (1..5)
        .map(|number| {
            let awaited = [await_file(&format!("ready-{}", number - 1)), await_file("over")];
            let text =
                format!("{}\ntouch \"$W/ready-{number}\"\n{}\necho late > \"$2\"", awaited[0], awaited[1]);
            world.script(&format!("late-{number}"), &text)
        })
        .collect();
    fs::write(world.file("ready-0"), "").expect("written");
    let (outcomes, told) = mpsc::channel();
    thread::scope(|scope| {
        for helper in late.iter().chain([&early]) {
            let (outcomes, helpers) = (outcomes.clone(), &world.helpers);
            scope.spawn(move || outcomes.send(helpers.run(helper, &app_id("_chatter"), &payload())));
        }
        assert_eq!(told.recv().expect("told").expect("an output"), b"early\n");
        fs::write(world.file("over"), "").expect("written");
        for _ in &late {
            assert_eq!(told.recv().expect("told").expect("an output"), b"late\n");
        }
    });
}

#[test]
fn what_a_crash_left_behind_goes_at_the_next_start() {
    let world = World::free(LONG);
    let left = world.file("cache/ab/lomiri-push-helper/1-0");
    fs::create_dir_all(&left).expect("made");
    fs::write(left.join("in.json"), "{}").expect("written");
    fs::write(world.file("cache/ab/theirs"), "").expect("written");
    Helpers::new(folders_in(world.root.path()), Options::default()).expect("no confinement is insisted on");
    assert!(!left.exists() && world.file("cache/ab/theirs").exists());
}

mod confined;
