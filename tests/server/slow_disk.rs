//! A disk that takes its time: nobody waits for it but those whose messages it holds.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use lomiri_push::queue::{Batch, Key};
use lomiri_push::reactor::Options;
use lomiri_push::store::{Memory, Store, StoreError, TakeRow};

use super::device::{Device, Secured};
use super::rig::{Made, Rig, notify_request, read_response};

/// A store that writes nothing while its gate is shut.
struct Gated {
    memory: Memory,
    gate: Gate,
}

#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<Shut>, Condvar)>);

#[derive(Default)]
struct Shut {
    is_shut: bool,
    is_somebody_there: bool,
}

impl Gate {
    fn set(&self, is_shut: bool) {
        let (shut, changed) = &*self.0;
        shut.lock().unwrap_or_else(PoisonError::into_inner).is_shut = is_shut;
        changed.notify_all();
    }

    /// Waits until a batch stands before the gate.
    fn await_somebody(&self) {
        let (shut, changed) = &*self.0;
        let mut shut = shut.lock().unwrap_or_else(PoisonError::into_inner);
        while !shut.is_somebody_there {
            shut = changed.wait(shut).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn pass(&self) {
        let (shut, changed) = &*self.0;
        let mut shut = shut.lock().unwrap_or_else(PoisonError::into_inner);
        while shut.is_shut {
            shut.is_somebody_there = true;
            changed.notify_all();
            shut = changed.wait(shut).unwrap_or_else(PoisonError::into_inner);
        }
        shut.is_somebody_there = false;
    }
}

impl Store for Gated {
    fn apply(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.gate.pass();
        self.memory.apply(batch)
    }

    fn read(&self, key: Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.memory.read(key)
    }

    fn scan(&self, take: &mut TakeRow) -> Result<(), StoreError> {
        self.memory.scan(take)
    }

    fn free_disk_bytes(&self) -> Result<u64, StoreError> {
        self.memory.free_disk_bytes()
    }

    fn batches_written(&self) -> u64 {
        self.memory.batches_written()
    }

    fn file(&self) -> &Path {
        self.memory.file()
    }
}

fn slow_rig(change: impl FnOnce(&mut Options)) -> (Rig, Gate) {
    let gate = Gate::default();
    let store = Gated { memory: Memory::new(), gate: gate.clone() };
    (Rig::start_over(store, change), gate)
}

#[test]
fn a_request_under_way_is_answered_before_the_server_stops() {
    let (rig, gate) = slow_rig(|_| {});
    gate.set(true);
    let (mut caller, mut idle) = (rig.caller(), rig.caller());
    caller.write_all(notify_request("carol", "1").as_bytes()).expect("the server reads");
    gate.await_somebody();
    rig.await_counter("api_connections", 3);
    rig.terminate();
    assert_eq!(idle.read(&mut [0]).expect("closed, not reset"), 0, "who is owed nothing is closed");
    gate.set(false);
    let mut answer = String::new();
    caller.read_to_string(&mut answer).expect("the server answers and closes");
    assert_eq!(read_response(&answer).0, 200);
    assert!(rig.wait().is_ok());
}

/// More callers than there are slots for: who is owed an answer keeps its slot, and the others wait.
#[test]
fn callers_who_are_owed_an_answer_are_never_dropped_to_make_room() {
    const CALLERS: usize = 600;
    let (rig, gate) = slow_rig(|_| {});
    gate.set(true);
    let ask = |number: usize| {
        let mut caller = rig.caller();
        let request = notify_request(&format!("device-{number}"), "1");
        caller.write_all(request.as_bytes()).expect("the server or the kernel takes it");
        caller
    };
    let callers: Vec<TcpStream> = (0..CALLERS).map(ask).collect();
    gate.await_somebody();
    gate.set(false);
    for mut caller in callers {
        let mut answer = [0; 1024];
        let count = caller.read(&mut answer).expect("the server answers");
        assert!(answer[..count].starts_with(b"HTTP/1.1 200"), "{}", answer[..count].escape_ascii());
    }
}

#[test]
fn an_answer_for_a_caller_who_is_gone_is_not_given_to_the_next() {
    let made = Made::new();
    let (rig, gate) = slow_rig(|options| options.http_tls = Some(made.tls()));
    gate.set(true);
    let mut gone = Secured::connect(rig.addresses.http, &made.trust());
    gone.write(notify_request("carol", "1").as_bytes());
    gate.await_somebody();
    gone.socket.write_all(b"garbage").expect("the server reads");
    let mut rest = Vec::new();
    gone.socket.read_to_end(&mut rest).expect("closed");
    let mut next = Secured::connect(rig.addresses.http, &made.trust());
    next.write(b"GET /healthz HTTP/1.1\r\nHost: push\r\n");
    // One who comes later is answered later.
    let mut last = Secured::connect(rig.addresses.http, &made.trust());
    gate.set(false);
    for (caller, rest) in [(&mut last, "GET /healthz HTTP/1.1\r\nHost: push\r\n"), (&mut next, "")] {
        caller.write(rest.as_bytes());
        caller.write(b"Connection: close\r\n\r\n");
        let answers = String::from_utf8(caller.read_to_end()).expect("text");
        assert_eq!(answers.matches("HTTP/1.1 200").count(), 1, "{answers}");
    }
}

/// More devices than the storage thread takes questions from.
#[test]
fn a_crowd_connects_while_the_disk_is_busy_and_then_gets_its_messages() {
    const CROWD: usize = 1100;
    let (rig, gate) = slow_rig(|options| options.shards = 2);
    let names: Vec<String> = (0..CROWD).map(|number| format!("device-{number}")).collect();
    for name in &names {
        rig.notify(name, "1");
    }
    gate.set(true);
    let mut caller = rig.caller();
    caller.write_all(notify_request("carol", "1").as_bytes()).expect("the server reads");
    gate.await_somebody();
    let mut devices: Vec<Device> = names.iter().map(|name| Device::connect(&rig, name)).collect();
    assert_eq!(rig.get("/delivery-hosts").0, 200, "what needs no disk goes on");
    gate.set(false);
    for device in &mut devices {
        assert_eq!(device.next_payloads(), ["1"]);
        device.ack();
    }
    rig.await_counter("pending", 1);
}
