//! Keeps a device connected, on a thread of its own: through lost connections, restarted servers and changes
//! of the network, on either wire. It stores no messages; whoever started it does.

mod discovery;
mod keeper;
mod learnt;
mod line;
mod murmur3;
mod orders;
mod plain;
mod plain_servers;
mod servers;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use self::keeper::Keeper;
use self::orders::{Order, Orders};
use super::lifeline::Wait;
use super::network::Network;
use super::power::{Power, WakeLock};
use super::watch::Watch;
use crate::base::{ChannelId, Level, Urgency};
use crate::protocol::wire1::Receipt;
use crate::protocol::{wire0, wire1};
use crate::session::device::Event;

pub use discovery::{Discovery, HOSTS_EXPIRY_DEFAULT};
pub use servers::Servers;

/// How long deployed devices wait for a server to be reached.
pub const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(20);

/// What makes a device's link.
pub struct LinkOptions {
    /// What the device says of itself, and on which wire.
    pub speech: Speech,
    /// Where its servers are.
    pub servers: Servers,
    /// How long each address of a server may take to be reached; [`CONNECT_TIMEOUT_DEFAULT`] unless told
    /// otherwise.
    pub connect_timeout: Duration,
    /// How long the server may take to answer; `EXCHANGE_TIMEOUT_DEFAULT` unless told otherwise.
    pub exchange_timeout: Duration,
    /// The folder where the link keeps what it learns; none to begin anew each time.
    pub folder: Option<PathBuf>,
    /// What keeps the machine awake, and wakes it.
    pub power: Power,
}

/// Which wire a device speaks, and what it says of itself there, with the levels that it has reached so far.
#[derive(Debug)]
pub enum Speech {
    /// What deployed devices speak.
    Wire0(wire0::Connect),
    /// Ours. Its keepalive is the longest silence that the device wants.
    Wire1(wire1::Connect),
    /// Wire 1, or wire 0 with servers that do not know it. Once a server has let the device in on wire 1,
    /// that is it; one that did so on wire 0 is tried on wire 1 again a day later.
    Either(wire0::Connect, wire1::Connect),
}

impl Speech {
    /// The device has followed its channels so far.
    pub fn stand_at(&mut self, levels: &BTreeMap<ChannelId, Level>) {
        let (wire0, wire1) = match self {
            Speech::Wire0(wire0) => (Some(wire0), None),
            Speech::Wire1(wire1) => (None, Some(wire1)),
            Speech::Either(wire0, wire1) => (Some(wire0), Some(wire1)),
        };
        wire0.into_iter().for_each(|connect| connect.levels.clone_from(levels));
        wire1.into_iter().for_each(|connect| connect.levels.clone_from(levels));
    }
}

/// What a link has to tell.
#[derive(Debug)]
pub enum News {
    /// A server let the device in.
    Connected {
        /// Its address.
        server: String,
        /// On which wire.
        wire: u8,
        /// How often something is said even if nothing happens.
        interval: Duration,
        /// Whether TLS resumed an earlier connection.
        is_resumed: bool,
    },
    /// Messages and broadcasts, at least one. The link waits until it is told that all of them are stored,
    /// and acks them then. If `stored` is dropped instead, it acks nothing and leaves: they come again.
    Came {
        /// In the order in which they came.
        events: Vec<Event>,
        /// To be told once they are stored.
        stored: SyncSender<()>,
        /// To be dropped once they need no more work.
        awake: WakeLock,
    },
    /// The device is not connected, and will try again. `problem` is for people.
    Waiting {
        /// How long, and why.
        wait: Wait,
        /// What went wrong.
        problem: String,
    },
    /// The device is not connected and waits for a network.
    Offline,
    /// The device is on another network than before, or on one again. It is not connected, whatever it was, and will
    /// connect.
    Moved {
        /// After so long; zero unless a server wants a wait on whatever network.
        wait: Duration,
    },
    /// What the link thinks now of the silence that the network bears, on wire 1.
    Keepalive {
        /// How long it stays silent.
        silence: Duration,
        /// Whether that is what it has settled at.
        is_settled: bool,
    },
}

/// A device's link. Dropping it, as [`Link::stop`] does, takes leave of the server in order.
#[derive(Debug)]
pub struct Link {
    orders: Orders,
    thread: Option<JoinHandle<()>>,
}

impl Link {
    /// Starts a link that waits for its first [`Link::network`]. `news` is called on the link's thread,
    /// which does nothing meanwhile. Fails if the process may have no more threads or descriptors.
    pub fn start(options: LinkOptions, news: impl FnMut(News) + Send + 'static) -> io::Result<Link> {
        let watch = Watch::new(options.power.alarm())?;
        let orders = Orders::new(watch.waker());
        let keeper = Keeper::new(options, watch, orders.clone(), news);
        let thread = thread::Builder::new().name("link".into()).spawn(move || keeper.run())?;
        Ok(Link { orders, thread: Some(thread) })
    }

    /// Says, on wire 1, what became of a message: along with what is said next anyway.
    pub fn tell(&self, receipt: Receipt) {
        self.orders.leave(Order::Tell(receipt));
    }

    /// Wants, on wire 1, no less urgency than this from now on.
    pub fn want(&self, least: Urgency) {
        self.orders.call(Order::Want(least));
    }

    /// Where the device stands now. On another network the link connects anew, at once; offline it closes
    /// in order and waits.
    pub fn network(&self, network: Network) {
        self.orders.call(Order::Network(network));
    }

    /// Takes leave and returns when that is done. Whoever takes the news must do so until then, or refuse
    /// them: a link that cannot get rid of its news does not hear.
    pub fn stop(self) {}
}

impl Drop for Link {
    fn drop(&mut self) {
        self.orders.call(Order::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the link has panicked");
        }
    }
}

#[cfg(test)]
mod tests;
