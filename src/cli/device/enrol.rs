//! `device enrol`: trades a one-time code for a device's id and its credential, and keeps them.

use std::io::{self, BufRead as _, Read as _};
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::{Path, PathBuf};

use crate::base::DeviceId;

use crate::cli::{Failure, say, state_folder};
use crate::device::state::State;
use crate::device::{Connection, Server};
use crate::http::Url;
use crate::protocol::enrolment_code::{EnrolmentCode, ServerAddress};
use crate::protocol::wire1::{Enrolled, Reason};
use crate::session::EndReason;
use crate::session::device::{Connect, Event, Options};
use crate::tls::{DeviceOptions, ServerName, Trust, Versions, device_config};

/// Longest line of standard input that is looked at, in bytes: some times the longest code.
const CODE_LINE_BYTES_MAX: u64 = 4096;

/// Enrols: trades a one-time code for an identity that is kept in a folder
///
/// The code comes from the server's operator (`lomiri-push enrol-code`). It says where the server is and how
/// to know it. Afterwards `lomiri-push connect --state FOLDER` connects, and `lomiri-push register APP_ID
/// --state FOLDER` asks for an app's tokens.
#[derive(clap::Args)]
pub struct Arguments {
    /// The code, as it was given; - to read it from standard input, where no other user of this machine sees it
    code: String,
    /// Where to keep who the device is; made if it is not there
    #[arg(long, value_name = "FOLDER")]
    state: PathBuf,
    /// Where the server is reached, if not under the name that is in the code
    #[arg(long, value_name = "HOST:PORT")]
    addr: Option<ServerAddress>,
}

/// Enrols, and says as whom.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let device = enrol(&arguments.code, &arguments.state, arguments.addr.as_ref())?;
    say(&format!("enrolled as {device}"))
}

/// Trades `code`, or for `-` the one on standard input, for a device that is kept in `folder`. Nothing is sent
/// before it is sure that the answer can be kept.
pub fn enrol(code: &str, folder: &Path, addr: Option<&ServerAddress>) -> Result<DeviceId, Failure> {
    let code: EnrolmentCode = given(code)?.parse().map_err(|error| Failure::Usage(format!("{error}")))?;
    let name = code.server.host().to_owned();
    let server = addr.unwrap_or(&code.server).clone();
    state_folder::prepare(folder)?;
    let (enrolled, connection) = trade(&code, &server, &name)?;
    let device = enrolled.device.clone();
    let state = State {
        server: server.clone(),
        name,
        pin: code.pin,
        device: enrolled.device,
        credential: enrolled.credential,
        api: Some(enrolled.api).filter(|api| leads_there(api, &server)),
    };
    state_folder::store(folder, &state).map_err(|error| {
        let folder = folder.display();
        Failure::Run(format!(
            "{folder}: {error}: the code is used, and device {device} is lost: have it revoked"
        ))
    })?;
    // Only now the server may know that it has arrived.
    connection.close();
    Ok(device)
}

/// The code as an argument gives it, or the first line of standard input.
fn given(argument: &str) -> Result<String, Failure> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let mut line = String::new();
    let read = io::stdin().lock().take(CODE_LINE_BYTES_MAX).read_line(&mut line);
    read.map_err(|error| Failure::Run(format!("standard input: {error}")))?;
    Ok(line.trim().to_owned())
}

/// Gives the code to the server that it names, and to no other. What comes of it is to be stored before the
/// connection is closed.
fn trade(
    code: &EnrolmentCode,
    server: &ServerAddress,
    name: &str,
) -> Result<(Enrolled, Connection), Failure> {
    let options = DeviceOptions { versions: Versions::Tls13, ..DeviceOptions::default() };
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_| Failure::Usage(format!("no certificate can be for `{name}`, which the code names")))?;
    let tls = device_config(&Trust::Pin(code.pin), options).expect("a pin cannot be wrong");
    let server = Server { addr: server.to_string(), name, tls };
    let mut connection = Connection::open(&server, Options::new(Connect::Enrol(code.secret)))
        .map_err(|error| Failure::Run(error.to_string()))?;
    loop {
        match connection.next_event(None) {
            Some(Event::Enrolled(enrolled)) => return Ok((enrolled, connection)),
            Some(Event::Ended(reason)) => {
                return Err(Failure::Run(format!("{}: {}", server.addr, explain(&reason))));
            }
            Some(_) => {}
            None => unreachable!("nobody interrupts, and the end is told"),
        }
    }
}

/// Whether a base URL that `server` told can be meant for this machine. Plain HTTP is for the server's own
/// machine alone; elsewhere it would lead a credential to whatever listens there.
fn leads_there(api: &str, server: &ServerAddress) -> bool {
    match api.parse::<Url>() {
        Ok(url) if url.is_secure() => true,
        Ok(_) => is_here(&server.to_string()),
        Err(_) => false,
    }
}

/// Whether an address is one of this machine's.
pub fn is_here(addr: &str) -> bool {
    let is_ours = |addr: SocketAddr| UdpSocket::bind((addr.ip(), 0)).is_ok();
    addr.to_socket_addrs().is_ok_and(|mut addrs| addrs.any(is_ours))
}

fn explain(reason: &EndReason) -> String {
    match reason {
        EndReason::SentAway(Reason::Unauthorized) => {
            "the server does not take this code: it was used, it has expired, or it never was".into()
        }
        EndReason::SentAway(Reason::Overloaded) => {
            "the server takes no new device of this user now: the code is good still".into()
        }
        reason => reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_in_plain_text_is_believed_on_its_own_machine_alone() {
        let leads = |api, server: &str| leads_there(api, &server.parse().expect("an address"));
        assert!(leads("http://127.0.0.1:8080", "localhost:9090"));
        // An address of the documentation block, which no machine has.
        assert!(!leads("http://127.0.0.1:8080", "192.0.2.1:9090"));
        assert!(leads("https://push.example.org", "192.0.2.1:9090"));
        assert!(!leads("", "localhost:9090"));
    }
}
