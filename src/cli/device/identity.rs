//! As whom the push service speaks, to which servers, and whom it believes: out of the enrolment, the
//! configuration, and the machine's own id.

use std::fs;
use std::path::Path;

use super::config::{Config, Wire};
use crate::base::DeviceId;
use crate::cli::{Failure, state_folder};
use crate::device::legacy_config::Addr;
use crate::device::link::{Discovery, HOSTS_EXPIRY_DEFAULT, Servers, Speech};
use crate::device::registrar::Registry;
use crate::device::state::State;
use crate::device::{Server, authorities, machine};
use crate::http::{Api, Url};
use crate::protocol::enrolment_code::ServerAddress;
use crate::protocol::{wire0, wire1};
use crate::tls::{DeviceOptions, ServerName, Trust, Versions, device_config};

/// The file of the apps' tokens in the state folder.
const TOKENS_FILE: &str = "tokens.json";

/// Who the device is.
pub enum Identity {
    /// The one that enrolled.
    Enrolled(State),
    /// The one that its machine's id makes it: for servers that ask for no proof, and on wire 0 alone.
    Machine(DeviceId),
}

impl Identity {
    /// Who is enrolled in `folder`; nobody needs to be where wire 0 is asked for.
    pub fn of(config: &Config, folder: &Path) -> Result<Identity, Failure> {
        if state_folder::is_enrolled(folder) {
            return state_folder::load(folder).map(Identity::Enrolled);
        }
        if config.wire != Wire::Zero {
            return Err(not_enrolled(folder));
        }
        let device = machine::device_id().ok_or_else(|| {
            Failure::Usage("no device is enrolled, and this machine has no id: /etc/machine-id".into())
        })?;
        log::info!("no device is enrolled: this one is what its machine's id makes it");
        Ok(Identity::Machine(device))
    }

    /// What the device says of itself.
    pub fn speech(&self, config: &Config) -> Speech {
        let wire0 = self.wire0(config);
        match (self, config.wire) {
            (Identity::Machine(_), _) | (_, Wire::Zero) => Speech::Wire0(wire0),
            (Identity::Enrolled(state), Wire::One) => Speech::Wire1(wire1(config, state)),
            (Identity::Enrolled(state), Wire::Auto) => Speech::Either(wire0, wire1(config, state)),
        }
    }

    fn wire0(&self, config: &Config) -> wire0::Connect {
        let authorization = match self {
            Identity::Enrolled(state) => format!("Bearer {}", state.credential.reveal()),
            Identity::Machine(_) => String::new(),
        };
        let (channel, model) = config.image.split_once('/').unwrap_or(("?", "?"));
        wire0::Connect {
            authorization,
            model: model.into(),
            image_channel: channel.into(),
            ..wire0::Connect::new(self.device().clone())
        }
    }

    fn device(&self) -> &DeviceId {
        match self {
            Identity::Enrolled(state) => &state.device,
            Identity::Machine(device) => device,
        }
    }

    /// Where its servers are, and what is asked first for them, `HOST:PORT`.
    pub fn servers(&self, config: &Config) -> Result<(Servers, String), Failure> {
        match (&config.addr, self) {
            (Some(Addr::Discovered(url)), _) => {
                let asked = asked_at(url)?;
                Ok((Servers::Discovered(self.discovery(config, url)?), asked))
            }
            (Some(Addr::Fixed(addrs)), _) => {
                let servers = addrs.iter().map(|addr| self.server(config, addr));
                let first = addrs.first().map(ServerAddress::to_string).unwrap_or_default();
                Ok((Servers::At(servers.collect::<Result<_, _>>()?), first))
            }
            (None, Identity::Enrolled(state)) => Ok((self.home(config, state)?, state.server.to_string())),
            (None, Identity::Machine(_)) => Err(Failure::Usage(
                "no device is enrolled, and nothing says where the server is: set addr in device.toml".into(),
            )),
        }
    }

    /// The server where it enrolled. Should that be lost, its API may know others.
    fn home(&self, config: &Config, state: &State) -> Result<Servers, Failure> {
        let server = self.server(config, &state.server)?;
        Ok(match self.api(config) {
            Some(base) => Servers::Discovered(self.discovery(config, &base)?.with_home(server)),
            None => Servers::At(vec![server]),
        })
    }

    fn discovery(&self, config: &Config, url: &str) -> Result<Discovery, Failure> {
        let trust = self.trust(config)?;
        let tls = device_config(&trust, options(config)).map_err(unusable)?;
        let expiry = config.hosts_cache_expiry.unwrap_or(HOSTS_EXPIRY_DEFAULT);
        Ok(Discovery::new(url, self.device(), trust, tls, expiry)?)
    }

    fn server(&self, config: &Config, addr: &ServerAddress) -> Result<Server, Failure> {
        let tls = device_config(&self.trust(config)?, options(config)).map_err(unusable)?;
        Ok(Server { addr: addr.to_string(), name: self.name_of(addr)?, tls })
    }

    /// What a server at this address calls itself.
    fn name_of(&self, addr: &ServerAddress) -> Result<ServerName<'static>, Failure> {
        let name = match self {
            Identity::Enrolled(state) => state.name.as_str(),
            Identity::Machine(_) => addr.host(),
        };
        let refuse = |_| Failure::Usage(format!("no certificate can be for `{}`", name.escape_debug()));
        ServerName::try_from(name.to_owned()).map_err(refuse)
    }

    fn trust(&self, config: &Config) -> Result<Trust, Failure> {
        match (&config.ca, self) {
            (Some(file), _) => named(file),
            (None, Identity::Enrolled(state)) => Ok(Trust::Pin(state.pin)),
            (None, Identity::Machine(_)) => Ok(authorities::of_the_system()),
        }
    }

    /// Who gives its apps tokens. The tokens are kept in `folder`.
    pub fn registry(self, config: &Config, folder: &Path) -> Result<Registry, Failure> {
        let base = self.api(config);
        if base.is_none() {
            log::warn!("nothing says where the server's HTTP API is: apps get no tokens (set api)");
        }
        let trust = self.trust(config)?;
        let api = base.map(|base| Api::new(&base, Some(trust))).transpose()?;
        let (device, credential) = match self {
            Identity::Enrolled(state) => (state.device, Some(state.credential)),
            Identity::Machine(device) => (device, None),
        };
        Ok(Registry { api, device, credential, file: folder.join(TOKENS_FILE) })
    }

    /// Whoever names servers gives tokens, too, unless told otherwise.
    fn api(&self, config: &Config) -> Option<String> {
        let told = match self {
            Identity::Enrolled(state) => state.api.clone(),
            Identity::Machine(_) => None,
        };
        let naming = match &config.addr {
            Some(Addr::Discovered(url)) => Some(Discovery::base(url).to_owned()),
            _ => None,
        };
        config.api.clone().or(told).or(naming)
    }
}

fn wire1(config: &Config, state: &State) -> wire1::Connect {
    wire1::Connect {
        credential: state.credential.as_bytes().to_vec(),
        image: config.image.clone(),
        ..wire1::Connect::new(state.device.clone(), config.keepalive_max)
    }
}

fn options(config: &Config) -> DeviceOptions {
    DeviceOptions {
        versions: if config.wire == Wire::One { Versions::Tls13 } else { Versions::Both },
        ..DeviceOptions::default()
    }
}

fn asked_at(url: &str) -> Result<String, Failure> {
    let url: Url = url.parse().map_err(|error| Failure::Usage(format!("addr: {error}")))?;
    Ok(url.addr())
}

fn named(file: &Path) -> Result<Trust, Failure> {
    let unreadable = |error| Failure::Usage(format!("{}: cannot be read: {error}", file.display()));
    fs::read(file).map(Trust::CaPem).map_err(unreadable)
}

fn unusable(error: impl std::fmt::Display) -> Failure {
    Failure::Usage(format!("whom to believe is not known: {error}"))
}

fn not_enrolled(folder: &Path) -> Failure {
    let folder = folder.display();
    Failure::Usage(format!(
        "{folder}: no device is enrolled here: `lomiri-push device enrol CODE --state {folder}` enrols one, with a code \
         from the server's operator (`lomiri-push enrol-code --user NAME`). With a server that asks for no enrolment, \
         set wire = \"0\" and addr in device.toml"
    ))
}
