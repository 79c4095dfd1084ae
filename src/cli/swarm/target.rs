//! Which server a swarm goes to, and why it may not get there.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::{Failure, authority};
use crate::device::authorities;
use crate::http::Url;
use crate::swarm::{Api, Server};
use crate::tls::{
    ClientConfig, DeviceOptions, Resuming, ServerName, SharedTickets, Trust, Versions, device_config,
};

/// How long a device waits to be let in, and for an answer: longer than any storm that ends.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(clap::Args)]
pub struct TargetArguments {
    /// Where the server listens for devices
    #[arg(long, value_name = "HOST:PORT")]
    addr: String,
    /// Where its HTTP API is, such as http://127.0.0.1:8080: for posts and enrolment
    #[arg(long, value_name = "URL")]
    api: Option<Url>,
    /// How long the API may take for an answer
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = super::longer_than_nothing)]
    timeout: Duration,
    /// Believe a server whose certificate is, or leads to, one in this PEM file [default: what the system believes]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Believe any server: for tries on one's own machine
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
    /// The name in the server's certificate [default: the host of --addr]
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
    /// What devices speak: 0, as deployed phones do, or 1
    #[arg(long, value_name = "VERSION", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    wire: u8,
    /// The version of TLS: 1.2, as old phones have it, or 1.3
    #[arg(long, value_name = "VERSION", default_value = "1.3", value_parser = ["1.2", "1.3"])]
    tls: String,
    /// Once all have come, resume TLS with the tickets of earlier connects [default: each connect is a full handshake]
    #[arg(long)]
    resume: bool,
}

/// A server that can be asked to let devices in.
pub struct Target {
    pub server: Server,
    pub api: Option<Api>,
    /// As the arguments have it.
    pub address: String,
}

impl Target {
    /// For so many devices.
    pub fn of(arguments: &TargetArguments, devices: usize) -> Result<Target, Failure> {
        let trust = match (&arguments.ca, arguments.insecure) {
            (Some(file), _) => authority::named(file)?,
            (None, true) => Trust::Insecure,
            (None, false) => authorities::of_the_system(),
        };
        let host = arguments.addr.rsplit_once(':').map_or(arguments.addr.as_str(), |(host, _)| host);
        let name = arguments.domain.as_deref().unwrap_or(host.trim_matches(['[', ']']));
        let tickets = arguments.resume.then(|| Arc::new(SharedTickets::new(devices)));
        let server = Server {
            address: address_of("--addr", &arguments.addr)?,
            name: ServerName::try_from(name.to_owned()).map_err(|_| {
                Failure::Usage(format!("no certificate can be for `{}`: give --domain", name.escape_debug()))
            })?,
            tls: tls(&trust, arguments.options(tickets.clone())?)?,
            tickets,
            sources: Vec::new(),
            wire: arguments.wire,
            patience: PATIENCE,
            image: Default::default(),
        };
        let api = arguments.api.clone().map(|url| api(url, &trust, arguments.timeout)).transpose()?;
        Ok(Target { server, api, address: arguments.addr.clone() })
    }

    /// Whether the API is there to be asked. A credential does not go over a network in plain text.
    pub fn check_api(&self, has_secrets: bool) -> Result<(), Failure> {
        match &self.api {
            None => Err(Failure::Usage("what is posted goes to the HTTP API: give --api URL".into())),
            Some(api)
                if has_secrets && api.tls.is_none() && !api.address.ip().to_canonical().is_loopback() =>
            {
                Err(Failure::Usage("--api: a credential goes over https, or to this machine only".into()))
            }
            Some(_) => Ok(()),
        }
    }
}

impl TargetArguments {
    fn options(&self, tickets: Option<Arc<SharedTickets>>) -> Result<DeviceOptions, Failure> {
        let versions = if self.tls == "1.2" { Versions::Tls12 } else { Versions::Tls13 };
        if self.resume && versions == Versions::Tls12 {
            return Err(Failure::Usage("--resume: only with --tls 1.3".into()));
        }
        let resuming = tickets.map_or(Resuming::Never, Resuming::Shared);
        Ok(DeviceOptions { versions, resuming, post_quantum: false, slim: true })
    }
}

fn tls(trust: &Trust, options: DeviceOptions) -> Result<Arc<ClientConfig>, Failure> {
    device_config(trust, options)
        .map_err(|error| Failure::Usage(format!("whom to believe: {error}: give --ca")))
}

fn api(url: Url, trust: &Trust, timeout: Duration) -> Result<Api, Failure> {
    let address = address_of("--api", &url.addr())?;
    let tls = url.is_secure().then(|| tls(trust, DeviceOptions::default())).transpose()?;
    Ok(Api { url, address, tls, timeout })
}

fn address_of(flag: &str, text: &str) -> Result<SocketAddr, Failure> {
    let found = text.to_socket_addrs().map(|mut addresses| addresses.next());
    match found {
        Ok(Some(address)) => Ok(address),
        Ok(None) => Err(Failure::Usage(format!("{flag} {text}: no address is known for it"))),
        Err(error) => Err(Failure::Usage(format!("{flag} {text}: {error}: write it like 127.0.0.1:9090"))),
    }
}

/// Why nobody got in, and what helps.
pub fn explain(address: &str, why: &str) -> String {
    let advice = [
        ("connection refused", "no server runs there"),
        ("UnknownIssuer", "its certificate is not trusted: give --ca, or --insecure on your own machine"),
        ("NotValidForName", "its certificate is for another name: give --domain"),
        ("not valid for name", "its certificate is for another name: give --domain"),
        ("certificate", "give --ca or --domain, or --insecure on your own machine"),
        ("unauthorized", "devices must prove themselves: give --operator-key, or --state of an earlier run"),
        ("address not available", "this machine has no more ports for it: give more --source addresses"),
    ];
    match advice.into_iter().find(|(part, _)| why.contains(part)) {
        Some((_, advice)) => format!("{address}: {why}: {advice}"),
        None => format!("{address}: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_helps() {
        assert_eq!(explain("a:1", "connection refused"), "a:1: connection refused: no server runs there");
        assert!(explain("a:1", "TLS: invalid peer certificate: UnknownIssuer").contains("--insecure"));
        assert!(explain("a:1", "sent away by the server: unauthorized").contains("--operator-key"));
        assert_eq!(explain("a:1", "timeout"), "a:1: timeout");
    }
}
