//! The text of an enrolment code: what a user copies or scans to make a device theirs
//! (`protocol-spec/enrolment-code.md`). Whether a code is good, only the server that made it knows.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::base::{CODE_SECRET_BYTES, CodeSecret, PIN_BYTES, Pin};

/// What every code begins with. It is no `-`, so that no shell command takes a code for an option.
pub const VERSION: char = '1';
/// Longest host, in bytes: as long as a DNS name can be.
pub const HOST_BYTES_MAX: usize = 253;

const CHECKSUM_BYTES: usize = 4;

/// A code, taken apart. `Debug` hides the secret.
#[derive(Clone, Debug)]
pub struct EnrolmentCode {
    /// What the server takes once, in place of a credential.
    pub secret: CodeSecret,
    /// By what the server is known.
    pub pin: Pin,
    /// Where it listens for devices.
    pub server: ServerAddress,
}

/// Where a server listens for devices: a DNS name or an IP address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    host: String,
    port: u16,
}

/// Why a text is no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// It begins otherwise.
    #[error("no enrolment code that is known here: they begin with `{VERSION}`")]
    Version,
    /// It was not copied as it was made.
    #[error("a character of the enrolment code is wrong, missing or too many: copy it again, all of it")]
    Typo,
    /// It was made like this, and leads nowhere.
    #[error("the enrolment code names no server that could be there")]
    Server,
}

/// Why a text is no address of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a host name or an IP address, and a port: HOST:PORT")]
pub struct AddressError;

impl ServerAddress {
    /// `host` without brackets, even if it is an address of IPv6; `port` not 0.
    pub fn new(host: &str, port: u16) -> Result<ServerAddress, AddressError> {
        let is_of_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        let fits = (1..=HOST_BYTES_MAX).contains(&host.len()) && host.bytes().all(is_of_host);
        if fits && port != 0 { Ok(ServerAddress { host: host.into(), port }) } else { Err(AddressError) }
    }

    /// The DNS name or IP address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, not 0.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// As `HOST:PORT`, with an address of IPv6 in brackets.
impl FromStr for ServerAddress {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<ServerAddress, AddressError> {
        let (host, port) = text.rsplit_once(':').ok_or(AddressError)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or(AddressError)?,
            None if host.contains(':') => return Err(AddressError),
            None => host,
        };
        ServerAddress::new(host, port.parse().map_err(|_| AddressError)?)
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl EnrolmentCode {
    /// The code as text, for the one who may have it: letters, digits, `-` and `_`.
    pub fn reveal(&self) -> String {
        let mut bytes = [&self.secret.0[..], &self.pin.0, &self.server.port.to_be_bytes()].concat();
        bytes.extend_from_slice(self.server.host.as_bytes());
        bytes.extend_from_slice(&checksum(&bytes));
        format!("{VERSION}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// White space around a code, as comes with copying, is not part of it.
impl FromStr for EnrolmentCode {
    type Err = CodeError;
    fn from_str(text: &str) -> Result<EnrolmentCode, CodeError> {
        let encoded = text.trim().strip_prefix(VERSION).ok_or(CodeError::Version)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| CodeError::Typo)?;
        let (said, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(CodeError::Typo)?;
        if *sum != checksum(said) {
            return Err(CodeError::Typo);
        }
        decode(said).ok_or(CodeError::Server)
    }
}

/// What stands before the checksum.
fn decode(said: &[u8]) -> Option<EnrolmentCode> {
    let (secret, rest) = said.split_first_chunk::<CODE_SECRET_BYTES>()?;
    let (pin, rest) = rest.split_first_chunk::<PIN_BYTES>()?;
    let (port, host) = rest.split_first_chunk::<2>()?;
    let host = str::from_utf8(host).ok()?;
    let server = ServerAddress::new(host, u16::from_be_bytes(*port)).ok()?;
    Some(EnrolmentCode { secret: CodeSecret(*secret), pin: Pin(*pin), server })
}

/// CRC-32 finds every wrong character, and any two that changed places.
fn checksum(said: &[u8]) -> [u8; CHECKSUM_BYTES] {
    crc32fast::hash(said).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `protocol-spec/enrolment-code.md` has it.
    const EXAMPLE: &str =
        "1AAECAwQFBgcICQoLDA0ODyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4_I4JwdXNoLmV4YW1wbGUub3JnvQzd3Q";

    fn code() -> EnrolmentCode {
        EnrolmentCode {
            secret: CodeSecret(std::array::from_fn(|place| place as u8)),
            pin: Pin(std::array::from_fn(|place| 0x20 + place as u8)),
            server: "push.example.org:9090".parse().expect("an address"),
        }
    }

    fn error(text: &str) -> Option<CodeError> {
        text.parse::<EnrolmentCode>().err()
    }

    #[test]
    fn the_code_of_the_spec_is_read_and_written() {
        let page = include_str!("../../protocol-spec/enrolment-code.md");
        assert!(page.contains(EXAMPLE));
        assert_eq!(code().reveal(), EXAMPLE);
        let read: EnrolmentCode = format!(" {EXAMPLE}\n").parse().expect("white space does not count");
        assert_eq!((read.secret.0, read.pin, read.server), (code().secret.0, code().pin, code().server));
    }

    #[test]
    fn a_code_is_one_word_for_shells_and_hides_in_debug() {
        let longest = ServerAddress::new(&"h".repeat(HOST_BYTES_MAX), u16::MAX).expect("fits");
        for server in [code().server, longest, "[2001:db8::1]:443".parse().expect("an address")] {
            let text = EnrolmentCode { server: server.clone(), ..code() }.reveal();
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
            assert_eq!(text.parse::<EnrolmentCode>().expect("its own text").server, server);
        }
        assert!(format!("{:?}", code()).contains("secret: CodeSecret(…)"));
    }

    #[test]
    fn whatever_one_does_wrong_in_copying_is_a_typo() {
        let other = |byte: u8| if byte == b'A' { b'B' } else { b'A' };
        for place in 1..EXAMPLE.len() {
            let mut wrong = EXAMPLE.as_bytes().to_vec();
            wrong[place] = other(wrong[place]);
            assert_eq!(error(str::from_utf8(&wrong).expect("ASCII")), Some(CodeError::Typo), "{place}");
            assert_eq!(error(&EXAMPLE[..place]), Some(CodeError::Typo), "cut at {place}");
            let (front, back) = EXAMPLE.split_at(place);
            assert_eq!(error(&format!("{front}x{back}")), Some(CodeError::Typo), "more at {place}");
            let mut swapped = EXAMPLE.as_bytes().to_vec();
            swapped.swap(place, EXAMPLE.len() - 1);
            if swapped != EXAMPLE.as_bytes() {
                assert_eq!(error(str::from_utf8(&swapped).expect("ASCII")), Some(CodeError::Typo));
            }
        }
        assert_eq!(error(&format!("{EXAMPLE}{EXAMPLE}")), Some(CodeError::Typo));
        for text in ["", "2", &EXAMPLE[1..], "carol", "ü"] {
            assert_eq!(error(text), Some(CodeError::Version), "{text}");
        }
    }

    #[test]
    fn a_code_with_a_good_checksum_may_still_lead_nowhere() {
        let start = [&code().secret.0[..], &code().pin.0].concat();
        for rest in [&b""[..], b"\0", b"\0\0push", b"\x01\0", b"\x01\0a b", b"\x01\0\xff", &[b'h'; 256]] {
            let mut bytes = [&start, rest].concat();
            bytes.extend(checksum(&bytes));
            let text = format!("1{}", URL_SAFE_NO_PAD.encode(bytes));
            assert_eq!(error(&text), Some(CodeError::Server), "{rest:?}");
        }
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for good in ["push.example.org:9090", "10.0.0.1:1", "[::1]:65535"] {
            assert_eq!(good.parse::<ServerAddress>().expect(good).to_string(), good);
        }
        for bad in ["", "push", "push:", ":1", "push:0", "push:65536", "::1:9", "[::1:9", "a b:1", "ü:1"] {
            assert_eq!(bad.parse::<ServerAddress>(), Err(AddressError), "{bad}");
        }
    }
}
