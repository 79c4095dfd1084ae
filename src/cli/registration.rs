//! `register` and `unregister`: an enrolled device asks its server's HTTP API for an app's tokens, or says
//! that the app is gone.

use std::path::PathBuf;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Failure, authority, say, state_folder};
use crate::base::AppId;
use crate::http::{Api, AskError, Request};
use crate::tls::Trust;

/// Asks for the tokens of an app on this device
///
/// Prints what an app server needs to post: the token of this app on this device, and below it the user
/// token, if there is one, for the app on all devices of this user. Asking again brings the same.
#[derive(clap::Args)]
pub struct Register {
    /// The app
    #[arg(value_name = "APP_ID")]
    app: AppId,
    /// Print {"token": …, "user_token": …} instead
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArguments,
}

/// Says that an app is gone from this device: its token dies
///
/// The user token dies with the last device that has the app.
#[derive(clap::Args)]
pub struct Unregister {
    /// The app
    #[arg(value_name = "APP_ID")]
    app: AppId,
    #[command(flatten)]
    device: DeviceArguments,
}

/// Which device asks, and where.
#[derive(clap::Args)]
struct DeviceArguments {
    /// The folder of an enrolled device (`lomiri-push device enrol`)
    #[arg(long, value_name = "FOLDER")]
    state: PathBuf,
    /// The base URL of the server's HTTP API [default: what the server told at the enrolment]
    #[arg(long, value_name = "URL")]
    api: Option<String>,
    /// Believe an API whose certificate is, or leads to, one in this PEM file [default: the one whose
    /// certificate is the server's own]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct Tokens {
    token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_token: Option<String>,
}

impl Register {
    /// Registers and prints the tokens.
    pub fn run(self) -> Result<(), Failure> {
        let tokens: Tokens = self.device.post("/register", &self.app)?;
        let as_json = serde_json::to_string(&tokens).expect("text is JSON");
        let as_lines = [Some(tokens.token), tokens.user_token].into_iter().flatten();
        say(&if self.json { as_json } else { as_lines.collect::<Vec<_>>().join("\n") })
    }
}

impl Unregister {
    /// Unregisters.
    pub fn run(self) -> Result<(), Failure> {
        self.device.post::<IgnoredAny>("/unregister", &self.app).map(drop)
    }
}

impl DeviceArguments {
    /// Posts about `app` in the device's name.
    fn post<T: DeserializeOwned>(&self, path: &str, app: &AppId) -> Result<T, Failure> {
        let state = state_folder::load(&self.state)?;
        let base = self.api.clone().or(state.api).ok_or_else(|| {
            Failure::Usage("the server has not told where its HTTP API is: give --api URL".into())
        })?;
        let trust = self.ca.as_deref().map_or(Ok(Trust::Pin(state.pin)), authority::named)?;
        let api = Api::new(&base, Some(trust))?;
        let body = json!({ "deviceid": state.device.as_str(), "appid": app.as_str() }).to_string();
        let credential = state.credential.reveal();
        let request = Request { method: "POST", path, bearer: Some(&credential), body: Some(body) };
        api.ask_for(&request).map_err(|error| Failure::Run(explain(&api, &error)))
    }
}

fn explain(api: &Api, error: &AskError) -> String {
    match error {
        AskError::Refused { status: 401, text } => {
            format!("{text}: was the device revoked?")
        }
        AskError::Refused { text, .. } => text.clone(),
        _ => format!("{}: {error}", api.base()),
    }
}
