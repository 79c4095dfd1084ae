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

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use zbus::blocking::Connection;
use zbus::zvariant::Value;

use super::ears::{BUS, Heard, NOTIFICATIONS, What, listen, name_of};
use super::peers::{Peer, Peers, Unanswered};
use super::{Ask, Told};
use crate::base::AppId;
use crate::service::notice::{Capabilities, DEFAULT_ACTION, Hint, Notice};
use crate::service::shade::{BubbleId, Note};

/// Bubbles that are remembered, at most: a server that never tells of their end must not fill memory. The
/// oldest go first.
const UP_MAX: usize = 500;
/// The reason in `NotificationClosed` that says that it was the user.
const REASON_DISMISSED: u32 = 2;

pub(super) struct Bubbles {
    worker: SyncSender<Ask>,
    /// The connection on which somebody listens, by its name.
    listened: Option<String>,
    server: Option<Server>,
    /// Those of that server, by their numbers.
    up: BTreeMap<u32, Up>,
    told: VecDeque<Told>,
}

/// The server that is there now.
struct Server {
    /// The bus name that nobody else can have on this bus: signals from others are not the server's, and it is
    /// called by this name, so that no number ever reaches another server.
    owner: String,
    /// The name that nobody else can have on any bus.
    id: Arc<str>,
    /// What it can do, once it was asked.
    can: Option<Capabilities>,
}

/// A bubble that is up.
struct Up {
    app: AppId,
    tag: String,
    url: Option<String>,
}

impl Bubbles {
    pub(super) fn new(worker: SyncSender<Ask>) -> Bubbles {
        Bubbles { worker, listened: None, server: None, up: BTreeMap::new(), told: VecDeque::new() }
    }

    /// Goes on with the bubbles of an earlier life, if their server still lives. It is not started for that, nor
    /// asked anything.
    pub(super) fn take_up(&mut self, session: &mut Peers, earlier: Vec<Note>) {
        let Some(connection) = earlier.first().and_then(|_| self.listen(session)) else { return };
        if let Some(owner) = owner(session) {
            let id = self.meet(&connection, &owner).id.clone();
            for note in earlier {
                self.take_up_one(&id, note);
            }
        }
    }

    fn take_up_one(&mut self, server: &Arc<str>, note: Note) {
        let Note { app, tag, bubble, url, .. } = note;
        if let Some(bubble) = bubble.filter(|bubble| bubble.server == *server) {
            self.put_up(bubble.number, Up { app, tag, url });
        }
    }

    /// What the server can do; `None` if there is none that answers. It is asked once.
    pub(super) fn capabilities(&mut self, session: &mut Peers) -> Option<Capabilities> {
        let connection = self.listen(session)?;
        let known = self.server.as_ref().and_then(|server| server.can);
        known.or_else(|| self.ask(session, &connection))
    }

    fn ask(&mut self, session: &mut Peers, connection: &Connection) -> Option<Capabilities> {
        let answer = session.call(NOTIFICATIONS, "GetCapabilities", &()).ok()?;
        let names: Vec<String> = answer.body().deserialize().ok()?;
        let can = Capabilities::of(names.iter().map(String::as_str));
        self.meet(connection, answer.header().sender()?.as_str()).can = Some(can);
        Some(can)
    }

    /// The server has this bus name. If it is another one than before, the earlier bubbles are gone.
    fn meet(&mut self, connection: &Connection, owner: &str) -> &mut Server {
        if self.server.as_ref().is_some_and(|server| server.owner != owner) {
            self.forget();
        }
        let id = || format!("{} {owner}", connection.server_guid()).into();
        self.server.get_or_insert_with(|| Server { owner: owner.into(), id: id(), can: None })
    }

    /// The connection, on which somebody listens from now on. With another one than before, it is another bus.
    fn listen(&mut self, session: &mut Peers) -> Option<Connection> {
        let connection = session.connection()?;
        let name = name_of(&connection);
        if self.listened.as_ref() != Some(&name) {
            self.forget();
            let heard = listen(&connection, self.worker.clone());
            heard.inspect_err(|error| log::debug!("clicks cannot be heard: {error}")).ok()?;
            self.listened = Some(name);
        }
        Some(connection)
    }

    /// Puts a bubble up, in place of an earlier one of the same app and tag. If the server turns out to have
    /// gone, it is [`Unanswered::Absent`], and the next one has yet to be asked what it can do.
    pub(super) fn show(
        &mut self,
        session: &mut Peers,
        (app, tag): (&AppId, &str),
        notice: &Notice,
        url: Option<&str>,
    ) -> Result<BubbleId, Unanswered> {
        let server = self.server.as_ref().ok_or(Unanswered::Absent)?;
        let (owner, server) = (server.owner.clone(), server.id.clone());
        let replaced = self.number(app, tag);
        let asked = session.ask(at(&owner), "Notify", &body(notice, replaced));
        let number = match asked {
            // No bubble has this number: it stands for none in calls, and so it does in answers.
            Ok(0) => return Err(Unanswered::Failed),
            Ok(number) => number,
            Err(unanswered) => {
                self.forget_if(unanswered == Unanswered::Absent);
                return Err(unanswered);
            }
        };
        if let Some(replaced) = replaced {
            self.up.remove(&replaced);
        }
        self.put_up(number, Up { app: app.clone(), tag: tag.into(), url: url.map(Into::into) });
        Ok(BubbleId { server, number })
    }

    fn put_up(&mut self, number: u32, up: Up) {
        if self.up.len() >= UP_MAX {
            self.up.pop_first();
        }
        self.up.insert(number, up);
    }

    fn number(&self, app: &AppId, tag: &str) -> Option<u32> {
        let is_same = |up: &Up| !tag.is_empty() && up.tag == tag && up.app == *app;
        self.up.iter().find(|(_, up)| is_same(up)).map(|(number, _)| *number)
    }

    /// Takes a bubble away. One that is none of ours is left alone.
    pub(super) fn withdraw(&mut self, session: &mut Peers, bubble: &BubbleId) {
        let Some(server) = self.server.as_ref().filter(|server| server.id == bubble.server) else { return };
        if self.up.remove(&bubble.number).is_some() {
            // A server that has closed it meanwhile answers with an error.
            let _ = session.call(at(&server.owner), "CloseNotification", &bubble.number);
        }
    }

    /// Follows what was heard. The URL that is to be opened, and for whom.
    pub(super) fn hear(&mut self, heard: Heard) -> Option<(AppId, String)> {
        let is_server = |name: &str| self.server.as_ref().is_some_and(|server| server.owner == name);
        let is_servers = is_server(&heard.sender);
        match heard.what {
            What::Invoked { bubble, action } if is_servers && action == DEFAULT_ACTION => {
                return self.invoke(bubble);
            }
            What::Closed { bubble, reason } if is_servers => self.close(bubble, reason == REASON_DISMISSED),
            What::Gone { owner } => self.forget_if(is_server(&owner)),
            What::BusGone { connection } if self.listened.as_ref() == Some(&connection) => {
                self.listened = None;
                self.forget();
            }
            What::Invoked { .. } | What::Closed { .. } | What::BusGone { .. } => {}
        }
        None
    }

    /// What is to be told next of what was heard, and of bubbles that went with their server.
    pub(super) fn poll_told(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    fn invoke(&mut self, number: u32) -> Option<(AppId, String)> {
        let (server, up) = (self.server.as_ref()?, self.up.get(&number)?);
        let (app, url) = (up.app.clone(), up.url.clone()?);
        let bubble = BubbleId { server: server.id.clone(), number };
        self.told.push_back(Told::Activated { bubble, url: url.clone() });
        Some((app, url))
    }

    fn close(&mut self, number: u32, by_user: bool) {
        let Some(server) = self.server.as_ref().filter(|_| self.up.remove(&number).is_some()) else { return };
        let bubble = BubbleId { server: server.id.clone(), number };
        self.told.push_back(Told::Closed { bubble, by_user });
    }

    fn forget_if(&mut self, is_gone: bool) {
        if is_gone {
            self.forget();
        }
    }

    /// With their server, bubbles are gone.
    fn forget(&mut self) {
        let numbers: Vec<u32> = self.up.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.close(number, false));
        self.server = None;
    }
}

/// The notification server of this bus name, and no other.
fn at(owner: &str) -> Peer<'_> {
    Peer { service: owner, ..NOTIFICATIONS }
}

/// The bus name of the server, if there is one.
fn owner(session: &mut Peers) -> Option<String> {
    session.ask(BUS, "GetNameOwner", &NOTIFICATIONS.service).ok()
}

/// What `Notify` is called with.
type Body<'a> =
    (&'a str, u32, &'a str, &'a str, &'a str, &'a [&'static str], HashMap<&'static str, Value<'a>>, i32);

fn body(notice: &Notice, replaced: Option<u32>) -> Body<'_> {
    (
        &notice.app_name,
        replaced.unwrap_or(0),
        &notice.icon,
        &notice.summary,
        &notice.body,
        &notice.actions,
        notice.hints.iter().map(|(name, hint)| (*name, value(hint))).collect(),
        notice.expires_after_ms,
    )
}

fn value(hint: &Hint) -> Value<'_> {
    match hint {
        Hint::Text(text) => Value::from(text.as_str()),
        Hint::Flag(is_so) => Value::from(*is_so),
        Hint::Urgency(urgency) => Value::from(*urgency),
    }
}
