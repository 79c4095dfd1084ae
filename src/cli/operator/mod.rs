//! What the operator asks of the running server, one file a command. The server's configuration tells where
//! it answers and where its operator's key is; what is asked goes through its HTTP API like anybody's.

pub mod app_key;
pub mod devices;
pub mod enrol_code;
pub mod erase;
pub mod key;
pub mod revoke;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::Failure;
use super::config::{CertificateFiles, Config, Flags, Surroundings};
use crate::base::Credential;
use crate::http::{Api, AskError, Request};
use crate::tls::{Trust, pin_of};

/// Which server is asked.
#[derive(clap::Args)]
struct ServerArguments {
    /// The configuration that the server runs with [default: what `serve` does without one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the server's HTTP API listens, over the configuration
    #[arg(long, value_name = "IP:PORT")]
    http_addr: Option<String>,
    /// Where the server keeps its data, over the configuration
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<String>,
}

/// The running server, and the right to ask it.
struct Operator {
    api: Api,
    key: Credential,
}

impl ServerArguments {
    fn operator(self) -> Result<Operator, Failure> {
        // The limit on open files is the server's business, not of who asks it.
        let around = Surroundings::look(usize::MAX);
        let flags = Flags::of_server(self.http_addr, self.data_dir);
        Operator::of(&Config::load(self.config.as_deref(), flags, &around)?)
    }
}

impl Operator {
    fn of(config: &Config) -> Result<Operator, Failure> {
        let folder = config.data_dir.path();
        let key = key::read(folder).map_err(|error| {
            let path = key::key_path(folder);
            Failure::Run(match error.kind() {
                ErrorKind::NotFound => {
                    format!(
                        "{}: no operator's key yet: start the server first (lomiri-push serve)",
                        path.display()
                    )
                }
                ErrorKind::PermissionDenied => {
                    format!("{}: {error}: only the server's own user may ask", path.display())
                }
                _ => format!("{}: {error}", path.display()),
            })
        })?;
        let scheme = if config.http_certificate.is_some() { "https" } else { "http" };
        let base = format!("{scheme}://{}", reachable(config.http_addr)?);
        let trust = config.http_certificate.as_ref().map(trust).transpose()?;
        Ok(Operator { api: Api::new(&base, trust)?, key })
    }

    /// Asks; what the server says if it does not do it is the failure.
    fn ask<T: DeserializeOwned>(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Failure> {
        self.try_to_ask(method, path, body).map_err(|error| self.explain(&error))
    }

    /// Has something deleted, where all that matters is that it was done. `unknown` is the failure if there is no
    /// such thing.
    fn delete(&self, path: &str, unknown: String) -> Result<(), Failure> {
        match self.try_to_ask::<IgnoredAny>("DELETE", path, None) {
            Ok(_) => Ok(()),
            Err(AskError::Refused { status: 404, .. }) => Err(Failure::Run(unknown)),
            Err(error) => Err(self.explain(&error)),
        }
    }

    fn try_to_ask<T: DeserializeOwned>(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, AskError> {
        let bearer = self.key.reveal();
        self.api.ask_for(&Request { method, path, bearer: Some(&bearer), body: body.map(Value::to_string) })
    }

    fn explain(&self, error: &AskError) -> Failure {
        Failure::Run(match error {
            AskError::Io(error) if error.kind() == ErrorKind::ConnectionRefused => {
                format!("{}: no server runs there: start it (lomiri-push serve)", self.api.base())
            }
            AskError::Refused { .. } => error.to_string(),
            _ => format!("{}: {error}", self.api.base()),
        })
    }
}

/// Where the API is reached from this machine.
fn reachable(listening: SocketAddr) -> Result<SocketAddr, Failure> {
    let ip = match listening.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        // Such a socket takes IPv4 as well, and not every machine has IPv6.
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    match listening.port() {
        0 => Err(Failure::Usage(
            "http_addr has port 0, so where the server listens is not known: give --http-addr".into(),
        )),
        port => Ok((ip, port).into()),
    }
}

/// The API's own certificate is the only one that counts.
fn trust(certificate: &CertificateFiles) -> Result<Trust, Failure> {
    let chain = &certificate.chain;
    let shown = CertificateDer::from_pem_slice(&chain.read()?);
    let shown = shown.map_err(|_| chain.refuse("no certificate in it".into()))?;
    Ok(Trust::Pin(pin_of(&shown).map_err(|error| chain.refuse(error.to_string()))?))
}

/// `text` as one segment of a path (RFC 3986): whatever it holds, it steers nothing.
fn segment(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encoded = |byte: u8| if is_plain(byte) { char::from(byte).into() } else { format!("%{byte:02X}") };
    text.bytes().map(encoded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_all_addresses_is_asked_on_this_machine() {
        let reached =
            |text: &str| reachable(text.parse().expect("an address")).ok().map(|addr| addr.to_string());
        assert_eq!(reached("0.0.0.0:80").as_deref(), Some("127.0.0.1:80"));
        assert_eq!(reached("[::]:80").as_deref(), Some("127.0.0.1:80"));
        assert_eq!(reached("[::1]:80").as_deref(), Some("[::1]:80"));
        assert_eq!(reached("127.0.0.1:0"), None);
    }

    #[test]
    fn a_segment_steers_nothing() {
        assert_eq!(segment("carol-1._~"), "carol-1._~");
        assert_eq!(segment("a/b?c#d e\r\nü%"), "a%2Fb%3Fc%23d%20e%0D%0A%C3%BC%25");
    }
}
