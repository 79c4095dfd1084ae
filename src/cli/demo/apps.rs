//! The apps of each phone, and their helpers: shell scripts, so that each is a program like any other.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

/// What a helper says that has done its work.
pub const HELPED: &str = "made a notification";

/// An app: a program that sleeps until it is opened, and its helper.
pub struct App {
    /// By what the push service knows it.
    pub id: &'static str,
    /// By what people know it.
    pub name: &'static str,
    /// Its icon's name.
    icon: &'static str,
    /// A sed script that makes a helper's output of a payload.
    helper: &'static str,
}

/// Alice's.
pub const CHATTER: App = App {
    id: "_chatter",
    name: "Chatter",
    icon: "user-available",
    helper: r#"s/\{"from":"([^"]*)","text":"([^"]*)"\}/{"message":&,"notification":{"card":{"summary":"\1","body":"\2","popup":true},"sound":true}}/"#,
};
/// The one that is told of system updates.
pub const SETTINGS: App = App {
    id: "_settings",
    name: "Settings",
    icon: "preferences-system",
    helper: r#"s/\{.*\[[0-9]*,"([^"]*)"\]\}/{"message":&,"notification":{"card":{"summary":"System update","body":"\1 is there.","popup":true}}}/"#,
};

impl App {
    /// Installs it in a data folder, for the phone of `owner`.
    pub fn install(&self, data: &Path, owner: &str) -> io::Result<()> {
        let program = self.id.trim_start_matches('_');
        let (applications, helpers) = (data.join("applications"), data.join("lomiri-push/helpers"));
        fs::create_dir_all(&applications)?;
        fs::create_dir_all(&helpers)?;
        fs::write(applications.join(format!("{program}.desktop")), self.desktop_entry(owner))?;
        let exec = data.join(format!("{program}-helper"));
        fs::write(&exec, self.script())?;
        fs::set_permissions(&exec, fs::Permissions::from_mode(0o755))?;
        fs::write(helpers.join(format!("{}.json", self.id)), json!({ "exec": exec }).to_string())
    }

    fn desktop_entry(&self, owner: &str) -> String {
        let App { name, icon, .. } = self;
        format!("[Desktop Entry]\nType=Application\nName={name} on {owner}'s phone\nIcon={icon}\nExec=true\n")
    }

    /// What it says goes to the service's log.
    fn script(&self) -> String {
        format!("#!/bin/sh\nsed -E '{}' \"$1\" > \"$2\" && echo {HELPED}\n", self.helper)
    }
}
