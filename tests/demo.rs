//! The demo as a newcomer and as a program see it.
#![cfg(feature = "demo")]

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn demo(arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_lomiri-push"))
        .arg("demo")
        .args(arguments)
        .output()
        .expect("the binary runs");
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{errors}");
    assert_eq!(errors, "");
    output
}

#[test]
fn it_tells_its_story_and_ends_well() {
    let told = String::from_utf8(demo(&[]).stdout).expect("UTF-8");
    assert!(!told.contains('\x1b'), "colours are for terminals");
    assert!(!told.contains('✗'), "nothing looks like a failure in\n{told}");
    let last = told.lines().last().expect("a story");
    assert!(last.ends_with("ms  ✓ All came out as it should."), "{last}");
}

#[test]
fn it_tells_programs_the_same_as_one_object_a_line() {
    let told = String::from_utf8(demo(&["--json"]).stdout).expect("UTF-8");
    let steps: Vec<Value> =
        told.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    let mut last_ms = 0;
    for (step, line) in steps.iter().zip(told.lines()) {
        assert!(line.starts_with("{\"step\":\""), "{line}");
        let ms = step["ms"].as_u64().expect("every step has its time");
        assert!(ms >= last_ms, "time does not go back: {line}");
        last_ms = ms;
    }
    let names: HashSet<&str> = steps.iter().filter_map(|step| step["step"].as_str()).collect();
    for name in
        ["enrolled", "accepted", "delivered", "replaced", "expired", "server_killed", "server_restarted"]
    {
        assert!(names.contains(name), "{name} is missing in\n{told}");
    }
    assert_eq!(steps.last().map(|step| &step["ok"]), Some(&Value::Bool(true)));
}

#[test]
fn ctrl_c_leaves_neither_the_server_nor_its_data() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_lomiri-push"));
    command.args(["demo", "--json"]).env("TMPDIR", folder.path()).stdout(Stdio::piped());
    let mut demo = command.spawn().expect("the binary runs");
    let mut lines = BufReader::new(demo.stdout.take().expect("piped")).lines();
    let first: Value = serde_json::from_str(&lines.next().expect("a line").expect("text")).expect("JSON");
    assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1, "the data is here");

    kill_process(Pid::from_child(&demo), Signal::INT).expect("it runs");
    assert_eq!(demo.wait().expect("a child").code(), Some(130));
    assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 0, "the data is gone");
    let devices = first["devices"].as_str().expect("an address");
    TcpStream::connect(devices).expect_err("the server is gone");
}
