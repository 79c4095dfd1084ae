//! What this machine lets one process have: descriptors, and ports for each source address.

use std::net::{IpAddr, Ipv4Addr};

/// Standard streams, the selector, files read in passing.
const OTHER_DESCRIPTORS: usize = 32;
/// Devices that share one source address. Linux has 28,232 ports for each, unless told otherwise, and gives every other of
/// them to connects. Once those 14,116 are taken, each connect looks at all of them in vain before it gets one of the rest.
pub const DEVICES_PER_SOURCE: usize = 12_000;

/// How many connections a process may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The limit on open files.
    pub descriptors: usize,
    /// How many devices fit beside everything else.
    pub devices: usize,
}

impl Room {
    /// With so many descriptors, beside so many connections to the API.
    pub fn of(descriptors: usize, callers: usize) -> Room {
        Room { descriptors, devices: descriptors.saturating_sub(OTHER_DESCRIPTORS + callers) }
    }
}

/// From where so many devices connect to `target` if nobody says otherwise: from other addresses of this machine where
/// one has too few ports and `target` is this machine; else from where the system likes, which is an empty list.
pub fn sources_for(devices: usize, target: IpAddr) -> Vec<IpAddr> {
    let is_here = matches!(target, IpAddr::V4(ip) if ip.is_loopback());
    if !is_here || devices <= DEVICES_PER_SOURCE {
        return Vec::new();
    }
    let first = u32::from(Ipv4Addr::LOCALHOST);
    let addresses = (1..).take(devices.div_ceil(DEVICES_PER_SOURCE));
    addresses.map(|place| Ipv4Addr::from(first + place).into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_addresses_are_used_where_one_has_too_few_ports_and_the_target_is_here() {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert!(sources_for(DEVICES_PER_SOURCE, here).is_empty());
        let sources: Vec<String> = sources_for(30_000, here).iter().map(IpAddr::to_string).collect();
        assert_eq!(sources, ["127.0.0.2", "127.0.0.3", "127.0.0.4"]);
        assert!(sources_for(30_000, IpAddr::from([192, 0, 2, 1])).is_empty());
    }

    #[test]
    fn callers_and_all_else_come_before_devices() {
        assert_eq!(Room::of(1_000, 256).devices, 1_000 - 256 - OTHER_DESCRIPTORS);
        assert_eq!(Room::of(10, 256).devices, 0);
    }
}
