//! The device's rim: what keeps a device connected and its machine awake, and what decides about it: how
//! long it may be silent, and when to connect again.

pub mod authorities;
pub mod bus;
pub mod clock;
mod connection;
pub mod daemon;
mod dial;
pub mod folder;
pub mod helpers;
pub mod keepalive;
pub mod legacy_config;
pub mod lifeline;
pub mod link;
pub mod machine;
pub mod network;
pub mod power;
pub mod presenter;
#[cfg(test)]
mod private_bus;
pub mod reconnect;
pub mod registrar;
#[cfg(test)]
mod scripted;
pub mod state;
pub mod watch;

pub use connection::{ConnectError, Connection, Interrupter, Server};
