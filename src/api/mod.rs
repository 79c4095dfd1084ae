//! The HTTP API for app servers, devices' registrations and the operator: bytes to commands for the
//! queue, the queue's answers back to bytes. No socket, no clock, no TLS; what a command does is the
//! queue's business.
//!
//! [`Conversation`] is the way in. `head` reads a request's head, `routes` decides what it asks for,
//! `body` and `expiry` read what it says, `failure` is the table of all that can be wrong with it, and
//! `answer` writes what goes back.

mod answer;
mod body;
mod conversation;
mod credential;
mod doorkeeper;
mod exchange;
mod expiry;
mod failure;
mod head;
mod memory;
mod rights;
mod routes;
#[cfg(test)]
mod tests;
mod v1;

pub use conversation::{Conversation, State};
pub use credential::StatsCredential;
pub use doorkeeper::Doorkeeper;
pub use memory::Memory;
pub use rights::Line;

use std::sync::Arc;
use std::time::Duration;

use crate::base::Digest;
use crate::protocol::enrolment_code::ServerAddress;
use crate::queue;
use crate::tls::Certificates;

/// What holds for every connection.
#[derive(Clone, Debug)]
pub struct Options {
    /// Longest body that is read, in bytes.
    pub body_bytes_max: usize,
    /// Longest `data`, in bytes as it came.
    pub payload_bytes_max: usize,
    /// How long a connection may be idle, and how long a request may take to arrive once it has begun.
    pub read_timeout: Duration,
    /// Where devices connect, each `host:port`: told by `/delivery-hosts`.
    pub hosts: Vec<String>,
    /// The name that the TLS certificate of these hosts is for.
    pub domain: String,
    /// Whether devices must prove who they are, and the operator too on the old paths.
    pub is_auth_required: bool,
    /// Of the operator's key; without it nobody is the operator.
    pub operator: Option<Digest>,
    /// What devices are shown, renewed while the server runs, for enrolment codes to tell; without it none
    /// are made. They lead to the first of `hosts`.
    pub enrolling: Option<Arc<Certificates>>,
    /// Who may see `/stats`, beside the operator.
    pub stats: Option<StatsCredential>,
}

impl Options {
    /// Where a device with an enrolment code finds the server.
    fn server(&self) -> Option<ServerAddress> {
        self.hosts.first()?.parse().ok()
    }
}

/// What a conversation needs from elsewhere to answer; each is followed by one [`Reply`].
#[derive(Debug)]
pub enum Request {
    /// A decision of the queue.
    Queue(queue::Command),
    /// The server's counters.
    Stats,
}

/// What comes back for a [`Request`].
#[derive(Debug)]
pub enum Reply {
    /// The queue has decided.
    Queue(queue::Answer),
    /// The counters by name.
    Stats(Vec<(&'static str, u64)>),
    /// The command was not taken: too many wait for the queue already.
    Busy,
}
