//! What an app server sent through `/v1`: what it may ask about later, and the one request that it has no
//! answer to and makes again.

use std::collections::VecDeque;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::api::{Api, Reply, Unanswered};
use super::ledger::{Outcome, State};
use super::outside::PATIENCE;
use super::shared::Shared;

/// Messages whose states are asked for: enough for those of the last rounds.
const SENT_MAX: usize = 60;
/// How often to ask again for a state that an ack on its way must change.
const ASK_AGAIN: Duration = Duration::from_millis(10);

/// A message on one device.
#[derive(Clone)]
pub struct Copy {
    /// As the ledger calls it.
    pub device: String,
    pub device_id: String,
    pub number: usize,
    /// Whether the app is on the device for certain.
    pub is_certain: bool,
}

/// A request to send one message.
pub struct Request {
    pub token: String,
    pub key: String,
    pub body: Value,
    pub copies: Vec<Copy>,
}

#[derive(Default)]
pub struct Sendings {
    /// Those that were taken, the oldest first.
    sent: VecDeque<Sent>,
    /// One that stayed without an answer: nothing else was asked since.
    unanswered: Option<Request>,
}

struct Sent {
    id: String,
    token: String,
    copies: Vec<Copy>,
}

impl Sendings {
    /// Enters how a request came out, on each device. The answer names the devices that it is queued for.
    pub fn answered(&mut self, request: Request, reply: &Result<Reply, Unanswered>, shared: &Shared) {
        for copy in &request.copies {
            let outcome = match reply {
                Ok(Reply::Granted(answer)) => outcome_on(copy, answer, shared),
                Ok(Reply::Refused(_)) => Outcome::Refused,
                Err(_) => Outcome::Unanswered,
            };
            shared.with(|ledger| ledger.answered(copy.number, outcome));
        }
        match reply {
            Ok(Reply::Granted(answer)) => self.taken(request, answer),
            Ok(Reply::Refused(_)) => {}
            Err(_) => self.unanswered = Some(request),
        }
    }

    fn taken(&mut self, request: Request, answer: &Value) {
        if self.sent.len() == SENT_MAX {
            self.sent.pop_front();
        }
        let Request { token, copies, .. } = request;
        self.sent.push_back(Sent { id: text(&answer["id"]), token, copies });
    }

    /// The request that is to be made again, if there is one.
    pub fn take_unanswered(&mut self) -> Option<Request> {
        self.unanswered.take()
    }

    /// Asks what became of each message whose token is one of these, and holds that against the ledger. When
    /// all is `settled`, what a device has stored must turn into delivered.
    pub fn check(
        &self,
        tokens: &[&str],
        settled: bool,
        api: &Api,
        shared: &Shared,
    ) -> Result<(), Unanswered> {
        for sent in self.sent.iter().filter(|sent| tokens.contains(&&*sent.token)) {
            let mut patience = if settled { PATIENCE } else { Duration::ZERO };
            while !sent.is_told_rightly(api, shared, patience.is_zero() && settled)? && !patience.is_zero() {
                thread::sleep(ASK_AGAIN);
                patience = patience.saturating_sub(ASK_AGAIN);
            }
        }
        Ok(())
    }
}

impl Sent {
    /// Holds the states against the ledger. False if one is `queued` still though the device has the message:
    /// a complaint only when nothing more is `awaited`.
    fn is_told_rightly(&self, api: &Api, shared: &Shared, is_last: bool) -> Result<bool, Unanswered> {
        let answer = match api.get(&format!("/v1/messages/{}", self.id), &self.token)? {
            Reply::Granted(answer) => answer,
            Reply::Refused(label) => {
                shared.complain(format!("the state of message {}: {label}", self.id));
                return Ok(true);
            }
        };
        let mut are_right = true;
        for on in answer["devices"].as_array().into_iter().flatten() {
            let Some(copy) = self.copies.iter().find(|copy| on["deviceid"] == copy.device_id.as_str()) else {
                shared.complain(format!("message {} is on a device that it was not for: {on}", self.id));
                continue;
            };
            let state = State { status: text(&on["status"]), is_delivered: on["delivered"].is_string() };
            are_right &= shared.with(|ledger| ledger.check_state(copy.number, &state, is_last));
        }
        Ok(are_right)
    }
}

fn outcome_on(copy: &Copy, answer: &Value, shared: &Shared) -> Outcome {
    let devices = answer["devices"].as_array().into_iter().flatten();
    let status = devices.into_iter().find(|on| on["deviceid"] == copy.device_id.as_str());
    match status.map(|on| text(&on["status"])) {
        Some(status) if status == "queued" => Outcome::Accepted,
        None if !copy.is_certain => Outcome::Refused,
        other => {
            shared.complain(format!("{}: {other:?} in place of queued", copy.device));
            Outcome::Refused
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
