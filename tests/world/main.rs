//! The whole server and its devices in one thread, below TLS, on a clock that the test moves: shards, the
//! queue over a store that can crash, and devices that come, go and fall silent.

mod device;
mod model;
mod scenes;
mod simulation;
mod world;
