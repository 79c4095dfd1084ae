//! The device's side at its rim: the connection that keeps a device reachable, how long it may be silent,
//! and when to connect again. What is done with what arrives is its owner's business.

pub mod clock;
mod connection;
pub mod keepalive;
pub mod lifeline;
pub mod reconnect;
pub mod state;

pub use connection::{ConnectError, Connection, Interrupter, Server};
