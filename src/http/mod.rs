//! One request to an HTTP API and its answer, for commands and devices that ask a server. A credential goes
//! over TLS, or in plain text to this machine alone. No redirects, no cookies, no second try.

mod answer;
mod channel;
mod url;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use channel::Channel;
use serde::de::DeserializeOwned;
use url::UrlError;

use crate::tls::{ClientConfig, DeviceOptions, TlsError, Trust, device_config};

pub use answer::Answer;
pub use url::Url;

/// How long all of it may take: reaching the server, asking and being answered. A person waits.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(30);

/// What is asked.
pub struct Request<'a> {
    /// The method.
    pub method: &'static str,
    /// What stands behind the API's base, from its `/`.
    pub path: &'a str,
    /// What gives the right to ask, if anything has to.
    pub bearer: Option<&'a str>,
    /// A JSON text, if the method takes one.
    pub body: Option<String>,
}

/// An HTTP API and whom to believe there.
pub struct Api {
    url: Url,
    tls: Option<Arc<ClientConfig>>,
}

/// A text that is no API's base, or that of one which cannot be known again.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", .base.escape_debug())]
pub struct BaseError {
    base: String,
    problem: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The API cannot be reached, or broke off.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The API is not the one that is believed, or TLS failed otherwise.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// A credential would go over a network in plain text.
    #[error("a credential goes over https, or to this machine only")]
    Exposed,
    /// What came back is not HTTP, or longer than any answer.
    #[error("{0}")]
    Answer(&'static str),
    /// The API does not do what it was asked to, and says why.
    #[error("{text}")]
    Refused {
        /// The status code.
        status: u16,
        /// The API's words.
        text: String,
    },
}

impl Api {
    /// The API at this base, such as `https://push.example.org` or `http://127.0.0.1:8080`. Only the
    /// former needs somebody to trust.
    pub fn new(base: &str, trust: Option<Trust>) -> Result<Api, BaseError> {
        let refuse = |problem: String| BaseError { base: base.to_owned(), problem };
        let url: Url = base.parse().map_err(|error: UrlError| refuse(error.to_string()))?;
        let tls = match (url.is_secure(), trust) {
            (false, _) => None,
            (true, None) => return Err(refuse("whom to believe there is not known".into())),
            (true, Some(trust)) => {
                let config = device_config(&trust, DeviceOptions::default());
                Some(config.map_err(|error| refuse(error.to_string()))?)
            }
        };
        Ok(Api { url, tls })
    }

    /// Asks once.
    fn ask(&self, request: &Request<'_>) -> Result<Answer, AskError> {
        let mut channel = self.open(request)?;
        channel.send(self.url.head_and_body(request).as_bytes())?;
        let mut received = Vec::new();
        loop {
            let is_over = !channel.receive(&mut received)?;
            if let Some(answer) = Answer::in_full(&received, is_over)? {
                return Ok(answer);
            }
        }
    }

    /// Asks once, for a JSON text. Any status but success is [`AskError::Refused`].
    pub fn ask_for<T: DeserializeOwned>(&self, request: &Request<'_>) -> Result<T, AskError> {
        self.ask(request)?.success()
    }

    /// What people call the API.
    pub fn base(&self) -> String {
        self.url.to_string()
    }

    fn open(&self, request: &Request<'_>) -> Result<Channel, AskError> {
        match &self.tls {
            None if request.bearer.is_some() => Channel::to_this_machine(&self.url.addr(), ASK_TIMEOUT),
            None => Channel::in_plain_text(&self.url.addr(), ASK_TIMEOUT),
            Some(tls) => Channel::over_tls(&self.url.addr(), self.url.name(), tls, ASK_TIMEOUT),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread::{self, JoinHandle};

    use super::*;

    /// A server that answers its first connection with this, and tells what it was asked.
    fn answering(answer: &'static str) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let base = format!("http://{}/push", listener.local_addr().expect("bound"));
        let serve = move || {
            let (mut stream, _) = listener.accept().expect("somebody asks");
            let mut asked = Vec::new();
            while !asked.ends_with(b"{}") {
                let mut bytes = [0; 100];
                let count = stream.read(&mut bytes).expect("connected");
                asked.extend_from_slice(&bytes[..count]);
            }
            stream.write_all(answer.as_bytes()).expect("connected");
            String::from_utf8(asked).expect("text")
        };
        (base, thread::spawn(serve))
    }

    fn post(bearer: &str) -> Request<'_> {
        Request { method: "POST", path: "/register", bearer: Some(bearer), body: Some("{}".into()) }
    }

    #[test]
    fn a_request_has_a_credential_and_a_length_and_its_answer_comes_back() {
        let (base, asked) = answering("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nnomore");
        let api = Api::new(&base, None).expect("a base");
        let answer = api.ask(&post("secret")).expect("an answer");
        assert_eq!((answer.status, &answer.body[..]), (401, &b"no"[..]));
        let host = base.trim_start_matches("http://").trim_end_matches("/push");
        let expected = format!(
            "POST /push/register HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAuthorization: Bearer secret\r\n\
             Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
        );
        assert_eq!(asked.join().expect("no panic"), expected);
    }

    #[test]
    fn what_everybody_may_ask_is_asked_without_a_credential() {
        let (base, asked) =
            answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n7\r\n0\r\n\r\n");
        let request = Request { method: "GET", path: "/hosts?h=0f", bearer: None, body: Some("{}".into()) };
        let answer: u8 = Api::new(&base, None).expect("a base").ask_for(&request).expect("an answer");
        assert_eq!(answer, 7);
        assert!(!asked.join().expect("no panic").contains("Authorization"));
    }

    #[test]
    fn a_server_that_breaks_off_has_not_answered() {
        let (base, _asked) = answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{");
        let error = Api::new(&base, None).expect("a base").ask(&post("s")).expect_err("cut");
        assert_eq!(error.to_string(), "the answer was cut off");
    }

    #[test]
    fn a_credential_never_goes_over_a_network_in_plain_text() {
        // An address of the documentation block, which nothing answers: it is refused before any try.
        let api = Api::new("http://192.0.2.1", None).expect("a base");
        assert!(matches!(api.ask(&post("secret")), Err(AskError::Exposed)));
    }
}
