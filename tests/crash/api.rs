//! Requests to one run of the server, over a connection that is kept.

use std::net::SocketAddr;

use serde_json::Value;

use super::shared::PATIENCE;

pub struct Api {
    agent: ureq::Agent,
    base: String,
}

/// What the server answered.
pub enum Reply {
    /// 200, with this.
    Granted(Value),
    /// Another status, with the label of the error.
    Refused(String),
}

impl Api {
    pub fn new(address: SocketAddr) -> Api {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .proxy(None)
            .build();
        Api { agent: config.into(), base: format!("http://{address}") }
    }

    /// Posts `body`; an error if no whole answer came.
    pub fn post(&self, path: &str, body: &Value) -> Result<Reply, ureq::Error> {
        let request = self.agent.post(format!("{}{path}", self.base)).content_type("application/json");
        let mut response = request.send(body.to_string())?;
        let answer: Value = serde_json::from_str(&response.body_mut().read_to_string()?).unwrap_or_default();
        match response.status().as_u16() {
            200 => Ok(Reply::Granted(answer)),
            _ => Ok(Reply::Refused(answer["error"].as_str().unwrap_or_default().to_owned())),
        }
    }
}
