//! Opens the URL of a notification that was clicked, with what the desktop has for that.

use std::collections::HashMap;

use zbus::zvariant::Value;

use super::peers::{Peer, Peers};
use super::programs::Programs;
use crate::base::AppId;
use crate::service::app::AppName;
use crate::service::presentation::is_url;

const DISPATCHER: Peer<'static> = Peer {
    service: "com.lomiri.URLDispatcher",
    path: "/com/lomiri/URLDispatcher",
    interface: "com.lomiri.URLDispatcher",
};
const PORTAL: Peer<'static> = Peer {
    service: "org.freedesktop.portal.Desktop",
    path: "/org/freedesktop/portal/desktop",
    interface: "org.freedesktop.portal.OpenURI",
};

/// Opens `url` for `app`: with Lomiri's dispatcher, else the desktop's portal, else its opener.
pub(super) fn open(session: &mut Peers, programs: &mut Programs, app: &AppId, url: &str) {
    assert!(is_url(url), "only URLs get into bubbles");
    let package = AppName::parse(app).map(|name| name.package().to_string()).unwrap_or_default();
    if session.call(DISPATCHER, "DispatchURL", &(url, package)).is_ok() {
        return;
    }
    let is_open = match launched(url) {
        Some(entry) => programs.start("gtk-launch", &[entry]),
        None => open_elsewhere(session, programs, url),
    };
    if !is_open {
        log::debug!("nothing here opens the URL of a notification of {app}");
    }
}

fn open_elsewhere(session: &mut Peers, programs: &mut Programs, url: &str) -> bool {
    let options: HashMap<&str, Value<'_>> = HashMap::new();
    session.call(PORTAL, "OpenURI", &("", url, options)).is_ok() || programs.start("xdg-open", &[url])
}

/// The app that Lomiri's `application:///NAME.desktop` stands for, as other desktops launch it.
fn launched(url: &str) -> Option<&str> {
    let entry = url.strip_prefix("application:")?.trim_start_matches('/').strip_suffix(".desktop")?;
    let is_name = !entry.is_empty() && !entry.starts_with('-') && !entry.contains('/');
    is_name.then_some(entry)
}

#[cfg(test)]
mod tests {
    use super::launched;

    #[test]
    fn an_app_itself_is_launched_by_its_name() {
        assert_eq!(launched("application:///chatter.desktop"), Some("chatter"));
        assert_eq!(launched("application://ab_chat_1.desktop"), Some("ab_chat_1"));
        for other in
            ["https://a.example/x.desktop", "application:///a/b.desktop", "application:///-x.desktop"]
        {
            assert_eq!(launched(other), None, "{other}");
        }
    }
}
