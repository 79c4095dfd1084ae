//! Asks a Lomiri phone whether the user is looking at an app. What cannot be asked stays unknown.

use zbus::zvariant::OwnedObjectPath;

use super::peers::{Peer, Peers};
use crate::service::app::AppName;
use crate::service::presentation::{Focus, Sight};

/// The shell: which processes have the focus.
const FOCUS: Peer<'static> = Peer {
    service: "com.lomiri.Shell.FocusInfo",
    path: "/com/lomiri/Shell/FocusInfo",
    interface: "com.lomiri.Shell.FocusInfo",
};
/// The user's systemd: apps run as its units.
const UNITS: Peer<'static> = Peer {
    service: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
};
const GREETER: Peer<'static> =
    Peer { service: "com.lomiri.LomiriGreeter", path: "/", interface: "com.lomiri.LomiriGreeter" };
const LOGIN: Peer<'static> = Peer {
    service: "org.freedesktop.login1",
    path: "/org/freedesktop/login1/session/auto",
    interface: "org.freedesktop.login1.Session",
};
/// Processes of one app that are looked at: an app has one unit, and seldom a second.
const UNITS_MAX: usize = 4;

/// A unit as `ListUnitsByPatterns` tells of it: its name comes first, its object is the seventh.
type Unit = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

/// Where the user is looking, as far as `app` is concerned.
pub(super) fn ask(session: &mut Peers, system: &mut Peers, app: &AppName) -> Focus {
    let is_in_front = is_in_front(session, app);
    if is_in_front != Some(true) {
        return Focus::Elsewhere;
    }
    Focus::of(Sight {
        is_in_front,
        is_greeter_up: session.property(GREETER, "IsActive"),
        is_locked: system.property(LOGIN, "LockedHint"),
    })
}

fn is_in_front(session: &mut Peers, app: &AppName) -> Option<bool> {
    let pattern = "lomiri-app-launch--*.service";
    let units: Vec<Unit> = session.ask(UNITS, "ListUnitsByPatterns", &(["active"], [pattern])).ok()?;
    let own = units.into_iter().filter(|unit| is_unit_of(&unit.0, app)).take(UNITS_MAX);
    let mut is_focused = |unit: Unit| {
        let service = Peer { path: unit.6.as_str(), interface: "org.freedesktop.systemd1.Service", ..UNITS };
        let process: u32 = session.property(service, "MainPID")?;
        session.ask::<bool>(FOCUS, "isPidFocused", &process).ok()
    };
    own.map(&mut is_focused).find(|is_so| *is_so != Some(false)).unwrap_or(Some(false))
}

/// Whether a unit runs `app`: `lomiri-app-launch--KIND--APP_ID--INSTANCE.service`.
fn is_unit_of(unit: &str, app: &AppName) -> bool {
    let id = || {
        let rest = unit.strip_prefix("lomiri-app-launch--")?.strip_suffix(".service")?;
        let (_, rest) = rest.split_once("--")?;
        Some(rest.rsplit_once("--")?.0)
    };
    let Some(id) = id() else { return false };
    match app {
        AppName::Click { version: None, .. } => {
            id.strip_prefix(&app.desktop_entry()).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        }
        _ => id == app.desktop_entry(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_units_of_an_app_are_told_from_those_of_others() {
        let is_of = |unit: &str, id: &str| {
            let app = AppName::parse(&id.parse().expect("an id")).expect("an app");
            is_unit_of(unit, &app)
        };
        let click = "lomiri-app-launch--click--ab_chat_1.0--.service";
        assert!(is_of(click, "ab_chat") && is_of(click, "ab_chat_1.0"));
        assert!(!is_of(click, "ab_cha") && !is_of(click, "ab_chat_2") && !is_of(click, "_ab"));
        assert!(is_of("lomiri-app-launch--legacy--dialer-app--17.service", "_dialer-app"));
        assert!(!is_of("lomiri-app-launch--legacy.service", "_legacy"));
    }
}
