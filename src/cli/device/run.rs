//! `device`: turns arguments, configuration and the state folder into the push service's options, and runs it
//! until a signal comes.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::{env, fs, thread};

use log::LevelFilter;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::config::Config;
use super::enrol;
use super::identity::Identity;
use crate::cli::{Failure, logging, state_folder};
use crate::device::bus;
use crate::device::daemon::{self, Daemon, DaemonError, Networks, Stopper};
use crate::device::helpers::{self, Helpers};
use crate::device::legacy_config::{self, LegacyConfig};
use crate::device::link::{CONNECT_TIMEOUT_DEFAULT, LinkOptions, Servers, Speech};
use crate::device::network::{self, Network};
use crate::device::power::Power;
use crate::device::presenter::{self, Addresses, Folders, Surface};
use crate::device::registrar::Registry;
use crate::session::device::EXCHANGE_TIMEOUT_DEFAULT;

/// Where the push service keeps who it is and what it has, below the user's data, unless told otherwise.
const OWN_FOLDER: &str = "lomiri-push";

#[derive(clap::Args)]
#[group(skip)]
pub struct Arguments {
    /// The configuration [default: lomiri-push/device.toml in the XDG configuration folders, if it is there]. What it
    /// leaves out, lomiri-push-service/config.json says, which phones with the existing service have
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to keep who this device is, and its mailbox [default: ~/.local/share/lomiri-push]
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// Enrol by this code from the server's operator first, if this machine is not enrolled yet; - reads it
    /// from standard input
    #[arg(long, value_name = "CODE")]
    enrol: Option<String>,
    /// End when all that waits has come and was shown; while there is no server, wait for one
    #[arg(long)]
    once: bool,
    /// Take each payload for what its helper would have made of it: to try an app without one
    #[arg(long)]
    simulate: bool,
    /// Where to show notifications
    #[arg(long, value_name = "WHERE", value_enum, default_value_t = Show::Desktop)]
    show: Show,
    /// Listen for apps on a socket of its own instead of the session bus: for machines without dbus-daemon
    #[arg(long, value_name = "SOCKET")]
    peer: Option<PathBuf>,
    /// Show notifications on the desktop of this session bus, and not of the one where apps are
    #[arg(long, value_name = "ADDRESS", hide = true)]
    desktop_bus: Option<String>,
}

/// Where notifications are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Show {
    /// On the desktop or the phone
    Desktop,
    /// In this terminal, drawn as boxes
    Terminal,
    /// Nowhere
    Nothing,
}

/// Runs the push service.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let folders = helpers::Folders::of_environment();
    let (config, folder) = configure(arguments, &folders)?;
    enrol_if_new(arguments.enrol.as_deref(), &folder)?;
    let identity = Identity::of(&config, &folder)?;
    let (servers, first) = identity.servers(&config)?;
    let link = link(&config, &folder, identity.speech(&config), servers)?;
    let registry = identity.registry(&config, &folder)?;
    let daemon = Daemon::start(options(arguments, &config, folders, &folder, link, registry)?)?;
    stop_on_signals(daemon.stopper())?;
    watch_networks(daemon.networks(), first)?;
    Ok(daemon.run()?)
}

/// What is configured, and the state folder; from now on there is a log.
fn configure(arguments: &Arguments, folders: &helpers::Folders) -> Result<(Config, PathBuf), Failure> {
    let mut config = Config::load(arguments.config.as_deref(), folders)?;
    let folder = arguments
        .state
        .clone()
        .or_else(|| config.state.clone())
        .unwrap_or_else(|| folders.data_home.join(OWN_FOLDER));
    // Somebody who gives a code is about to be enrolled.
    let is_enrolled = arguments.enrol.is_some() || state_folder::is_enrolled(&folder);
    let existing = match existing() {
        Err(problem) if !is_enrolled => return Err(Failure::Usage(problem)),
        existing => existing,
    };
    if let Ok(Some((_, existing))) = &existing {
        config.fill_from(existing.clone(), is_enrolled);
    }
    logging::start_from(config.log_level.unwrap_or(LevelFilter::Info));
    match existing {
        Ok(Some((path, _))) => log::info!("what is not said otherwise, {} says", path.display()),
        Ok(None) => {}
        Err(problem) => log::warn!("not used: {problem}"),
    }
    Ok((config, folder))
}

impl From<DaemonError> for Failure {
    fn from(error: DaemonError) -> Failure {
        Failure::Run(error.to_string())
    }
}

/// A server on this machine is reached without any network. To find out, its name may have to be looked up,
/// which takes long where nobody answers: apps are served meanwhile.
fn watch_networks(networks: Networks, server_addr: String) -> Result<(), Failure> {
    let watch = move || {
        if enrol::is_here(&server_addr) {
            return networks.tell(Network::On("this machine".into()));
        }
        let told = networks.clone();
        if let Err(error) = network::watch(move |network| told.tell(network)) {
            log::warn!("networks cannot be watched: {error}");
            networks.tell(Network::On("an unknown network".into()));
        }
    };
    thread::Builder::new().name("networks".into()).spawn(watch)?;
    Ok(())
}

/// What the configuration of the existing push service says, where that was or is installed; or why it cannot be used.
fn existing() -> Result<Option<(PathBuf, LegacyConfig)>, String> {
    let places = legacy_config::places(|variable| env::var_os(variable).map(PathBuf::from));
    let Some(path) = places.into_iter().find(|path| path.is_file()) else { return Ok(None) };
    let text = fs::read(&path).map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
    let config = LegacyConfig::parse(&text, &path).map_err(|error| error.to_string())?;
    Ok(Some((path, config)))
}

fn enrol_if_new(code: Option<&str>, folder: &Path) -> Result<(), Failure> {
    match code {
        Some(code) if !state_folder::is_enrolled(folder) => enrol::enrol(code, folder, None).map(drop),
        _ => Ok(()),
    }
}

fn options(
    arguments: &Arguments,
    config: &Config,
    folders: helpers::Folders,
    folder: &Path,
    link: LinkOptions,
    registry: Registry,
) -> Result<daemon::Options, Failure> {
    let session = env::var("DBUS_SESSION_BUS_ADDRESS").ok().filter(|address| !address.is_empty());
    let settings = config.settings().map_err(Failure::Usage)?;
    Ok(daemon::Options {
        folder: folder.to_owned(),
        bytes_per_app_max: config.mailbox_bytes_per_app_max,
        settings_app: config.settings_app.clone(),
        image: config.image.clone(),
        link,
        bus: bus(arguments, session.as_deref()).map(|address| (address, config.check_callers.into())),
        presenter: presenter::Options {
            surface: surface(arguments.show, arguments.desktop_bus.clone().or(session)),
            settings,
            folders: Folders { own: folders.data_home.clone(), shared: folders.data_dirs.clone() },
            default_sound: config.default_sound.clone(),
            default_vibration: config.default_vibration.clone(),
        },
        helpers: helpers(config, folders)?,
        is_simulating: arguments.simulate,
        registry,
        is_once: arguments.once,
    })
}

/// Without a bus there are no apps to serve, and messages are kept for when there is one.
fn bus(arguments: &Arguments, session: Option<&str>) -> Option<bus::Address> {
    if let Some(socket) = &arguments.peer {
        return Some(bus::Address::Peer(socket.clone()));
    }
    if session.is_none() {
        log::warn!("DBUS_SESSION_BUS_ADDRESS is not set: apps cannot reach the push service");
    }
    session.map(|address| bus::Address::At(address.to_owned()))
}

fn surface(show: Show, session: Option<String>) -> Surface {
    match (show, session) {
        (Show::Desktop, Some(session)) => {
            Surface::Desktop(Addresses { session, system: bus::system_address() })
        }
        (Show::Terminal, _) => Surface::Terminal(Box::new(|text| {
            // Nobody may be left to see it.
            let _ = writeln!(io::stdout(), "{text}");
        })),
        (Show::Desktop, None) | (Show::Nothing, _) => Surface::Nowhere,
    }
}

fn link(config: &Config, folder: &Path, speech: Speech, servers: Servers) -> Result<LinkOptions, Failure> {
    Ok(LinkOptions {
        speech,
        servers,
        connect_timeout: config.connect_timeout.unwrap_or(CONNECT_TIMEOUT_DEFAULT),
        exchange_timeout: config.exchange_timeout.unwrap_or(EXCHANGE_TIMEOUT_DEFAULT),
        folder: Some(folder.to_owned()),
        power: Power::of_this_machine()?,
    })
}

fn helpers(config: &Config, folders: helpers::Folders) -> Result<Helpers, Failure> {
    let options = helpers::Options {
        time_limit: config.helper_timeout,
        confinement: config.helper_confinement.into(),
        ..helpers::Options::default()
    };
    Helpers::new(folders, options).map_err(|error| Failure::Usage(error.to_string()))
}

/// The first signal has the service take its leave; another ends the process at once.
fn stop_on_signals(stopper: Stopper) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || {
        let mut received = signals.forever();
        received.next();
        let again = thread::spawn(move || stopper.stop());
        received.next();
        drop(again);
        std::process::exit(1);
    });
    Ok(())
}
