//! What the user lets each app do by the settings of Lomiri itself, read by GLib's tool where they are installed. What
//! follows from it, it does not know.
//!
//! The names are what is known of Lomiri, and have not been tried on a phone. What cannot be read is allowed.

use std::fs;
use std::process::{Command, Stdio};

use super::Folders;
use crate::base::AppId;
use crate::service::app::AppName;
use crate::service::presentation::Permissions;

const SCHEMA: &str = "com.lomiri.notifications.settings";
/// Below it each app has a place of its own.
const PATH: &str = "/com/lomiri/NotificationSettings";
/// Stands for the package of programs that are in none.
const NO_PACKAGE: &str = "dpkg";
/// All schemas of a data folder.
const COMPILED: &str = "glib-2.0/schemas/gschemas.compiled";
/// Asks for all keys of an app at once, in a second at most: it reads a file or two, and what takes longer hangs.
const TOOL: [&str; 5] = ["timeout", "-sKILL", "1", "gsettings", "list-recursively"];

/// The settings, if this system has them.
pub(super) struct LomiriSettings {
    is_there: bool,
}

impl LomiriSettings {
    /// Looks once for the schema, so that systems without it start no tool.
    pub(super) fn find(folders: &Folders) -> LomiriSettings {
        let data = [&folders.own].into_iter().chain(&folders.shared);
        let compiled = data.filter_map(|folder| fs::read(folder.join(COMPILED)).ok());
        let has_schema =
            |schemas: Vec<u8>| schemas.windows(SCHEMA.len()).any(|name| name == SCHEMA.as_bytes());
        LomiriSettings { is_there: compiled.into_iter().any(has_schema) }
    }

    /// What the user lets `app` do.
    pub(super) fn of(&self, app: &AppId) -> Permissions {
        let place = self.is_there.then(|| place_of(app)).flatten();
        place.and_then(|place| ask(&place)).map_or_else(Permissions::default, |said| read(&said))
    }
}

fn place_of(app: &AppId) -> Option<String> {
    let (package, name) = match AppName::parse(app)? {
        AppName::Click { package, app, .. } => (package, app),
        AppName::Outside { name } => (NO_PACKAGE.into(), name),
    };
    Some(format!("{SCHEMA}:{PATH}/{package}/{name}/"))
}

/// What the tool says, a key a line.
fn ask(place: &str) -> Option<String> {
    let [tool, arguments @ ..] = TOOL;
    let mut command = Command::new(tool);
    command.args(arguments).arg(place).stdin(Stdio::null());
    let answer = command.output().inspect_err(|error| log::debug!("{tool} does not start: {error}")).ok()?;
    if !answer.status.success() {
        log::debug!("Lomiri's settings cannot be read at {place}: {}", answer.status);
        return None;
    }
    String::from_utf8(answer.stdout).ok()
}

fn read(said: &str) -> Permissions {
    let is_on = |key: &str| !said.lines().any(|line| line.split(' ').eq([SCHEMA, key, "false"]));
    Permissions {
        notify: is_on("enable-notifications"),
        bubbles: is_on("use-bubbles-notifications"),
        entries: is_on("use-list-notifications"),
        sounds: is_on("use-sounds-notifications"),
        vibrations: is_on("use-vibrations-notifications"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_app_has_a_place_and_its_versions_share_it() {
        let place = |app: &str| place_of(&app.parse().expect("an id")).expect("a name");
        assert_eq!(place("ab_chat_1.0"), format!("{SCHEMA}:/com/lomiri/NotificationSettings/ab/chat/"));
        assert_eq!(place("ab_chat"), place("ab_chat_1.0"));
        assert_eq!(place("_chat"), format!("{SCHEMA}:/com/lomiri/NotificationSettings/dpkg/chat/"));
    }

    #[test]
    fn only_what_is_said_to_be_off_is_off() {
        let said = |key: &str, value: &str| read(&format!("x y false\n{SCHEMA} {key} {value}\n"));
        let all = Permissions::default();
        assert_eq!(said("enable-notifications", "false"), Permissions { notify: false, ..all });
        assert_eq!(said("use-bubbles-notifications", "false"), Permissions { bubbles: false, ..all });
        assert_eq!(said("use-list-notifications", "false"), Permissions { entries: false, ..all });
        assert_eq!(said("use-sounds-notifications", "false"), Permissions { sounds: false, ..all });
        assert_eq!(said("use-vibrations-notifications", "false"), Permissions { vibrations: false, ..all });
        assert_eq!(said("use-sounds-notifications", "true"), all);
        assert_eq!(read(""), all);
    }
}
