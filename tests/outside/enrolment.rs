//! How a device becomes a user's, and an app one of the device's: as the operator and the device's owner
//! do it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use lomiri_push::device::state::State;
use serde_json::{Value, json};

use super::PATIENCE;
use super::server::{Listening, data_in};

/// Makes a new device of `user`'s, whose state is kept in `state`. The operator's key is in `folder`,
/// where the server keeps its data.
pub fn enrol(
    program: &Path,
    server: &Listening,
    folder: &Path,
    user: &str,
    state: &Path,
) -> Result<State, String> {
    let code = code_for(server, folder, user)?;
    let mut command = Command::new(program);
    command.args(["device", "enrol", &code, "--addr", &server.devices.addr]).arg("--state").arg(state);
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = std::fs::read(state.join("device.json")).map_err(|error| error.to_string())?;
    State::from_json(&text).map_err(|error| error.to_string())
}

/// A code for a new device of `user`'s.
pub fn code_for(server: &Listening, folder: &Path, user: &str) -> Result<String, String> {
    let code = ask(server.http, "/v1/enrolment-codes", &operator_key(folder)?, &json!({ "user": user }))?;
    Ok(code["code"].as_str().ok_or("no code came")?.to_owned())
}

/// The operator's key of the server that was started in `folder`.
pub fn operator_key(folder: &Path) -> Result<String, String> {
    let key = std::fs::read_to_string(data_in(folder).join("operator-key"));
    key.map(|key| key.trim().to_owned()).map_err(|error| format!("the operator's key: {error}"))
}

/// Asks for something that must be granted, with a credential.
pub fn ask(http: SocketAddr, path: &str, credential: &str, body: &Value) -> Result<Value, String> {
    let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).proxy(None).build();
    let request = ureq::Agent::from(config)
        .post(format!("http://{http}{path}"))
        .content_type("application/json")
        .header("Authorization", format!("Bearer {credential}"));
    let mut response = request.send(body.to_string()).map_err(|error| format!("POST {path}: {error}"))?;
    let text = response.body_mut().read_to_string().map_err(|error| format!("POST {path}: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("POST {path}: {error}"))
}
