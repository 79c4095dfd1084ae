//! The load generator against a real server: every phase, both wires, devices that prove themselves, and what it says when
//! something cannot be done.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Running, Serving, binary, folder, run, serve, stderr, stdout, text};

const PHASES: [&str; 17] = [
    "--hold",
    "2s",
    "--keepalive",
    "1s",
    "--churn",
    "50",
    "--storm",
    "--notify",
    "100",
    "--for",
    "500ms",
    "--broadcast",
    "2",
    "--slow",
    "3",
    "--dead",
    "3",
];

/// Arguments for a swarm on this server.
fn arguments<'a>(devices: &'a str, api: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["swarm", "--insecure", "--json", "--addr", devices, "--api", api], more].concat()
}

fn swarm(server: &Serving, more: &[&str]) -> Output {
    let (devices, api) = (server.devices.to_string(), format!("http://{}", server.http));
    run(&arguments(&devices, &api, more))
}

/// What a swarm has measured that went through without an error.
fn measured(server: &Serving, more: &[&str]) -> Value {
    let output = swarm(server, more);
    let report: Value = serde_json::from_str(&stdout(&output)).expect("one object");
    assert!(output.status.success(), "{report} {}", stderr(&output));
    assert_eq!(report["errors"], 0);
    report
}

fn assert_keys(report: &Value, keys: &[&str]) {
    let missing: Vec<_> = keys.iter().filter(|key| report[**key].is_null()).collect();
    assert!(missing.is_empty(), "{missing:?} {report}");
}

#[test]
fn all_phases_are_measured() {
    let folder = folder("");
    let server = serve(&folder);
    let pid = server.process.id().to_string();
    let report = measured(&server, &[&PHASES[..], &["--devices", "50", "--server-pid", &pid]].concat());
    assert_eq!(report["devices"], 50);
    assert_keys(
        &report,
        &[
            "connects_per_s",
            "connect_cpu_us",
            "rss_bytes_per_device",
            "keepalive_cpu_us",
            "unicast_cpu_us",
            "broadcast_cpu_us_per_device",
            "latency_ms",
            "post_ms",
            "bytes",
        ],
    );
    for name in ["p50", "p99", "max"] {
        for times in [&report["latency_ms"], &report["post_ms"], &report["broadcast"]["post_ms"]] {
            assert!(times[name].as_f64() > Some(0.0), "{report}");
        }
    }
    assert!(report["hold"]["keepalives"].as_u64() >= Some(50), "{report}");
    assert_eq!((&report["hold"]["lost"], &report["storm"]["devices"]), (&0.into(), &50.into()));
    assert_eq!((&report["notify"]["posts"], &report["notify"]["arrived"]), (&50.into(), &50.into()));
    assert_eq!(report["broadcast"]["deliveries"], 100);
    for crowd in [&report["slow"], &report["dead"]] {
        assert_eq!((&crowd["devices"], &crowd["arrived"]), (&3.into(), &50.into()));
    }
}

#[test]
fn what_the_report_measures_is_told_by_the_help() {
    let help = stdout(&run(&["swarm", "--help"]));
    for name in ["latency_ms", "post_ms", "all_ms"] {
        assert!(help.contains(name), "{name}");
    }
}

#[test]
fn devices_that_must_prove_themselves_are_enrolled_once_and_kept() {
    let folder = folder("device_auth = \"required\"\ndelivery_domain = \"localhost\"");
    let server = serve(&folder);
    let [state, key] = ["swarm.json", "data/operator-key"].map(|name| folder.path().join(name));
    let key = ["--operator-key", text(&key)];
    let few = ["--state", text(&state), "--notify", "100", "--for", "200ms", "--broadcast", "1"];
    let report = measured(&server, &[&few[..], &key, &["--devices", "20"]].concat());
    assert_eq!((&report["devices"], &report["broadcast"]["deliveries"]), (&20.into(), &20.into()));
    let old = ["--devices", "20", "--wire", "0", "--tls", "1.2", "--state", text(&state), "--notify", "20"];
    let report = measured(&server, &[&old[..], &["--for", "500ms"]].concat());
    assert_eq!(report["notify"]["arrived"], 10);
    assert!(report.get("broadcast").is_none() && report.get("connect_cpu_us").is_none(), "{report}");
    let more = swarm(&server, &["--devices", "21", "--state", text(&state)]);
    assert!(more.status.code() == Some(2) && stderr(&more).contains("--operator-key"), "{}", stderr(&more));
    let strangers = swarm(&server, &["--devices", "1"]);
    assert!(strangers.status.code() == Some(1) && stderr(&strangers).contains("--operator-key"));
}

#[test]
fn those_who_resume_do_so_once_there_are_tickets() {
    let folder = folder("");
    let server = serve(&folder);
    let storm = ["--devices", "20", "--storm"];
    assert_eq!(measured(&server, &storm)["resumed"], 0);
    assert_eq!(measured(&server, &[&storm[..], &["--resume"]].concat())["resumed"], 20, "all of the storm");
}

#[test]
fn what_does_not_fit_the_descriptors_is_told() {
    let folder = folder("");
    let server = serve(&folder);
    let (devices, api) = (server.devices.to_string(), format!("http://{}", server.http));
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 80; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_lomiri-push")]);
    let output = command.args(arguments(&devices, &api, &["--devices", "100"])).output().expect("it runs");
    let report: Value = serde_json::from_str(&stdout(&output)).expect("one object");
    assert_eq!(output.status.code(), Some(1));
    let used = report["devices"].as_u64().expect("a number");
    assert!((20..80).contains(&used), "{report}");
    let note = report["notes"][0].as_str().expect("a note");
    assert!(note.contains("80 open files") && note.contains(&format!("{used} were used")), "{note}");
}

#[test]
fn who_cannot_get_in_learns_what_helps() {
    let folder = folder("");
    let server = serve(&folder);
    let addr = server.devices.to_string();
    let untrusted = run(&["swarm", "--addr", &addr, "--devices", "3"]);
    assert!(
        untrusted.status.code() == Some(1) && stderr(&untrusted).contains("--ca"),
        "{}",
        stderr(&untrusted)
    );
    let postless = run(&["swarm", "--addr", &addr, "--insecure", "--notify", "1"]);
    assert!(
        postless.status.code() == Some(2) && stderr(&postless).contains("--api"),
        "{}",
        stderr(&postless)
    );
    drop(server);
    let nobody = run(&["swarm", "--addr", &addr, "--insecure", "--devices", "3"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(stderr(&nobody).contains("connection refused: no server runs there"), "{}", stderr(&nobody));
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let refused = |more: &[&str], why: &str| {
        let output = run(&[&["swarm", "--addr", "127.0.0.1:9", "--insecure"], more].concat());
        let said = stderr(&output);
        assert!(output.status.code() == Some(2) && said.contains(more[0]) && said.contains(why), "{said}");
        assert_eq!(stdout(&output), "");
    };
    refused(&["--devices", "0"], "above 0");
    refused(&["--timeout", "0"], "longer than nothing");
    refused(&["--for", "0s"], "longer than nothing");
    refused(&["--payload", "1000000000000000"], "1000000");
    refused(&["--rate", "0"], "above 0");
    refused(&["--rate", "NaN"], "above 0");
    refused(&["--source", "::1"], "nothing goes from there to 127.0.0.1");
    refused(&["--keepalive", "1s"], "--hold");
}

#[test]
fn an_address_that_is_not_this_machines_is_told_with_what_helps() {
    let folder = folder("");
    let server = serve(&folder);
    let output = swarm(&server, &["--devices", "1", "--source", "192.0.2.1"]);
    let said = stderr(&output);
    assert!(output.status.code() == Some(1) && said.contains("address not available"), "{said}");
    assert!(said.contains("--source"), "{said}");
    let report: Value = serde_json::from_str(&stdout(&output)).expect("one object");
    assert_eq!((&report["devices"], &report["errors"]), (&0.into(), &3.into()), "{report}");
}

#[test]
fn what_comes_hardly_ever_ends_all_the_same() {
    let folder = folder("");
    let server = serve(&folder);
    let rare = ["--devices", "1", "--rate", "1e-300", "--churn", "1e-300", "--notify", "1e-300"];
    let report = measured(&server, &[&rare[..], &["--for", "100ms"]].concat());
    assert_eq!(report["notify"]["posts"], 1, "{report}");
}

#[test]
fn who_reads_no_further_ends_nothing_badly() {
    let folder = folder("");
    let server = serve(&folder);
    let addr = server.devices.to_string();
    for streams in [">&-", "2>&-", "| true", "2>&1 | true"] {
        let line = format!("\"$@\" {streams}; exit ${{PIPESTATUS[0]}}");
        let mut command = Command::new("bash");
        command.args(["-c", &line, "bash", env!("CARGO_BIN_EXE_lomiri-push")]);
        command.args(["swarm", "--insecure", "--devices", "1", "--addr", &addr]);
        let output = command.output().expect("it runs");
        assert_eq!(output.status.code(), Some(0), "{streams}: {}", stderr(&output));
    }
}

/// A swarm that holds, and where its report will be.
fn holding(server: &Serving, folder: &TempDir, more: &[&str]) -> (Running, PathBuf) {
    let (devices, api) = (server.devices.to_string(), format!("http://{}", server.http));
    let held = ["--devices", "5", "--hold", "10m"];
    let mut command = binary(&arguments(&devices, &api, &[&held, more].concat()));
    let file = folder.path().join("report.json");
    command.stdout(File::create(&file).expect("writable"));
    let swarm = Running::with_stderr(command);
    assert_eq!(swarm.line_after("swarm: h"), "old");
    (swarm, file)
}

fn report_in(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).expect("written")).expect("one object")
}

#[test]
fn who_stops_a_swarm_gets_what_is_known_by_then() {
    let folder = folder("");
    let server = serve(&folder);
    let (swarm, file) = holding(&server, &folder, &[]);
    swarm.signal(Signal::INT);
    assert_eq!(swarm.wait().0.code(), Some(130));
    let report = report_in(&file);
    assert_eq!(
        (&report["interrupted"], &report["devices"], &report["errors"]),
        (&true.into(), &5.into(), &0.into())
    );
}

#[test]
fn a_swarm_can_be_stopped_in_each_phase() {
    let folder = folder("");
    let server = serve(&folder);
    let long = ["--for", "10m", "--devices", "5"];
    let phases: [(&str, &[&str]); 7] = [
        ("connect", &["--rate", "0.001"]),
        ("keepalives", &["--hold", "10m", "--keepalive", "10m"]),
        ("churn", &["--churn", "1"]),
        ("notify", &["--notify", "1"]),
        ("broadcast", &["--broadcast", "1000000000"]),
        ("slow", &["--slow", "1"]),
        ("dead", &["--dead", "1"]),
    ];
    for (phase, flags) in phases {
        let (devices, api) = (server.devices.to_string(), format!("http://{}", server.http));
        let mut command = binary(&arguments(&devices, &api, &[&long[..], flags].concat()));
        let file = folder.path().join("report.json");
        command.stdout(File::create(&file).expect("writable"));
        let swarm = Running::with_stderr(command);
        swarm.line_after(&format!("swarm: {phase}"));
        swarm.signal(Signal::INT);
        assert_eq!(swarm.wait().0.code(), Some(130), "{phase}");
        let report = report_in(&file);
        assert_eq!(
            (&report["interrupted"], &report["errors"]),
            (&true.into(), &0.into()),
            "{phase} {report}"
        );
    }
}

#[test]
fn a_server_that_dies_ends_the_hold_and_is_told() {
    let folder = folder("");
    let server = serve(&folder);
    let pid = server.process.id().to_string();
    let more =
        ["--server-pid", &pid, "--storm", "--notify", "10", "--for", "1s", "--broadcast", "1", "--slow", "1"];
    let (swarm, file) = holding(&server, &folder, &more);
    drop(server);
    assert_eq!(swarm.wait().0.code(), Some(1));
    let report = report_in(&file);
    assert_eq!((&report["hold"]["lost"], &report["problems"][0]["count"]), (&5.into(), &5.into()));
    assert!(report["notes"].to_string().contains("nobody is there any more"), "{report}");
}
