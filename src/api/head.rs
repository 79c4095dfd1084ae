//! Reads the head of an HTTP/1 request: which method on which target, how long a body follows, and
//! what its sender expects of the connection. Knows the syntax and its traps, and none of our paths.

use super::failure::Failure;

/// Longest head, in bytes. What app servers and proxies send is well under 1 KiB.
pub(super) const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Most header fields: three times what a browser behind a proxy sends. Their slots are on the stack.
const HEADERS_MAX: usize = 64;

/// The head of a request, in the bytes that it was read from.
#[derive(Debug)]
pub(super) struct Head<'b> {
    pub method: &'b str,
    pub target: &'b str,
    pub body: BodyLength,
    pub content_type: Option<&'b [u8]>,
    pub authorization: Option<&'b [u8]>,
    /// For whom the last proxy says that the request is: the last such field, which it has added itself.
    pub forwarded_for: Option<&'b [u8]>,
    pub idempotency_key: Option<&'b [u8]>,
    /// Whether `X-Forwarded-Proto` says https; none without it. Only a trusted proxy's word counts.
    pub forwarded_https: Option<bool>,
    /// Some proxy says that it has passed the request on.
    pub is_forwarded: bool,
    /// The sender may hold the body back until it is told to go on.
    pub expects_continue: bool,
    /// The sender would like to go on with another request.
    pub keep_alive: bool,
}

/// How the end of the body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyLength {
    /// There is none.
    Absent,
    /// In bytes.
    Announced(u64),
    /// A transfer coding says it. We read none: how much follows is not known.
    Coded,
}

impl<'b> Head<'b> {
    /// Finds a head at the start of `bytes`, with its length; none if it is not complete yet.
    pub fn read(bytes: &'b [u8]) -> Result<Option<(Head<'b>, usize)>, Failure> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(bytes).map_err(failure)? {
            httparse::Status::Complete(length) if length <= HEAD_BYTES_MAX => {
                Ok(Some((Head::from_parsed(&request)?, length)))
            }
            httparse::Status::Partial if bytes.len() < HEAD_BYTES_MAX => Ok(None),
            _ => Err(Failure::HeadTooLarge),
        }
    }

    fn from_parsed(request: &httparse::Request<'_, 'b>) -> Result<Head<'b>, Failure> {
        let mut fields = Fields::default();
        for header in request.headers.iter() {
            fields.take(header.name, header.value)?;
        }
        let is_1_1 = request.version == Some(1);
        Ok(Head {
            method: request.method.expect("a complete head has a method"),
            target: request.path.expect("a complete head has a target"),
            body: fields.body()?,
            content_type: fields.content_type,
            authorization: fields.authorization,
            forwarded_for: fields.forwarded_for,
            idempotency_key: fields.idempotency_key,
            forwarded_https: fields.forwarded_https,
            is_forwarded: fields.is_forwarded,
            expects_continue: is_1_1 && fields.expects_continue,
            keep_alive: !fields.close && (is_1_1 || fields.keep_alive),
        })
    }
}

fn failure(error: httparse::Error) -> Failure {
    match error {
        httparse::Error::TooManyHeaders => Failure::HeadTooLarge,
        httparse::Error::Version => Failure::UnknownVersion,
        _ => Failure::MalformedHead,
    }
}

/// The header fields that matter, as they are gathered.
#[derive(Default)]
struct Fields<'b> {
    length: Option<u64>,
    coded: bool,
    content_type: Option<&'b [u8]>,
    authorization: Option<&'b [u8]>,
    forwarded_for: Option<&'b [u8]>,
    idempotency_key: Option<&'b [u8]>,
    forwarded_https: Option<bool>,
    is_forwarded: bool,
    expects_continue: bool,
    close: bool,
    keep_alive: bool,
}

impl<'b> Fields<'b> {
    fn take(&mut self, name: &str, value: &'b [u8]) -> Result<(), Failure> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("Content-Length") {
            self.take_length(value)?;
        } else if is("Transfer-Encoding") {
            self.coded = true;
        } else if is("Content-Type") {
            self.content_type.get_or_insert(value);
        } else if is("Authorization") {
            self.take_authorization(value)?;
        } else if is("X-Forwarded-For") {
            self.forwarded_for = Some(value);
            self.is_forwarded = true;
        } else if is("Forwarded") {
            self.is_forwarded = true;
        } else if is("Idempotency-Key") {
            self.idempotency_key.get_or_insert(value);
        } else if is("X-Forwarded-Proto") {
            self.take_forwarded_proto(value);
        } else if is("Expect") {
            self.expects_continue |= value.eq_ignore_ascii_case(b"100-continue");
        } else if is("Connection") {
            self.close |= lists(value, b"close");
            self.keep_alive |= lists(value, b"keep-alive");
        }
        Ok(())
    }

    /// A second length is refused even if it agrees with the first: nobody honest sends it.
    fn take_length(&mut self, value: &[u8]) -> Result<(), Failure> {
        let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        if self.length.is_some() || !is_number {
            return Err(Failure::AmbiguousLength);
        }
        let times_ten_and =
            |number: u64, digit: &u8| number.saturating_mul(10).saturating_add((digit - b'0').into());
        self.length = Some(value.iter().fold(0, times_ten_and));
        Ok(())
    }

    /// A proxy in front of us may have checked another one than we would.
    fn take_authorization(&mut self, value: &'b [u8]) -> Result<(), Failure> {
        match self.authorization.replace(value) {
            None => Ok(()),
            Some(_) => Err(Failure::TwoCredentials),
        }
    }

    /// A caller may have sent one of its own, which the proxy has only added to: all must agree.
    fn take_forwarded_proto(&mut self, value: &[u8]) {
        let all =
            value.split(|&byte| byte == b',').all(|word| word.trim_ascii().eq_ignore_ascii_case(b"https"));
        self.is_forwarded = true;
        self.forwarded_https = Some(all && self.forwarded_https != Some(false));
    }

    fn body(&self) -> Result<BodyLength, Failure> {
        match (self.length, self.coded) {
            (Some(_), true) => Err(Failure::AmbiguousLength),
            (None, true) => Ok(BodyLength::Coded),
            (Some(length), false) => Ok(BodyLength::Announced(length)),
            (None, false) => Ok(BodyLength::Absent),
        }
    }
}

/// Whether the comma-separated `value` has the word `wanted`.
fn lists(value: &[u8], wanted: &[u8]) -> bool {
    value.split(|&byte| byte == b',').any(|word| word.trim_ascii().eq_ignore_ascii_case(wanted))
}
