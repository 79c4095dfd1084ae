//! The pin of a certificate: by which a server is known that no authority need vouch for.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Bytes of a pin.
pub const PIN_BYTES: usize = 32;

/// The SHA-256 of the public key in a server's own certificate: of its SubjectPublicKeyInfo in DER
/// (RFC 5280). A certificate that is renewed with the same key has the same pin. Anyone may see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin(pub [u8; PIN_BYTES]);

/// Pins are written as 43 characters of URL-safe base64 without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a certificate's pin: it has 43 letters, digits, `-` or `_`")]
pub struct PinError;

impl Pin {
    /// The pin of the certificate with this SubjectPublicKeyInfo.
    pub fn of(public_key: &[u8]) -> Pin {
        Pin(digest(&SHA256, public_key).as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

impl FromStr for Pin {
    type Err = PinError;
    fn from_str(text: &str) -> Result<Pin, PinError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| PinError)?;
        bytes.try_into().map(Pin).map_err(|_| PinError)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_survives_its_text() {
        let pin = Pin::of(b"a key");
        assert_eq!(pin.to_string().parse(), Ok(pin));
        assert_ne!(pin, Pin::of(b"another"));
        for bad in ["", &pin.to_string()[1..], &format!("{pin}=")] {
            assert_eq!(bad.parse::<Pin>(), Err(PinError), "{bad}");
        }
    }
}
