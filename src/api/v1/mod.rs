//! The second-generation API, `/v1/…`: what its paths are, what each asks for, and how its answers are
//! told. A file each for what can be asked about; `protocol-spec/openapi.json` describes all of it.

mod app_keys;
mod devices;
mod enrolment_codes;
mod idempotency;
mod message_state;
mod messages;
mod refusal;
mod registrations;
mod request;
mod target;
mod users;

use super::answer::{Outcome, Success};
use super::failure::Failure;
use super::rights::Rights;
use super::routes::Plan;
use super::{Options, Request};
use crate::base::{AppId, Credential, Wall};
use crate::queue::{Answer, Command};
use target::{Query, Segments};

/// What is said when the queue can't serve a request.
pub(super) const UNAVAILABLE: &str = "The server can't do this now";

/// What is POSTed, and what of the head it is to be read with.
#[derive(Debug)]
pub(super) enum Call {
    Messages(messages::Sender),
    Registration(Credential),
    EnrolmentCode,
}

/// How to tell what comes of a request, beyond what the queue's answer says itself.
#[derive(Debug)]
pub(super) enum Asked {
    Plain,
    /// One message.
    Message,
    /// Several messages, of which these are for the queue, and these failed before.
    Batch(Vec<Result<(), Failure>>),
    /// A key for this app.
    AppKey(AppId),
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    SendMessages,
    ShowMessage,
    Register,
    Unregister,
    ListRegistrations,
    MakeEnrolmentCode,
    ListDevices,
    RevokeDevice,
    EraseUser,
    RevokeUserToken,
    BindApp,
    UnbindApp,
    ListAppKeys,
}

/// Decides how to go on with a request whose path has `segments` where its route has braces.
pub(super) fn plan(
    operation: Operation,
    segments: &[&str],
    query: &str,
    rights: &Rights<'_>,
) -> Result<Plan, Failure> {
    let segments = Segments::read(segments)?;
    let query = Query::read(query)?;
    match operation {
        Operation::SendMessages => messages::send(rights),
        Operation::ShowMessage => message_state::ask(segments.at(0), rights),
        Operation::Register => registrations::register(rights),
        Operation::Unregister => registrations::unregister(segments.at(0), &query, rights),
        Operation::ListRegistrations => registrations::list(&query, rights),
        Operation::MakeEnrolmentCode => enrolment_codes::make(rights),
        Operation::ListDevices => devices::list(&query, rights),
        Operation::RevokeDevice => devices::revoke(segments.at(0), rights),
        Operation::EraseUser => users::erase(segments.at(0), rights),
        Operation::RevokeUserToken => users::revoke_token(segments.at(0), segments.at(1), rights),
        Operation::BindApp => app_keys::bind(segments.at(0), rights),
        Operation::UnbindApp => app_keys::unbind(segments.at(0), rights),
        Operation::ListAppKeys => app_keys::list(rights),
    }
}

/// A request that needs no body.
fn ask(command: Command, asked: Asked) -> Plan {
    Plan::Ask(Request::Queue(command), super::answer::Asked::V1(asked))
}

impl Call {
    /// Makes the command that `body` describes.
    pub fn command(
        self,
        body: &[u8],
        options: &Options,
        now: Wall,
    ) -> Result<(Command, super::answer::Asked), Failure> {
        let (command, asked) = match self {
            Call::Messages(sender) => messages::command(sender, body, options, now)?,
            Call::Registration(credential) => (registrations::command(credential, body)?, Asked::Plain),
            Call::EnrolmentCode => (enrolment_codes::command(body, options)?, Asked::Plain),
        };
        Ok((command, super::answer::Asked::V1(asked)))
    }
}

impl Asked {
    /// What the queue's answer means for the request.
    pub fn outcome(self, answer: Answer, options: &Options) -> Outcome {
        match (answer, self) {
            (Answer::Done, _) => Ok(Success::Done),
            (Answer::Sent(answers), Asked::Message) => messages::told(answers),
            (Answer::Sent(answers), Asked::Batch(slots)) => messages::told_all(slots, answers),
            (Answer::State(state), _) => Ok(message_state::told(&state)),
            (Answer::Registered(tokens), _) => Ok(super::answer::tokens(&tokens)),
            (Answer::Registrations(found), _) => Ok(registrations::told_all(&found)),
            (Answer::Code(code), _) => enrolment_codes::told(&code, options),
            (Answer::Devices(devices), _) => Ok(devices::told(&devices)),
            (Answer::AppKey(key), Asked::AppKey(app)) => Ok(app_keys::told(&app, &key)),
            (Answer::BoundApps(apps), _) => Ok(app_keys::told_all(&apps)),
            (Answer::Refused(refusal), _) => Err(refusal::failure(refusal)),
            _ => Err(Failure::Internal),
        }
    }
}
