//! `kill -9` in the middle: nothing is lost, and nothing is shown twice.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::life::POLITE;
use super::notes;
use super::rig::Phone;
use crate::outside::PATIENCE;

/// Kills at random moments.
const ROUNDS: u64 = 20;
/// A message's whole life takes some 10 ms; twice that covers its end, too.
const MOMENT_MAX_MS: u64 = 25;

#[test]
fn a_service_that_is_killed_while_a_helper_runs_takes_it_along_and_runs_it_again() {
    let Some(phone) = Phone::new() else { return };
    let desktop = notes::server(phone.bus.address());
    let (told, go) = (phone.path("cache/told"), phone.path("cache/go"));
    fs::create_dir_all(phone.path("cache")).expect("writable");
    for fifo in [&told, &go] {
        assert!(std::process::Command::new("mkfifo").arg(fifo).status().expect("coreutils").success());
    }
    // It has to reach the fifos of the test.
    phone.configure("helper_confinement = \"never\"");
    phone.install(&format!("exec 5> {}; echo >&5; read x < {}", told.display(), go.display()));
    let mut service = phone.start();
    let token: String = phone.call("Register");
    phone.post(&token, &json!({ "text": "Tea?" }));
    let mut helper = fs::File::open(&told).expect("the helper opens it");
    helper.read_exact(&mut [0]).expect("it says that it runs");
    service.kill();
    let (ending, ended) = mpsc::channel();
    thread::spawn(move || ending.send(helper.read(&mut [0]).expect("a fifo")));
    assert_eq!(ended.recv_timeout(PATIENCE), Ok(0), "it ends with the service");
    phone.install(POLITE);
    let _service = phone.start();
    phone.await_post();
    desktop.expect("GetCapabilities");
    assert_eq!(notes::shown(&desktop.expect("Notify")).1, "Tea?");
    assert_eq!(phone.pop(), [json!({ "text": "Tea?" })]);
}

#[test]
fn a_service_that_is_killed_at_any_moment_loses_nothing_and_shows_nothing_twice() {
    let Some(phone) = Phone::new() else { return };
    let desktop = notes::server(phone.bus.address());
    phone.install(POLITE);
    let mut service = phone.start();
    let token: String = phone.call("Register");
    let mut moment = 7;
    let mut popped = BTreeMap::<String, u32>::new();
    for round in 0..ROUNDS {
        phone.post(&token, &json!({ "text": format!("note {round}") }));
        // What is tried is a moment, not that something is over by then.
        moment = moment * 1_103_515_245 % 2_147_483_647;
        thread::sleep(Duration::from_millis(moment % MOMENT_MAX_MS));
        service.kill();
        service = phone.start();
        if round % 4 == 3 {
            count(&phone, &mut popped);
        }
    }
    while popped.len() < ROUNDS as usize {
        phone.await_post();
        count(&phone, &mut popped);
    }
    assert!(popped.values().all(|count| *count == 1), "{popped:?}");
    let mut shown = BTreeMap::<String, u32>::new();
    while let Some(notify) = desktop.next_of("Notify") {
        *shown.entry(notes::shown(&notify).1).or_default() += 1;
    }
    assert!(shown.values().all(|count| *count == 1), "{shown:?}");
    assert!(shown.len() > ROUNDS as usize / 2, "most are shown: {shown:?}");
}

fn count(phone: &Phone, popped: &mut BTreeMap<String, u32>) {
    for message in phone.pop() {
        *popped.entry(message["text"].as_str().expect("text").to_owned()).or_default() += 1;
    }
}
