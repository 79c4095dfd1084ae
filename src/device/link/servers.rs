//! Where a device's servers are: as it was told, or as an API says.

use log::debug;

use super::discovery::Discovery;
use crate::device::Server;
use crate::device::clock::now;
use crate::device::watch::{Watch, Woken};
use crate::http::ASK_TIMEOUT;

/// The servers that a device may connect to.
pub enum Servers {
    /// These, tried in this order.
    At(Vec<Server>),
    /// Those that an API names.
    Discovered(Discovery),
}

/// Why there is no server to be tried.
#[derive(Debug)]
pub(super) enum NoServers {
    /// The watch was called while the API was asked.
    Called,
    /// The API does not say.
    Unknown(String),
}

impl Servers {
    /// Those to be tried now. An API is asked elsewhere, and left there if `watch` is called.
    pub(super) fn list(&mut self, watch: &Watch) -> Result<Vec<Server>, NoServers> {
        match self {
            Servers::At(servers) => Ok(servers.clone()),
            Servers::Discovered(discovery) => match discovery.known(now()) {
                Some(servers) => Ok(servers),
                None => ask_or_go_home(discovery, watch),
            },
        }
    }

    /// None of those was the right one, or could be reached.
    pub(super) fn forget(&mut self) {
        if let Servers::Discovered(discovery) = self {
            discovery.forget();
        }
    }
}

fn ask_or_go_home(discovery: &mut Discovery, watch: &Watch) -> Result<Vec<Server>, NoServers> {
    match (ask(discovery, watch), discovery.home()) {
        (Err(NoServers::Unknown(problem)), Some(home)) => {
            debug!("{problem}");
            Ok(home)
        }
        (outcome, _) => outcome,
    }
}

fn ask(discovery: &mut Discovery, watch: &Watch) -> Result<Vec<Server>, NoServers> {
    let unknown = |problem: &dyn std::error::Error| {
        NoServers::Unknown(format!("where the servers are cannot be found out: {problem}"))
    };
    let question = discovery.question();
    let asked = watch.elsewhere(now() + ASK_TIMEOUT, move || question.ask());
    match asked.map_err(|error| unknown(&error))? {
        Ok(answer) => {
            let learnt = answer.and_then(|hosts| discovery.learn(&hosts, now()));
            learnt.map_err(|error| unknown(&error))
        }
        Err(Woken::Called) => Err(NoServers::Called),
        Err(_) => Err(NoServers::Unknown("the API that names the servers does not answer".into())),
    }
}
