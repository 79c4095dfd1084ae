//! Command lines and configurations that are refused, or only checked.

use std::fs;
use std::process::{Command, Output};

use crate::process::{binary, configuration_file, folder, run, stderr, stdout, text};

fn refused(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
    assert_eq!(stdout(&output), "");
    stderr(&output)
}

#[test]
fn help_lists_the_commands_with_a_line_each() {
    let output = run(&["--help"]);
    assert!(output.status.success());
    let help = stdout(&output);
    let lines = [
        ("serve", "Runs the push server"),
        ("enrol-code", "Makes a one-time code"),
        ("revoke", "Revokes a device"),
        ("connect", "Connects as a device"),
        ("register", "Asks for the tokens of an app"),
        ("demo", "Tells a story"),
    ];
    for (command, what) in lines {
        let is_told =
            |line: &str| line.trim().strip_prefix(command).is_some_and(|rest| rest.trim().starts_with(what));
        assert!(help.lines().any(is_told), "{command} is missing in\n{help}");
    }
}

#[test]
fn a_configuration_that_cannot_be_used_is_one_line_and_status_2() {
    let folder = folder("ping_intervall = \"10s\"");
    let file = configuration_file(&folder);
    let file = text(&file);
    let expected = format!("lomiri-push: {file}:2: ping_intervall = \"10s\": unknown key\n");
    assert_eq!(refused(&["serve", "--config", file]), expected);
    assert_eq!(refused(&["serve", "--config", file, "--check"]), expected);

    let missing = "lomiri-push: /no/such.toml: cannot be read: No such file or directory (os error 2)\n";
    assert_eq!(refused(&["serve", "--config", "/no/such.toml"]), missing);
    let problem = "cannot be made: File name too long (os error 36)";
    let folder = format!("lomiri-push: --data-dir {}…: {problem}\n", "x".repeat(60));
    assert_eq!(refused(&["serve", "--data-dir", &"x".repeat(300)]), folder);
    let flag = "lomiri-push: --shards 0: must be a whole number from 1 to 256\n";
    assert_eq!(refused(&["serve", "--shards", "0"]), flag);
}

#[test]
fn a_certificate_that_cannot_be_used_is_named_and_nothing_is_made() {
    let folder = folder("cert_pem_file = \"cert.pem\"\nkey_pem_file = \"key.pem\"");
    fs::write(folder.path().join("cert.pem"), "nonsense").expect("writable");
    fs::write(folder.path().join("key.pem"), "nonsense").expect("writable");
    let file = configuration_file(&folder);
    let line =
        format!("lomiri-push: {}:2: cert_pem_file = \"cert.pem\": no certificate in it\n", text(&file));
    assert_eq!(refused(&["serve", "--config", text(&file)]), line);
    assert!(!folder.path().join("data").exists());
}

#[test]
fn a_check_says_so_and_makes_nothing() {
    let folder = folder("");
    let file = configuration_file(&folder);
    let output = run(&["serve", "--check", "--config", text(&file)]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), format!("{} is in order\n", text(&file)));
    assert_eq!(stderr(&output), "");
    assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1, "only the configuration");
}

#[test]
fn defaults_need_no_configuration() {
    let state = tempfile::tempdir().expect("a temporary folder");
    let output = binary(&["serve", "--check"]).env("STATE_DIRECTORY", state.path()).output().expect("runs");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), "the default configuration is in order\n");
}

/// `serve` with one shard where so many open files are allowed, and what it has left in its folder.
fn serve_with_files_max(files_max: usize, arguments: &[&str]) -> (Output, usize) {
    let script = format!("ulimit -Sn 256 && ulimit -Hn {files_max} && exec \"$0\" \"$@\"");
    let state = tempfile::tempdir().expect("a temporary folder");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_lomiri-push"), "serve", "--shards", "1"]).args(arguments);
    let output = shell.env("STATE_DIRECTORY", state.path()).output().expect("every machine has a shell");
    (output, fs::read_dir(state.path()).expect("readable").count())
}

/// Each of 2,048 descriptors is accounted for: the limit that was raised to is the one that counts.
#[test]
fn the_connection_limit_comes_from_the_hard_limit_on_open_files() {
    let check = |connections| serve_with_files_max(2048, &["--check", "--connections-max", connections]).0;
    let output = check("1402");
    assert!(output.status.success(), "{}", stderr(&output));
    let output = check("1403");
    assert_eq!(output.status.code(), Some(2));
    let line = "lomiri-push: --connections-max 1403: the limit of 2048 open files allows for 1402\n";
    assert_eq!(stderr(&output), line);
}

#[test]
fn too_few_descriptors_are_told_with_how_many_are_needed_before_anything_is_made() {
    for arguments in [&[][..], &["--check"]] {
        let (output, made) = serve_with_files_max(600, arguments);
        let line = "lomiri-push: only 600 open files are allowed, and at least 647 are needed: raise the limit (ulimit -n)\n";
        assert_eq!(stderr(&output), line);
        assert_eq!((output.status.code(), made), (Some(1), 0));
    }
}

#[test]
fn a_closed_stdout_is_no_panic() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let state = tempfile::tempdir().expect("a temporary folder");
    let mut command = binary(&["serve", "--check"]);
    let output = command.env("STATE_DIRECTORY", state.path()).stdout(writer).output().expect("runs");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
}

#[test]
fn connect_refuses_what_it_does_not_speak_and_a_file_that_is_not_there() {
    let device = ["--addr", "localhost:1", "--device-id", "carol"];
    let with = |more: &[&'static str]| [&["connect"], &device[..], more].concat();
    refused(&with(&["--wire", "2", "--insecure"]));
    refused(&with(&["--insecure", "--urgency", "urgent"]));
    refused(&with(&["--insecure", "--keepalive", "1500ms"]));
    refused(&with(&["--insecure", "--ca", "/etc/push.pem"]));
    let line = "lomiri-push: --ca /no/such.pem: cannot be read: No such file or directory (os error 2)\n";
    assert_eq!(refused(&with(&["--wire", "0", "--ca", "/no/such.pem"])), line);
}
