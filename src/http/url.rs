//! The base URL of an HTTP API, `http` or `https`, and requests as they are written for it.

use std::fmt::{self, Write};
use std::str::FromStr;

use super::Request;
use crate::protocol::enrolment_code::ServerAddress;
use crate::tls::ServerName;

/// The base of an API. Its parts can stand in a request as they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Url {
    is_secure: bool,
    /// As the text has it, with the port only if it was given.
    authority: String,
    server: ServerAddress,
    name: ServerName<'static>,
    /// Empty, or from its first `/` on, without one at its end.
    path: String,
}

/// Why a text is no base of an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the URL of an HTTP API: write it like https://push.example.org or http://127.0.0.1:8080")]
pub struct UrlError;

impl FromStr for Url {
    type Err = UrlError;
    fn from_str(text: &str) -> Result<Url, UrlError> {
        let (is_secure, rest, port) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest, 443),
            Some(("http", rest)) => (false, rest, 80),
            _ => return Err(UrlError),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\"<>\\^`{|}".contains(&byte));
        let server = server(authority, port).filter(|_| is_plain).ok_or(UrlError)?;
        let name = ServerName::try_from(server.host().to_owned()).map_err(|_| UrlError)?;
        let path = path.trim_end_matches('/').to_owned();
        Ok(Url { is_secure, authority: authority.to_owned(), server, name, path })
    }
}

fn server(authority: &str, port: u16) -> Option<ServerAddress> {
    let with_port = || format!("{authority}:{port}").parse().ok();
    authority.parse().ok().or_else(with_port)
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

impl Url {
    /// Whether TLS is to be spoken.
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// Where to connect, `HOST:PORT`.
    pub fn addr(&self) -> String {
        self.server.to_string()
    }

    /// What the server is called in the TLS handshake.
    pub fn name(&self) -> ServerName<'static> {
        self.name.clone()
    }

    /// All that is sent for `request`, if it is the only one on its connection.
    pub fn head_and_body(&self, request: &Request<'_>) -> String {
        self.written(request, "Connection: close\r\n")
    }

    /// All that is sent for `request`, if others may follow.
    pub fn on_kept_connection(&self, request: &Request<'_>) -> String {
        self.written(request, "")
    }

    fn written(&self, request: &Request<'_>, connection: &str) -> String {
        let Request { method, path, bearer, body } = request;
        let mut text =
            format!("{method} {}{path} HTTP/1.1\r\nHost: {}\r\n{connection}", self.path, self.authority);
        if let Some(bearer) = bearer {
            write!(text, "Authorization: Bearer {bearer}\r\n").expect("a string takes all");
        }
        if let Some(body) = body {
            let length = body.len();
            write!(text, "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
                .expect("a string takes all");
        } else {
            text.push_str("\r\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_has_a_scheme_a_host_and_perhaps_port_and_path() {
        let cases = [
            ("https://push.example.org", true, "push.example.org:443", "https://push.example.org"),
            ("http://127.0.0.1:8080/", false, "127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[::1]:8080/a/b/", false, "[::1]:8080", "http://[::1]:8080/a/b"),
            ("https://[::1]", true, "[::1]:443", "https://[::1]"),
        ];
        for (text, is_secure, addr, shown) in cases {
            let url: Url = text.parse().expect(text);
            assert_eq!(
                (url.is_secure(), url.addr().as_str(), url.to_string().as_str()),
                (is_secure, addr, shown)
            );
        }
        for bad in [
            "",
            "push.example.org",
            "ftp://a",
            "http://",
            "http://a b",
            "http://u@a",
            "http://a/?x",
            "http://a/\r\n",
        ] {
            assert_eq!(bad.parse::<Url>(), Err(UrlError), "{bad:?}");
        }
    }
}
