//! A device in a terminal that comes back: after a restart of the server, after its crash, and not too soon
//! when another one has taken its place.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Running, Serving, binary, configuration_file, folder, run, serve, stderr, text};

/// An address that a server can come back to: nothing else on this machine uses its IP, so that its port
/// stays free between two servers.
fn own_address() -> SocketAddr {
    static USED: AtomicU8 = AtomicU8::new(77);
    let ip = Ipv4Addr::new(127, 0, 0, USED.fetch_add(1, Ordering::Relaxed));
    TcpListener::bind((ip, 0)).and_then(|listener| listener.local_addr()).expect("a free port")
}

/// Starts the server in `folder`, with devices at `devices`, and waits until it listens.
fn serve_at(folder: &TempDir, devices: SocketAddr) -> Serving {
    let (config, devices) = (configuration_file(folder), devices.to_string());
    let mut command = binary(&["serve", "--config", text(&config), "--addr", &devices]);
    command.args(["--http-addr", "127.0.0.1:0"]).env("RUST_LOG", "debug");
    Serving::started(command)
}

/// Carol's device, as a program sees it.
fn carol(devices: SocketAddr) -> Running {
    let devices = devices.to_string();
    let mut command = binary(&["connect", "--addr", &devices, "--insecure", "--device-id", "carol"]);
    command.args(["--reconnect", "--json"]);
    Running::with_stdout(command)
}

/// The next object of this kind; all that come before are of kinds in `passing`.
fn event(device: &Running, kind: &str, passing: &[&str]) -> Value {
    loop {
        let object: Value = serde_json::from_str(&device.line()).expect("JSON");
        if object["event"] == kind {
            return object;
        }
        assert!(passing.iter().any(|passing| object["event"] == *passing), "{kind} was due: {object}");
    }
}

/// The payload of the next message; all that come before is waiting and connecting.
fn message(device: &Running) -> Value {
    event(device, "message", &["unreachable", "waiting", "connected"])["payload"].clone()
}

#[test]
fn a_device_comes_back_after_a_restart_and_gets_what_it_has_not_acked() {
    let (folder, devices) = (folder(""), own_address());
    let server = serve_at(&folder, devices);
    let device = carol(devices);
    assert_eq!(event(&device, "connected", &[])["interval"], "1m0s", "it begins with the shortest silence");
    server.notify("carol", "1");
    assert_eq!(message(&device), 1);

    server.process.signal(Signal::TERM);
    assert_eq!(event(&device, "goaway", &[])["reason"], "restart");
    event(&device, "ended", &[]);
    assert_eq!(event(&device, "waiting", &[])["reason"], "restart");
    assert!(server.process.wait().0.success());

    let server = serve_at(&folder, devices);
    server.notify("carol", "2");
    assert_eq!(message(&device), 2);

    device.signal(Signal::INT);
    assert!(device.wait().0.success());
    assert_eq!(server.process.line_after("ended with: "), "the device left: closing");
}

#[test]
fn a_device_comes_back_after_a_crash() {
    let (folder, devices) = (folder(""), own_address());
    let device = carol(devices);
    let refused = event(&device, "unreachable", &[]);
    assert_eq!(refused["reason"], format!("{devices}: Connection refused (os error 111)"));
    assert_eq!(event(&device, "waiting", &[])["reason"], "unreachable");

    for round in [1, 2] {
        let server = serve_at(&folder, devices);
        server.notify("carol", &round.to_string());
        assert_eq!(message(&device), round);
        server.process.signal(Signal::KILL);
        event(&device, "ended", &[]);
        assert_eq!(event(&device, "waiting", &[])["reason"], "lost");
    }
}

#[test]
fn ctrl_c_ends_a_wait_at_once() {
    let (folder, devices) = (folder(""), own_address());
    let _server = serve_at(&folder, devices);
    let device = carol(devices);
    event(&device, "connected", &[]);
    let other = carol(devices);
    event(&other, "connected", &[]);
    assert_eq!(event(&device, "goaway", &[])["reason"], "taken-over");
    event(&device, "ended", &[]);
    let wait = event(&device, "waiting", &[]);
    assert_eq!((&wait["reason"], &wait["duration"]), (&"taken-over".into(), &"1m0s".into()));
    device.signal(Signal::INT);
    let (status, rest) = device.wait();
    assert!(status.success() && rest.is_empty(), "{status} {rest:?}");
}

#[test]
fn what_no_try_could_mend_is_not_tried_again() {
    let refused = ["connect", "--wire", "0", "--reconnect", "--addr", "localhost:1", "--insecure"];
    let output = run(&[&refused[..], &["--device-id", "carol"]].concat());
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stderr(&output), "lomiri-push: --reconnect: only with --wire 1\n");

    let folder = folder("");
    let server = serve(&folder);
    let (addr, long) = (server.devices.to_string(), "x".repeat(300));
    let refused = ["connect", "--reconnect", "--addr", &addr, "--insecure", "--model", &long];
    let output = run(&[&refused[..], &["--device-id", "carol"]].concat());
    let expected = "lomiri-push: the device cannot introduce itself: field image is out of its range\n";
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(1), expected));
}
