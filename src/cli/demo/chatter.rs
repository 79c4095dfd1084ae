//! Chatter's app server, as small as one can be: it registers phones and posts messages over the
//! HTTP API.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Failure, WAIT_MAX};

/// Chatter's id.
pub const APP: &str = "chatter.alice";
/// What most messages are worth: longer than the demo.
const LIFE: Duration = Duration::from_secs(3600);

/// Posts to one push server.
pub struct Chatter {
    agent: ureq::Agent,
    base: String,
}

/// What one friend tells another.
pub struct Note {
    /// Who writes.
    pub from: &'static str,
    /// What.
    pub text: &'static str,
    /// Earlier pending notes with the same tag are dropped for it.
    pub tag: Option<&'static str>,
    /// How long it is worth anything.
    pub life: Duration,
}

impl Note {
    /// A note that can wait.
    pub fn new(from: &'static str, text: &'static str) -> Note {
        Note { from, text, tag: None, life: LIFE }
    }

    /// What the phone's app gets.
    pub fn payload(&self) -> Value {
        json!({ "from": self.from, "text": self.text })
    }
}

impl Chatter {
    /// An app server that knows where the push server's API is.
    pub fn new(api: std::net::SocketAddr) -> Chatter {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(WAIT_MAX))
            .http_status_as_error(false)
            .proxy(None)
            .build();
        Chatter { agent: config.into(), base: format!("http://{api}") }
    }

    /// Asks for a token for Chatter on a phone, as the phone would.
    pub fn register(&self, device: &str) -> Result<String, Failure> {
        let answer = self.post("/register", &json!({ "deviceid": device, "appid": APP }))?;
        match answer["token"].as_str() {
            Some(token) => Ok(token.to_owned()),
            None => Err(Failure::Run("/register gave no token".into())),
        }
    }

    /// Sends a note to whoever the token stands for.
    pub fn send(&self, token: &str, note: &Note) -> Result<(), Failure> {
        let mut body = json!({
            "token": token,
            "appid": APP,
            "expire_on": in_the_future(note.life),
            "data": note.payload(),
        });
        if let Some(tag) = note.tag {
            body["replace_tag"] = tag.into();
        }
        self.post("/notify", &body).map(drop)
    }

    /// Tells every phone, as the operator would.
    pub fn broadcast(&self, data: &Value) -> Result<(), Failure> {
        let expire_on = in_the_future(LIFE);
        self.post("/broadcast", &json!({ "channel": "system", "expire_on": expire_on, "data": data }))
            .map(drop)
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let failed = |problem: String| Failure::Run(format!("POST {path}: {problem}"));
        let request = self.agent.post(format!("{}{path}", self.base)).content_type("application/json");
        let mut response = request.send(body.to_string()).map_err(|error| failed(error.to_string()))?;
        let answer = response.body_mut().read_to_string().map_err(|error| failed(error.to_string()))?;
        match response.status().as_u16() {
            200 => serde_json::from_str(&answer).map_err(|error| failed(error.to_string())),
            status => Err(failed(format!("{status} {answer}"))),
        }
    }
}

fn in_the_future(life: Duration) -> String {
    let life = SignedDuration::try_from(life).expect("lives are short");
    (Timestamp::now() + life).to_string()
}
