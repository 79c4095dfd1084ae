//! HTTP basic authentication (RFC 7617), for the one path that asks for it.

use std::fmt;
use std::hint::black_box;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The user and password that `/stats` asks for. `Debug` hides both.
#[derive(Clone)]
pub struct StatsCredential(String);

impl StatsCredential {
    /// `user` must be without colon: the first one ends it.
    pub fn new(user: &str, password: &str) -> StatsCredential {
        StatsCredential(format!("{user}:{password}"))
    }

    /// Whether the value of an `Authorization` header carries this credential.
    pub(super) fn is_in(&self, authorization: &[u8]) -> bool {
        basic(authorization).is_some_and(|given| is_equal(&given, self.0.as_bytes()))
    }
}

impl fmt::Debug for StatsCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StatsCredential(…)")
    }
}

/// The `user:password` of `Basic <base64>`.
fn basic(authorization: &[u8]) -> Option<Vec<u8>> {
    let (scheme, encoded) = authorization.split_at_checked("Basic ".len())?;
    let encoded = encoded.trim_ascii();
    scheme.eq_ignore_ascii_case(b"Basic ").then(|| STANDARD.decode(encoded).ok()).flatten()
}

/// Takes as long whichever byte differs, so that the time says nothing about how much was right.
fn is_equal(given: &[u8], expected: &[u8]) -> bool {
    let differing = given.iter().zip(expected).fold(0, |bits, (a, b)| black_box(bits | (a ^ b)));
    given.len() == expected.len() && differing == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_credential_in_the_basic_scheme_counts() {
        let credential = StatsCredential::new("ops", "s:cret");
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert!(credential.is_in(basic("ops:s:cret").as_bytes()));
        assert!(credential.is_in(basic("ops:s:cret").replace("Basic", "bASIC").as_bytes()));
        for bad in ["", "Basic", "Basic ", "Basic !", "ops:s:cret", &basic("ops:s:cret")[1..]] {
            assert!(!credential.is_in(bad.as_bytes()), "{bad}");
        }
        for wrong in ["", ":", "ops:s:cre", "ops:s:crets", "ops:s:creT", "Ops:s:cret"] {
            assert!(!credential.is_in(basic(wrong).as_bytes()), "{wrong}");
        }
    }

    #[test]
    fn debug_shows_neither_user_nor_password() {
        assert_eq!(format!("{:?}", StatsCredential::new("ops", "secret")), "StatsCredential(…)");
    }
}
