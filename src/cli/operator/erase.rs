//! `erase`: a user goes, with all that is stored of them.

use super::{ServerArguments, segment};
use crate::base::UserId;
use crate::cli::{Failure, say};

/// Erases a user: all their devices, tokens, codes and messages
///
/// Their sessions end at once. The server must run.
#[derive(clap::Args)]
pub struct Arguments {
    /// The user, as `lomiri-push devices` shows them
    user: UserId,
    #[command(flatten)]
    server: ServerArguments,
}

/// Erases, and says so.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let user = arguments.user;
    arguments.server.operator()?.tell("DELETE", &format!("/v1/users/{}", segment(user.as_str())))?;
    say(&format!("erased {user}"))
}
