//! The device's rim: the connection that keeps a device reachable, and what decides about it: how long it
//! may be silent, and when to connect again.

pub mod clock;
mod connection;
pub mod folder;
pub mod keepalive;
pub mod lifeline;
pub mod reconnect;
pub mod registrar;
pub mod state;

pub use connection::{ConnectError, Connection, Interrupter, Server};
