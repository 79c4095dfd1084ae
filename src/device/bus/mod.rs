//! The push service's D-Bus API: apps call it on object paths of their packages, under the names of today and
//! those of older apps. It reads calls, refuses what may not be asked, and hands on the rest; what the answers
//! are, it does not know.
//!
//! ```text
//!  bus ──▶ reading thread: ask ──▶ callers ──▶ installed? ──▶ Call ──▶ the service
//!  bus ◀── sending thread ◀── outbox ◀── Responder, from any thread ◀──┘
//! ```

mod address;
mod ask;
mod call;
mod caller;
mod callers;
mod crowd;
mod desk;
mod error;
mod introspection;
pub mod names;
mod outbox;
mod owning;
mod peers;
mod sieve;
mod socket;

use std::sync::Arc;
use std::thread;

use thiserror::Error;
use zbus::blocking::{Connection, MessageIterator};

pub use address::Address;
pub use ask::BODY_BYTES_MAX;
pub use call::{Answer, Ask, Call, Responder};
pub use caller::{Caller, CallerError, Posts};
pub use callers::Check;
pub use error::{CallError, NoSuchApp};
pub use socket::{plain, sieved, system_address};

use self::crowd::Crowd;
use self::desk::Desk;
use self::outbox::{Outbox, post_signal};
use self::peers::Peers;
use crate::base::AppId;
use crate::service::app::AppName;

/// What comes from the bus.
#[derive(Debug)]
pub enum News {
    /// Somebody calls. Dropped, it is answered that the service is busy.
    Call(Call),
    /// The bus has gone, as it does when the session ends, and why. The last news.
    Gone(String),
}

/// What the bus has to know of the service.
pub struct Options {
    /// Whether an app is installed. Asked at each call about an app; it may read folders.
    pub is_installed: Box<dyn Fn(&AppId) -> bool + Send + Sync>,
    /// Whether callers are checked.
    pub check: Check,
    /// Takes the news, on the threads that read. It must not wait for anything but room for [`News::Gone`].
    pub told: Box<dyn Fn(News) + Send + Sync>,
}

/// What the threads share.
struct Duty {
    is_installed: Box<dyn Fn(&AppId) -> bool + Send + Sync>,
    check: Check,
    told: Box<dyn Fn(News) + Send + Sync>,
    crowd: Crowd,
}

/// Why the service is not on the bus.
#[derive(Debug, Error)]
pub enum BusError {
    /// There is no bus at the address, or it does not answer.
    #[error("{address}: {error}: is there a D-Bus session? (dbus-run-session starts one)")]
    Unreachable {
        /// Where it should be.
        address: Address,
        /// What went wrong.
        error: Box<zbus::Error>,
    },
    /// Another process has one of the service's names.
    #[error("{name} is held{}: one push service serves a session, so stop that one first", by(*.pid))]
    Taken {
        /// The bus name.
        name: &'static str,
        /// Who holds it, where the bus says.
        pid: Option<u32>,
    },
    /// The bus's rules do not give one of the names to this process.
    #[error("{name}: the bus refuses this name: {error}")]
    Refused {
        /// The bus name.
        name: &'static str,
        /// What the bus says.
        error: Box<zbus::Error>,
    },
    /// No socket for peers, or no thread.
    #[error("{address}: {error}")]
    Io {
        /// Where.
        address: Address,
        /// What went wrong.
        error: std::io::Error,
    },
}

fn by(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" by process {pid}"))
}

/// The service's place on the bus, or among its peers. Dropped, it is off.
pub struct Bus(Kind);

enum Kind {
    Bus { connection: Connection, outbox: Outbox },
    Peers(Peers),
}

impl Bus {
    /// Connects, takes the four names and serves calls from then on; or listens for peers.
    ///
    /// # Errors
    /// [`BusError`]: it is not on the bus at all, then.
    pub fn connect(address: &Address, options: Options) -> Result<Bus, BusError> {
        let Options { is_installed, check, told } = options;
        let duty = Arc::new(Duty { is_installed, check, told, crowd: Crowd::default() });
        let failed = |error| BusError::Io { address: address.clone(), error };
        if let Address::Peer(path) = address {
            return Peers::listen(path, duty).map(|peers| Bus(Kind::Peers(peers))).map_err(failed);
        }
        let unreachable =
            |error: zbus::Error| BusError::Unreachable { address: address.clone(), error: error.into() };
        let connection = address.connect().map_err(unreachable)?;
        let checks = duty.check.applies(owning::own_label(&connection).as_deref());
        log::info!("who calls is {}checked", if checks { "" } else { "not " });
        let outbox = Outbox::open(connection.clone()).map_err(failed)?;
        // Made before the names are taken, for with a name come the calls that have waited for it.
        let messages = MessageIterator::from(&connection);
        serve(messages, Desk::new(duty.clone(), outbox.clone(), checks, None), move |reason| {
            (duty.told)(News::Gone(reason));
        })
        .map_err(failed)?;
        let bus = Bus(Kind::Bus { connection, outbox });
        bus.own_names()?;
        Ok(bus)
    }

    fn own_names(&self) -> Result<(), BusError> {
        let Kind::Bus { connection, .. } = &self.0 else { return Ok(()) };
        names::FACADES.iter().try_for_each(|facade| owning::own(connection, facade.name))
    }

    /// Tells `app` that its mailbox has something: the signal `Post` under both names.
    pub fn announce(&self, app: &AppId) {
        let Some(name) = AppName::parse(app) else { return };
        for facade in [&names::POSTAL, &names::UBUNTU_POSTAL] {
            match post_signal(facade, name.package(), app.as_str()) {
                Ok(signal) => self.send_to_all(&signal),
                Err(error) => log::debug!("{app} cannot be told of its messages: {error}"),
            }
        }
    }

    fn send_to_all(&self, signal: &zbus::Message) {
        match &self.0 {
            Kind::Bus { outbox, .. } => {
                outbox.send(signal.clone());
            }
            Kind::Peers(peers) => peers.send(signal),
        }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        if let Kind::Bus { connection, .. } = &self.0 {
            // It may have gone already.
            let _ = connection.clone().close();
        }
    }
}

/// Deals with what comes on a thread of its own until it ends, and then says why to `ended`.
fn serve(
    messages: MessageIterator,
    mut desk: Desk,
    ended: impl FnOnce(String) + Send + 'static,
) -> std::io::Result<()> {
    let read = move || {
        let reason = read_all(messages, &mut desk);
        desk.close();
        ended(reason);
    };
    thread::Builder::new().name("bus-in".into()).spawn(read).map(drop)
}

/// Why there are no more.
fn read_all(messages: MessageIterator, desk: &mut Desk) -> String {
    for message in messages {
        match message {
            Ok(message) => desk.handle(message),
            Err(error) => return error.to_string(),
        }
    }
    "the connection was closed".into()
}
