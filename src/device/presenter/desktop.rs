//! A desktop or a phone that can be reached over D-Bus: shows one notification by all that it offers. Whether it
//! should be shown, it does not know.

use std::path::PathBuf;
use std::sync::mpsc::SyncSender;

use super::bubbles::Bubbles;
use super::ears::Heard;
use super::peers::{Peers, Unanswered};
use super::programs::Programs;
use super::{Addresses, Ask, Folders, Told, desktop_file, emblem, focus, opener, sound, vibration};
use crate::base::AppId;
use crate::service::Presented;
use crate::service::app::AppName;
use crate::service::notice::{Notice, Playable};
use crate::service::notification::{Emblem, Sound, Vibration};
use crate::service::presentation::{Bubble, Focus, Showing};
use crate::service::shade::{BubbleId, Note};

pub(super) struct Desktop {
    session: Peers,
    system: Peers,
    bubbles: Bubbles,
    programs: Programs,
    folders: Folders,
    default_sound: Option<PathBuf>,
    default_vibration: Option<Vibration>,
}

impl Desktop {
    pub(super) fn new(
        addresses: Addresses,
        folders: Folders,
        default_sound: Option<PathBuf>,
        default_vibration: Option<Vibration>,
        worker: SyncSender<Ask>,
    ) -> Desktop {
        Desktop {
            session: Peers::new(Some(addresses.session)),
            system: Peers::new(addresses.system),
            bubbles: Bubbles::new(worker),
            programs: Programs::default(),
            folders,
            default_sound,
            default_vibration,
        }
    }

    /// Goes on with the bubbles of an earlier life that are still up.
    pub(super) fn take_up(&mut self, earlier: Vec<Note>) {
        self.bubbles.take_up(&mut self.session, earlier);
    }

    /// Shows what there is to show, by where the user is looking. A bubble comes first: it is what the user
    /// waits for. The notification server is asked once, for one that hangs costs its time with each call.
    pub(super) fn show(&mut self, app: &AppId, tag: &str, shown: impl Fn(Focus) -> Showing) -> Presented {
        if shown(Focus::Elsewhere) == Showing::default() {
            return Presented::default();
        }
        let can = self.bubbles.capabilities(&mut self.session);
        let is_lomiri = can.is_some_and(|can| can.lomiri);
        let showing = shown(if is_lomiri { self.focus(app) } else { Focus::Elsewhere });
        let sound = showing.sound.as_ref().and_then(|sound| self.playable(app, sound, is_lomiri));
        let bubble = match (&showing.bubble, can) {
            (Some(bubble), Some(_)) => self.pop_up(app, tag, bubble, sound.as_ref()),
            _ => None,
        };
        let is_heard = bubble.is_some() && can.is_some_and(|can| can.sound);
        let is_played = sound.is_some_and(|sound| !is_heard && sound::play(&mut self.programs, &sound));
        let is_felt = showing.vibration.as_ref().is_some_and(|vibration| self.vibrate(app, vibration));
        if let Some(emblem) = showing.emblem {
            self.count(app, emblem);
        }
        let is_shown = bubble.is_some() || is_played || is_felt;
        Presented { bubble, is_shown, is_listed: showing.is_listed() }
    }

    /// Where the user is looking, on a Lomiri phone.
    fn focus(&mut self, app: &AppId) -> Focus {
        let name = AppName::parse(app);
        name.map_or(Focus::Elsewhere, |name| focus::ask(&mut self.session, &mut self.system, &name))
    }

    /// Has the bubble shown; by the next server, if that which was known has gone since.
    fn pop_up(
        &mut self,
        app: &AppId,
        tag: &str,
        bubble: &Bubble,
        sound: Option<&Playable>,
    ) -> Option<BubbleId> {
        let appearance = desktop_file::appearance(app, &self.folders);
        let mut try_once = || {
            let can = self.bubbles.capabilities(&mut self.session)?;
            let notice = Notice::of(bubble, &appearance, sound, can)?;
            Some(self.bubbles.show(&mut self.session, (app, tag), &notice, bubble.url.as_deref()))
        };
        match try_once()? {
            Err(Unanswered::Absent) => try_once()?.ok(),
            shown => shown.ok(),
        }
    }

    /// The sound that is there to be played, unless the user wants silence.
    fn playable(&mut self, app: &AppId, sound: &Sound, is_lomiri: bool) -> Option<Playable> {
        let is_silent = match is_lomiri {
            true => sound::is_phone_silent(&mut self.system),
            false => sound::is_feedback_silent(&mut self.session),
        };
        (!is_silent).then(|| sound::find(sound, app, &self.folders, self.default_sound.as_deref())).flatten()
    }

    fn vibrate(&mut self, app: &AppId, vibration: &Vibration) -> bool {
        let chosen = match (vibration, &self.default_vibration) {
            (Vibration::Default, Some(chosen)) => chosen,
            (vibration, _) => vibration,
        };
        vibration::vibrate(&mut self.session, &mut self.system, app, chosen)
    }

    pub(super) fn count(&mut self, app: &AppId, emblem: Emblem) {
        if let Some(name) = AppName::parse(app) {
            let entry = desktop_file::appearance(app, &self.folders).desktop_entry;
            emblem::count(&mut self.session, &name, &entry, emblem);
        }
    }

    pub(super) fn withdraw(&mut self, bubble: &BubbleId) {
        self.bubbles.withdraw(&mut self.session, bubble);
    }

    /// Follows what a notification server said of its own accord.
    pub(super) fn hear(&mut self, heard: Heard) {
        if let Some((app, url)) = self.bubbles.hear(heard) {
            opener::open(&mut self.session, &mut self.programs, &app, &url);
        }
    }

    /// What is to be told next.
    pub(super) fn poll_told(&mut self) -> Option<Told> {
        self.bubbles.poll_told()
    }

    /// Closes the connections.
    pub(super) fn leave(self) {
        self.session.leave();
        self.system.leave();
    }
}
