//! Helpers that do not do what they should: the app gets the payload itself, and nothing is shown.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use serde_json::json;

use super::notes;
use super::rig::Phone;
use crate::outside::PATIENCE;

#[test]
fn a_helper_that_fails_in_any_way_costs_the_bubble_alone() {
    let Some(phone) = Phone::new() else { return };
    let desktop = notes::server(phone.bus.address());
    phone.configure("helper_timeout = \"300ms\"");
    phone.install("exit 1");
    let _service = phone.start();
    let token: String = phone.call("Register");
    let bad = [
        "exit 1",
        "kill -9 $$",
        "echo '{' > \"$2\"",
        "echo '{\"notification\":7}' > \"$2\"",
        "head -c 3000000 /dev/zero > \"$2\"",
        "sleep 1000 & setsid sleep 1000 & sleep 1000",
        "rm -f \"$2\"; mkdir \"$2\"",
    ];
    for (number, script) in bad.into_iter().enumerate() {
        phone.install(script);
        phone.post(&token, &json!({ "number": number }));
        phone.await_post();
        assert_eq!(phone.pop(), [json!({ "number": number })], "{script}");
    }
    phone.install_naming(Path::new("/nowhere/helper"));
    phone.post(&token, &json!("gone"));
    phone.await_post();
    assert_eq!(phone.pop(), [json!("gone")]);
    assert!(desktop.others().is_empty(), "nothing is shown");
}

#[test]
fn a_service_that_stops_takes_along_what_helpers_have_started() {
    let Some(phone) = Phone::new() else { return };
    let told = phone.path("told");
    assert!(Command::new("mkfifo").arg(&told).status().expect("coreutils").success());
    // It has to reach the fifo of the test.
    phone.configure("helper_confinement = \"never\"");
    phone.install(&format!("exec 5> {}; setsid sh -c 'echo >&5; sleep 1000' & sleep 1000", told.display()));
    let service = phone.start();
    let token: String = phone.call("Register");
    phone.post(&token, &json!({ "text": "Tea?" }));
    let mut brood = fs::File::open(&told).expect("the helper opens it");
    brood.read_exact(&mut [0]).expect("it says that it runs");
    assert!(service.terminate().success());
    let (ending, ended) = mpsc::channel();
    thread::spawn(move || ending.send(brood.read(&mut [0]).expect("a fifo")));
    assert_eq!(ended.recv_timeout(PATIENCE), Ok(0), "nobody is left who could write");
}
