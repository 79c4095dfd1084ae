//! The command line: one file a subcommand. Reads arguments and configuration, and hands each layer
//! its own options.
#[cfg(feature = "server")]
pub mod config;

use std::process::ExitCode;

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    ExitCode::SUCCESS
}
