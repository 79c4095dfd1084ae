//! How the service does, for people: what `lomiri-push device status` tells. It counts nothing itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::link::News;
use super::{Network, Service, clock};
use crate::base::{AppId, DeviceId, Wall};

/// How the service does, as JSON text says it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// The device's id.
    pub device: String,
    /// Whether it is connected.
    pub connection: Connection,
    /// The network's name; empty while there is none.
    pub network: String,
    /// How long the device stays silent there, in seconds, on wire 1.
    pub keepalive_s: Option<u64>,
    /// Whether it has learnt that the network bears no more.
    pub is_keepalive_settled: bool,
    /// Messages since midnight, or since the service started, if that was later.
    pub messages_today: u64,
    /// What went wrong last, if anything did.
    pub last_problem: Option<Problem>,
    /// How helpers are run.
    pub helpers: String,
    /// Each app that has something.
    pub apps: BTreeMap<String, App>,
}

/// Whether the device is connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Connection {
    /// Not yet: it was never, or not on this network.
    Starting,
    /// It is.
    Connected {
        /// To whom.
        server: String,
        /// On which wire.
        wire: u8,
        /// Since when: milliseconds since 1970.
        since_ms: u64,
    },
    /// It tries again.
    Waiting {
        /// When: milliseconds since 1970.
        until_ms: u64,
    },
    /// There is no network.
    Offline,
}

/// Something that went wrong.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Problem {
    /// When: milliseconds since 1970.
    pub at_ms: u64,
    /// What.
    pub text: String,
}

/// One app's part.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct App {
    /// Messages today.
    pub today: u64,
    /// What waits in its mailbox.
    pub waiting: u64,
}

/// What is known beside the service itself.
#[derive(Debug)]
pub struct Status {
    device: String,
    helpers: String,
    connection: Connection,
    was_connected: bool,
    network: String,
    keepalive: Option<(Duration, bool)>,
    last_problem: Option<Problem>,
}

impl Status {
    /// Of a device that starts.
    pub fn new(device: &DeviceId, helpers: String) -> Status {
        Status {
            device: device.to_string(),
            helpers,
            connection: Connection::Starting,
            was_connected: false,
            network: String::new(),
            keepalive: None,
            last_problem: None,
        }
    }

    /// Whether a server has let the device in since the start.
    pub fn was_connected(&self) -> bool {
        self.was_connected
    }

    /// The link tells how it is.
    pub fn handle_link(&mut self, news: &News) {
        let now = clock::wall(clock::now());
        match news {
            News::Connected { server, wire, is_resumed, .. } => {
                let again = if *is_resumed { ", where TLS went on" } else { "" };
                log::info!("connected to {server} on wire {wire}{again}");
                self.was_connected = true;
                let (server, since_ms) = (server.clone(), now.0);
                self.connection = Connection::Connected { server, wire: *wire, since_ms };
            }
            News::Waiting { wait, problem } => {
                log::info!("not connected: {problem}: trying again in {:.1?}", wait.duration);
                self.connection = Connection::Waiting { until_ms: (now + wait.duration).0 };
                self.note(now, problem.clone());
            }
            News::Offline => self.connection = Connection::Offline,
            News::Moved { wait } => {
                self.connection = match wait.is_zero() {
                    true => Connection::Starting,
                    false => Connection::Waiting { until_ms: (now + *wait).0 },
                };
                // What is known is of the network before.
                self.keepalive = None;
            }
            News::Keepalive { silence, is_settled } => self.keepalive = Some((*silence, *is_settled)),
            News::Came { .. } => {}
        }
    }

    /// The device is there now.
    pub fn handle_network(&mut self, network: &Network) {
        self.network = match network {
            Network::On(name) => name.clone(),
            Network::Offline => String::new(),
        };
    }

    /// All of it, as JSON.
    pub fn text(&self, service: &Service) -> String {
        serde_json::to_string(&self.report(service)).expect("plain data")
    }

    fn note(&mut self, now: Wall, text: String) {
        self.last_problem = Some(Problem { at_ms: now.0, text });
    }

    fn report(&self, service: &Service) -> Report {
        let today = service.tally().messages();
        Report {
            device: self.device.clone(),
            connection: self.connection.clone(),
            network: self.network.clone(),
            keepalive_s: self.keepalive.map(|(silence, _)| silence.as_secs()),
            is_keepalive_settled: self.keepalive.is_some_and(|(_, is_settled)| is_settled),
            messages_today: today.values().sum(),
            last_problem: self.last_problem.clone(),
            helpers: self.helpers.clone(),
            apps: apps(service),
        }
    }
}

fn apps(service: &Service) -> BTreeMap<String, App> {
    let today = service.tally().messages();
    let waiting = |app: &AppId| service.mailbox().entries().filter(|(_, entry)| entry.app == *app).count();
    let with_mail = service.mailbox().entries().map(|(_, entry)| &entry.app);
    let names: BTreeSet<&AppId> = today.keys().chain(with_mail).collect();
    let app = |app: &AppId| App { today: today.get(app).copied().unwrap_or(0), waiting: waiting(app) as u64 };
    names.into_iter().map(|name| (name.to_string(), app(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        Status::new(&"phone".parse().expect("valid"), String::new())
    }

    #[test]
    fn on_another_network_nothing_of_the_one_before_is_true_any_more() {
        let mut status = status();
        let interval = Duration::from_secs(60);
        status.handle_link(&News::Connected { server: "a:1".into(), wire: 1, interval, is_resumed: false });
        status.handle_link(&News::Keepalive { silence: interval, is_settled: true });
        status.handle_link(&News::Moved { wait: Duration::ZERO });
        assert_eq!((&status.connection, status.keepalive), (&Connection::Starting, None));
    }

    #[test]
    fn a_server_that_wants_a_wait_is_waited_for_on_another_network_too() {
        let mut status = status();
        status.handle_link(&News::Moved { wait: Duration::from_secs(3_600) });
        let soon = clock::wall(clock::now()).0 + 3_000_000;
        assert!(matches!(status.connection, Connection::Waiting { until_ms } if until_ms > soon));
    }
}
