//! The device's side: at its rim the connection that keeps a device reachable, and pure what decides about
//! it: how long it may be silent, when to connect again, and what waits in the mailbox for its apps.

pub mod clock;
mod connection;
pub mod keepalive;
pub mod lifeline;
pub mod mailbox;
pub mod reconnect;
pub mod state;

pub use connection::{ConnectError, Connection, Interrupter, Server};
