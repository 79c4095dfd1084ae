//! A server process from its first start to its last signal.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lomiri_push::base::{Now, Token, Wall};
use lomiri_push::queue::{Command, Limits};
use lomiri_push::store::{Disk, DurableQueue};
use rustix::process::Signal;
use serde_json::Value;

use crate::process::{
    Running, Serving, binary, configuration_file, folder, run, serve, serve_command, stderr, text,
};

fn certificate(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("data/certificate.pem")
}

/// `connect` to a server as `device`, trusting `ca`.
fn connect(device: &str, devices: SocketAddr, ca: &Path) -> Running {
    let addr = devices.to_string();
    let mut command = binary(&["connect", "--wire", "0", "--addr", &addr, "--domain", "localhost"]);
    command.args(["--device-id", device, "--ca", text(ca)]);
    Running::with_stdout(command)
}

#[test]
fn the_first_start_makes_a_certificate_and_later_ones_keep_it() {
    let folder = folder("");
    let path = certificate(&folder);
    let first = Running::with_stderr(serve_command(&folder));
    assert_eq!(first.line_after("made own certificate "), path.display().to_string());
    first.line_after("listening for devices on ");
    let made = fs::read(&path).expect("made");
    let key = fs::metadata(folder.path().join("data/key.pem")).expect("made");
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    first.signal(Signal::TERM);
    assert!(first.wait().0.success());

    let second = Running::with_stderr(serve_command(&folder));
    assert_eq!(second.line_after("using own certificate "), path.display().to_string());
    second.line_after("listening for devices on ");
    assert_eq!(fs::read(&path).expect("kept"), made);
}

#[test]
fn sigterm_and_sigint_stop_it_with_status_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = folder("");
        let server = serve(&folder);
        server.process.signal(signal);
        let (status, lines) = server.process.wait();
        assert!(status.success(), "{signal:?}: {status}, {lines:?}");
    }
}

/// A dump would hold the keys of everybody.
#[test]
fn it_leaves_no_core_dump() {
    let folder = folder("");
    let server = serve(&folder);
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.process.id())).expect("it runs");
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).expect("Linux says it");
    assert_eq!(line.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{line}");
}

/// Operators and tools rely on these texts and their order.
#[test]
fn the_log_tells_of_listening_and_of_each_session() {
    let folder = folder("");
    let mut command = serve_command(&folder);
    command.env("RUST_LOG", "debug");
    let server = Running::with_stderr(command);
    server.line_after("INFO  lomiri_push::cli::serve] made own certificate");
    let http = server.line_after("] listening for http on ");
    let devices = server.line_after("] listening for devices on ");
    assert!(http.parse::<SocketAddr>().is_ok_and(|address| address.port() != 0));
    let devices = devices.parse().expect("an address");

    let device = connect("carol", devices, &certificate(&folder));
    let connected = server.line_after("] session(");
    let (id, peer) = connected.split_once(") connected ").expect("the line of a session");
    assert!(peer.starts_with("127.0.0.1:"), "{connected}");
    let registered = server.line_after("] session(");
    assert_eq!(registered, format!("{id}) registered carol"));
    device.line();
    device.signal(Signal::KILL);
    assert_eq!(server.line_after("] session("), format!("{id}) ended with: EOF"));
}

/// Not even at the highest level, and not in the bytes that sled would show.
#[test]
fn the_log_holds_no_payload_token_or_credential() {
    let folder = folder("stats_user = \"ops\"\nstats_password = \"hunter2\"");
    let mut command = serve_command(&folder);
    command.env("RUST_LOG", "trace,sled::tree=trace");
    let server = Serving::started(command);
    let ids = r#""deviceid":"carol","appid":"chatter""#;
    let (_, answer) = server.post("/register", &format!("{{{ids}}}"));
    let token = serde_json::from_str::<Value>(&answer).expect("JSON")["token"].take();
    let token = token.as_str().expect("a token");
    let message = format!(r#""token":"{token}","appid":"chatter","data":"tea?""#);
    let (status, _) = server.post("/notify", &format!(r#"{{{message},"expire_on":"2100-01-01T00:00:00Z"}}"#));
    assert_eq!(status, "HTTP/1.1 200 OK");
    let device = connect("carol", server.devices, &certificate(&folder));
    assert_eq!([device.line(), device.line()][1], "chatter: \"tea?\"");
    server.ask("GET /stats HTTP/1.1\r\nAuthorization: Basic b3BzOmh1bnRlcjI=\r\n", "");
    server.process.signal(Signal::TERM);

    let (_, lines) = server.process.wait();
    let log = lines.join("\n");
    assert!(log.contains("registered carol"), "{log}");
    let secret_bytes = token.parse::<Token>().expect("a token").0;
    for secret in [token, "tea?", "hunter2", "b3BzOmh1bnRlcjI"] {
        assert!(!log.contains(secret), "{secret}");
    }
    for bytes in [&secret_bytes[..], b"tea?"] {
        assert!(!log.contains(format!("{bytes:?}").trim_matches(['[', ']'])), "{bytes:?}");
    }
}

#[test]
fn sighup_loads_a_renewed_certificate_and_drops_nobody() {
    let folder = folder("");
    let server = serve(&folder);
    let kept = connect("carol", server.devices, &certificate(&folder));
    kept.line();

    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a valid name");
    fs::write(certificate(&folder), made.cert.pem()).expect("writable");
    fs::write(folder.path().join("data/key.pem"), made.signing_key.serialize_pem()).expect("writable");
    server.process.signal(Signal::HUP);
    server.process.line_after("certificate loaded from ");
    let renewed = connect("bob", server.devices, &certificate(&folder));
    assert!(renewed.line().starts_with("connected"));

    server.notify("carol", "1");
    assert_eq!(kept.line(), "chatter: 1");
}

#[test]
fn a_renewed_certificate_that_cannot_be_used_changes_nothing() {
    let folder = folder("");
    let server = serve(&folder);
    let trusted = folder.path().join("before.pem");
    fs::copy(certificate(&folder), &trusted).expect("made");
    fs::write(certificate(&folder), "nonsense").expect("writable");
    server.process.signal(Signal::HUP);
    let problem = server.process.line_after("the certificate in use stays: ");
    assert_eq!(problem, format!("{}: no certificate in it", certificate(&folder).display()));
    assert!(connect("carol", server.devices, &trusted).line().starts_with("connected"));
    server.process.signal(Signal::TERM);
    assert!(server.process.wait().0.success(), "signals are still heard");
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let folder = folder("");
    let _first = serve(&folder);
    let (status, lines) = Running::with_stderr(serve_command(&folder)).wait();
    assert_eq!(status.code(), Some(1));
    assert!(lines.last().is_some_and(|line| line.contains("is in use by another process")), "{lines:?}");
}

#[test]
fn an_address_that_is_taken_is_named() {
    let first_folder = folder("");
    let first = serve(&first_folder);
    let folder = folder(&format!("addr = \"{}\"", first.devices));
    let config = configuration_file(&folder);
    let output = run(&["serve", "--config", text(&config), "--http-addr", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(1));
    let problem =
        format!("lomiri-push: cannot listen for devices on {}: Address already in use", first.devices);
    assert!(stderr(&output).contains(&problem), "{}", stderr(&output));
}

#[test]
fn keys_without_meaning_are_warned_about() {
    let folder = folder("session_queue_size = 10");
    let server = Running::with_stderr(serve_command(&folder));
    assert!(server.line().ends_with(":2: session_queue_size = 10: has no meaning here"));
}

/// A queue in `folder` that has stored a time far ahead.
fn mislead_queue(folder: &tempfile::TempDir) {
    let year_2100 = Now { wall: Wall(4_102_444_800_000), ..Now::default() };
    let store = Disk::open(&folder.path().join("data/queue")).expect("a new store opens");
    let mut queue = DurableQueue::open(store, Limits::default(), year_2100).expect("a new queue opens");
    let register = Command::Register {
        device: "carol".parse().expect("an id"),
        app: "a".parse().expect("an id"),
        credential: None,
    };
    queue.handle(vec![register], year_2100, &mut |_| ());
}

#[test]
fn a_clock_far_behind_the_queue_is_warned_about_until_the_operator_trusts_it() {
    let folder = folder("");
    mislead_queue(&folder);
    let health = |server: &Serving| server.ask("GET /healthz HTTP/1.1\r\n", "").0;

    let process = Running::with_stderr(serve_command(&folder));
    let warning = process.line_after("WARN  lomiri_push::store::durable] this machine's clock is ");
    let hint = "if it is right, start once with `serve --trust-clock`";
    assert!(warning.ends_with(hint), "{warning}");
    let server = Serving::of(process);
    assert_eq!(health(&server), "HTTP/1.1 503 Service Unavailable");
    server.process.signal(Signal::TERM);
    assert!(server.process.wait().0.success());

    let mut command = serve_command(&folder);
    command.arg("--trust-clock");
    for command in [command, serve_command(&folder)] {
        let server = Serving::started(command);
        assert_eq!(health(&server), "HTTP/1.1 200 OK");
        server.process.signal(Signal::TERM);
        assert!(server.process.wait().0.success());
    }
}

#[test]
fn devices_are_told_the_delivery_domain_at_the_real_port() {
    let folder = folder("delivery_domain = \"push.example.org\"");
    let server = serve(&folder);
    let (_, answer) = server.ask("GET /delivery-hosts HTTP/1.1\r\n", "");
    let port = server.devices.port();
    let expected =
        format!(r#"{{"ok":true,"hosts":["push.example.org:{port}"],"domain":"push.example.org"}}"#);
    assert_eq!(answer, expected);
}

#[test]
fn stats_are_for_the_operator_alone() {
    let folder = folder("stats_user = \"ops\"\nstats_password = \"hunter2\"");
    let server = serve(&folder);
    let ask = |authorization: &str| server.ask(&format!("GET /stats HTTP/1.1\r\n{authorization}"), "").0;
    assert_eq!(ask("Authorization: Basic b3BzOmh1bnRlcjI=\r\n"), "HTTP/1.1 200 OK");
    assert!(ask("").starts_with("HTTP/1.1 401 "));
}
