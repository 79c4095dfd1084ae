//! `device`: turns arguments, configuration and the state folder into the push service's options, and runs it
//! until a signal comes.

use std::env;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::config::{Config, Wire};
use super::enrol;
use crate::cli::{Failure, authority, logging, state_folder};
use crate::device::daemon::{self, Daemon, DaemonError, Networks, Stopper};
use crate::device::helpers::{self, Helpers};
use crate::device::link::{LinkOptions, Servers, Speech};
use crate::device::network::{self, Network};
use crate::device::power::Power;
use crate::device::presenter::{self, Addresses, Folders, Surface};
use crate::device::registrar::Registry;
use crate::device::state::State;
use crate::device::{Server, bus};
use crate::http::Api;
use crate::protocol::{wire0, wire1};
use crate::session::device::EXCHANGE_TIMEOUT_DEFAULT;
use crate::tls::{DeviceOptions, ServerName, Trust, device_config};

/// Where the push service keeps who it is and what it has, below the user's data, unless told otherwise.
const OWN_FOLDER: &str = "lomiri-push";
/// The file of the apps' tokens in the state folder.
const TOKENS_FILE: &str = "tokens.json";

#[derive(clap::Args)]
#[group(skip)]
pub struct Arguments {
    /// The configuration [default: lomiri-push/device.toml in the XDG configuration folders, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to keep who this device is, and its mailbox [default: ~/.local/share/lomiri-push]
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// Enrol by this code from the server's operator first, if this machine is not enrolled yet; - reads it
    /// from standard input
    #[arg(long, value_name = "CODE")]
    enrol: Option<String>,
    /// End when all that waits has come and was shown
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
    logging::start();
    let folders = helpers::Folders::of_environment();
    let config = Config::load(arguments.config.as_deref(), &folders)?;
    let folder = arguments
        .state
        .clone()
        .or_else(|| config.state.clone())
        .unwrap_or_else(|| folders.data_home.join(OWN_FOLDER));
    enrol_if_new(arguments.enrol.as_deref(), &folder)?;
    let state = state_folder::load(&folder)?;
    let server_addr = config.addr.clone().unwrap_or_else(|| state.server.to_string());
    let daemon = Daemon::start(options(arguments, &config, folders, &folder, state)?)?;
    watch_networks(daemon.networks(), &server_addr)?;
    stop_on_signals(daemon.stopper())?;
    Ok(daemon.run()?)
}

impl From<DaemonError> for Failure {
    fn from(error: DaemonError) -> Failure {
        Failure::Run(error.to_string())
    }
}

/// A server on this machine is reached without any network.
fn watch_networks(networks: Networks, server_addr: &str) -> Result<(), Failure> {
    if enrol::is_here(server_addr) {
        networks.tell(Network::On("this machine".into()));
        return Ok(());
    }
    Ok(network::watch(move |network| networks.tell(network))?)
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
    state: State,
) -> Result<daemon::Options, Failure> {
    let session = env::var("DBUS_SESSION_BUS_ADDRESS").ok().filter(|address| !address.is_empty());
    let settings = config.settings().map_err(Failure::Usage)?;
    Ok(daemon::Options {
        folder: folder.to_owned(),
        bytes_per_app_max: config.mailbox_bytes_per_app_max,
        settings_app: config.settings_app.clone(),
        image: config.image.clone(),
        link: link(config, folder, &state)?,
        bus: bus(arguments, session.as_deref()).map(|address| (address, config.check_callers.into())),
        presenter: presenter::Options {
            surface: surface(arguments.show, session),
            settings,
            folders: Folders { own: folders.data_home.clone(), shared: folders.data_dirs.clone() },
            default_sound: config.default_sound.clone(),
            default_vibration: None,
        },
        helpers: helpers(config, folders)?,
        is_simulating: arguments.simulate,
        registry: registry(config, folder, state)?,
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
            Surface::Desktop(Addresses { session, system: env::var("DBUS_SYSTEM_BUS_ADDRESS").ok() })
        }
        (Show::Terminal, _) => Surface::Terminal(Box::new(|text| {
            // Nobody may be left to see it.
            let _ = writeln!(io::stdout(), "{text}");
        })),
        (Show::Desktop, None) | (Show::Nothing, _) => Surface::Nowhere,
    }
}

fn link(config: &Config, folder: &Path, state: &State) -> Result<LinkOptions, Failure> {
    let (model, channel) =
        config.image.split_once('/').map_or(("?", "?"), |(channel, model)| (model, channel));
    let wire1 = wire1::Connect {
        credential: state.credential.as_bytes().to_vec(),
        image: config.image.clone(),
        ..wire1::Connect::new(state.device.clone(), config.keepalive_max)
    };
    let wire0 = wire0::Connect {
        authorization: format!("Bearer {}", state.credential.reveal()),
        model: model.into(),
        image_channel: channel.into(),
        ..wire0::Connect::new(state.device.clone())
    };
    let speech = match config.wire {
        Wire::Auto => Speech::Either(wire0, wire1),
        Wire::Zero => Speech::Wire0(wire0),
        Wire::One => Speech::Wire1(wire1),
    };
    Ok(LinkOptions {
        speech,
        servers: Servers::At(vec![server(config, state)?]),
        exchange_timeout: EXCHANGE_TIMEOUT_DEFAULT,
        folder: Some(folder.to_owned()),
        power: Power::of_this_machine()?,
    })
}

fn server(config: &Config, state: &State) -> Result<Server, Failure> {
    let trust = trust(config, state)?;
    let refuse = |problem: String| Failure::Usage(problem);
    let name = ServerName::try_from(state.name.clone())
        .map_err(|_| refuse(format!("no certificate can be for `{}`", state.name.escape_debug())))?;
    let options = DeviceOptions { tls13_only: config.wire == Wire::One, post_quantum: false };
    let tls = device_config(&trust, options).map_err(|error| refuse(error.to_string()))?;
    Ok(Server { addr: config.addr.clone().unwrap_or_else(|| state.server.to_string()), name, tls })
}

fn trust(config: &Config, state: &State) -> Result<Trust, Failure> {
    config.ca.as_deref().map_or(Ok(Trust::Pin(state.pin)), authority::named)
}

fn registry(config: &Config, folder: &Path, state: State) -> Result<Registry, Failure> {
    let base = config.api.clone().or_else(|| state.api.clone());
    if base.is_none() {
        log::warn!("the server has not told where its HTTP API is: apps get no tokens (set api)");
    }
    let api =
        base.map(|base| Ok::<_, Failure>(Api::new(&base, Some(trust(config, &state)?))?)).transpose()?;
    let file = folder.join(TOKENS_FILE);
    Ok(Registry { api, device: state.device, credential: Some(state.credential), file })
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
