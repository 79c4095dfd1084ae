//! Who connects, where to, and whom it believes: by a state folder, or by flags that say it all.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::{Credential, DeviceId};
use crate::cli::{Failure, authority, state_folder};
use crate::device::state::State;
use crate::device::{Server, authorities};
use crate::protocol::wire1::CREDENTIAL_BYTES_MAX;
use crate::tls::{ClientConfig, DeviceOptions, ServerName, Trust, device_config};

#[derive(clap::Args)]
pub struct WhoArguments {
    /// The folder of a device that is enrolled (`lomiri-push device enrol`): no other flag is needed then
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["device_id", "credential_file", "insecure"])]
    state: Option<PathBuf>,
    /// Where the server listens for devices [default with --state: where it was at the enrolment]
    #[arg(long, value_name = "HOST:PORT", required_unless_present = "state")]
    addr: Option<String>,
    /// Believe a server whose certificate is, or leads to, one in this PEM file [default: what the system
    /// believes, or with --state the server of the enrolment]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Believe any server: for tries on one's own machine
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
    /// The name in the server's certificate [default: the host of --addr]
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
    /// Who to connect as: 1 to 128 characters of ASCII without space
    #[arg(long, value_name = "ID", required_unless_present = "state")]
    device_id: Option<DeviceId>,
    /// A file with the credential, on wire 1: at most 64 bytes, taken as they are
    #[arg(long, value_name = "FILE")]
    credential_file: Option<PathBuf>,
}

/// A device and its server.
pub struct Who {
    /// Where to connect.
    pub server: Server,
    /// Who it is.
    pub device: DeviceId,
    /// What it proves that with.
    pub proof: Proof,
}

/// What a device proves itself with.
pub enum Proof {
    /// What a file holds, or nothing.
    Bytes(Vec<u8>),
    /// What it got at its enrolment.
    Credential(Credential),
}

impl Proof {
    /// As wire 1 carries it.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Proof::Bytes(bytes) => bytes.clone(),
            Proof::Credential(credential) => credential.as_bytes().to_vec(),
        }
    }

    /// As wire 0 carries it, which has a place for text.
    pub fn authorization(&self) -> String {
        match self {
            Proof::Bytes(_) => String::new(),
            Proof::Credential(credential) => format!("Bearer {}", credential.reveal()),
        }
    }
}

impl WhoArguments {
    /// Reads the files that are named.
    pub fn read(&self, options: DeviceOptions) -> Result<Who, Failure> {
        match &self.state {
            Some(folder) => self.enrolled(state_folder::load(folder)?, options),
            None => self.told(options),
        }
    }

    /// As it was enrolled, but for what a flag says otherwise.
    fn enrolled(&self, state: State, options: DeviceOptions) -> Result<Who, Failure> {
        let trust = self.ca.as_deref().map_or(Ok(Trust::Pin(state.pin)), authority::named)?;
        let server = Server {
            addr: self.addr.clone().unwrap_or_else(|| state.server.to_string()),
            name: server_name(self.domain.as_deref().unwrap_or(&state.name))?,
            tls: self.tls(&trust, options)?,
        };
        Ok(Who { server, device: state.device, proof: Proof::Credential(state.credential) })
    }

    /// As the flags say.
    fn told(&self, options: DeviceOptions) -> Result<Who, Failure> {
        const GIVEN: &str = "needed where no state folder is given";
        let addr = self.addr.clone().expect(GIVEN);
        let host = addr.rsplit_once(':').map_or(addr.as_str(), |(host, _)| host);
        let name = server_name(self.domain.as_deref().unwrap_or(host.trim_matches(['[', ']'])))?;
        let trust = match (&self.ca, self.insecure) {
            (Some(file), _) => authority::named(file)?,
            (None, true) => Trust::Insecure,
            (None, false) => authorities::of_the_system(),
        };
        Ok(Who {
            server: Server { addr, name, tls: self.tls(&trust, options)? },
            device: self.device_id.clone().expect(GIVEN),
            proof: Proof::Bytes(credential(self.credential_file.as_deref())?),
        })
    }

    fn tls(&self, trust: &Trust, options: DeviceOptions) -> Result<Arc<ClientConfig>, Failure> {
        device_config(trust, options).map_err(|error| match &self.ca {
            Some(file) => Failure::Usage(format!("--ca {}: {error}", file.display())),
            None => Failure::Usage(format!("whom the system believes: {error}: give --ca")),
        })
    }
}

fn server_name(text: &str) -> Result<ServerName<'static>, Failure> {
    ServerName::try_from(text.to_owned()).map_err(|_| {
        Failure::Usage(format!("no certificate can be for `{}`: give --domain", text.escape_debug()))
    })
}

fn credential(file: Option<&Path>) -> Result<Vec<u8>, Failure> {
    let Some(file) = file else { return Ok(Vec::new()) };
    let refuse = |problem: String| Failure::Usage(format!("--credential-file {}: {problem}", file.display()));
    let bytes = fs::read(file).map_err(|error| refuse(format!("cannot be read: {error}")))?;
    if bytes.len() > CREDENTIAL_BYTES_MAX {
        return Err(refuse(format!("{} bytes, where {CREDENTIAL_BYTES_MAX} are allowed", bytes.len())));
    }
    Ok(bytes)
}
