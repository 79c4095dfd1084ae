//! An app server's connection to the API: requests, one or many at a time, and what they are answered. It
//! is as cheap as can be, so that it can ask for more than it gets.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::outside::PATIENCE;

/// What a post was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Whether it says when to come again.
    pub has_retry_after: bool,
}

pub struct Caller {
    stream: BufReader<TcpStream>,
    line: String,
    body: Vec<u8>,
}

impl Caller {
    pub fn connect(http: SocketAddr) -> io::Result<Caller> {
        let stream = TcpStream::connect(http)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Caller { stream: BufReader::new(stream), line: String::new(), body: Vec::new() })
    }

    /// Sends bytes that are one or more whole [requests](request).
    pub fn send(&mut self, requests: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(requests)
    }

    /// Waits for the answer to the oldest request that has none.
    pub fn answer(&mut self) -> io::Result<Answer> {
        let status = self.line()?.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut answer = Answer { status: status.ok_or(ErrorKind::InvalidData)?, has_retry_after: false };
        let mut length = 0;
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().map_err(|_| ErrorKind::InvalidData)?,
                "retry-after" => answer.has_retry_after = true,
                _ => {}
            }
        }
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body)?;
        Ok(answer)
    }

    fn line(&mut self) -> io::Result<&str> {
        self.line.clear();
        match self.stream.read_line(&mut self.line)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(self.line.trim_end()),
        }
    }
}

/// Adds a post to `token` with a number.
pub fn request(out: &mut Vec<u8>, token: &str, app: &str, number: u64) {
    let body = format!(
        r#"{{"token":"{token}","appid":"{app}","expire_on":"2100-01-01T00:00:00Z","data":{{"number":{number}}}}}"#
    );
    let length = body.len();
    write!(
        out,
        "POST /notify HTTP/1.1\r\nHost: push\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .expect("memory takes all");
}
