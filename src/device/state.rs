//! What a device keeps from its enrolment on: who it is, and where its server is and how to know it. A
//! JSON text; where that lies is its owner's business.

use serde::{Deserialize, Serialize};

use crate::base::{Credential, DeviceId, Pin};
use crate::protocol::enrolment_code::ServerAddress;

/// The form of the text, raised whenever an earlier program could not use a later one's.
const VERSION: u64 = 1;

/// An enrolled device. `Debug` hides the credential.
#[derive(Clone, Debug)]
pub struct State {
    /// Where the server is reached.
    pub server: ServerAddress,
    /// What the server is called in the TLS handshake: a DNS name or an IP address.
    pub name: String,
    /// By what the server is known.
    pub pin: Pin,
    /// The device's id.
    pub device: DeviceId,
    /// What it proves that with.
    pub credential: Credential,
    /// The base URL of the server's HTTP API, if the server has told one.
    pub api: Option<String>,
}

/// Why a text is no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Another version of this program made it, and this one cannot know what it means.
    #[error("made for another version of lomiri-push: form {0}, where this one knows {VERSION}")]
    Version(u64),
    /// It is not what was written.
    #[error("is damaged")]
    Damaged,
}

#[derive(Deserialize)]
struct Form {
    version: u64,
}

#[derive(Serialize, Deserialize)]
struct Text {
    version: u64,
    host: String,
    port: u16,
    name: String,
    pin: String,
    device_id: String,
    credential: String,
    #[serde(default)]
    api: String,
}

impl State {
    /// The state as a text, which holds the credential.
    pub fn to_json(&self) -> String {
        let text = Text {
            version: VERSION,
            host: self.server.host().to_owned(),
            port: self.server.port(),
            name: self.name.clone(),
            pin: self.pin.to_string(),
            device_id: self.device.to_string(),
            credential: self.credential.reveal(),
            api: self.api.clone().unwrap_or_default(),
        };
        serde_json::to_string_pretty(&text).expect("text and numbers are JSON") + "\n"
    }

    /// The state in such a text.
    pub fn from_json(json: &[u8]) -> Result<State, StateError> {
        let Form { version } = serde_json::from_slice(json).map_err(|_| StateError::Damaged)?;
        if version != VERSION {
            return Err(StateError::Version(version));
        }
        let text = serde_json::from_slice(json).map_err(|_| StateError::Damaged)?;
        State::from_text(text).ok_or(StateError::Damaged)
    }

    fn from_text(text: Text) -> Option<State> {
        Some(State {
            server: ServerAddress::new(&text.host, text.port).ok()?,
            name: text.name,
            pin: text.pin.parse().ok()?,
            device: text.device_id.parse().ok()?,
            credential: text.credential.parse().ok()?,
            api: Some(text.api).filter(|api| !api.is_empty()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        State {
            server: "[::1]:9090".parse().expect("an address"),
            name: "push.example.org".into(),
            pin: Pin([7; 32]),
            device: "q".parse().expect("an id"),
            credential: Credential::new([9; 32]),
            api: Some("http://127.0.0.1:8080".into()),
        }
    }

    #[test]
    fn a_state_survives_its_text() {
        for state in [state(), State { api: None, ..state() }] {
            let read = State::from_json(state.to_json().as_bytes()).expect("its own text");
            assert_eq!(format!("{read:?}"), format!("{state:?}"));
            assert_eq!(read.credential.as_bytes(), state.credential.as_bytes());
        }
    }

    #[test]
    fn a_text_of_another_version_is_told_from_a_damaged_one() {
        let text = state().to_json();
        let error = |text: &str| State::from_json(text.as_bytes()).expect_err("refused");
        assert_eq!(error("{\"version\": 2, \"keys\": []}"), StateError::Version(2));
        let no_port = text.replace("9090", "0");
        for damaged in ["", "{}", "[]", &text[..text.len() / 2], &text.replace("CQ", "!!"), &no_port] {
            assert_eq!(error(damaged), StateError::Damaged, "{damaged}");
        }
    }
}
