//! What a call is to the rest of the push service: what is asked, and the one who waits for the answer. How
//! either looks on the bus, it does not know.

use crate::base::AppId;

use super::CallError;

/// A method call that may be answered: well formed, by a caller who may ask it, about an installed app.
#[derive(Debug)]
pub struct Call {
    /// What is asked.
    pub ask: Ask,
    /// Who waits.
    pub responder: Responder,
}

/// What a caller asks. The [`Answer`] that each expects stands beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// The app's token on this device; the same each time: [`Answer::Token`].
    Register(AppId),
    /// The app's token on all of the user's devices: [`Answer::Token`].
    RegisterUser(AppId),
    /// The app wants no more messages: [`Answer::Done`].
    Unregister(AppId),
    /// A helper's output, as JSON text that is not checked yet: [`Answer::Done`].
    Post(AppId, String),
    /// All of the app's mailbox, which is empty then: [`Answer::Messages`].
    PopAll(AppId),
    /// The tags of the notifications that are to be seen: [`Answer::Tags`].
    ListPersistent(AppId),
    /// Those with these tags, or all if there are none, are to go: [`Answer::Cleared`].
    ClearPersistent(AppId, Vec<String>),
    /// The number at the app's icon, and whether it is to be seen: [`Answer::Done`].
    SetCounter(AppId, i32, bool),
    /// How the service does: [`Answer::Status`].
    Status,
}

impl Ask {
    /// The app that it is about.
    pub fn app(&self) -> Option<&AppId> {
        match self {
            Ask::Register(app)
            | Ask::RegisterUser(app)
            | Ask::Unregister(app)
            | Ask::Post(app, _)
            | Ask::PopAll(app)
            | Ask::ListPersistent(app)
            | Ask::ClearPersistent(app, _)
            | Ask::SetCounter(app, _, _) => Some(app),
            Ask::Status => None,
        }
    }
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A token as an app server takes it.
    Token(String),
    /// It is done.
    Done,
    /// The JSON of each message, oldest first.
    Messages(Vec<String>),
    /// Tags of notifications.
    Tags(Vec<String>),
    /// How many notifications went.
    Cleared(u32),
    /// JSON text.
    Status(String),
}

/// Takes the answer to one call, from any thread, without ever waiting. Dropped without one, it tells the caller
/// that the service is busy: no call is left without a reply.
pub struct Responder(Option<Told>);

type Told = Box<dyn FnOnce(Result<Answer, CallError>) + Send>;

impl Responder {
    /// Gives the outcome to `told`, which must not block.
    pub fn new(told: impl FnOnce(Result<Answer, CallError>) + Send + 'static) -> Responder {
        Responder(Some(Box::new(told)))
    }

    /// It went well.
    pub fn answer(self, answer: Answer) {
        self.tell(Ok(answer));
    }

    /// It did not.
    pub fn fail(self, error: CallError) {
        self.tell(Err(error));
    }

    fn tell(mut self, outcome: Result<Answer, CallError>) {
        let told = self.0.take().expect("it tells once, and is gone");
        told(outcome);
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if let Some(told) = self.0.take() {
            told(Err(CallError::Busy));
        }
    }
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Responder")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn responder() -> (Responder, mpsc::Receiver<Result<Answer, CallError>>) {
        let (sender, outcomes) = mpsc::channel();
        (Responder::new(move |outcome| sender.send(outcome).expect("awaited")), outcomes)
    }

    #[test]
    fn a_caller_is_told_the_outcome_once() {
        let (first, outcomes) = responder();
        first.answer(Answer::Cleared(2));
        assert_eq!(outcomes.iter().collect::<Vec<_>>(), [Ok(Answer::Cleared(2))]);
        let (second, outcomes) = responder();
        second.fail(CallError::BadAuth);
        assert_eq!(outcomes.iter().collect::<Vec<_>>(), [Err(CallError::BadAuth)]);
    }

    #[test]
    fn a_call_that_nobody_takes_up_is_answered_all_the_same() {
        let (forgotten, outcomes) = responder();
        drop(forgotten);
        assert_eq!(outcomes.iter().collect::<Vec<_>>(), [Err(CallError::Busy)]);
    }
}
