//! `device`: the push service itself, and what people do about it.

mod config;
pub mod enrol;
mod identity;
mod run;
mod status;

use crate::cli::Failure;

/// Receives push messages for the apps of this machine, and shows them
///
/// Keeps one connection to the push server, runs apps' helpers, shows notifications, keeps messages in apps'
/// mailboxes, and serves the D-Bus API that apps use. On a machine that is not enrolled yet, give a code from the
/// server's operator by --enrol CODE once. Ends with status 0 on Ctrl-C and SIGTERM, having taken its leave.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: run::Arguments,
}

#[derive(clap::Subcommand)]
enum Command {
    Enrol(enrol::Arguments),
    Status(status::Arguments),
}

/// Runs the service, or does what the subcommand says.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        None => run::run(&arguments.run),
        Some(Command::Enrol(arguments)) => enrol::run(&arguments),
        Some(Command::Status(arguments)) => status::run(arguments),
    }
}
