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
use super::routes::{self, Method, Plan};
use super::{Options, Request};
use crate::base::{AppId, Credential, Wall};
use crate::queue::{Answer, Command};
use target::{Query, segments};

/// What all paths of it begin with.
pub(super) const PREFIX: &str = "/v1/";
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

/// A path.
#[derive(Debug)]
enum Route<'p> {
    Messages,
    Message(&'p str),
    Registrations,
    Registration(&'p str),
    EnrolmentCodes,
    Devices,
    Device(&'p str),
    User(&'p str),
    UserApp(&'p str, &'p str),
    AppKeys,
    AppKey(&'p str),
}

/// Decides how to go on with a request for the path that has `rest` behind the prefix.
pub(super) fn plan(rest: &str, query: &str, rights: &Rights<'_>) -> Result<Plan, Failure> {
    let segments = segments(rest)?;
    let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
    let route = Route::find(&segments).ok_or(Failure::UnknownPath)?;
    let method = routes::check_method(rights.head, route.methods())?;
    let query = Query::read(query)?;
    match (route, method) {
        (Route::Messages, _) => messages::send(rights),
        (Route::Message(id), _) => message_state::ask(id, rights),
        (Route::Registrations, Method::Post) => registrations::register(rights),
        (Route::Registrations, _) => registrations::list(&query, rights),
        (Route::Registration(app), _) => registrations::unregister(app, &query, rights),
        (Route::EnrolmentCodes, _) => enrolment_codes::make(rights),
        (Route::Devices, _) => devices::list(&query, rights),
        (Route::Device(device), _) => devices::revoke(device, rights),
        (Route::User(user), _) => users::erase(user, rights),
        (Route::UserApp(user, app), _) => users::revoke_token(user, app, rights),
        (Route::AppKeys, _) => app_keys::list(rights),
        (Route::AppKey(app), Method::Put) => app_keys::bind(app, rights),
        (Route::AppKey(app), _) => app_keys::unbind(app, rights),
    }
}

impl<'p> Route<'p> {
    fn find(segments: &[&'p str]) -> Option<Route<'p>> {
        Some(match *segments {
            ["messages"] => Route::Messages,
            ["messages", id] => Route::Message(id),
            ["registrations"] => Route::Registrations,
            ["registrations", app] => Route::Registration(app),
            ["enrolment-codes"] => Route::EnrolmentCodes,
            ["devices"] => Route::Devices,
            ["devices", device] => Route::Device(device),
            ["users", user] => Route::User(user),
            ["users", user, "apps", app] => Route::UserApp(user, app),
            ["app-keys"] => Route::AppKeys,
            ["app-keys", app] => Route::AppKey(app),
            _ => return None,
        })
    }

    fn methods(&self) -> &'static [Method] {
        match self {
            Route::Messages | Route::EnrolmentCodes => &[Method::Post],
            Route::Message(_) | Route::Devices | Route::AppKeys => &[Method::Get],
            Route::Registrations => &[Method::Get, Method::Post],
            Route::Registration(_) | Route::Device(_) | Route::User(_) | Route::UserApp(..) => {
                &[Method::Delete]
            }
            Route::AppKey(_) => &[Method::Put, Method::Delete],
        }
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
