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
    /// Checks that `json` is one JSON value (serde_json's limits on depth hold) and drops the space
    /// outside its strings.
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

    /// Never true of a payload that was checked: the shortest JSON value is one digit.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// `json` without the space between its tokens. It must be valid JSON.
fn compact(json: &[u8]) -> Vec<u8> {
    let mut in_string = false;
    let mut escaped = false;
    let mut kept = Vec::with_capacity(json.len());
    for &byte in json {
        if !in_string && matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            continue;
        }
        if byte == b'"' && !escaped {
            in_string = !in_string;
        }
        escaped = in_string && byte == b'\\' && !escaped;
        kept.push(byte);
    }
    kept
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
    fn what_is_not_one_json_value_is_refused() {
        let deep = "[".repeat(100_000);
        for bad in ["", "{", "1 2", "{a:1}", "\"\x01\"", &deep] {
            assert_eq!(Payload::from_json(bad.as_bytes()), Err(PayloadError), "{:.20}", bad);
        }
    }
}
