//! The binary as operators and scripts meet it: exit statuses, exact lines, signals, and a message on
//! its way from `curl` to a terminal.
#![cfg(all(feature = "server", feature = "device"))]

mod connect;
mod enrolment;
mod https;
mod process;
mod reconnect;
mod resumption;
mod serve;
mod stall;
#[cfg(feature = "swarm")]
mod swarm;
mod swarm_api;
mod usage;
