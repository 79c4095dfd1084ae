//! What the user has switched off in Lomiri's own settings, as GLib's own tools keep and read them. On no phone has
//! this been tried.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::json;

use super::life::POLITE;
use super::notes;
use super::rig::{Phone, Service};
use crate::private_bus::has_tool;

const SCHEMA: &str = r#"<schemalist><schema id="com.lomiri.notifications.settings">
  <key name="enable-notifications" type="b"><default>true</default></key>
  <key name="use-sounds-notifications" type="b"><default>true</default></key>
  <key name="use-vibrations-notifications" type="b"><default>true</default></key>
  <key name="use-bubbles-notifications" type="b"><default>true</default></key>
  <key name="use-list-notifications" type="b"><default>true</default></key>
</schema></schemalist>"#;

/// The command that starts the service on a phone with Lomiri's schema; `None` without GLib's tools.
fn with_schema(phone: &Phone) -> Option<Command> {
    if !has_tool("gsettings") || !has_tool("glib-compile-schemas") {
        return None;
    }
    let schemas = phone.path("system/glib-2.0/schemas");
    fs::create_dir_all(&schemas).expect("writable");
    fs::write(schemas.join("lomiri.gschema.xml"), SCHEMA).expect("writable");
    let compiled = Command::new("glib-compile-schemas").arg(&schemas).status().expect("it is there");
    assert!(compiled.success());
    let mut command = phone.command(&[]);
    command.env("XDG_DATA_DIRS", phone.path("system")).env("GSETTINGS_BACKEND", "keyfile");
    Some(command)
}

/// The user switches off this for the app.
fn switch_off(phone: &Phone, key: &str) {
    let folder = phone.path("config/glib-2.0/settings");
    fs::create_dir_all(&folder).expect("writable");
    let place = "com/lomiri/NotificationSettings/dpkg/chatter";
    fs::write(folder.join("keyfile"), format!("[{place}]\n{key}=false\n")).expect("writable");
}

#[test]
fn what_is_switched_off_in_lomiris_settings_is_not_shown() {
    let Some(phone) = Phone::new() else { return };
    let Some(mut command) = with_schema(&phone) else { return };
    let desktop = notes::keeping_server(phone.bus.address());
    phone.install(POLITE);
    let mut service = Service::spawn(&mut command);
    service.await_line("connected to ");
    let token: String = phone.call("Register");
    let shown = |text: &str| {
        phone.post(&token, &json!({ "text": text }));
        phone.await_post();
        desktop.next_of("Notify").map(|notify| notes::shown(&notify).1)
    };
    assert_eq!(shown("as ever"), Some("as ever".into()));
    switch_off(&phone, "enable-notifications");
    assert_eq!(shown("off"), None);
    switch_off(&phone, "use-list-notifications");
    assert_eq!(shown("fleeting"), Some("fleeting".into()));
    assert_eq!(phone.pop().len(), 3, "messages come whatever is shown");
}

#[test]
fn a_tool_that_hangs_holds_up_a_notification_for_a_moment_alone() {
    let Some(phone) = Phone::new() else { return };
    let Some(mut command) = with_schema(&phone) else { return };
    let desktop = notes::keeping_server(phone.bus.address());
    phone.install(POLITE);
    let tools = phone.path("tools");
    fs::create_dir(&tools).expect("writable");
    let hanging = tools.join("gsettings");
    fs::write(&hanging, "#!/bin/sh\nexec sleep 1000\n").expect("writable");
    fs::set_permissions(&hanging, fs::Permissions::from_mode(0o755)).expect("ours");
    let path = std::env::var("PATH").expect("tools are found by it");
    let mut service = Service::spawn(command.env("PATH", format!("{}:{path}", tools.display())));
    service.await_line("connected to ");
    phone.post(&phone.call::<String>("Register"), &json!({ "text": "Tea?" }));
    phone.await_post();
    assert_eq!(notes::shown(&desktop.next_of("Notify").expect("it is shown")).1, "Tea?");
}
