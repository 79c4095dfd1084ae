//! The device's side at its rim: the connection that keeps a device reachable. What is done with what
//! arrives is its owner's business.

mod connection;

pub use connection::{Closer, ConnectError, Connection, Server};
