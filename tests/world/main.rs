//! The whole server and its devices in one thread, below TLS, on a clock that the test moves: shards, the
//! queue over a store that can crash, and devices of both wires that come, go and fall silent.

mod device;
mod model;
mod rules;
mod scenes;
mod simulation;
mod tap;
mod world;
