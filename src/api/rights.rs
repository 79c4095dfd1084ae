//! Who a request may say it is from: the credentials in its head, and where they can be believed. Whether
//! a device's or an app's is right, the queue decides.

use super::failure::{Failure, Whose};
use super::head::Head;
use super::{Options, StatsCredential};
use crate::base::{Credential, Token};
use crate::queue::Holder;

/// Who may overhear a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Nobody: it is encrypted.
    Private,
    /// Nobody, if it comes from this machine; but a proxy here may have passed on what came from elsewhere.
    Local,
    /// Whoever is on the way.
    Exposed,
    /// It is a trusted proxy's, which says of each request by `X-Forwarded-Proto` how it came; one that
    /// says nothing came over this line alone.
    Proxied {
        /// Whether nobody can overhear the proxy and us.
        is_private: bool,
    },
}

/// What a request's head says of its sender.
pub(super) struct Rights<'a> {
    pub head: &'a Head<'a>,
    pub options: &'a Options,
    pub line: Line,
}

impl Rights<'_> {
    /// The operator's, or refused.
    pub fn check_operator(&self) -> Result<(), Failure> {
        self.check_private()?;
        if self.is_operator() { Ok(()) } else { Err(Failure::NoCredential(Whose::Operator)) }
    }

    /// As the operator's; the user and password of the configuration will do, as they always did.
    pub fn check_stats(&self) -> Result<(), Failure> {
        if self.options.is_auth_required {
            self.check_private()?;
        }
        let is_known =
            |known: &StatsCredential| self.head.authorization.is_some_and(|given| known.is_in(given));
        let by_password = self.options.stats.as_ref().is_some_and(is_known);
        let by_key = self.is_operator() && self.check_private().is_ok();
        if by_password || by_key { Ok(()) } else { Err(Failure::NoCredential(Whose::Stats)) }
    }

    /// A device's credential: the queue will say whether it is that device's.
    pub fn device(&self) -> Result<Credential, Failure> {
        self.check_private()?;
        self.credential().ok_or(Failure::NoCredential(Whose::Device))
    }

    /// The key of an app, if there is one: most apps have none.
    pub fn app_key(&self) -> Result<Option<Credential>, Failure> {
        let key = self.credential();
        if key.is_some() {
            self.check_private()?;
        }
        Ok(key)
    }

    /// What gives the right to know what became of a message: its token, or its app's key.
    pub fn holder(&self) -> Result<Holder, Failure> {
        self.check_private()?;
        if let Some(key) = self.credential() {
            return Ok(Holder::AppKey(key));
        }
        self.token().map(Holder::Token).ok_or(Failure::NoCredential(Whose::Sender))
    }

    fn is_operator(&self) -> bool {
        let known = self.options.operator.as_ref();
        known.is_some_and(|known| self.credential().is_some_and(|given| known.is_of(&given)))
    }

    fn credential(&self) -> Option<Credential> {
        self.authorization().and_then(Credential::from_bearer)
    }

    fn token(&self) -> Option<Token> {
        let (scheme, text) = self.authorization()?.trim().split_once(' ')?;
        if scheme.eq_ignore_ascii_case("Bearer") { text.trim().parse().ok() } else { None }
    }

    fn authorization(&self) -> Option<&str> {
        str::from_utf8(self.head.authorization?).ok()
    }

    /// A secret that others may have read on the way proves nothing. Whoever sends one should learn it
    /// before it is used.
    fn check_private(&self) -> Result<(), Failure> {
        match self.line {
            Line::Private => Ok(()),
            Line::Local if self.head.is_forwarded => Err(Failure::UntrustedProxy),
            Line::Local => Ok(()),
            Line::Proxied { is_private } if self.head.forwarded_https.unwrap_or(is_private) => Ok(()),
            Line::Proxied { .. } | Line::Exposed => Err(Failure::Exposed),
        }
    }
}
