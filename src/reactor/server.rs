//! A running server: its threads, from the first to the last. What they do stands in their own files.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use log::info;

use super::acceptor::listen;
use super::assembly::{self, Listeners};
use super::descriptors::{TooFewDescriptors, check_descriptors, device_connections};
use super::links::Control;
use super::peers::PeerOptions;
use super::threads::Threads;
use crate::api;
use crate::files::raise_limit;
use crate::session;
use crate::store::{DurableQueue, Store, StoreError};
use crate::tls::ServerConfig;

/// What a server needs to know.
#[derive(Debug)]
pub struct Options {
    /// Where devices connect; port 0 means a free one.
    pub devices: SocketAddr,
    /// Where the API listens; port 0 means a free one.
    pub http: SocketAddr,
    /// How devices are spoken to.
    pub tls: Arc<ServerConfig>,
    /// How callers of the API are; without it in plain HTTP.
    pub http_tls: Option<Arc<ServerConfig>>,
    /// How many device loops there are; at least 1.
    pub shards: usize,
    /// Most connections of devices, at least 1; without it, as many as descriptors allow.
    pub connections_max: Option<usize>,
    /// What is allowed of each address, and of all together.
    pub peers: PeerOptions,
    /// Whether devices must prove who they are.
    pub is_auth_required: bool,
    /// The base URL of the API, as new devices are told it; at most 255 bytes, and may be empty.
    pub api_url: String,
    /// The timing of device sessions.
    pub session: session::server::Options,
    /// How the API answers. Without hosts, devices are told its domain at the real port.
    pub api: api::Options,
    /// How long a caller of the API may take to take an answer.
    pub http_write_timeout: Duration,
}

/// Why a server does not start. The machine's fault or the operator's.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The process may not have enough descriptors to serve anyone.
    #[error(transparent)]
    Descriptors(#[from] TooFewDescriptors),
    /// An address is taken, or not this machine's.
    #[error("cannot listen for {what} on {address}: {source}")]
    Listen {
        /// `devices` or `http`.
        what: &'static str,
        /// As it was given.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The system refuses a thread or a selector.
    #[error("cannot start the server's threads: {0}")]
    System(#[from] io::Error),
}

/// Why a server has stopped without having been told to.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The store has failed. What was promised is in it; opened again, it goes on from there.
    #[error("the store has failed: {0}")]
    Store(#[from] StoreError),
    /// A loop's selector has failed.
    #[error("the system refuses to wait for events: {0}")]
    Selector(#[from] io::Error),
    /// A thread has broken one of our own rules.
    #[error("thread {thread} panicked: {message}")]
    Panicked {
        /// Its name.
        thread: String,
        /// What it said.
        message: String,
    },
    /// A thread does not end.
    #[error("a thread does not stop")]
    Stuck,
}

/// Where a server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// For devices.
    pub devices: SocketAddr,
    /// For callers of the API.
    pub http: SocketAddr,
}

/// A running server. [`Server::wait`] for its end, which a [`Control`] brings about.
#[derive(Debug)]
pub struct Server {
    addresses: Addresses,
    threads: Threads,
}

impl Server {
    /// Starts to listen and to serve. When this returns both addresses take connections.
    pub fn start<S>(mut options: Options, queue: DurableQueue<S>) -> Result<Server, StartError>
    where
        S: Store + Send + 'static,
    {
        let descriptors = raise_limit();
        check_descriptors(descriptors, options.shards)?;
        let allowed = device_connections(descriptors, options.shards);
        let connections_max = options.connections_max.map_or(allowed, |max| max.min(allowed));
        let http = listen_for("http", options.http)?;
        let devices = listen_for("devices", options.devices)?;
        let addresses = Addresses { devices: devices.local_addr()?, http: http.local_addr()? };
        if options.api.hosts.is_empty() {
            options.api.hosts.push(format!("{}:{}", options.api.domain, addresses.devices.port()));
        }
        let listeners = Listeners { http, devices, connections_max };
        let threads = assembly::start(options, queue, listeners)?;
        info!("listening for http on {}", addresses.http);
        info!("listening for devices on {}", addresses.devices);
        Ok(Server { addresses, threads })
    }

    /// Where it listens, with the real ports.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// What stops it.
    pub fn control(&self) -> Control {
        self.threads.control()
    }

    /// Returns when all threads have ended: well, if that was wanted. If any thread fails, the others
    /// are stopped.
    pub fn wait(self) -> Result<(), Failure> {
        self.threads.wait()
    }
}

fn listen_for(what: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    listen(address).map_err(|source| StartError::Listen { what, address, source })
}
