//! Who may still try to prove who he is: whoever has failed too often is not listened to for a while.
//! Where that is counted is not known here.

// An address is a value; what a socket is, this layer does not know.
use core::net::IpAddr;
use std::fmt;
use std::time::Duration;

use crate::base::Monotonic;

/// Counts the failed authentications of each address, for one connection.
pub trait Doorkeeper: fmt::Debug + Send {
    /// Who makes a request with this `X-Forwarded-For`, which need not be believed.
    fn asker(&self, forwarded_for: Option<&str>) -> IpAddr;

    /// How long the asker is not listened to, in whole seconds; zero for who may try.
    fn wait(&self, asker: IpAddr, now: Monotonic) -> Duration;

    /// The asker has shown a credential that is wrong.
    fn failed(&self, asker: IpAddr, now: Monotonic);
}
