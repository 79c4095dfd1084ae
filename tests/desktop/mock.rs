//! A notification server that others wrote (python-dbusmock's), looked at from outside with GLib's tool.

use std::process::{Child, Command, Stdio};

use lomiri_push::service::notification::Card;

use super::fake::PATIENCE;
use super::private_bus::has_tool;
use super::stage::{NOTIFICATIONS, Stage, card, tagged};

const PATH: &str = "/org/freedesktop/Notifications";
/// Debian's Python, for which Debian packs dbusmock.
const PYTHON: &str = "/usr/bin/python3";

struct Mock(Child);

impl Mock {
    /// `None`, and a word about it, where dbusmock or gdbus is not installed.
    fn start(address: &str) -> Option<Mock> {
        (has_dbusmock() && has_tool("gdbus")).then(|| {
            let mut command = Command::new(PYTHON);
            command.args(["-m", "dbusmock", "--session", "--template", "notification_daemon"]);
            command.args(["--parameters", r#"{"capabilities": "actions body body-markup"}"#]);
            command.env("DBUS_SESSION_BUS_ADDRESS", address).stdin(Stdio::null()).stdout(Stdio::null());
            let mock = Mock(command.spawn().expect("python3 runs"));
            let seconds = PATIENCE.as_secs().to_string();
            let wait = ["wait", "--session", "--timeout", &seconds, NOTIFICATIONS];
            gdbus(address, &wait);
            mock
        })
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.0.kill().expect("it is ours");
        self.0.wait().expect("it is ours");
    }
}

fn has_dbusmock() -> bool {
    let probe = Command::new(PYTHON).args(["-c", "import dbusmock"]).stderr(Stdio::null()).status();
    let is_there = probe.is_ok_and(|status| status.success());
    assert!(is_there || std::env::var_os("LOMIRI_PUSH_REQUIRE_TOOLS").is_none(), "dbusmock is not installed");
    if !is_there {
        println!("python3-dbusmock is not installed: what needs it is skipped");
    }
    is_there
}

fn gdbus(address: &str, arguments: &[&str]) -> String {
    let output = Command::new("gdbus").env("DBUS_SESSION_BUS_ADDRESS", address).args(arguments).output();
    let output = output.expect("gdbus runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a text")
}

fn call(address: &str, method: &str, arguments: &[&str]) -> String {
    let fixed = ["call", "--session", "--dest", NOTIFICATIONS, "--object-path", PATH, "--method", method];
    gdbus(address, &[&fixed, arguments].concat())
}

#[test]
fn a_server_of_others_shows_what_came_and_tells_of_clicks() {
    let Some(stage) = Stage::start() else { return };
    let address = stage.bus.address();
    let Some(_mock) = Mock::start(address) else { return };
    let card = Card { body: "Tea & <cake>?".into(), icon: "mail-unread".into(), ..card("Alice") };
    stage.present(1, tagged("", card));
    let bubble = stage.shown().expect("a bubble");
    assert_eq!(bubble.number, 1);

    let shown = call(address, "org.freedesktop.DBus.Mock.GetMethodCalls", &["Notify"]);
    for part in
        ["'chat'", "'mail-unread'", "'Alice'", "Tea &amp; &lt;cake&gt;?", "['default', 'Open']", "30000"]
    {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let click = ["org.freedesktop.Notifications", "ActionInvoked", "us", "[<uint32 1>, <'default'>]"];
    call(address, "org.freedesktop.DBus.Mock.EmitSignal", &click);
    assert_eq!(stage.activated(), (1, "https://chat.example/1".into()));
    stage.presenter.withdraw(bubble).expect("room");
    stage.present(2, tagged("", super::stage::card("Carol")));
    assert_eq!(stage.presented(), Some(2));
    let closed = call(address, "org.freedesktop.DBus.Mock.GetMethodCalls", &["CloseNotification"]);
    assert!(closed.contains("1"), "{closed}");
}
