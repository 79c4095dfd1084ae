//! Whether the device is online, and on which network.

/// Where a device stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// It can reach nobody.
    Offline,
    /// It is on the network of this name: the same whenever it comes back to it.
    On(String),
}
