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

/// Source addresses that each process has for itself.
const SOURCES_PER_PROCESS: u32 = 128;
/// So many processes have some, of the 2^24 addresses that are this machine.
const PROCESSES: u32 = (1 << 24) / SOURCES_PER_PROCESS;

/// From where so many devices connect to `target` if nobody says otherwise: from addresses of this machine if that is
/// the target, as one has too few ports for many; else from where the system likes, which is an empty list.
///
/// A port of an address that is chosen before the connect is taken for all targets, so several swarms need addresses of
/// their own: the number of this `process` tells which.
pub fn sources_for(devices: usize, target: IpAddr, process: u32) -> Vec<IpAddr> {
    let is_here = matches!(target, IpAddr::V4(ip) if ip.is_loopback());
    if !is_here {
        return Vec::new();
    }
    let network = u32::from(Ipv4Addr::new(127, 0, 0, 0));
    let first = network + process % PROCESSES * SOURCES_PER_PROCESS;
    let places = (1..SOURCES_PER_PROCESS).take(devices.div_ceil(DEVICES_PER_SOURCE));
    places.map(|place| Ipv4Addr::from(first + place).into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_has_addresses_of_its_own_where_the_target_is_here() {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert_eq!(sources_for(1, here, 7), [IpAddr::from([127, 0, 3, 129])]);
        assert!(sources_for(30_000, IpAddr::from([192, 0, 2, 1]), 7).is_empty());
        let sources = |process| -> Vec<String> {
            sources_for(30_000, here, process).iter().map(IpAddr::to_string).collect()
        };
        assert_eq!(sources(7), ["127.0.3.129", "127.0.3.130", "127.0.3.131"]);
        assert_eq!(sources(8), ["127.0.4.1", "127.0.4.2", "127.0.4.3"]);
        assert_eq!(sources(u32::MAX), ["127.255.255.129", "127.255.255.130", "127.255.255.131"]);
    }

    #[test]
    fn callers_and_all_else_come_before_devices() {
        assert_eq!(Room::of(1_000, 256).devices, 1_000 - 256 - OTHER_DESCRIPTORS);
        assert_eq!(Room::of(10, 256).devices, 0);
    }
}
