//! `app-key`: who may post for an app.

use serde::Deserialize;

use super::{ServerArguments, segment};
use crate::base::{AppId, shown};
use crate::cli::{Failure, say};

/// Binds an app to a key: from then on, only who has the key may post for the app
///
/// Prints the key alone; the server does not show it again. An app that is bound already gets a new key,
/// and the old one is worth nothing any more. App servers send it as `Authorization: Bearer KEY`. The server must run.
#[derive(clap::Args)]
pub struct Arguments {
    /// The app
    #[arg(value_name = "APP_ID")]
    app: AppId,
    /// Unbind the app instead: a token is enough then to post for it
    #[arg(long)]
    remove: bool,
    #[command(flatten)]
    server: ServerArguments,
}

#[derive(Deserialize)]
struct Bound {
    key: String,
}

/// Binds and prints the key, or unbinds and says so.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let (app, operator) = (arguments.app, arguments.server.operator()?);
    let path = format!("/v1/app-keys/{}", segment(app.as_str()));
    if arguments.remove {
        let shown = shown(app.as_str());
        operator.delete(&path, format!("app {shown} is not bound to a key"))?;
        return say(&format!("unbound {shown}"));
    }
    let bound: Bound = operator.ask("PUT", &path, None)?;
    say(&bound.key)
}
