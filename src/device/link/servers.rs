//! Where a device's servers are.

use crate::device::Server;

/// The servers that a device may connect to.
pub enum Servers {
    /// These, tried in this order.
    At(Vec<Server>),
}

impl Servers {
    /// Those to be tried now.
    pub(super) fn list(&mut self) -> Vec<Server> {
        match self {
            Servers::At(servers) => servers.clone(),
        }
    }
}
