//! The push service as a process, from outside: its D-Bus API, its helpers, what a notification server is
//! called with, and all of it under faults, with the real server.

mod chatter;
mod connecting;
mod crashes;
mod helpers;
mod life;
pub mod notes;
mod old_server;
mod power;
mod rig;
mod settings;
mod shade;
mod steps;
