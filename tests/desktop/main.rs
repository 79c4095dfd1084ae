//! Notifications on a real D-Bus: what the services of a desktop or a phone are called with, in which order,
//! and what becomes of it when they hang, vanish or lie. Each test has a bus of its own; without `dbus-daemon`
//! it is skipped, which is said. `LOMIRI_PUSH_REQUIRE_TOOLS=1` insists on the tools.

mod bubbles;
mod demo;
mod earlier;
mod fake;
mod faults;
mod mock;
mod opening;
#[path = "../outside/mod.rs"]
mod outside;
mod phone;
#[path = "../private_bus/mod.rs"]
mod private_bus;
mod service;
mod stage;
