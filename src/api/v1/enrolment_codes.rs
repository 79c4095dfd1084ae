//! One-time codes by which a device becomes a user's, made by the operator.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Call, request};
use crate::api::answer::{Outcome, Success};
use crate::api::body::id;
use crate::api::failure::Failure;
use crate::api::rights::Rights;
use crate::api::routes::{self, Plan};
use crate::api::{Options, expiry};
use crate::protocol::enrolment_code::EnrolmentCode;
use crate::queue::{Code, Command};

/// How long a code can be used if nobody says otherwise: until tomorrow, when its user has looked at the mail.
const VALID_FOR: Duration = Duration::from_secs(24 * 3600);
/// The longest that it can: a code that lies around for longer will be found by somebody else.
const VALID_FOR_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

const UNREACHABLE: &str = "The server doesn't know where devices reach it: set delivery_hosts";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted<'b> {
    #[serde(borrow)]
    user: Cow<'b, str>,
    valid_seconds: Option<u64>,
}

pub(super) fn make(rights: &Rights<'_>) -> Result<Plan, Failure> {
    rights.check_operator()?;
    let length = routes::check_body(rights.head, rights.options.body_bytes_max)?;
    Ok(Plan::Read(routes::Call::V1(Call::EnrolmentCode), length))
}

pub(super) fn command(body: &[u8], options: &Options) -> Result<Command, Failure> {
    let Wanted { user, valid_seconds } = request::read(body)?;
    let valid_for = valid_seconds.map_or(VALID_FOR, Duration::from_secs);
    if valid_for.is_zero() || valid_for > VALID_FOR_MAX {
        return Err(Failure::BadBody(format!("valid_seconds is 1 to {}", VALID_FOR_MAX.as_secs())));
    }
    let user = id(&user)?;
    match (&options.enrolling, options.server()) {
        (Some(_), Some(_)) => Ok(Command::MakeCode { user, valid_for }),
        _ => Err(Failure::Unavailable(UNREACHABLE)),
    }
}

pub(super) fn told(code: &Code, options: &Options) -> Outcome {
    #[derive(Serialize)]
    struct Body {
        ok: bool,
        code: String,
        expires: String,
    }
    let certificates = options.enrolling.as_ref().ok_or(Failure::Internal)?;
    let server = options.server().ok_or(Failure::Internal)?;
    let text = EnrolmentCode { secret: code.secret, pin: certificates.pin(), server };
    Ok(Success::object(&Body { ok: true, code: text.reveal(), expires: expiry::format(code.expires) }))
}
