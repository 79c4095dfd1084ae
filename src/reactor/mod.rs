//! The only server code with sockets, threads and clocks: device loops, the API loop and the storage
//! thread, and the bounded queues between them. It moves bytes and decides nothing about messages.
//!
//! ```text
//!  devices ══ shard 0 ─┐ commands          ┌─ pages, events ──> shards
//!  devices ══ shard 1 ─┼──────────> storage┤
//!  callers ══ API loop ┘  (bounded)        └─ answers ────────> API loop
//! ```
//! `shard` and `api_loop` are built of the same parts: `acceptor`, `connection`, `connections`, `inbox`.

mod acceptor;
mod api_loop;
mod assembly;
mod clock;
mod connection;
mod connections;
mod descriptors;
mod inbox;
mod links;
mod network;
mod newcomers;
mod peers;
mod reminder;
mod server;
mod shard;
mod stall;
mod stats;
mod storage;
mod threads;

pub use clock::Clock;
pub use descriptors::{TooFewDescriptors, check_descriptors, device_connections};
pub use links::Control;
pub use network::{Network, NetworkError};
pub use peers::PeerOptions;
pub use server::{Addresses, Failure, Options, Server, StartError};

/// Under these a loop's selector tells of the listener and of the waker; connections have small keys.
const LISTENER: mio::Token = mio::Token(usize::MAX);
const WAKER: mio::Token = mio::Token(usize::MAX - 1);
