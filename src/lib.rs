//! Lomiri Push: a durable push server for phones, and the device side that speaks to it.
//!
//! The layers stand in the order in which they may import one another: each knows only those above
//! it in this list (`tests/tidy.rs` checks it). `ARCHITECTURE.md` says where to start reading.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[cfg(not(any(feature = "server", feature = "device")))]
compile_error!("choose what to build: --features server, --features device, or both by default");

#[cfg(feature = "server")]
pub mod api;
pub mod base;
#[cfg(feature = "server")]
pub mod broker;
pub mod cli;
#[cfg(feature = "device")]
pub mod device;
pub mod files;
pub mod http;
pub mod protocol;
#[cfg(feature = "server")]
pub mod queue;
#[cfg(feature = "server")]
pub mod reactor;
#[cfg(feature = "device")]
pub mod service;
pub mod session;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "swarm")]
pub mod swarm;
pub mod tls;
