//! The push service on a real D-Bus: each test runs on a bus of its own where `dbus-daemon` is installed, and
//! peer-to-peer where it is not; what only a bus has is skipped then, which is said.
//! `LOMIRI_PUSH_REQUIRE_TOOLS=1` insists on the tools.
#![cfg(feature = "device")]

mod app;
mod gdbus;
mod hostile;
mod place;
#[path = "../private_bus/mod.rs"]
mod private_bus;
mod service;
mod session;
