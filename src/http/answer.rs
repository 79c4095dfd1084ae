//! The answer to one request: its status and its body, out of the bytes that have come so far.

use httparse::{EMPTY_HEADER, Response, Status, parse_chunk_size};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::AskError;
use crate::base::shown;

/// Longest answer, in bytes: a page of devices takes a tenth of it.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Most header lines: proxies add some, but not so many.
const HEADERS_MAX: usize = 64;

/// What the server says.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// What it says in full.
    pub body: Vec<u8>,
}

impl Answer {
    /// The answer, if all of it has come. Without a length it ends where the connection does.
    pub fn in_full(received: &[u8], is_over: bool) -> Result<Option<Answer>, AskError> {
        if received.len() > ANSWER_BYTES_MAX {
            return Err(AskError::Answer("the answer is too long"));
        }
        let Some(head) = Head::of(received)? else { return cut_off_if(is_over) };
        let body = &received[head.bytes..];
        let whole = match head.length {
            Length::Known(length) => body.get(..length).map(<[u8]>::to_vec),
            Length::Chunks => unchunked(body)?,
            Length::UntilTheEnd => is_over.then(|| body.to_vec()),
        };
        match whole {
            Some(body) => Ok(Some(Answer { status: head.status, body })),
            None => cut_off_if(is_over),
        }
    }
}

/// What servers of this kind say when they refuse.
#[derive(Deserialize)]
struct Refusal {
    error: String,
    message: String,
}

impl Answer {
    /// What was asked for, or the server's words on why not.
    pub fn success<T: DeserializeOwned>(&self) -> Result<T, AskError> {
        if (200..300).contains(&self.status) {
            let unexpected = |_| AskError::Answer("the answer is not what a server of this kind says");
            return serde_json::from_slice(&self.body).map_err(unexpected);
        }
        let text = match serde_json::from_slice(&self.body) {
            Ok(Refusal { error, message }) => {
                format!("{} ({})", shown(&message), shown(&error))
            }
            Err(_) => format!("HTTP status {}", self.status),
        };
        Err(AskError::Refused { status: self.status, text })
    }
}

fn cut_off_if(is_over: bool) -> Result<Option<Answer>, AskError> {
    if is_over { Err(AskError::Answer("the answer was cut off")) } else { Ok(None) }
}

/// What came in chunks, if all of it has come. What may stand behind the last chunk does not matter.
fn unchunked(mut rest: &[u8]) -> Result<Option<Vec<u8>>, AskError> {
    const LINE_END_BYTES: usize = 2;
    let broken = |_| AskError::Answer("the answer's chunks are broken");
    let mut body = Vec::new();
    while let Status::Complete((begin, length)) = parse_chunk_size(rest).map_err(broken)? {
        if length == 0 {
            return Ok(Some(body));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(chunk) = rest[begin..].get(..length) else { break };
        body.extend_from_slice(chunk);
        rest = rest.get(begin + length + LINE_END_BYTES..).unwrap_or_default();
    }
    Ok(None)
}

/// What stands before a body.
struct Head {
    bytes: usize,
    status: u16,
    length: Length,
}

/// How long a body is.
enum Length {
    /// So many bytes.
    Known(usize),
    /// Each part says how long it is, and the last that it is empty.
    Chunks,
    /// Until the connection ends.
    UntilTheEnd,
}

impl Head {
    /// None if it has not come in full.
    fn of(received: &[u8]) -> Result<Option<Head>, AskError> {
        let mut headers = [EMPTY_HEADER; HEADERS_MAX];
        let mut response = Response::new(&mut headers);
        let not_http = |_| AskError::Answer("what came back is not HTTP");
        let Status::Complete(bytes) = response.parse(received).map_err(not_http)? else { return Ok(None) };
        let value_of = |name: &str| {
            let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.map(|header| header.value)
        };
        let length = match (value_of("Transfer-Encoding"), value_of("Content-Length")) {
            (Some(encoding), _) if encoding.eq_ignore_ascii_case(b"chunked") => Length::Chunks,
            (Some(_), _) => {
                return Err(AskError::Answer("the answer comes in an encoding that is not spoken here"));
            }
            (None, Some(length)) => Length::Known(length_in(length)?),
            (None, None) => Length::UntilTheEnd,
        };
        let status = response.code.expect("a whole head has a status");
        Ok(Some(Head { bytes, status, length }))
    }
}

fn length_in(value: &[u8]) -> Result<usize, AskError> {
    let length = str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok());
    length.ok_or(AskError::Answer("the answer's length is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_length_has_come_or_the_connection_ends() {
        let with_length = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes and more";
        for end in 0..with_length.len() {
            let answer = Answer::in_full(&with_length[..end], false).expect("HTTP so far");
            assert_eq!(answer.is_some(), end >= with_length.len() - " and more".len(), "{end}");
        }
        let without = b"HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(Answer::in_full(without, false).expect("HTTP"), None);
        let answer = Answer::in_full(without, true).expect("HTTP").expect("whole");
        assert_eq!((answer.status, answer.body.len()), (204, 0));
    }

    #[test]
    fn chunks_are_put_together_once_all_of_them_have_come() {
        let text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\nA;x=1\r\n0123456789\r\n0\r\n\r\n";
        for end in 0..text.len() {
            let answer = Answer::in_full(&text[..end], false).expect("HTTP so far");
            assert_eq!(answer.is_some(), end >= text.len() - "\r\n".len(), "{end}");
        }
        let answer = Answer::in_full(text, false).expect("HTTP").expect("whole");
        assert_eq!(answer.body, b"yes0123456789");
        for broken in ["x\r\n", "ffffffffffffffffff\r\n"] {
            let text = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{broken}");
            Answer::in_full(text.as_bytes(), false).expect_err(broken);
        }
        let endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc";
        assert_eq!(Answer::in_full(endless, false).expect("HTTP so far"), None);
    }

    #[test]
    fn a_refusal_is_told_in_the_servers_words() {
        let ask = |status, body: &str| Answer { status, body: body.into() }.success::<u8>();
        assert_eq!(ask(200, "7").expect("a number"), 7);
        let text = |status, body: &str| ask(status, body).expect_err("refused").to_string();
        assert_eq!(text(404, r#"{"error":"e","message":"no\n"}"#), "no\\n (e)");
        assert_eq!(text(502, "<html>"), "HTTP status 502");
        assert!(text(200, "{}").starts_with("the answer is not"));
    }

    #[test]
    fn what_is_no_answer_is_told_apart() {
        let problem = |text: &str| Answer::in_full(text.as_bytes(), true).expect_err(text).to_string();
        assert_eq!(problem(""), "the answer was cut off");
        assert_eq!(problem("\x15\x03\x01"), "what came back is not HTTP");
        let zipped = problem("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n");
        assert!(zipped.starts_with("the answer comes in an encoding"), "{zipped}");
        let length = problem("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n");
        assert_eq!(length, "the answer's length is no number");
        assert_eq!(problem(&"x".repeat(ANSWER_BYTES_MAX + 1)), "the answer is too long");
    }
}
