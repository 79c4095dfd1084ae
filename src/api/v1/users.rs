//! Users, whom the operator may erase, and their tokens, which the operator may revoke.

use super::{Asked, ask, target};
use crate::api::failure::Failure;
use crate::api::rights::Rights;
use crate::api::routes::Plan;
use crate::queue::Command;

pub(super) fn erase(user: &str, rights: &Rights<'_>) -> Result<Plan, Failure> {
    rights.check_operator()?;
    Ok(ask(Command::EraseUser { user: target::id(user)? }, Asked::Plain))
}

pub(super) fn revoke_token(user: &str, app: &str, rights: &Rights<'_>) -> Result<Plan, Failure> {
    rights.check_operator()?;
    let command = Command::RevokeUserToken { user: target::id(user)?, app: target::id(app)? };
    Ok(ask(command, Asked::Plain))
}
