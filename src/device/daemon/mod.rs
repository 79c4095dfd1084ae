//! The push service as a process: the one thread that owns what `service` decides, its folder, and the ends of
//! all other threads. It waits for what they tell, and for nothing else; an idle phone sleeps.
//!
//! ```text
//!  link ──── messages ───▶ ┌─────────┐ ───▶ folder (disk)
//!  bus ───── calls ──────▶ │  inbox  │ ───▶ link: acks, receipts
//!  helpers ─ outputs ────▶ │ Service │ ───▶ helpers, presenter, bus
//!  presenter, signals ───▶ └─────────┘ ───▶ registrar ──▶ the server's HTTP API
//! ```

mod calls;
mod status;

pub use self::status::{App, Connection, Problem, Report};

use std::io;
use std::iter;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use self::calls::Calls;
use self::status::Status;
use super::bus::{self, Bus, BusError};
use super::clock;
use super::folder::Folder;
use super::helpers::Helpers;
use super::link::{self, Link, LinkOptions};
use super::network::Network;
use super::power::WakeLock;
use super::presenter::{self, Overloaded, Presentation, Presenter, Told};
use super::registrar::{Registrar, Registry, Wish};
use crate::base::{AppId, Payload};
use crate::service::notification::Output;
use crate::service::{Command, News, Presented, Service, update};
use crate::session::device::Event;

/// What waits to be taken up, at most: beyond that those who tell wait, and callers are told to come again.
const INBOX_MAX: usize = 256;
/// What is being shown at the end is waited for so long: who stops a service, or logs out, waits too.
const FINISH_MAX: Duration = Duration::from_secs(5);
/// `--once`: nothing has come for so long, so nothing is there.
const QUIET: Duration = Duration::from_secs(2);

/// What makes a push service.
pub struct Options {
    /// Where it keeps what must not be lost.
    pub folder: PathBuf,
    /// What waits for one app, at most, in bytes.
    pub bytes_per_app_max: usize,
    /// The app that hears of system updates.
    pub settings_app: AppId,
    /// The system's image, `CHANNEL/MODEL`, by which updates are meant for it.
    pub image: String,
    /// How it stays connected.
    pub link: LinkOptions,
    /// Where apps find it, and whether they are checked; nowhere if there is no bus.
    pub bus: Option<(bus::Address, bus::Check)>,
    /// How notifications are shown.
    pub presenter: presenter::Options,
    /// What runs helpers.
    pub helpers: Helpers,
    /// Whether payloads count as what their helpers would have made of them.
    pub is_simulating: bool,
    /// Who gives tokens.
    pub registry: Registry,
    /// Whether to end once what waits has come.
    pub is_once: bool,
}

/// Why the service does not start, or not go on.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The folder cannot be read or written: what comes stays on the server.
    #[error("{}: {error}", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The bus is there and does not take the service.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The bus has gone, and with it the session.
    #[error("the D-Bus session has ended: {0}")]
    BusGone(String),
    /// The system has no thread or socket left.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

/// The push service. [`Daemon::run`] works until it is stopped.
pub struct Daemon {
    service: Service,
    folder: Folder,
    path: PathBuf,
    inbox: Receiver<Input>,
    inlet: SyncSender<Input>,
    link: Link,
    bus: Option<Bus>,
    presenter: Presenter,
    helpers: Arc<Helpers>,
    registrar: Registrar,
    calls: Calls,
    status: Status,
    image: String,
    is_simulating: bool,
    is_once: bool,
    /// Told once what has come is on disk.
    stored: Vec<SyncSender<()>>,
    /// Kept until what came needs no more work.
    awake: Vec<WakeLock>,
}

/// Something that a thread tells.
enum Input {
    Link(link::News),
    Bus(bus::News),
    Presenter(Told),
    Helped(u64, Option<Output>),
    Network(Network),
    Stop,
}

/// Stops a service from elsewhere.
#[derive(Clone)]
pub struct Stopper(SyncSender<Input>);

/// Tells a service from elsewhere on which network it is.
#[derive(Clone)]
pub struct Networks(SyncSender<Input>);

impl Stopper {
    /// The service takes its leave and ends.
    pub fn stop(&self) {
        // It may have ended.
        let _ = self.0.send(Input::Stop);
    }
}

impl Networks {
    /// The device is there now.
    pub fn tell(&self, network: Network) {
        // It may have ended.
        let _ = self.0.send(Input::Network(network));
    }
}

impl Daemon {
    /// Reads the folder, takes its names on the bus and begins to connect.
    pub fn start(options: Options) -> Result<Daemon, DaemonError> {
        let path = options.folder;
        let refuse = |error| DaemonError::Folder { folder: path.clone(), error };
        let folder = Folder::open(&path).map_err(refuse)?;
        let contents = folder.read().map_err(refuse)?;
        let service = Service::restore(
            contents.mailbox,
            &contents.shade,
            options.bytes_per_app_max,
            options.settings_app,
        );
        let (inlet, inbox) = sync_channel(INBOX_MAX);
        let helpers = Arc::new(options.helpers);
        let earlier = service.shade().notes().cloned().collect();
        let presenter = Presenter::start(options.presenter, earlier, telling(&inlet, Input::Presenter));
        let bus = options.bus.map(|(address, check)| join(&address, check, &helpers, &inlet)).transpose()?;
        let status = Status::new(&options.registry.device, helpers.walls().to_string());
        let registrar = Registrar::start(options.registry)?;
        let mut link = options.link;
        link.speech.stand_at(service.mailbox().levels());
        let link = Link::start(link, telling(&inlet, Input::Link))?;
        Ok(Daemon {
            service,
            folder,
            path,
            inbox,
            inlet,
            link,
            bus,
            presenter,
            helpers,
            registrar,
            calls: Calls::default(),
            status,
            image: options.image,
            is_simulating: options.is_simulating,
            is_once: options.is_once,
            stored: Vec::new(),
            awake: Vec::new(),
        })
    }

    /// What stops it.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.inlet.clone())
    }

    /// What tells it of networks.
    pub fn networks(&self) -> Networks {
        Networks(self.inlet.clone())
    }

    /// Works until it is stopped, or cannot go on. Then it takes its leave of the server, and what is about to be
    /// shown is shown.
    pub fn run(mut self) -> Result<(), DaemonError> {
        let outcome = self.work();
        // Their messages come again at the next start.
        self.helpers.end_all();
        let outcome = outcome.and_then(|()| self.finish());
        let Daemon { inbox, link, presenter, bus, stored, .. } = self;
        // Whoever waits for room in the inbox, or to hear that something is stored, waits no longer.
        drop((inbox, stored));
        link.stop();
        presenter.stop();
        drop(bus);
        outcome
    }

    fn work(&mut self) -> Result<(), DaemonError> {
        self.settle()?;
        while let Some(input) = self.next() {
            self.service.handle_day(clock::local_day());
            if !self.handle(input)? {
                break;
            }
            self.settle()?;
        }
        Ok(())
    }

    /// Waits for what is being shown, and notes what stays. All else that is told comes again at the next start.
    fn finish(&mut self) -> Result<(), DaemonError> {
        let until = clock::now() + FINISH_MAX;
        while self.service.is_presenting() {
            match self.inbox.recv_timeout(until.since(clock::now())) {
                Ok(Input::Presenter(told)) => {
                    self.handle_told(told);
                    self.settle()?;
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// What comes next; nothing if it may end. Without `--once`, it may take for ever.
    fn next(&self) -> Option<Input> {
        if !(self.is_once && self.status.was_connected() && self.service.is_idle()) {
            return self.inbox.recv().ok();
        }
        self.inbox.recv_timeout(QUIET).ok()
    }

    /// Whether to go on.
    fn handle(&mut self, input: Input) -> Result<bool, DaemonError> {
        match input {
            Input::Link(link::News::Came { events, stored, awake }) => {
                self.stored.push(stored);
                self.awake.push(awake);
                self.take(events);
            }
            Input::Link(news) => self.status.handle_link(&news),
            Input::Bus(bus::News::Call(call)) => self.handle_call(call),
            Input::Bus(bus::News::Gone(reason)) => return Err(DaemonError::BusGone(reason)),
            Input::Presenter(told) => self.handle_told(told),
            Input::Helped(number, output) => self.service.handle_helped(number, output),
            Input::Network(network) => {
                self.status.handle_network(&network);
                self.link.network(network);
            }
            Input::Stop => {
                log::info!("stopping");
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn take(&mut self, events: Vec<Event>) {
        let news = events.into_iter().filter_map(|event| match event {
            Event::Message(message) => {
                let is_installed = self.helpers.is_installed(&message.app);
                Some(News::Message { message, is_installed })
            }
            Event::Broadcast(news) => {
                let is_wanted = news.payloads.last().is_some_and(|last| update::is_for(last, &self.image));
                Some(News::Broadcast { news, is_wanted })
            }
            _ => None,
        });
        self.service.came(news.collect());
    }

    fn handle_told(&mut self, told: Told) {
        match told {
            Told::Presented { note, presented } => {
                let bubble = presented.bubble.as_ref().map(|bubble| format!("bubble {}", bubble.number));
                log::debug!("notification {note}: {}", bubble.as_deref().unwrap_or("no bubble"));
                self.service.handle_presented(note, presented);
            }
            Told::Activated { bubble, .. } => self.service.handle_activated(&bubble),
            Told::Closed { bubble, by_user: true } => self.service.handle_dismissed(&bubble),
            Told::Closed { .. } => {}
        }
    }

    /// Writes what is to be written, and does what may be done then, until there is nothing.
    fn settle(&mut self) -> Result<(), DaemonError> {
        self.write()?;
        while let Some(command) = self.service.poll_command() {
            self.carry_out(command);
            self.write()?;
        }
        self.log_dropped();
        if self.service.is_idle() {
            self.awake.clear();
        }
        Ok(())
    }

    fn log_dropped(&mut self) {
        while let Some((app, count)) = self.service.poll_dropped() {
            log::warn!("too much waits for {app}: {count} of its oldest messages are gone");
        }
    }

    fn write(&mut self) -> Result<(), DaemonError> {
        self.folder
            .write(iter::from_fn(|| self.service.poll_write()))
            .map_err(|error| DaemonError::Folder { folder: self.path.clone(), error })?;
        self.service.written();
        Ok(())
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            // A link that has ended meanwhile needs no ack.
            Command::Stored => self.stored.drain(..).for_each(|stored| {
                let _ = stored.send(());
            }),
            Command::Help { number, app, payload } => self.help(number, app, payload),
            Command::Present { number, app, notification } => {
                self.present(Presentation { app, note: number, notification });
            }
            Command::Withdraw { bubble } => complain("a bubble stays", self.presenter.withdraw(bubble)),
            Command::Count { app, emblem } => {
                complain("a counter is not set", self.presenter.count(app, emblem));
            }
            Command::Announce { app } => self.bus.iter().for_each(|bus| bus.announce(&app)),
            Command::Forget { app } => self.forget(app),
            Command::Tell(receipt) => self.link.tell(receipt),
            Command::Reply { call, reply } => self.calls.reply(call, reply),
        }
    }

    /// What is more than the presenter takes is not shown; its app is told all the same.
    fn present(&mut self, presentation: Presentation) {
        let number = presentation.note;
        if let Err(overloaded) = self.presenter.present(presentation) {
            log::warn!("a notification is not shown: {overloaded}");
            self.service.handle_presented(number, Presented::default());
        }
    }

    /// Runs the app's helper on a thread of its own, which tells how that ended.
    fn help(&mut self, number: u64, app: AppId, payload: Payload) {
        if self.is_simulating {
            return self.service.handle_helped(number, parse(&app, payload.as_bytes()));
        }
        let (helpers, inlet) = (self.helpers.clone(), self.inlet.clone());
        let run = move || {
            let output = run_helper(&helpers, &app, &payload);
            // The service may have ended: then the helper runs again at its next start.
            let _ = inlet.send(Input::Helped(number, output));
        };
        if let Err(error) = thread::Builder::new().name("helper".into()).spawn(run) {
            log::warn!("no helper can run: {error}");
            self.service.handle_helped(number, None);
        }
    }

    /// The token of an app that is gone dies; if that fails, the next message says again that it is gone.
    fn forget(&self, app: AppId) {
        log::info!("{app} is not installed: its registration ends");
        self.registrar.ask(app, Wish::Unregister, |_| {});
    }
}

/// Nobody waits for what the presenter does not take, so the log says it.
fn complain(what: &str, outcome: Result<(), Overloaded>) {
    if let Err(overloaded) = outcome {
        log::warn!("{what}: {overloaded}");
    }
}

/// A way to tell the service, which waits while there is no room.
fn telling<T: 'static>(inlet: &SyncSender<Input>, input: fn(T) -> Input) -> impl FnMut(T) + Send + use<T> {
    let inlet = inlet.clone();
    move |told| {
        // The service may have ended.
        let _ = inlet.send(input(told));
    }
}

/// Joins the bus. A call for which there is no room is dropped, and its caller told so.
fn join(
    address: &bus::Address,
    check: bus::Check,
    helpers: &Arc<Helpers>,
    inlet: &SyncSender<Input>,
) -> Result<Bus, BusError> {
    let (helpers, inlet) = (helpers.clone(), inlet.clone());
    let options = bus::Options {
        is_installed: Box::new(move |app| helpers.is_installed(app)),
        check,
        told: Box::new(move |news| match news {
            news @ bus::News::Call(_) => drop(inlet.try_send(Input::Bus(news))),
            news @ bus::News::Gone(_) => drop(inlet.send(Input::Bus(news))),
        }),
    };
    Bus::connect(address, options)
}

/// What the helper wants; nothing if it does not do, and the log says why.
fn run_helper(helpers: &Helpers, app: &AppId, payload: &Payload) -> Option<Output> {
    let Some(helper) = helpers.find(app) else {
        log::info!("{app} has no helper: its message goes to the mailbox as it came");
        return None;
    };
    match helpers.run(&helper, app, payload) {
        Ok(output) => parse(app, &output),
        Err(_) if helpers.are_over() => {
            log::info!(
                "the helper of {app} ends with the service: its message has it again at the next start"
            );
            None
        }
        Err(error) => {
            log::warn!("the helper of {app}: {error}: its message goes to the mailbox as it came");
            None
        }
    }
}

fn parse(app: &AppId, output: &[u8]) -> Option<Output> {
    Output::parse(output)
        .inspect_err(|error| {
            log::warn!("the helper of {app}: {error}: its message goes to the mailbox as it came")
        })
        .ok()
}
