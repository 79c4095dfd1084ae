//! Enrolment of very many devices: a code from the operator for each, and a device for each code.

use std::collections::VecDeque;
use std::time::Duration;

use super::callers::{Answered, Unanswered};
use super::clock::now;
use super::fleet::{Happened, Identity};
use super::posts::{Coded, post, wish};
use super::run::{Halt, Run};
use crate::base::{CodeSecret, Credential, DeviceId};
use crate::http::Answer;
use crate::protocol::enrolment_code::EnrolmentCode;

/// How long a turn waits at most.
const TURN_MAX: Duration = Duration::from_millis(100);
/// How many give their codes at once.
const ENROLLING_MAX: usize = 64;

/// A device that is enrolled.
pub type Member = (DeviceId, Credential);

impl Run<'_> {
    /// Makes so many devices, each of a user whose name begins with `prefix`, and puts them into `made`: those too that
    /// were made before an error. No other device may be there.
    ///
    /// # Errors
    /// The first that fails, or a stop.
    pub fn enrol(&mut self, count: usize, prefix: &str, made: &mut Vec<Member>) -> Result<(), Halt> {
        let outcome = self.enrol_all(count, prefix, made);
        if let Err(Halt::NoCode(why) | Halt::NotEnrolled(why)) = &outcome {
            self.problem(why.clone());
        }
        self.fleet.clear();
        outcome
    }

    fn enrol_all(&mut self, count: usize, prefix: &str, made: &mut Vec<Member>) -> Result<(), Halt> {
        let key = self.operator_key.clone();
        let (mut asked, mut enrolling, before) = (0, 0, made.len());
        let mut codes: VecDeque<CodeSecret> = VecDeque::new();
        while made.len() - before < count {
            while asked < count && self.fleet.callers.has_idle() {
                let user = format!("{prefix}{}-{asked}", self.name);
                self.fleet.ask(asked as u64, &post("/v1/enrolment-codes", key.as_deref(), wish(&user)));
                asked += 1;
            }
            while enrolling < ENROLLING_MAX
                && let Some(code) = codes.pop_front()
            {
                let device = self.fleet.add(Identity::Code(code));
                self.fleet.connect(device);
                enrolling += 1;
            }
            self.check_stop()?;
            self.fleet.turn(now() + TURN_MAX)?;
            while let Some(Answered { answer, .. }) = self.fleet.callers.answered.pop_front() {
                codes.push_back(code_in(answer).map_err(Halt::NoCode)?);
            }
            while let Some(happened) = self.fleet.happened.pop_front() {
                match happened {
                    Happened::Enrolled(device, enrolled) => {
                        made.push((enrolled.device, enrolled.credential));
                        self.fleet.leave(device);
                        enrolling -= 1;
                    }
                    Happened::Ended(_, why) => return Err(Halt::NotEnrolled(why)),
                    _ => {}
                }
            }
            self.tell("enrol", (made.len() - before) as u64, count as u64);
        }
        Ok(())
    }
}

fn code_in(answer: Result<Answer, Unanswered>) -> Result<CodeSecret, String> {
    let told = |why: String| format!("POST /v1/enrolment-codes: {why}");
    let answer = answer.map_err(|why| told(why.to_string()))?;
    let Coded { code } = answer.success().map_err(|error| told(error.to_string()))?;
    code.parse().map(|code: EnrolmentCode| code.secret).map_err(|error| told(format!("{error}")))
}
