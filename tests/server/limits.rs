//! Where there is no room for more.

use std::env;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use lomiri_push::reactor::Clock;
use rustix::process::{Resource, Rlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use super::device::{Device, Secured};
use super::lines;
use super::rig::Rig;

#[test]
fn at_the_connection_limit_accepting_pauses_and_the_api_goes_on() {
    for shards in [1, 3] {
        let rig = Rig::start_with(|options| {
            options.connections_max = Some(2);
            options.shards = shards;
        });
        let mut carol = Device::connect(&rig, "carol");
        let bob = Device::connect(&rig, "bob");
        let waiting: Vec<TcpStream> =
            (0..3).map(|_| TcpStream::connect(rig.addresses.devices).expect("the kernel takes it")).collect();
        rig.notify("carol", "1");
        assert_eq!(carol.next_payloads(), ["1"]);
        carol.ack();
        rig.await_counter("pending", 0);
        assert_eq!(rig.counter("accepted"), 2);

        drop(bob);
        let mut waiting = waiting.into_iter();
        let first = waiting.next().expect("three wait");
        let eve = Device::over(Secured::over(first, &rig.trust), "eve");
        assert_eq!(rig.counter("accepted"), 3);
        drop((eve, waiting));
        rig.await_counter("connections", 1);
        carol = Device::connect(&rig, "carol");
        rig.notify("carol", "2");
        assert_eq!(carol.next_payloads(), ["2"]);
    }
}

#[test]
fn callers_who_say_nothing_keep_nobody_out_of_the_api() {
    let rig = Rig::start_with(|options| options.api.read_timeout = Duration::from_secs(3600));
    let mut silent: Vec<TcpStream> = (0..600).map(|_| rig.caller()).collect();
    ask(&mut rig.caller());
    let mut said = Vec::new();
    silent[0].read_to_end(&mut said).expect("the first to come has made room");
    assert!(said.is_empty());
    ask(&mut silent[599]);
}

#[test]
fn callers_who_take_no_answers_keep_nobody_out_of_the_api() {
    let rig = Rig::start_with(|options| {
        options.http_write_timeout = Duration::from_secs(3600);
        options.api.hosts = vec!["h".repeat(10_000)];
    });
    let greedy: Vec<TcpStream> = (0..600).map(|_| ask_and_take_nothing(&rig)).collect();
    ask(&mut rig.caller());
    drop(greedy);
}

/// A caller who asks for more than the system holds for him. His segments are small, and so are the buffers
/// that the system begins with.
fn ask_and_take_nothing(rig: &Rig) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_tcp_mss(536).expect("a size of segments");
    socket.set_recv_buffer_size(4096).expect("a size");
    socket.connect(&rig.addresses.http.into()).expect("it listens");
    let mut caller: TcpStream = socket.into();
    let requests = b"GET /delivery-hosts HTTP/1.1\r\nHost: push\r\n\r\n".repeat(100);
    caller.write_all(&requests).expect("the system takes it");
    caller
}

/// Tells this test's own process, whose descriptors it may use up, from the one that runs all tests.
const CHILD: &str = "LOMIRI_PUSH_TEST_CHILD";

#[test]
fn without_descriptors_accepting_waits_and_nothing_spins() {
    if env::var_os(CHILD).is_some() {
        return use_up_descriptors();
    }
    let output = Command::new(env::current_exe().expect("this test"))
        .args(["--exact", "limits::without_descriptors_accepting_waits_and_nothing_spins", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn use_up_descriptors() {
    let few = Some(1000);
    setrlimit(Resource::Nofile, Rlimit { current: few, maximum: few }).expect("fewer are always allowed");
    lines::listen();
    let rig = Rig::start();
    let mut caller = rig.caller();
    ask(&mut caller);
    let mut all: Vec<File> = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        all.push(file);
    }
    all.pop();
    let clock = Clock::new();
    let waiting = TcpStream::connect(rig.addresses.devices).expect("the kernel takes it");

    // While accepting waits and tries again, those who are connected are served.
    let tries = || lines::count("cannot accept connections");
    while tries() < 3 {
        ask(&mut caller);
    }
    let tries_max = 1 + clock.now().monotonic.0.as_millis() / 100;
    assert!(tries() as u128 <= tries_max, "{} tries, not {tries_max}", tries());
    drop(all);
    Device::over(Secured::over(waiting, &rig.trust), "carol");
}

fn ask(caller: &mut TcpStream) {
    caller.write_all(b"GET /healthz HTTP/1.1\r\nHost: push\r\n\r\n").expect("the server reads");
    let mut answer = [0; 1024];
    let count = caller.read(&mut answer).expect("the server answers");
    assert!(answer[..count].starts_with(b"HTTP/1.1 200"));
}
