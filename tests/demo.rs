//! The demo as a newcomer and as a program see it. With a desktop, `tests/desktop/demo.rs` looks at it.
#![cfg(feature = "demo")]

use std::collections::HashSet;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// What each story has, in this order and among others.
const STEPS: [&str; 17] = [
    "server_started",
    "bus_started",
    "enrolled",
    "registered",
    "accepted",
    "helper_ran",
    "notification_shown",
    "mailbox_popped",
    "delivered",
    "offline",
    "replaced",
    "server_killed",
    "server_restarted",
    "expired",
    "service_killed",
    "service_restarted",
    "verified",
];
/// How long the system may take to end processes that were killed: only what stays takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lomiri-push"));
    command.arg("demo").args(arguments);
    command
}

/// What it tells on its way to a good end.
fn told(command: &mut Command) -> String {
    let output: Output = command.output().expect("the binary runs");
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{errors}");
    assert_eq!(errors, "");
    told.into_owned()
}

fn steps(told: &str) -> Vec<Value> {
    told.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

fn of<'a>(steps: &'a [Value], name: &str) -> Vec<&'a Value> {
    steps.iter().filter(|step| step["step"] == name).collect()
}

fn find_program(name: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
}

#[test]
fn it_tells_its_story_draws_the_notifications_and_ends_well() {
    let told = told(&mut command(&[]));
    assert!(!told.contains('\x1b'), "colours are for terminals");
    assert!(!told.contains('✗'), "nothing looks like a failure in\n{told}");
    let last = told.lines().last().expect("a story");
    assert!(last.ends_with("ms  ✓ All came out as it should."), "{last}");
    let boxes = told.lines().filter(|line| line.trim_start().starts_with("╭─ _")).count();
    assert_eq!(boxes, 7, "{told}");
    let lines: Vec<&str> = told.lines().map(str::trim_start).collect();
    let place = lines.iter().position(|line| line.starts_with("│ Lunch at one? ")).expect("a box");
    assert!(
        lines[place - 1].starts_with("│ Bob ") && lines[place - 2].starts_with("╭─ _chatter ─"),
        "{told}"
    );
    assert!(lines.iter().all(|line| line.chars().count() <= 120), "it fits a terminal: {told}");
}

#[test]
fn it_tells_programs_the_same_as_one_object_a_line() {
    let told = told(&mut command(&["--json"]));
    let steps = steps(&told);
    let mut last_ms = 0;
    for (step, line) in steps.iter().zip(told.lines()) {
        assert!(line.starts_with("{\"step\":\""), "{line}");
        let ms = step["ms"].as_u64().expect("every step has its time");
        assert!(ms >= last_ms, "time does not go back: {line}");
        last_ms = ms;
    }
    let mut names = steps.iter().filter_map(|step| step["step"].as_str());
    for name in STEPS {
        assert!(names.any(|other| other == name), "{name} is missing, or too early in\n{told}");
    }
    assert_eq!(steps.last().map(|step| &step["ok"]), Some(&Value::Bool(true)));
    let kind = if find_program("dbus-daemon").is_some() { "dbus-daemon" } else { "peer-to-peer" };
    assert!(of(&steps, "bus_started").iter().all(|step| step["kind"] == kind), "{told}");
}

#[test]
fn each_message_is_helped_shown_and_popped_once() {
    let steps = steps(&told(&mut command(&["--json"])));
    let texts = |name: &str| -> Vec<String> {
        of(&steps, name).iter().map(|step| format!("{} {}", step["who"], step["text"])).collect()
    };
    let shown = texts("notification_shown");
    assert_eq!(shown.len(), 7, "{shown:?}");
    assert_eq!(shown.iter().collect::<HashSet<_>>().len(), 7, "nothing is shown twice: {shown:?}");
    assert_eq!(of(&steps, "helper_ran").len(), 7);
    let popped: u64 = of(&steps, "mailbox_popped").iter().filter_map(|step| step["count"].as_u64()).sum();
    assert_eq!((popped, of(&steps, "delivered").len()), (7, 7));
    let devices: HashSet<&str> =
        of(&steps, "registered").iter().filter_map(|step| step["device"].as_str()).collect();
    assert_eq!(devices.len(), 2, "each registers on a device of their own");
}

#[test]
fn on_a_bare_machine_it_does_without_dbus_daemon_and_without_walls_and_says_so() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    symlink(find_program("sed").expect("every machine has it"), folder.path().join("sed")).expect("a link");
    let story = told(command(&["--json"]).env("PATH", folder.path()));
    let steps = steps(&story);
    assert!(of(&steps, "bus_started").iter().all(|step| step["kind"] == "peer-to-peer"), "{story}");
    for step in of(&steps, "helper_ran") {
        assert_eq!(step["helpers"], "not confined: bubblewrap (bwrap) is not installed");
    }
    let story = told(command(&[]).env("PATH", folder.path()));
    assert!(story.contains("peer to peer"), "{story}");
}

#[test]
fn a_dbus_daemon_that_does_not_work_is_done_without() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (program, is) in [("sed", "sed"), ("dbus-daemon", "false")] {
        symlink(find_program(is).expect("every machine has it"), folder.path().join(program))
            .expect("a link");
    }
    let story = told(command(&["--json"]).env("PATH", folder.path()));
    assert!(of(&steps(&story), "bus_started").iter().all(|step| step["kind"] == "peer-to-peer"), "{story}");
}

#[test]
fn it_touches_nothing_of_its_users() {
    let (home, place) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let mut demo = command(&[]);
    demo.env("HOME", home.path()).env("TMPDIR", place.path());
    for name in ["DATA", "CONFIG", "CACHE", "STATE"] {
        demo.env(format!("XDG_{name}_HOME"), home.path().join(name));
    }
    // Where nobody listens, whoever called would fail.
    for bus in ["SESSION", "SYSTEM"] {
        demo.env(format!("DBUS_{bus}_BUS_ADDRESS"), "unix:path=/nonexistent");
    }
    told(&mut demo);
    for folder in [&home, &place] {
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 0, "nothing is left");
    }
}

#[test]
fn without_a_desktop_it_says_that_none_can_be_used() {
    let output = command(&["--desktop"]).env_remove("DBUS_SESSION_BUS_ADDRESS").output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("DBUS_SESSION_BUS_ADDRESS is not set"), "{said}");
}

#[test]
fn what_goes_wrong_is_told_with_the_end_of_each_log() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // A helper that cannot work on a machine without sed.
    let output = command(&[]).env("PATH", folder.path()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for part in ["The end of server.log:", "The end of bob.log:", "The end of carol.log:", "Chatter failed: "]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn ctrl_c_at_any_time_leaves_neither_processes_nor_data() {
    for step in
        ["server_started", "bus_started", "registered", "helper_ran", "server_killed", "service_killed"]
    {
        interrupt_after(step);
    }
}

fn interrupt_after(step: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = command(&["--json"]);
    command.env("TMPDIR", folder.path()).stdout(Stdio::piped());
    let mut demo = command.spawn().expect("the binary runs");
    let mut lines = BufReader::new(demo.stdout.take().expect("piped")).lines();
    let mut next = || -> Value {
        let line = lines.next().expect("a line").expect("text");
        serde_json::from_str(&line).expect("JSON")
    };
    let first = next();
    if first["step"] != step {
        while next()["step"] != step {}
    }
    assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1, "the data is here");

    kill_process(Pid::from_child(&demo), Signal::INT).expect("it runs");
    assert_eq!(demo.wait().expect("a child").code(), Some(130), "{step}");
    assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 0, "the data is gone: {step}");
    let devices = first["devices"].as_str().expect("an address");
    TcpStream::connect(devices).expect_err("the server is gone");
    // A helper whose service was killed ends by itself.
    let patience = Instant::now() + PATIENCE;
    while let Some(process) = processes_in(folder.path()).first() {
        assert!(Instant::now() < patience, "{step}: {process} is left");
        thread::yield_now();
    }
}

/// The processes whose arguments name something in a folder.
fn processes_in(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().expect("text");
    let entries = fs::read_dir("/proc").expect("Linux").flatten();
    let arguments = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let texts = arguments.map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "));
    texts.filter(|text| text.contains(folder)).collect()
}
