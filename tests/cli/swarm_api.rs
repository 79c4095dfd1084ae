//! What the load generator says of an API that does not do what it was asked to: a reason for each kind of failure, soon.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::process::{Running, Serving, binary, folder, run, serve, stderr, stdout};

const REGISTERED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n{\"ok\":true,\"token\":\"t\"}";

/// How a stub goes on once it has said its words.
#[derive(Clone, Copy)]
enum Then {
    Closes,
    SaysNoMore,
    SaysItAgain,
}

/// An API that says the same to every request, but for registrations where it `registers`.
#[derive(Clone, Copy)]
struct Stub {
    says: &'static str,
    then: Then,
    registers: bool,
}

impl Stub {
    fn start(self) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        thread::spawn(move || {
            for stream in listener.incoming() {
                thread::spawn(move || self.serve(stream.expect("accepted")));
            }
        });
        address
    }

    fn serve(self, mut stream: TcpStream) {
        let mut asked = Vec::new();
        let mut bytes = [0; 1_024];
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            asked.extend_from_slice(&bytes[..count]);
            if !asked.ends_with(b"}") {
                continue;
            }
            let is_registration = asked.starts_with(b"POST /register ");
            asked.clear();
            let (says, then) = match self.registers && is_registration {
                true => (REGISTERED, Then::SaysNoMore),
                false => (self.says, self.then),
            };
            match then {
                // Whoever has gone need not be told.
                Then::Closes => return drop(stream.write_all(says.as_bytes())),
                Then::SaysNoMore => drop(stream.write_all(says.as_bytes())),
                Then::SaysItAgain => while stream.write_all(says.as_bytes()).is_ok() {},
            }
        }
    }
}

/// What a swarm with a few posts reports, with the server's devices and this API.
fn posting(server: &Serving, api: SocketAddr) -> Value {
    let (devices, api) = (server.devices.to_string(), format!("http://{api}"));
    let target = ["swarm", "--insecure", "--json", "--addr", &devices, "--api", &api, "--timeout", "200ms"];
    let few = ["--devices", "2", "--in-flight", "2", "--notify", "50", "--for", "100ms", "--broadcast", "1"];
    let output = run(&[&target[..], &few].concat());
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).expect("one object")
}

fn assert_told(report: &Value, what: &str) {
    let problems = report["problems"].as_array().expect("problems");
    assert!(problems.iter().any(|problem| problem["what"] == what), "{what}: {report}");
    assert!(report["errors"].as_u64() > Some(0), "{report}");
}

#[test]
fn every_failure_of_the_api_has_its_reason_in_the_report() {
    let folder = folder("");
    let server = serve(&folder);
    let cases = [
        ("\x15\x03\x01\r\n\r\n", Then::SaysNoMore, "what came back is not HTTP"),
        ("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", Then::SaysNoMore, "HTTP status 503"),
        ("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", Then::Closes, "HTTP status 503"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
            Then::SaysNoMore,
            "the answer is not what a server of this kind says",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", Then::Closes, "the answer was cut off"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", Then::SaysNoMore, "no answer within 200ms"),
        ("", Then::Closes, "closed by the server"),
        ("", Then::SaysNoMore, "no answer within 200ms"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n", Then::SaysItAgain, "the answer is too long"),
    ];
    for (says, then, why) in cases {
        let report = posting(&server, Stub { says, then, registers: false }.start());
        assert_told(&report, &format!("POST /register: {why}"));
        assert_told(&report, &format!("POST /broadcast: {why}"));
        let report = posting(&server, Stub { says, then, registers: true }.start());
        assert_told(&report, &format!("POST /notify: {why}"));
        assert!(report.get("post_ms").is_none(), "{report}");
    }
}

#[test]
fn an_api_that_is_not_there_is_told() {
    let folder = folder("");
    let server = serve(&folder);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    assert_told(&posting(&server, address), "POST /register: connection refused");
}

/// One that never answers would otherwise be waited for by each device in turn.
#[test]
fn an_api_that_does_not_answer_is_not_asked_for_every_device() {
    let folder = folder("");
    let server = serve(&folder);
    let api = Stub { says: "", then: Then::SaysNoMore, registers: false }.start();
    let (devices, api) = (server.devices.to_string(), format!("http://{api}"));
    let target = ["swarm", "--insecure", "--json", "--addr", &devices, "--api", &api, "--timeout", "200ms"];
    let output = run(&[&target[..], &["--devices", "20", "--in-flight", "1", "--notify", "max"]].concat());
    let report: Value = serde_json::from_str(&stdout(&output)).expect("one object");
    assert_told(&report, "POST /register: no answer within 200ms");
    assert_eq!(report["errors"], 1, "{report}");
}

#[test]
fn codes_that_cannot_be_had_end_in_the_report() {
    let folder = folder("device_auth = \"required\"\ndelivery_domain = \"localhost\"");
    let server = serve(&folder);
    let api = Stub { says: "", then: Then::SaysNoMore, registers: false }.start();
    let key = folder.path().join("data/operator-key");
    let (devices, api) = (server.devices.to_string(), format!("http://{api}"));
    let target = ["swarm", "--insecure", "--json", "--addr", &devices, "--api", &api, "--timeout", "200ms"];
    let output =
        run(&[&target[..], &["--devices", "2", "--operator-key", crate::process::text(&key)]].concat());
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_str(&stdout(&output)).expect("one object");
    assert_told(&report, "POST /v1/enrolment-codes: no answer within 200ms");
    let said = stderr(&output);
    assert!(said.contains(&api) && !said.contains(&devices), "{said}");
}

#[test]
fn a_broadcast_that_is_cut_short_tells_no_time_until_the_last_device() {
    let folder = folder("");
    let server = serve(&folder);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let api = format!("http://{}", listener.local_addr().expect("bound"));
    let target = ["swarm", "--insecure", "--json", "--addr", &server.devices.to_string(), "--api", &api];
    let mut command = binary(&[&target[..], &["--devices", "2", "--broadcast", "1"]].concat());
    let file = folder.path().join("report.json");
    command.stdout(File::create(&file).expect("writable"));
    let swarm = Running::with_stderr(command);
    let (mut asked, _) = listener.accept().expect("it asks");
    assert!(asked.read(&mut [0; 1_024]).expect("it asks") > 0);
    swarm.signal(Signal::INT);
    assert_eq!(swarm.wait().0.code(), Some(130));
    let report: Value = serde_json::from_slice(&fs::read(file).expect("written")).expect("one object");
    assert_eq!(report["broadcast"]["deliveries"], 0, "{report}");
    assert!(report["broadcast"].get("all_ms").is_none(), "{report}");
}

/// The first one is refused, and comes all the same while the second is on its way.
#[test]
fn a_late_broadcast_does_not_count_for_the_next_one() {
    const APART: Duration = Duration::from_millis(300);
    let folder = folder("");
    let server = serve(&folder);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let api = format!("http://{}", listener.local_addr().expect("bound"));
    let target = ["swarm", "--insecure", "--json", "--addr", &server.devices.to_string(), "--api", &api];
    let few = ["--devices", "2", "--in-flight", "1", "--broadcast", "2"];
    let mut command = binary(&[&target[..], &few].concat());
    let file = folder.path().join("report.json");
    command.stdout(File::create(&file).expect("writable"));
    let swarm = Running::with_stderr(command);
    let (mut asked, _) = listener.accept().expect("it asks");
    let late = body_asked(&mut asked);
    asked.write_all(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").expect("it listens");
    let next = body_asked(&mut asked);
    server.post("/broadcast", &late);
    thread::sleep(APART);
    server.post("/broadcast", &next);
    asked.write_all(REGISTERED.as_bytes()).expect("it listens");
    swarm.wait();
    let report: Value = serde_json::from_slice(&fs::read(file).expect("written")).expect("one object");
    assert_eq!((&report["broadcast"]["deliveries"], &report["errors"]), (&2.into(), &1.into()), "{report}");
    assert!(report["broadcast"]["all_ms"].as_f64() >= Some(APART.as_millis() as f64), "{report}");
}

fn body_asked(stream: &mut TcpStream) -> String {
    let (mut asked, mut bytes) = (String::new(), [0; 1_024]);
    while !asked.ends_with('}') {
        let count = stream.read(&mut bytes).expect("it asks");
        assert!(count > 0, "{asked}");
        asked.push_str(str::from_utf8(&bytes[..count]).expect("text"));
    }
    asked.split_off(asked.find("\r\n\r\n").expect("a head") + 4)
}
