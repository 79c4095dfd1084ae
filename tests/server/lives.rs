//! How a server ends: when it is told to, and when its store fails.

use lomiri_push::reactor::{Failure, Options, Server, StartError};
use lomiri_push::store::{DurableQueue, Fault, Memory};

use super::device::Device;
use super::lines;
use super::rig::{Made, Rig, notify_body, options};

#[test]
fn a_server_that_is_told_to_ends_all_sessions_and_itself() {
    lines::listen();
    let rig = Rig::start();
    let mut devices: Vec<Device> =
        (0..10).map(|number| Device::connect(&rig, &format!("device-{number}"))).collect();
    let idle_caller = rig.caller();
    rig.terminate();
    for device in &mut devices {
        device.assert_ended();
        assert_eq!(lines::end_of(device.secured.address()), "shutdown");
    }
    assert!(rig.wait().is_ok());
    drop(idle_caller);
}

#[test]
fn a_server_whose_store_fails_refuses_and_then_ends() {
    let mut store = Memory::new();
    store.fail_next(Fault::Full);
    let rig = Rig::start_over(store, |_| {});
    let carol = Device::connect(&rig, "carol");
    let (status, answer) = rig.post("/notify", &notify_body("carol", "1"));
    assert_eq!(status, 503, "{answer}");
    assert!(answer.contains(r#""error":"unavailable""#), "{answer}");
    let failure = rig.wait().expect_err("nobody told it to stop");
    assert!(matches!(failure, Failure::Store(_)), "{failure}");
    drop(carol);
}

#[test]
fn an_address_that_is_taken_is_named() {
    let rig = Rig::start();
    let taken = rig.addresses.http;
    let options = Options { http: taken, ..options(&Made::new().certificates()) };
    let queue = DurableQueue::open(Memory::new(), Default::default(), Default::default()).expect("empty");
    let error = Server::start(options, queue).expect_err("the address is taken");
    assert!(matches!(error, StartError::Listen { what: "http", address, .. } if address == taken), "{error}");
}
