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
    let unknown = format!(
        "there is no user {user}: nothing is stored of them; `lomiri-push devices` lists users by device"
    );
    arguments.server.operator()?.delete(&format!("/v1/users/{}", segment(user.as_str())), unknown)?;
    say(&format!("erased {user}"))
}
