//! Asks an HTTP API where a device's servers are, as deployed devices do: `GET /delivery-hosts`. It asks when
//! it has to, and not when it is told.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::murmur3::murmur3_64;
use crate::base::{DeviceId, Monotonic};
use crate::device::Server;
use crate::http::{Api, AskError, BaseError, Request};
use crate::protocol::enrolment_code::ServerAddress;
use crate::tls::{ClientConfig, ServerName, Trust};

/// Where the answer is, behind the API's base.
const PATH: &str = "/delivery-hosts";
/// How long deployed devices hold on to an answer.
pub const HOSTS_EXPIRY_DEFAULT: Duration = Duration::from_secs(12 * 3_600);
/// So many servers of an answer are tried at most: each costs a device that is cut off its patience.
const HOSTS_MAX: usize = 8;

/// The servers that an API names, which are known for a while.
pub struct Discovery {
    question: Arc<Question>,
    tls: Arc<ClientConfig>,
    /// How long an answer holds.
    expiry: Duration,
    /// What the API has named last.
    named: Option<(Monotonic, Vec<Server>)>,
    /// The server that is known without the API.
    home: Option<Server>,
    /// Whether that has turned out to be the wrong one, or could not be reached.
    is_home_lost: bool,
}

/// What is asked, on a thread of its own.
pub(super) struct Question {
    api: Api,
    path: String,
}

/// What an API answers.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Hosts {
    hosts: Vec<String>,
    domain: String,
}

impl Discovery {
    /// Asks the API at this base, with or without `/delivery-hosts` at its end, which is believed as `trust`
    /// says; what it names is believed as `tls` says. An answer holds for `expiry`.
    pub fn new(
        base: &str,
        device: &DeviceId,
        trust: Trust,
        tls: Arc<ClientConfig>,
        expiry: Duration,
    ) -> Result<Discovery, BaseError> {
        let api = Api::new(Discovery::base(base), Some(trust))?;
        let path = format!("{PATH}?h={:x}", murmur3_64(device.as_str().as_bytes()));
        let question = Arc::new(Question { api, path });
        Ok(Discovery { question, tls, expiry, named: None, home: None, is_home_lost: false })
    }

    /// The same for a device that has a server already: the API is asked only once that is lost, and it stays
    /// among those that are tried. All are believed as it is, and TLS goes on with them where it left off.
    pub fn with_home(self, home: Server) -> Discovery {
        Discovery { tls: home.tls.clone(), home: Some(home), ..self }
    }

    /// The base of the API at this URL, which may end in `/delivery-hosts`.
    pub fn base(url: &str) -> &str {
        let url = url.trim_end_matches('/');
        url.strip_suffix(PATH).unwrap_or(url)
    }

    /// What is known at `now`.
    pub(super) fn known(&self, now: Monotonic) -> Option<Vec<Server>> {
        let named = self.named.as_ref().filter(|(since, _)| now.since(*since) < self.expiry);
        let home = || self.home().filter(|_| !self.is_home_lost);
        named.map(|(_, servers)| servers.clone()).or_else(home)
    }

    /// What is left to be tried if the API does not answer.
    pub(super) fn home(&self) -> Option<Vec<Server>> {
        self.home.clone().map(|home| vec![home])
    }

    /// What is to be asked if nothing is.
    pub(super) fn question(&self) -> Arc<Question> {
        self.question.clone()
    }

    /// Takes an answer. Fails if it names no server that could be one.
    pub(super) fn learn(&mut self, hosts: &Hosts, now: Monotonic) -> Result<Vec<Server>, AskError> {
        let mut servers = hosts.servers(&self.tls).ok_or(AskError::Answer("the answer names no server"))?;
        let is_named = |home: &Server| servers.iter().any(|server| server.addr == home.addr);
        servers.extend(self.home.clone().filter(|home| !is_named(home)));
        self.named = Some((now, servers.clone()));
        Ok(servers)
    }

    /// What is known has turned out to be wrong.
    pub(super) fn forget(&mut self) {
        self.named = None;
        self.is_home_lost = true;
    }
}

impl Question {
    /// Asks, and blocks meanwhile.
    pub fn ask(&self) -> Result<Hosts, AskError> {
        self.api.ask_for(&Request { method: "GET", path: &self.path, bearer: None, body: None })
    }
}

impl Hosts {
    /// None if there is none.
    fn servers(&self, tls: &Arc<ClientConfig>) -> Option<Vec<Server>> {
        let name = ServerName::try_from(self.domain.clone()).ok()?;
        let addresses = self.hosts.iter().filter_map(|host| host.parse::<ServerAddress>().ok());
        let server =
            |addr: ServerAddress| Server { addr: addr.to_string(), name: name.clone(), tls: tls.clone() };
        let servers: Vec<Server> = addresses.take(HOSTS_MAX).map(server).collect();
        Some(servers).filter(|servers| !servers.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{DeviceOptions, device_config};

    fn discovery(base: &str) -> Discovery {
        let tls = device_config(&Trust::Insecure, DeviceOptions::default()).expect("nothing to read");
        let device = "hello".parse().expect("valid");
        Discovery::new(base, &device, Trust::Insecure, tls, Duration::from_secs(60)).expect("a base")
    }

    fn hosts(hosts: &[&str], domain: &str) -> Hosts {
        Hosts { hosts: hosts.iter().map(|host| host.to_string()).collect(), domain: domain.to_owned() }
    }

    #[test]
    fn a_base_may_say_where_the_answer_is() {
        for base in ["http://127.0.0.1:1/a", "http://127.0.0.1:1/a/", "http://127.0.0.1:1/a/delivery-hosts"] {
            let Question { api, path } = &*discovery(base).question;
            assert_eq!(
                (api.base().as_str(), path.as_str()),
                ("http://127.0.0.1:1/a", "/delivery-hosts?h=cbd8a7b341bd9b02")
            );
        }
    }

    #[test]
    fn an_answer_holds_until_it_expires_or_is_forgotten() {
        let mut discovery = discovery("http://127.0.0.1:1");
        let now = Monotonic(Duration::from_secs(100));
        let hosts = hosts(&["a.example:443", "nonsense", "b.example:443"], "push.example");
        let servers = discovery.learn(&hosts, now).expect("two servers");
        let addrs: Vec<&str> = servers.iter().map(|server| server.addr.as_str()).collect();
        assert_eq!(addrs, ["a.example:443", "b.example:443"]);
        assert_eq!(servers[0].name, ServerName::try_from("push.example").expect("a name"));
        assert!(discovery.known(now + Duration::from_secs(59)).is_some());
        assert!(discovery.known(now + Duration::from_secs(60)).is_none());
        discovery.forget();
        assert!(discovery.known(now).is_none());
    }

    #[test]
    fn a_device_with_a_server_asks_once_that_is_lost_and_tries_it_last() {
        let discovery = discovery("http://127.0.0.1:1");
        let name = ServerName::try_from("push.example").expect("a name");
        let home = Server { addr: "home.example:443".into(), name, tls: discovery.tls.clone() };
        let mut discovery = discovery.with_home(home);
        let now = Monotonic::default();
        let addrs = |servers: Option<Vec<Server>>| {
            servers.map(|servers| servers.into_iter().map(|server| server.addr).collect::<Vec<_>>())
        };
        let home = Some(vec!["home.example:443".to_owned()]);
        assert_eq!(addrs(discovery.known(now)), home);
        discovery.forget();
        assert_eq!(addrs(discovery.known(now)), None);
        assert_eq!(addrs(discovery.home()), home);
        let named = discovery.learn(&hosts(&["a.example:443"], "push.example"), now);
        let both = ["a.example:443", "home.example:443"].map(str::to_owned);
        assert_eq!(addrs(named.ok()), Some(both.into()));
        let named = discovery.learn(&hosts(&["home.example:443"], "push.example"), now);
        assert_eq!(addrs(named.ok()), home, "it is not tried twice");
    }

    #[test]
    fn an_answer_that_names_nobody_is_none() {
        let mut discovery = discovery("http://127.0.0.1:1");
        for hosts in [hosts(&[], "push.example"), hosts(&["x"], "push.example"), hosts(&["a:1"], "!")] {
            assert!(discovery.learn(&hosts, Monotonic::default()).is_err());
        }
        let many = vec!["a.example:443"; 1_000];
        let servers = discovery.learn(&hosts(&many, "push.example"), Monotonic::default());
        assert_eq!(servers.expect("too many").len(), HOSTS_MAX);
    }
}
