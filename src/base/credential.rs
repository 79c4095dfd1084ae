//! Secrets that prove who one is, and what is kept of them: a digest, from which nobody gets back to
//! the secret. Which secret opens what is decided elsewhere.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Bytes of a credential: as many as nobody guesses, nor a computer that halves the exponent.
pub const CREDENTIAL_BYTES: usize = 32;
/// Bytes of an enrolment code's secret: it lives for a day and can be tried only over the network.
pub const CODE_SECRET_BYTES: usize = 16;

/// A secret of 32 random bytes: a device's, the operator's, or an app's key. It has no `Display`, and
/// `Debug` hides it.
#[derive(Clone)]
pub struct Credential([u8; CREDENTIAL_BYTES]);

/// The secret of a one-time enrolment code: 16 random bytes. It has no `Display`, and `Debug` hides it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CodeSecret(pub [u8; CODE_SECRET_BYTES]);

/// The SHA-256 of a secret: what is stored in its place. The secrets are random, so that a plain digest
/// is as hard to turn back as a slow one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// Credentials are 43 characters of URL-safe base64 without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a credential: it has 43 letters, digits, `-` or `_`")]
pub struct CredentialError;

impl Credential {
    /// The credential of these bytes, which must be random.
    pub fn new(bytes: [u8; CREDENTIAL_BYTES]) -> Credential {
        Credential(bytes)
    }

    /// The credential in a slice of its length.
    pub fn from_slice(bytes: &[u8]) -> Option<Credential> {
        bytes.try_into().ok().map(Credential)
    }

    /// The secret, for the one who may have it.
    pub fn as_bytes(&self) -> &[u8; CREDENTIAL_BYTES] {
        &self.0
    }

    /// The secret as text, for the one who may have it: 43 characters of URL-safe base64.
    pub fn reveal(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The credential in the value of an `Authorization` field: `Bearer` and its text (RFC 6750).
    pub fn from_bearer(authorization: &str) -> Option<Credential> {
        let (scheme, text) = authorization.trim().split_once(' ')?;
        if scheme.eq_ignore_ascii_case("Bearer") { text.trim().parse().ok() } else { None }
    }

    /// What may be stored of it.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

impl FromStr for Credential {
    type Err = CredentialError;
    fn from_str(text: &str) -> Result<Credential, CredentialError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CredentialError)?;
        Credential::from_slice(&bytes).ok_or(CredentialError)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

impl CodeSecret {
    /// What may be stored of it.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

impl fmt::Debug for CodeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeSecret(…)")
    }
}

impl Digest {
    /// The digest of any bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// Whether it is this credential's. Takes as long whichever byte differs.
    pub fn is_of(&self, credential: &Credential) -> bool {
        verify_slices_are_equal(&self.0, &credential.digest().0).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_survives_its_text_and_hides_in_debug() {
        let credential = Credential::new([0xfb; 32]);
        let text = credential.reveal();
        assert_eq!(text.len(), 43);
        assert_eq!(text.parse::<Credential>().expect("its own text").as_bytes(), credential.as_bytes());
        assert_eq!(format!("{credential:?}"), "Credential(…)");
        for bad in ["", &text[1..], &format!("{text}="), &format!("{text}A"), "ü"] {
            assert_eq!(bad.parse::<Credential>().err(), Some(CredentialError), "{bad}");
        }
    }

    #[test]
    fn a_bearers_credential_is_behind_the_scheme() {
        let text = Credential::new([7; 32]).reveal();
        let read = |value: &str| Credential::from_bearer(value).map(|found| *found.as_bytes());
        for good in [format!("Bearer {text}"), format!("bEARER  {text} ")] {
            assert_eq!(read(&good), Some([7; 32]), "{good}");
        }
        for bad in [text.clone(), format!("Basic {text}"), format!("Bearer{text}"), "Bearer ".into()] {
            assert_eq!(read(&bad), None, "{bad}");
        }
    }

    #[test]
    fn a_digest_knows_its_own_secret_alone() {
        let credential = Credential::new([7; 32]);
        assert!(credential.digest().is_of(&credential));
        for at in 0..32 {
            let mut other = [7; 32];
            other[at] ^= 1;
            assert!(!credential.digest().is_of(&Credential::new(other)), "byte {at}");
        }
        assert_ne!(CodeSecret([7; 16]).digest(), Digest::of(&[7; 15]));
    }
}
