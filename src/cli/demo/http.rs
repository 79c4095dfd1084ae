//! Posts to the push server's API, for everyone in the demo.

use std::net::SocketAddr;

use serde_json::Value;

use super::{Failure, WAIT_MAX};

/// Where to post.
pub struct Http {
    agent: ureq::Agent,
    addr: SocketAddr,
}

impl Http {
    /// The API at this address.
    pub fn new(api: SocketAddr) -> Http {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(WAIT_MAX))
            .http_status_as_error(false)
            .proxy(None)
            .build();
        Http { agent: config.into(), addr: api }
    }

    /// Where it posts.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Posts with a credential, if one is needed; what the API says if it says yes.
    pub fn post(&self, path: &str, bearer: Option<&str>, body: &Value) -> Result<Value, Failure> {
        let failed = |problem: String| Failure::Run(format!("POST {path}: {problem}"));
        let mut request =
            self.agent.post(format!("http://{}{path}", self.addr)).content_type("application/json");
        if let Some(bearer) = bearer {
            request = request.header("Authorization", format!("Bearer {bearer}"));
        }
        let mut response = request.send(body.to_string()).map_err(|error| failed(error.to_string()))?;
        let answer = response.body_mut().read_to_string().map_err(|error| failed(error.to_string()))?;
        match response.status().as_u16() {
            200..300 => serde_json::from_str(&answer).map_err(|error| failed(error.to_string())),
            status => Err(failed(format!("{status} {answer}"))),
        }
    }
}
