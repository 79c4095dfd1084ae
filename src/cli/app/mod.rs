//! `app`: what an app says to the push service, said from a terminal, for those who write apps.

mod tail;

use std::io::{self, Read};

use serde::de::IgnoredAny;

use super::place::Place;
use super::{Failure, say};
use crate::base::AppId;
use crate::device::bus::{Address, Caller, CallerError};

/// Does what an app does: registers, reads its mailbox, …
///
/// Asks the push service of this session by the D-Bus calls that apps use. The app must be installed: a click
/// package, or NAME.desktop with the app id _NAME, or whatever a drop-in file names a helper for.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    place: Place,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Prints the app's token on this device; app servers post to it
    Register {
        #[command(flatten)]
        app: App,
        /// Below it, print the user token: the app on all devices of this user
        #[arg(long)]
        user: bool,
    },
    /// Says that the app wants no more messages: its token dies
    Unregister(App),
    /// Empties the app's mailbox and prints the JSON of one message a line, oldest first
    Pop(App),
    /// Does what the app's helper would have done by this output
    Post {
        #[command(flatten)]
        app: App,
        /// Such as {"message": {"text": "hi"}, "notification": {"card": {"summary": "Hi", "popup": true}}}
        /// [default: what comes on stdin]
        #[arg(value_name = "JSON")]
        output: Option<String>,
    },
    /// Prints what comes to the app's mailbox, and takes it out, until Ctrl-C
    Tail(App),
    /// Prints the tags of the app's notifications that are still to be seen
    Persistent(App),
    /// Clears notifications of the app, and prints how many went
    Clear {
        #[command(flatten)]
        app: App,
        /// Those with these tags
        #[arg(value_name = "TAG", required_unless_present = "all")]
        tags: Vec<String>,
        /// All of them
        #[arg(long, conflicts_with = "tags")]
        all: bool,
    },
    /// Sets the number at the app's icon
    Counter {
        #[command(flatten)]
        app: App,
        /// What it counts
        #[arg(value_name = "COUNT", allow_negative_numbers = true)]
        count: i32,
        /// Do not show it
        #[arg(long)]
        hidden: bool,
    },
}

#[derive(clap::Args)]
struct App {
    /// PACKAGE_APP, PACKAGE_APP_VERSION or _NAME
    #[arg(value_name = "APP_ID")]
    app: AppId,
}

/// Asks, and prints the answer.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let address = Address::from(arguments.place);
    let caller = || Caller::connect(&address);
    match arguments.command {
        Command::Register { app, user } => register(&caller()?, &app.app, user),
        Command::Unregister(app) => Ok(caller()?.unregister(&app.app)?),
        Command::Pop(app) => say_all(&caller()?.pop_all(&app.app)?),
        Command::Post { app, output } => {
            let output = output.map_or_else(from_stdin, Ok)?;
            check_json(&output)?;
            Ok(caller()?.post(&app.app, &output)?)
        }
        Command::Tail(app) => tail::run(&caller()?, &app.app),
        Command::Persistent(app) => say_all(&caller()?.list_persistent(&app.app)?),
        Command::Clear { app, tags, all: _ } => {
            say(&caller()?.clear_persistent(&app.app, &tags)?.to_string())
        }
        Command::Counter { app, count, hidden } => Ok(caller()?.set_counter(&app.app, count, !hidden)?),
    }
}

fn register(caller: &Caller, app: &AppId, with_user: bool) -> Result<(), Failure> {
    say(&caller.register(app)?)?;
    if with_user { say(&caller.register_user(app)?) } else { Ok(()) }
}

fn from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

/// The service says no more than that it is bad.
fn check_json(output: &str) -> Result<(), Failure> {
    let parsed = serde_json::from_str::<IgnoredAny>(output);
    parsed.map(drop).map_err(|error| Failure::Usage(format!("a helper's output is JSON: {error}")))
}

fn say_all(lines: &[String]) -> Result<(), Failure> {
    lines.iter().try_for_each(|line| say(line))
}

impl From<CallerError> for Failure {
    fn from(error: CallerError) -> Failure {
        match error {
            CallerError::NotAnApp(_) => Failure::Usage(error.to_string()),
            _ => Failure::Run(error.to_string()),
        }
    }
}
