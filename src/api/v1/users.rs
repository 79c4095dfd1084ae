//! Users, whom the operator may erase, and their tokens, which the operator may revoke.

use super::{Asked, ask};
use crate::api::body::id;
use crate::api::failure::Failure;
use crate::api::rights::Rights;
use crate::api::routes::Plan;
use crate::queue::Command;

pub(super) fn erase(user: &str, rights: &Rights<'_>) -> Result<Plan, Failure> {
    rights.check_operator()?;
    Ok(ask(Command::EraseUser { user: id(user)? }, Asked::Plain))
}

pub(super) fn revoke_token(user: &str, app: &str, rights: &Rights<'_>) -> Result<Plan, Failure> {
    rights.check_operator()?;
    let command = Command::RevokeUserToken { user: id(user)?, app: id(app)? };
    Ok(ask(command, Asked::Plain))
}
