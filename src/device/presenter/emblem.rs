//! Lets an app's icon count: by Lomiri's launcher, else by the signal that the docks of other desktops follow.

use std::collections::HashMap;

use zbus::zvariant::Value;

use super::peers::{Peer, Peers};
use crate::service::app::{AppName, quote};
use crate::service::notification::Emblem;

const LAUNCHER: &str = "com.lomiri.Shell.Launcher";
const ITEM: &str = "com.lomiri.Shell.Launcher.Item";
/// Docks tell apps apart by what the signal says, not by where it comes from.
const SIGNAL_PATH: &str = "/com/canonical/unity/launcherentry/lomiri_push";
const SIGNAL_INTERFACE: &str = "com.canonical.Unity.LauncherEntry";

/// Shows `emblem` at the icon of the app, whose `.desktop` file is `entry`.
pub(super) fn count(session: &mut Peers, app: &AppName, entry: &str, emblem: Emblem) {
    let path = format!("/com/lomiri/Shell/Launcher/{}", quote(&launcher_name(app)));
    let item = Peer { service: LAUNCHER, path: &path, interface: ITEM };
    let is_done = session.set_property(item, "count", emblem.count).is_ok()
        && session.set_property(item, "countVisible", emblem.visible).is_ok();
    if !is_done {
        signal(session, entry, emblem);
    }
}

/// The launcher does not know versions.
fn launcher_name(app: &AppName) -> String {
    match app {
        AppName::Click { package, app, .. } => format!("{package}_{app}"),
        AppName::Outside { name } => name.clone(),
    }
}

fn signal(session: &mut Peers, entry: &str, emblem: Emblem) {
    let Some(connection) = session.connection() else { return };
    let properties: HashMap<&str, Value<'_>> =
        [("count", Value::from(i64::from(emblem.count))), ("count-visible", Value::from(emblem.visible))]
            .into();
    let body = (format!("application://{entry}.desktop"), properties);
    let sent = connection.emit_signal(None::<&str>, SIGNAL_PATH, SIGNAL_INTERFACE, "Update", &body);
    if let Err(error) = sent {
        log::debug!("the counter of {entry} cannot be signalled: {error}");
    }
}
