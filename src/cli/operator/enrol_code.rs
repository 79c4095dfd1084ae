//! `enrol-code`: a one-time code for a user.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::ServerArguments;
use crate::base::{UserId, parse_duration};
use crate::cli::{Failure, say};

/// Makes a one-time code that makes a device a user's
///
/// Prints the code alone. The device's owner gives it to `lomiri-push device enrol`. It says where the
/// server is, carries the pin of its certificate, and is a secret until it was used or has expired.
/// The server must run.
#[derive(clap::Args)]
pub struct Arguments {
    /// Whose device it will be: a name or an address, of up to 128 bytes. Need not be known yet
    #[arg(long, value_name = "USER")]
    user: UserId,
    /// For how long it can be used, such as 30m or 24h [default: the server's, 24h]
    #[arg(long, value_name = "DURATION", value_parser = whole_seconds)]
    valid: Option<Duration>,
    #[command(flatten)]
    server: ServerArguments,
}

#[derive(Deserialize)]
struct Made {
    code: String,
}

/// Prints a new code.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut wish = json!({ "user": arguments.user.as_str() });
    if let Some(valid) = arguments.valid {
        wish["valid_seconds"] = valid.as_secs().into();
    }
    let made: Made = arguments.server.operator()?.ask("POST", "/v1/enrolment-codes", Some(&wish))?;
    say(&made.code)
}

fn whole_seconds(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text).map_err(|error| error.to_string())?;
    match duration.subsec_nanos() {
        0 if !duration.is_zero() => Ok(duration),
        _ => Err("whole seconds, and at least one".into()),
    }
}
