//! Chatter's app server, as small as one can be: it has a token for each phone, and posts messages.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::Failure;
use super::apps::CHATTER;
use super::http::Http;

/// What most messages are worth: longer than the demo.
pub const LIFE: Duration = Duration::from_secs(3600);

/// Posts to one push server.
pub struct Chatter(Http);

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
        Chatter(Http::new(api))
    }

    /// Sends a note to whoever the token stands for.
    pub fn send(&self, token: &str, note: &Note) -> Result<(), Failure> {
        let mut body = json!({
            "token": token,
            "appid": CHATTER.id,
            "expire_on": in_the_future(note.life),
            "data": note.payload(),
        });
        if let Some(tag) = note.tag {
            body["replace_tag"] = tag.into();
        }
        self.0.post("/notify", None, &body).map(drop)
    }
}

/// When something expires that is worth so much.
pub fn in_the_future(life: Duration) -> String {
    let life = SignedDuration::try_from(life).expect("lives are short");
    (Timestamp::now() + life).to_string()
}
