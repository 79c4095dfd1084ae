//! Bubbles on the desktop's notification server: puts them up, takes them away, and knows whose is which.
//!
//! ```text
//!            Notify                    ActionInvoked: its URL is opened
//!   (none) ─────────► up, by number ──────────────────────────────────► still up
//!             ▲  │ same app and tag │
//!             └──┘   replaces it    │ NotificationClosed, CloseNotification, the server vanishes
//!                                   ▼
//!                                 (none)
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc::SyncSender;

use zbus::zvariant::Value;

use super::ears::{Heard, NOTIFICATIONS, What, listen};
use super::peers::Peers;
use super::{Ask, Told};
use crate::base::AppId;
use crate::service::notice::{Capabilities, DEFAULT_ACTION, Hint, Notice};

/// Bubbles that are remembered, at most: a server that never tells of their end must not fill memory. The
/// oldest go first.
const UP_MAX: usize = 500;
/// The reason in `NotificationClosed` that says that it was the user.
const REASON_DISMISSED: u32 = 2;

pub(super) struct Bubbles {
    worker: SyncSender<Ask>,
    /// The connection, by its name on the bus, on which somebody listens.
    listened: Option<String>,
    server: Option<Server>,
    up: BTreeMap<u32, Up>,
}

/// The server that answers now.
struct Server {
    /// The bus name that nobody else can have: signals from others are not the server's.
    owner: String,
    can: Capabilities,
}

/// A bubble that is up.
struct Up {
    app: AppId,
    tag: String,
    url: Option<String>,
}

impl Bubbles {
    pub(super) fn new(worker: SyncSender<Ask>) -> Bubbles {
        Bubbles { worker, listened: None, server: None, up: BTreeMap::new() }
    }

    /// What the server can do; `None` if there is none that answers. It is asked once.
    pub(super) fn capabilities(&mut self, session: &mut Peers) -> Option<Capabilities> {
        if self.server.is_none() {
            self.listen(session)?;
            self.server = ask_server(session);
        }
        self.server.as_ref().map(|server| server.can)
    }

    fn listen(&mut self, session: &mut Peers) -> Option<()> {
        let connection = session.connection()?;
        let name = connection.unique_name().map(ToString::to_string);
        if self.listened != name {
            let heard = listen(&connection, self.worker.clone());
            heard.inspect_err(|error| log::debug!("clicks cannot be heard: {error}")).ok()?;
            self.listened = name;
        }
        Some(())
    }

    /// Puts a bubble up, in place of an earlier one of the same app and tag. `None` if that fails.
    pub(super) fn show(
        &mut self,
        session: &mut Peers,
        (app, tag): (&AppId, &str),
        notice: &Notice,
        url: Option<&str>,
    ) -> Option<u32> {
        let replaced = self.number(app, tag);
        let hints: HashMap<&str, Value<'_>> =
            notice.hints.iter().map(|(name, hint)| (*name, value(hint))).collect();
        let body = (
            &notice.app_name,
            replaced.unwrap_or(0),
            &notice.icon,
            &notice.summary,
            &notice.body,
            &notice.actions,
            hints,
            notice.expires_after_ms,
        );
        let bubble: u32 = session.ask(NOTIFICATIONS, "Notify", &body).ok()?;
        if let Some(replaced) = replaced {
            self.up.remove(&replaced);
        }
        if self.up.len() >= UP_MAX {
            self.up.pop_first();
        }
        self.up.insert(bubble, Up { app: app.clone(), tag: tag.into(), url: url.map(Into::into) });
        Some(bubble)
    }

    fn number(&self, app: &AppId, tag: &str) -> Option<u32> {
        let is_same = |up: &Up| !tag.is_empty() && up.tag == tag && up.app == *app;
        self.up.iter().find(|(_, up)| is_same(up)).map(|(number, _)| *number)
    }

    /// Takes a bubble away. One that is none of ours is left alone.
    pub(super) fn withdraw(&mut self, session: &mut Peers, bubble: u32) {
        if self.up.remove(&bubble).is_some() {
            // A server that has closed it meanwhile answers with an error.
            let _ = session.call(NOTIFICATIONS, "CloseNotification", &bubble);
        }
    }

    /// What follows from what was heard: what is to be told, and the URL that is to be opened, and for whom.
    pub(super) fn hear(&mut self, heard: Heard) -> (Vec<Told>, Option<(AppId, String)>) {
        let is_server = |name: &str| self.server.as_ref().is_some_and(|server| server.owner == name);
        let is_servers = is_server(&heard.sender);
        match heard.what {
            What::Invoked { bubble, action } if is_servers && action == DEFAULT_ACTION => self.invoke(bubble),
            What::Closed { bubble, reason } if is_servers && self.up.remove(&bubble).is_some() => {
                (vec![Told::Closed { bubble, by_user: reason == REASON_DISMISSED }], None)
            }
            What::Gone { owner } if is_server(&owner) => (self.forget(), None),
            What::BusGone => {
                self.listened = None;
                (self.forget(), None)
            }
            What::Invoked { .. } | What::Closed { .. } | What::Gone { .. } => (Vec::new(), None),
        }
    }

    fn invoke(&mut self, bubble: u32) -> (Vec<Told>, Option<(AppId, String)>) {
        let up = self.up.get(&bubble);
        match up.and_then(|up| Some((up.app.clone(), up.url.clone()?))) {
            Some((app, url)) => (vec![Told::Activated { bubble, url: url.clone() }], Some((app, url))),
            None => (Vec::new(), None),
        }
    }

    /// With their server, bubbles are gone.
    fn forget(&mut self) -> Vec<Told> {
        self.server = None;
        let up = std::mem::take(&mut self.up);
        up.into_keys().map(|bubble| Told::Closed { bubble, by_user: false }).collect()
    }
}

fn ask_server(session: &mut Peers) -> Option<Server> {
    let answer = session.call(NOTIFICATIONS, "GetCapabilities", &()).ok()?;
    let names: Vec<String> = answer.body().deserialize().ok()?;
    let owner = answer.header().sender()?.to_string();
    Some(Server { owner, can: Capabilities::of(names.iter().map(String::as_str)) })
}

fn value(hint: &Hint) -> Value<'_> {
    match hint {
        Hint::Text(text) => Value::from(text.as_str()),
        Hint::Flag(is_so) => Value::from(*is_so),
        Hint::Urgency(urgency) => Value::from(*urgency),
    }
}
