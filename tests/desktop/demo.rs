//! `demo --desktop`: the story's notifications on the user's own desktop, and nothing else there.

use std::process::{Command, Output};

use crate::fake::Fake;
use crate::private_bus::PrivateBus;
use crate::service::notes;

fn demo(bus: &PrivateBus) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lomiri-push"));
    command.args(["demo", "--desktop"]).env("DBUS_SESSION_BUS_ADDRESS", bus.address());
    command.output().expect("the binary runs")
}

#[test]
fn its_notifications_are_bubbles_of_the_desktop() {
    let Some(bus) = PrivateBus::start() else { return };
    let desktop = notes::server(bus.address());
    // The demo's own push services must not take the names of the user's.
    let names = ["com.lomiri.PushNotifications", "com.lomiri.Postal"];
    let own = Fake::start(bus.address(), &names, |call| panic!("{} is called", call.path));
    let output = demo(&bus);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(!told.contains('╭') && told.contains("on this desktop"), "{told}");
    let mut shown = Vec::new();
    while let Some(notify) = desktop.next_of("Notify") {
        shown.push(notes::shown(&notify).1);
    }
    // On one phone, each app's helpers run in order; what two apps get at once may be shown in any.
    shown[2..5].sort();
    assert_eq!(
        shown,
        [
            "Lunch at one?",
            "24.04-2 is there.",
            "24.04-2 is there.",
            "Are you there?",
            "Make that five.",
            "Two minutes. Order for me!",
            "Done. See you!"
        ]
    );
    assert!(own.others().is_empty());
}

#[test]
fn a_desktop_that_shows_nothing_is_told_of() {
    let Some(bus) = PrivateBus::start() else { return };
    let output = demo(&bus);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("has it a notification server?"), "{said}");
}
