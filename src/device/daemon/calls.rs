//! Calls of apps that wait for their answers, and what of the service each asks for.

use std::collections::BTreeMap;

use super::{Daemon, Wish};
use crate::base::AppId;
use crate::device::bus::{Answer, Ask, Call, CallError, Responder};
use crate::device::registrar::RegistrationError;
use crate::service::notification::{Emblem, Output};
use crate::service::{CallId, Reply};

/// Who waits, by the number that the service knows the call by.
#[derive(Default)]
pub struct Calls {
    waiting: BTreeMap<CallId, Waiting>,
    last: CallId,
}

/// Somebody who waits, and what the service's texts are to them.
struct Waiting {
    responder: Responder,
    texts: fn(Vec<String>) -> Answer,
}

impl Calls {
    /// The service has answered.
    pub fn reply(&mut self, call: CallId, reply: Reply) {
        let Some(Waiting { responder, texts }) = self.waiting.remove(&call) else { return };
        responder.answer(match reply {
            Reply::Done => Answer::Done,
            Reply::Texts(list) => texts(list),
            Reply::Count(count) => Answer::Cleared(count),
        });
    }

    fn wait(&mut self, responder: Responder, texts: fn(Vec<String>) -> Answer) -> CallId {
        self.last += 1;
        self.waiting.insert(self.last, Waiting { responder, texts });
        self.last
    }
}

impl Daemon {
    /// Somebody calls.
    pub(super) fn handle_call(&mut self, Call { ask, responder }: Call) {
        match ask {
            Ask::Register(app) => self.register(app, Wish::DeviceToken, responder),
            Ask::RegisterUser(app) => self.register(app, Wish::UserToken, responder),
            Ask::Unregister(app) => self.register(app, Wish::Unregister, responder),
            Ask::Post(app, json) => match Output::parse(json.as_bytes()) {
                Ok(output) => self.service.post(self.calls.wait(responder, Answer::Tags), app, output),
                Err(error) => {
                    log::info!("a post for {app}: {error}");
                    responder.fail(CallError::BadJson);
                }
            },
            Ask::PopAll(app) => self.service.pop_all(self.calls.wait(responder, Answer::Messages), &app),
            Ask::ListPersistent(app) => {
                self.service.list_persistent(self.calls.wait(responder, Answer::Tags), &app);
            }
            Ask::ClearPersistent(app, tags) => {
                self.service.clear_persistent(self.calls.wait(responder, Answer::Tags), &app, &tags);
            }
            Ask::SetCounter(app, count, visible) => {
                let emblem = Emblem { count, visible };
                self.service.set_counter(self.calls.wait(responder, Answer::Tags), app, emblem);
            }
            Ask::Status => responder.answer(Answer::Status(self.status.text(&self.service))),
        }
    }

    fn register(&self, app: AppId, wish: Wish, responder: Responder) {
        self.registrar.ask(app, wish, move |outcome| match outcome {
            Ok(_) if wish == Wish::Unregister => responder.answer(Answer::Done),
            Ok(token) => responder.answer(Answer::Token(token)),
            Err(error) => responder.fail(error.into()),
        });
    }
}

impl From<RegistrationError> for CallError {
    fn from(error: RegistrationError) -> CallError {
        match error {
            RegistrationError::NoServer => CallError::Unreachable(error.to_string()),
            RegistrationError::Busy => CallError::Busy,
            RegistrationError::Unreachable(problem) => CallError::Unreachable(problem),
            RegistrationError::Server => CallError::BadServer,
            RegistrationError::Unauthorized => CallError::BadAuth,
            RegistrationError::Refused => CallError::BadRequest,
            RegistrationError::NoToken => CallError::BadToken,
        }
    }
}
