//! The kernel's routes, as it tells them on a netlink socket (rtnetlink(7)): which of them leads to the world.
//! Bytes in, values out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A question for all routes of all families: `nlmsghdr`, and an `rtmsg` of zeros.
pub const QUESTION: [u8; MESSAGE_HEAD_BYTES + ROUTE_HEAD_BYTES] = {
    let mut bytes = [0; MESSAGE_HEAD_BYTES + ROUTE_HEAD_BYTES];
    let length = (bytes.len() as u32).to_ne_bytes();
    let (kind, flags) = (GET_ROUTE.to_ne_bytes(), REQUEST_DUMP.to_ne_bytes());
    let mut at = 0;
    while at < 2 {
        (bytes[4 + at], bytes[6 + at]) = (kind[at], flags[at]);
        at += 1;
    }
    at = 0;
    while at < 4 {
        bytes[at] = length[at];
        at += 1;
    }
    bytes
};

const MESSAGE_HEAD_BYTES: usize = 16;
const ROUTE_HEAD_BYTES: usize = 12;
const ATTRIBUTE_HEAD_BYTES: usize = 4;
const HOP_HEAD_BYTES: usize = 8;

/// Kinds of messages: `NLMSG_ERROR`, `NLMSG_DONE`, `RTM_NEWROUTE`, `RTM_GETROUTE`.
const ERROR: u16 = 2;
const DONE: u16 = 3;
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const REQUEST_DUMP: u16 = 0x301;

/// Kinds of attributes: `RTA_OIF`, `RTA_GATEWAY`, `RTA_PRIORITY`, `RTA_MULTIPATH`.
const INTERFACE: u16 = 4;
const GATEWAY: u16 = 5;
const METRIC: u16 = 6;
const MULTIPATH: u16 = 9;

/// `RT_TABLE_MAIN`, `RTN_UNICAST`, and `RTNH_F_DEAD | RTNH_F_LINKDOWN`.
const MAIN_TABLE: u8 = 254;
const UNICAST: u8 = 1;
const IS_DOWN: u32 = 0x11;

/// The one default route that the kernel prefers so far. `Ord` puts the preferred one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DefaultRoute {
    /// The least is preferred.
    pub metric: u32,
    /// The kernel's number for it.
    pub interface: u32,
    /// None on a link with only one other end.
    pub gateway: Option<IpAddr>,
}

/// What a datagram adds to the answer to [`QUESTION`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The default routes in it.
    pub routes: Vec<DefaultRoute>,
    /// Whether it is the last.
    pub is_last: bool,
}

/// Reads a datagram. What is cut off or makes no sense ends it.
pub fn read(mut datagram: &[u8]) -> Part {
    let mut part = Part { routes: Vec::new(), is_last: false };
    while let Some((kind, body, rest)) = split_message(datagram) {
        match kind {
            NEW_ROUTE => part.routes.extend(default_route(body)),
            DONE | ERROR => part.is_last = true,
            _ => {}
        }
        datagram = rest;
    }
    part
}

/// The kind and the body of the first message, and what follows it.
fn split_message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = number(bytes, 0)? as usize;
    let body = bytes.get(MESSAGE_HEAD_BYTES..length)?;
    Some((short(bytes, 4)?, body, after(bytes, length)))
}

/// The route in the body of a message, if it leads to the world.
fn default_route(body: &[u8]) -> Option<DefaultRoute> {
    let head: &[u8; ROUTE_HEAD_BYTES] = body.first_chunk()?;
    let [_family, destination_bits, _, _, table, _, _, kind, ..] = *head;
    let is_up = number(head, 8)? & IS_DOWN == 0;
    let is_default = destination_bits == 0 && table == MAIN_TABLE && kind == UNICAST && is_up;
    is_default.then(|| hop(&body[ROUTE_HEAD_BYTES..])).flatten()
}

/// Where the attributes of a route, or of one of its hops, say that it goes.
fn hop(mut attributes: &[u8]) -> Option<DefaultRoute> {
    let (mut metric, mut interface, mut gateway) = (0, None, None);
    while let Some((kind, value, rest)) = split_attribute(attributes) {
        match kind {
            METRIC => metric = number(value, 0)?,
            INTERFACE => interface = number(value, 0),
            GATEWAY => gateway = address(value),
            MULTIPATH => (interface, gateway) = first_hop(value)?,
            _ => {}
        }
        attributes = rest;
    }
    Some(DefaultRoute { metric, interface: interface?, gateway })
}

/// The first of several ways that the kernel takes in turns.
fn first_hop(value: &[u8]) -> Option<(Option<u32>, Option<IpAddr>)> {
    let length = usize::from(short(value, 0)?);
    let (mut attributes, mut gateway) = (value.get(HOP_HEAD_BYTES..length)?, None);
    while let Some((kind, value, rest)) = split_attribute(attributes) {
        if kind == GATEWAY {
            gateway = address(value);
        }
        attributes = rest;
    }
    Some((number(value, 4), gateway))
}

fn split_attribute(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::from(short(bytes, 0)?);
    let value = bytes.get(ATTRIBUTE_HEAD_BYTES..length)?;
    Some((short(bytes, 2)?, value, after(bytes, length)))
}

/// Netlink begins each thing at a multiple of four bytes.
fn after(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(length.next_multiple_of(4)..).unwrap_or_default()
}

fn address(value: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(value).map(Ipv4Addr::from).map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(value).map(Ipv6Addr::from).map(IpAddr::from);
    v4().or_else(|_| v6()).ok()
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;

    /// What a kernel said: two default routes of IPv4 by interface 3 (metrics 600 and 700, both with the
    /// link down in the second recording), its subnet, and one of IPv6.
    const UP: &str = "3c0000001800020001000000d258000002000000fe0300010000000008000f00fe00000008000600580200000800\
        0500c0a8070108000400030000003c0000001800020001000000d258000002000000fe0300010000000008000f00fe00000008000600\
        bc02000008000500c0a8070208000400030000003c0000001800020001000000d258000002180000fe02fd010000000008000f00fe00\
        000008000100c0a8070008000700c0a807140800040003000000740000001800020001000000d25800000a000000fe03000100000000\
        08000f00fe000000080006000004000014000500fe800000000000000000000000000001080004000300000024000c00000000000000\
        00000000000000000000000000000000000000000000000000000500140000000000";
    const DOWN: &str = "3c0000001800020001000000d258000002000000fe0300011000000008000f00fe000000080006005802000008\
        000500c0a807010800040003000000";
    /// `unreachable default`, which a kernel of its own keeps for IPv6.
    const UNREACHABLE: &str = "6000000018000200010000007b4300000a000000fe0300070000000008000f00fe00000008000600a00f\
        0000080004000100000024000c0000000000000000000000000000000000000000000000000000000000000000000500140000000000";
    const END: &str = "140000000300020001000000d258000000000000";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).expect("ASCII"), 16).expect("hex");
        digits.chunks(2).map(byte).collect()
    }

    fn route(metric: u32, gateway: &str) -> DefaultRoute {
        DefaultRoute { metric, interface: 3, gateway: Some(gateway.parse().expect("an address")) }
    }

    #[test]
    fn the_question_is_for_all_routes() {
        let question = "1c0000001a00010300000000000000000000000000000000 00000000";
        assert_eq!(QUESTION[..], bytes(question));
    }

    #[test]
    fn default_routes_are_told_from_others() {
        let part = read(&bytes(UP));
        let expected = [route(600, "192.168.7.1"), route(700, "192.168.7.2"), route(1_024, "fe80::1")];
        assert_eq!(part, Part { routes: expected.to_vec(), is_last: false });
        assert_eq!(part.routes.iter().min(), Some(&expected[0]));
        assert_eq!(read(&bytes(END)), Part { routes: Vec::new(), is_last: true });
    }

    #[test]
    fn a_route_over_a_cut_cable_or_to_nowhere_leads_nowhere() {
        assert_eq!(read(&bytes(DOWN)).routes, []);
        assert_eq!(read(&bytes(UNREACHABLE)).routes, []);
    }

    #[test]
    fn of_several_ways_the_first_counts() {
        let hops = "1000 00 00 07000000 0800 0500 0a000001 1000 00 00 08000000 0800 0500 0a000002";
        let head = "40000000 1800 0200 01000000 00000000 02000000fe03000100000000";
        let part = read(&bytes(&format!("{head} 2400 0900 {hops}")));
        let gateway = Some("10.0.0.1".parse().expect("an address"));
        assert_eq!(part.routes, [DefaultRoute { metric: 0, interface: 7, gateway }]);
    }

    #[test]
    fn whatever_is_cut_or_changed_is_read_without_a_panic() {
        let whole = bytes(UP);
        for at in 0..whole.len() {
            assert!(read(&whole[..at]).routes.len() <= 4);
            for value in [0, 1, 3, 255] {
                let mut changed = whole.clone();
                changed[at] = value;
                assert!(read(&changed).routes.len() <= 4);
            }
        }
    }
}
