//! Learns from the kernel whether there is a way to the world, and which: by its default routes. It asks
//! when the kernel says that links or routes have changed, and at no other time.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netdevice::index_to_name;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

use super::Network;
use super::routes::{self, DefaultRoute};

/// Changes of links, and of routes of IPv4 and IPv6: `RTMGRP_LINK | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE`.
const CHANGES: u32 = 0x001 | 0x040 | 0x400;
/// The kernel fills no more than this for a reader that offers as much.
const DATAGRAM_BYTES_MAX: usize = 32 * 1024;

/// What the kernel's changes are heard by.
pub(super) struct Kernel {
    changes: OwnedFd,
}

impl Kernel {
    /// Fails where the kernel has no netlink, or the process may not use it.
    pub fn listen() -> io::Result<Kernel> {
        Ok(Kernel { changes: open(CHANGES)? })
    }

    /// Where the device stands now.
    pub fn network(&self) -> io::Result<Network> {
        let Some(route) = ask()? else { return Ok(Network::Offline) };
        // An interface that is gone by now is the next change.
        let Ok(name) = index_to_name(&self.changes, route.interface) else { return Ok(Network::Offline) };
        Ok(Network::On(match route.gateway {
            Some(gateway) => format!("{name} {gateway}"),
            None => name,
        }))
    }

    /// Waits until something has changed.
    pub fn await_change(&self) -> io::Result<()> {
        let mut datagram = [0; 512];
        let mut flags = RecvFlags::empty();
        loop {
            match recv(&self.changes, &mut datagram, flags) {
                // Changes come in swarms, and one look serves them all.
                Ok(_) => flags = RecvFlags::DONTWAIT,
                Err(Errno::AGAIN) => return Ok(()),
                // There were more than the kernel kept.
                Err(Errno::NOBUFS) => flags = RecvFlags::DONTWAIT,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The default route that the kernel prefers.
fn ask() -> io::Result<Option<DefaultRoute>> {
    let socket = open(0)?;
    send(&socket, &routes::QUESTION, SendFlags::empty())?;
    let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
    let mut best = None;
    loop {
        let (length, _) = recv(&socket, &mut datagram, RecvFlags::empty())?;
        let part = routes::read(&datagram[..length]);
        best = part.routes.into_iter().chain(best).min();
        if part.is_last {
            return Ok(best);
        }
    }
}

fn open(groups: u32) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::process::Command;

    use super::*;

    /// Says that this process stands in a network namespace of its own.
    const INSIDE: &str = "LOMIRI_PUSH_TEST_NAMESPACE";

    /// Runs `ip` with these words.
    fn ip(words: &str) {
        let status = Command::new("ip").args(words.split(' ')).status().expect("ip runs");
        assert!(status.success(), "ip {words}");
    }

    fn on(name: &str) -> Network {
        Network::On(name.into())
    }

    /// Runs itself again in a namespace where it may do as it likes, if the system has such.
    #[test]
    fn it_sees_networks_come_and_go() {
        if env::var_os(INSIDE).is_some() {
            return see_networks_come_and_go();
        }
        let probe = "ip link add wlan0 type veth peer name far0";
        let may = |words: &[&str]| {
            let outcome = Command::new("unshare").args(["-r", "-n"]).args(words).output();
            outcome.is_ok_and(|output| output.status.success())
        };
        if !may(&probe.split(' ').collect::<Vec<_>>()) {
            return eprintln!("no namespaces here: not tried");
        }
        let test = ["--exact", "device::network::kernel::tests::it_sees_networks_come_and_go"];
        let mut inside = Command::new("unshare");
        inside.args(["-r", "-n"]).arg(env::current_exe().expect("known")).args(test).env(INSIDE, "1");
        let output = inside.output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    fn see_networks_come_and_go() {
        ip("link add wlan0 type veth peer name far0");
        let kernel = Kernel::listen().expect("there is netlink");
        assert_eq!(kernel.network().expect("an answer"), Network::Offline);
        ip("link set far0 up");
        ip("addr add 192.168.7.20/24 dev wlan0");
        ip("link set wlan0 up");
        kernel.await_change().expect("links have changed");
        assert_eq!(kernel.network().expect("an answer"), Network::Offline, "no way leads out");
        ip("route add default via 192.168.7.1 dev wlan0 metric 600");
        await_network(&kernel, &on("wlan0 192.168.7.1"));
        ip("route add default dev wlan0 metric 50");
        await_network(&kernel, &on("wlan0"));
        ip("link set far0 down");
        await_network(&kernel, &Network::Offline);
    }

    /// Looks whenever something has changed; the kernel tells some changes before they show.
    fn await_network(kernel: &Kernel, expected: &Network) {
        while kernel.network().expect("an answer") != *expected {
            kernel.await_change().expect("changes are told");
        }
    }
}
