//! The same calls from outside, by GLib's own tool: what apps and shells are written with.

use std::process::{Command, Output};

use super::place::{self, Place};
use super::private_bus::has_tool;
use super::service::{MUSIC, start};

const POSTAL: [&str; 2] = ["com.lomiri.Postal", "/com/lomiri/Postal/com_2eubuntu_2emusic"];
const OLD_POSTAL: [&str; 2] = ["com.ubuntu.Postal", "/com/ubuntu/Postal/com_2eubuntu_2emusic"];
const PUSH: [&str; 2] =
    ["com.lomiri.PushNotifications", "/com/lomiri/PushNotifications/com_2eubuntu_2emusic"];

/// A bus with the service on it; `None` where a tool is missing.
fn served() -> Option<Place> {
    let place = has_tool("gdbus").then(place::bus).flatten()?;
    start(place.address());
    Some(place)
}

fn gdbus(place: &Place, arguments: &[&str]) -> Output {
    let mut command = Command::new("gdbus");
    command.env("DBUS_SESSION_BUS_ADDRESS", place.bus_address());
    command.args(arguments).output().expect("gdbus runs")
}

/// What a call brings, or the error that it gets.
fn call(place: &Place, [name, path]: [&str; 2], method: &str, arguments: &[&str]) -> String {
    let method = format!("{name}.{method}");
    let fixed = ["call", "--session", "--dest", name, "--object-path", path, "--method", &method];
    let output = gdbus(place, &[&fixed, arguments].concat());
    let text = if output.status.success() { output.stdout } else { output.stderr };
    String::from_utf8_lossy(&text).trim().into()
}

#[test]
fn glib_programs_are_understood_under_both_names() {
    let Some(place) = served() else { return };
    assert_eq!(call(&place, PUSH, "Register", &[MUSIC]), format!("('token-of-{MUSIC}',)"));
    for postal in [POSTAL, OLD_POSTAL] {
        assert_eq!(call(&place, postal, "Post", &[MUSIC, "'{\"a\":1}'"]), "()");
        assert_eq!(call(&place, postal, "PopAll", &[MUSIC]), "(['{\"a\":1}'],)");
        assert_eq!(call(&place, postal, "ListPersistent", &[MUSIC]), "(['a', 'b'],)");
        assert_eq!(call(&place, postal, "ClearPersistentList", &[MUSIC, "['a', 'b']"]), "(uint32 2,)");
        assert_eq!(call(&place, postal, "ClearPersistent", &[MUSIC, "a"]), "(uint32 1,)");
        assert_eq!(call(&place, postal, "SetCounter", &[MUSIC, "4", "true"]), "()");
    }
}

#[test]
fn glib_programs_read_the_documented_errors() {
    let Some(place) = served() else { return };
    let errors = [
        (call(&place, PUSH, "Other", &[]), "UnknownMethod"),
        (call(&place, PUSH, "Register", &["com.missing_app"]), "NoSuchObject"),
        (call(&place, [PUSH[0], "/elsewhere"], "Register", &[MUSIC]), "UnknownInterface"),
        (call(&place, POSTAL, "Post", &[MUSIC, "no json"]), "Failed: bad json data"),
    ];
    for (told, expected) in errors {
        assert!(told.contains(&format!("org.freedesktop.DBus.Error.{expected}")), "{told}");
    }
}

#[test]
fn the_whole_tree_can_be_introspected() {
    let Some(place) = served() else { return };
    for (path, shown) in [
        ("/", "node com"),
        ("/com/lomiri", "node Postal"),
        (POSTAL[1], "PopAll(in  s app_id"),
        (OLD_POSTAL[1], "interface com.ubuntu.Postal"),
        (PUSH[1], "RegisterUser(in  s app_id"),
        ("/com/lomiri/PushNotifications", "interface com.lomiri.PushNotifications.Status"),
    ] {
        let fixed = ["introspect", "--session", "--dest", PUSH[0], "--object-path", path];
        let output = gdbus(&place, &fixed);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains(shown), "{path}: {text}");
    }
}
