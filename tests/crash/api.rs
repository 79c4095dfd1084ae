//! Requests to one run of the server, over a connection that is kept.

use std::net::SocketAddr;

use serde_json::Value;

use super::outside::PATIENCE;

pub struct Api {
    agent: ureq::Agent,
    base: String,
    operator_key: String,
}

/// What the server answered.
pub enum Reply {
    /// 200, with this.
    Granted(Value),
    /// Another status, with the label of the error: nothing has changed.
    Refused(String),
}

/// Whether the request was done is not known.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// No whole answer came.
    #[error(transparent)]
    Gone(#[from] ureq::Error),
    /// The server says that it cannot. A disk that fails may have taken what was asked all the same.
    #[error("answered with {0}")]
    Failed(u16),
}

impl Api {
    pub fn new(http: SocketAddr, operator_key: &str) -> Api {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .proxy(None)
            .build();
        Api { agent: config.into(), base: format!("http://{http}"), operator_key: operator_key.into() }
    }

    /// What the operator proves itself with.
    pub fn operator_key(&self) -> &str {
        &self.operator_key
    }

    /// Posts `body`, with these headers.
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Result<Reply, Unanswered> {
        let mut request = self.agent.post(format!("{}{path}", self.base)).content_type("application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.send(body.to_string())?)
    }

    /// Asks for something that `credential` gives the right to.
    pub fn get(&self, path: &str, credential: &str) -> Result<Reply, Unanswered> {
        let request = self.agent.get(format!("{}{path}", self.base));
        read(request.header("Authorization", bearer(credential)).call()?)
    }

    /// Has something removed, as the operator.
    pub fn delete(&self, path: &str) -> Result<(), ureq::Error> {
        let request = self.agent.delete(format!("{}{path}", self.base));
        let response = request.header("Authorization", bearer(&self.operator_key)).call()?;
        match response.status().as_u16() {
            200..300 => Ok(()),
            status => Err(ureq::Error::StatusCode(status)),
        }
    }
}

/// What proves the one who asks.
pub fn bearer(credential: &str) -> String {
    format!("Bearer {credential}")
}

fn read(mut response: ureq::http::Response<ureq::Body>) -> Result<Reply, Unanswered> {
    let answer: Value = serde_json::from_str(&response.body_mut().read_to_string()?).unwrap_or_default();
    match response.status().as_u16() {
        200 => Ok(Reply::Granted(answer)),
        status @ 500.. => Err(Unanswered::Failed(status)),
        _ => Ok(Reply::Refused(answer["error"].as_str().unwrap_or_default().to_owned())),
    }
}
