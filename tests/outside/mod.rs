//! What sees a server from outside only: its process, its log, its HTTP API and its device port.

pub mod enrolment;
pub mod server;

use std::time::Duration;

/// How long anything may take that should come at once: only a broken server takes so long.
pub const PATIENCE: Duration = Duration::from_secs(60);
