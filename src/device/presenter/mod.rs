//! Shows notifications: bubbles, sounds, vibrations and counters at icons, on whatever of a desktop or a phone
//! is there. What is to be shown it is told; what becomes of messages it does not know.

mod bubbles;
mod desktop;
mod desktop_file;
mod ears;
mod emblem;
mod focus;
mod lomiri_settings;
mod opener;
mod peers;
mod programs;
mod sound;
mod terminal;
mod vibration;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread;
use std::time::Duration;

use crate::base::AppId;
use crate::service::Presented;
use crate::service::notification::{Emblem, Notification, Vibration};
use crate::service::presentation::Settings;
use crate::service::shade::{BubbleId, Note};

/// Asks that wait to be shown, at most: more than a user could look at, and nothing to a machine.
const QUEUE_MAX: usize = 64;
/// How long [`Presenter::stop`] waits for what is queued: longer than one call to a server that hangs, short
/// enough for a user who logs out.
const STOP_MAX: Duration = Duration::from_secs(7);

/// How notifications are shown.
pub struct Options {
    /// Where.
    pub surface: Surface,
    /// What the user lets each app do, as far as Lomiri's own settings let it, too.
    pub settings: Settings,
    /// Where sounds and the apps' `.desktop` files are looked for.
    pub folders: Folders,
    /// What is played for a notification that names no sound of its own; by its absolute path, or by one below
    /// a data folder. Without it, the desktop's theme decides.
    pub default_sound: Option<PathBuf>,
    /// What is felt by a notification that has no pattern of its own. Without it, two short ones.
    pub default_vibration: Option<Vibration>,
}

/// Where notifications are shown.
pub enum Surface {
    /// On a desktop or a phone, over D-Bus.
    Desktop(Addresses),
    /// In a terminal: what comes is drawn as a box, and what takes the box prints it.
    Terminal(Box<dyn FnMut(&str) + Send>),
    /// Nowhere.
    Nowhere,
}

/// Where the buses are, in the form of `DBUS_SESSION_BUS_ADDRESS`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// The user's bus.
    pub session: String,
    /// The machine's, for vibrations and the lock screen on phones.
    pub system: Option<String>,
}

/// The XDG data folders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folders {
    /// The user's: `XDG_DATA_HOME`.
    pub own: PathBuf,
    /// Those of the system, in order: `XDG_DATA_DIRS`.
    pub shared: Vec<PathBuf>,
}

/// One notification that is to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presentation {
    /// Whose.
    pub app: AppId,
    /// By what the caller knows it; comes back in [`Told::Presented`].
    pub note: u64,
    /// What is to be noticed. A bubble takes the place of one of the same app and tag.
    pub notification: Notification,
}

/// What became of notifications. A bubble is known until [`Told::Closed`], and by another [`Presenter`] only if it
/// was told of it at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A presentation is done with.
    Presented {
        /// Which.
        note: u64,
        /// What the user got to see of it.
        presented: Presented,
    },
    /// The user has clicked a bubble, and its URL is being opened.
    Activated {
        /// Which.
        bubble: BubbleId,
        /// The URL.
        url: String,
    },
    /// A bubble is gone, other than by [`Presenter::withdraw`].
    Closed {
        /// Which.
        bubble: BubbleId,
        /// Whether the user has closed it; otherwise its time was over, or its server has vanished.
        by_user: bool,
    },
}

/// So much is waiting to be shown that this is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{QUEUE_MAX} notifications are waiting to be shown")]
pub struct Overloaded;

/// What the worker is asked, and what it hears.
enum Ask {
    Present(Presentation),
    Withdraw(BubbleId),
    Count(AppId, Emblem),
    Heard(ears::Heard),
    /// Look whether it is time to stop.
    Wake,
}

/// Shows notifications in a thread of its own, in the order in which they come. No call waits for a notification
/// server.
///
/// Call [`present`](Presenter::present) for each; [`Told::Presented`] follows. End with
/// [`stop`](Presenter::stop), which waits for what is queued; dropping it does not wait.
pub struct Presenter {
    asks: SyncSender<Ask>,
    is_stopping: Arc<AtomicBool>,
    /// Says nothing; it closes when the worker has ended.
    ended: Receiver<()>,
}

impl Presenter {
    /// Starts the thread. `told` is called there, and must not wait for long. Of what was shown in an earlier life,
    /// `earlier` says what is still of interest: as long as the notification server that shows it lives, it is
    /// followed, replaced and withdrawn like what is shown from now on.
    pub fn start(options: Options, earlier: Vec<Note>, told: impl FnMut(Told) + Send + 'static) -> Presenter {
        let (asks, inbox) = mpsc::sync_channel(QUEUE_MAX);
        let (ending, ended) = mpsc::sync_channel(0);
        let is_stopping = Arc::new(AtomicBool::new(false));
        let worker = worker::Worker::new(options, asks.clone(), Box::new(told));
        let stopping = Arc::clone(&is_stopping);
        let work = move || {
            worker.run(earlier, &inbox, &stopping);
            drop(ending);
        };
        thread::Builder::new()
            .name("presenter".into())
            .spawn(work)
            .expect("the system has a thread to spare");
        Presenter { asks, is_stopping, ended }
    }

    /// Has a notification shown. [`Told::Presented`] says what became of it.
    pub fn present(&self, presentation: Presentation) -> Result<(), Overloaded> {
        self.ask(Ask::Present(presentation))
    }

    /// Takes a bubble away, if it is still up. Nothing is told of it any more.
    pub fn withdraw(&self, bubble: BubbleId) -> Result<(), Overloaded> {
        self.ask(Ask::Withdraw(bubble))
    }

    /// Has an app's icon count.
    pub fn count(&self, app: AppId, emblem: Emblem) -> Result<(), Overloaded> {
        self.ask(Ask::Count(app, emblem))
    }

    /// Shows what is queued, and returns true when that is done, or false after 7 s.
    pub fn stop(self) -> bool {
        self.end();
        let is_done = self.ended.recv_timeout(STOP_MAX) != Err(RecvTimeoutError::Timeout);
        if !is_done {
            log::debug!("the desktop hangs; what was still to be shown is not waited for");
        }
        is_done
    }

    fn ask(&self, ask: Ask) -> Result<(), Overloaded> {
        match self.asks.try_send(ask) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(Overloaded),
            Err(TrySendError::Disconnected(_)) => unreachable!("the worker ends only when it is told to"),
        }
    }

    fn end(&self) {
        self.is_stopping.store(true, Ordering::Release);
        // A worker with a full queue does not sleep, and looks by itself.
        let _ = self.asks.try_send(Ask::Wake);
    }
}

impl Drop for Presenter {
    fn drop(&mut self) {
        self.end();
    }
}
