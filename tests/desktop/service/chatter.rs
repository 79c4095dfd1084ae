//! The example app, its helper and its server, as their README runs them.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::notes;
use super::rig::Phone;
use crate::private_bus::has_tool;

/// Where the example lies, from the folder that tests run in.
const CHATTER: &str = "examples/chatter";

impl Phone {
    /// A program of the example's, for this phone's user.
    fn chatter(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(format!("{CHATTER}/{program}"));
        command.args(arguments).env("HOME", self.path("")).env("XDG_DATA_HOME", self.path("data"));
        command.env("DBUS_SESSION_BUS_ADDRESS", self.bus.address()).stdin(Stdio::null());
        command
    }

    /// Runs it; what it prints.
    fn run_chatter(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.chatter(program, arguments).output().expect("it runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {errors}");
        String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
    }

    /// Its server posts a note of Bob's.
    fn bob_writes(&self, token: &str, text: &str) {
        let url = format!("http://{}", self.listening.http);
        self.run_chatter("server.py", &[token, "Bob", text, &url]);
    }
}

#[test]
fn chatter_is_installed_registers_is_helped_and_reads() {
    let Some(phone) = has_tools().then(Phone::new).flatten() else { return };
    let desktop = notes::server(phone.bus.address());
    phone.run_chatter("install", &[]);
    let _service = phone.start();
    let token = phone.run_chatter("app.py", &["token"]);
    phone.bob_writes(&token, "Tea?");
    desktop.expect("GetCapabilities");
    assert_eq!(notes::shown(&desktop.expect("Notify")), ("Bob".into(), "Tea?".into()));
    phone.await_post();
    assert_eq!(phone.run_chatter("app.py", &["read"]), "Bob: Tea?");
    assert_eq!(phone.run_chatter("app.py", &["read"]), "");
}

#[test]
fn chatter_reads_what_waits_and_then_whatever_comes() {
    let Some(phone) = has_tools().then(Phone::new).flatten() else { return };
    phone.run_chatter("install", &[]);
    let _service = phone.start();
    let token = phone.run_chatter("app.py", &["token"]);
    phone.bob_writes(&token, "Tea?");
    phone.await_post();
    let mut app = phone.chatter("app.py", &["follow"]).stdout(Stdio::piped()).spawn().expect("it runs");
    let mut lines = BufReader::new(app.stdout.take().expect("piped")).lines().map_while(Result::ok);
    assert_eq!(lines.next().as_deref(), Some("Bob: Tea?"));
    phone.bob_writes(&token, "Or coffee?");
    assert_eq!(lines.next().as_deref(), Some("Bob: Or coffee?"));
    app.kill().expect("it follows");
    app.wait().expect("ours");
}

fn has_tools() -> bool {
    ["gdbus", "python3"].into_iter().all(has_tool)
}
