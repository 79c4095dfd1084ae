//! A message's payload: any JSON value, kept byte for byte but for the space between its tokens.
//! Nothing is unescaped, escaped or reordered, so it never grows.

use bytes::Bytes;
use serde_json::value::RawValue;

/// One compact JSON value. Clones share the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload(Bytes);

/// The bytes are not one JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON value")]
pub struct PayloadError;

impl Payload {
    /// Checks that `json` is one JSON value, however deep, and drops the space outside its strings.
    pub fn from_json(json: &[u8]) -> Result<Payload, PayloadError> {
        let raw: &RawValue = serde_json::from_slice(json).map_err(|_| PayloadError)?;
        Ok(Payload::from_raw(raw))
    }

    /// The same from a value that serde_json has already checked.
    pub fn from_raw(raw: &RawValue) -> Payload {
        Payload(compact(raw.get().as_bytes()).into())
    }

    /// A payload that was compact JSON when it was stored: not checked again.
    pub fn from_stored(compact: Bytes) -> Payload {
        Payload(compact)
    }

    /// The compact JSON.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its size in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// How many arrays and objects lie within one another at its deepest; 0 for a plain value.
    pub fn depth(&self) -> usize {
        let mut scanner = Scanner::default();
        let (mut depth, mut deepest) = (0, 0);
        for &byte in self.as_bytes() {
            match byte {
                _ if scanner.is_in_string(byte) => {}
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth -= 1,
                _ => {}
            }
            deepest = deepest.max(depth);
        }
        deepest
    }

    /// Never true of a payload that was checked: the shortest JSON value is one digit.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// `json` without the space between its tokens. It must be valid JSON.
fn compact(json: &[u8]) -> Vec<u8> {
    let mut scanner = Scanner::default();
    let is_space = |byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let mut kept = Vec::with_capacity(json.len());
    kept.extend(json.iter().filter(|&&byte| scanner.is_in_string(byte) || !is_space(byte)));
    kept
}

/// Tells strings from the rest of a valid JSON value, byte by byte.
#[derive(Default)]
struct Scanner {
    in_string: bool,
    escaped: bool,
}

impl Scanner {
    /// Takes the next byte: whether it belongs to a string, quotes included.
    fn is_in_string(&mut self, byte: u8) -> bool {
        let was_in_string = self.in_string;
        self.in_string ^= byte == b'"' && !self.escaped;
        self.escaped = was_in_string && byte == b'\\' && !self.escaped;
        was_in_string || self.in_string
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_space_between_tokens_goes() {
        let cases: [(&str, &str); 5] = [
            (" { \"a b\" : [ 1 ,\n2 ] }\t", "{\"a b\":[1,2]}"),
            (r#"{"q": "say \" x \" \\" , "n": 1.50e+2}"#, r#"{"q":"say \" x \" \\","n":1.50e+2}"#),
            (r#""\\" "#, r#""\\""#),
            ("\"<&>\\u003c\"", "\"<&>\\u003c\""),
            ("7", "7"),
        ];
        for (given, kept) in cases {
            let payload = Payload::from_json(given.as_bytes()).expect("valid JSON");
            assert_eq!(payload.as_bytes(), kept.as_bytes());
        }
    }

    #[test]
    fn depth_counts_what_lies_within_one_another() {
        let cases =
            [("7", 0), ("\"[[\\\"[\"", 0), ("[]", 1), (r#"{"a":[1,{}],"b":[]}"#, 3), ("[[],[[]],[]]", 3)];
        for (json, depth) in cases {
            assert_eq!(Payload::from_json(json.as_bytes()).expect("valid JSON").depth(), depth, "{json}");
        }
        let deep = "[".repeat(16_000) + &"]".repeat(16_000);
        assert_eq!(Payload::from_json(deep.as_bytes()).expect("valid JSON").depth(), 16_000);
    }

    #[test]
    fn what_is_not_one_json_value_is_refused() {
        let deep = "[".repeat(100_000);
        for bad in ["", "{", "1 2", "{a:1}", "\"\x01\"", &deep] {
            assert_eq!(Payload::from_json(bad.as_bytes()), Err(PayloadError), "{:.20}", bad);
        }
    }
}
