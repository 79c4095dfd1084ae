//! The command line: one file a subcommand. Reads arguments and configuration, and hands each layer
//! its own options.

#[cfg(feature = "device")]
mod app;
#[cfg(feature = "device")]
mod authority;
#[cfg(feature = "server")]
mod certificates;
#[cfg(feature = "server")]
mod config;
#[cfg(feature = "device")]
mod connect;
#[cfg(feature = "demo")]
mod demo;
#[cfg(feature = "device")]
mod device;
mod logging;
#[cfg(feature = "server")]
mod operator;
#[cfg(feature = "server")]
mod own_certificate;
#[cfg(feature = "device")]
mod place;
#[cfg(feature = "device")]
mod registration;
#[cfg(feature = "server")]
mod serve;
#[cfg(feature = "device")]
mod state_folder;
#[cfg(feature = "swarm")]
mod swarm;
#[cfg(feature = "server")]
mod ticket_keys;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::http::BaseError;

/// Push messages for Lomiri and other Linux phones.
#[derive(Parser)]
#[command(name = "lomiri-push", version, about)]
#[command(after_help = "`lomiri-push COMMAND --help` tells more about a command.")]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    #[cfg(feature = "server")]
    Serve(Box<serve::Arguments>),
    #[cfg(feature = "server")]
    EnrolCode(operator::enrol_code::Arguments),
    #[cfg(feature = "server")]
    Devices(operator::devices::Arguments),
    #[cfg(feature = "server")]
    Revoke(operator::revoke::Arguments),
    #[cfg(feature = "server")]
    Erase(operator::erase::Arguments),
    #[cfg(feature = "server")]
    AppKey(operator::app_key::Arguments),
    #[cfg(feature = "device")]
    Connect(Box<connect::Arguments>),
    #[cfg(feature = "device")]
    Device(Box<device::Arguments>),
    #[cfg(feature = "device")]
    App(Box<app::Arguments>),
    #[cfg(feature = "device")]
    Register(registration::Register),
    #[cfg(feature = "device")]
    Unregister(registration::Unregister),
    #[cfg(feature = "demo")]
    Demo(demo::Arguments),
    #[cfg(feature = "swarm")]
    Swarm(Box<swarm::Arguments>),
}

/// Why a command did not do what it was asked to.
#[derive(Debug)]
enum Failure {
    /// The command line or the configuration cannot be used: nothing was tried. Exit status 2.
    Usage(String),
    /// It went wrong on the way. Exit status 1.
    Run(String),
    /// The same, and whoever asked has been told.
    #[cfg(feature = "device")]
    Told,
    /// It was stopped by Ctrl-C, and whoever did that has been told what was done by then. Exit status 130.
    #[cfg(feature = "swarm")]
    Interrupted,
}

/// Runs the command that the arguments name. Exit status: 0 if all went well, 1 if not, 2 if the
/// command line or the configuration cannot be used.
pub fn run() -> ExitCode {
    let outcome = match CommandLine::parse().command {
        #[cfg(feature = "server")]
        Command::Serve(arguments) => serve::run(*arguments),
        #[cfg(feature = "server")]
        Command::EnrolCode(arguments) => operator::enrol_code::run(arguments),
        #[cfg(feature = "server")]
        Command::Devices(arguments) => operator::devices::run(arguments),
        #[cfg(feature = "server")]
        Command::Revoke(arguments) => operator::revoke::run(arguments),
        #[cfg(feature = "server")]
        Command::Erase(arguments) => operator::erase::run(arguments),
        #[cfg(feature = "server")]
        Command::AppKey(arguments) => operator::app_key::run(arguments),
        #[cfg(feature = "device")]
        Command::Connect(arguments) => connect::run(*arguments),
        #[cfg(feature = "device")]
        Command::Device(arguments) => device::run(*arguments),
        #[cfg(feature = "device")]
        Command::App(arguments) => app::run(*arguments),
        #[cfg(feature = "device")]
        Command::Register(arguments) => arguments.run(),
        #[cfg(feature = "device")]
        Command::Unregister(arguments) => arguments.run(),
        #[cfg(feature = "demo")]
        Command::Demo(arguments) => demo::run(arguments),
        #[cfg(feature = "swarm")]
        Command::Swarm(arguments) => swarm::run(*arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Something on this machine did not work.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Run(error.to_string())
    }
}

impl From<BaseError> for Failure {
    fn from(error: BaseError) -> Failure {
        Failure::Usage(error.to_string())
    }
}

#[cfg(feature = "server")]
impl From<config::ConfigError> for Failure {
    fn from(error: config::ConfigError) -> Failure {
        Failure::Usage(error.to_string())
    }
}

impl Failure {
    fn report(&self) -> ExitCode {
        let (line, status) = match self {
            Failure::Usage(line) => (Some(line), 2),
            Failure::Run(line) => (Some(line), 1),
            #[cfg(feature = "device")]
            Failure::Told => (None, 1),
            #[cfg(feature = "swarm")]
            Failure::Interrupted => (None, 130),
        };
        if let Some(line) = line {
            // Nobody may be left to read it; the exit status still tells.
            let _ = writeln!(io::stderr(), "lomiri-push: {line}");
        }
        ExitCode::from(status)
    }
}

/// Writes one line to stdout. Whoever reads it may have gone, and had what they wanted.
fn say(line: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Run(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// clap checks a command only when it is run, and not at all in release.
    #[test]
    fn every_command_is_well_formed() {
        CommandLine::command().debug_assert();
    }

    /// One random id in 64 begins like an option.
    #[cfg(feature = "server")]
    #[test]
    fn a_device_is_revoked_whatever_its_id_begins_with() {
        for device in ["-x4B5ZA06IQIlDFOooV0VQ", "--config"] {
            let arguments = ["lomiri-push", "revoke", "--config", "push.toml", device];
            let parsed = CommandLine::try_parse_from(arguments);
            assert!(parsed.is_ok() == (device != "--config"), "{device}");
        }
    }
}
