//! Whether the device is online, and on which network: from NetworkManager where it is in charge, else from
//! the kernel, and where neither says, always. Nothing polls.

mod kernel;
mod network_manager;
mod routes;

use std::{io, thread};

use log::{debug, info};
use zbus::Address;

use self::kernel::Kernel;
use self::network_manager::NetworkManager;

/// What a device is on that cannot know where it is.
const SOMEWHERE: &str = "default";

/// Where a device stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// It can reach nobody.
    Offline,
    /// It is on the network of this name: the same whenever it comes back to it.
    On(String),
}

/// Tells where this machine stands, and whenever that changes, on a thread of its own. `told` is called at
/// least once. A machine without a default route counts as offline, so a device whose server is on the machine
/// itself does better without.
pub fn watch(told: impl FnMut(Network) + Send + 'static) -> io::Result<()> {
    watch_by(None, told)
}

/// The same, asking for NetworkManager on this bus instead of the system's.
pub fn watch_on_bus(address: Address, told: impl FnMut(Network) + Send + 'static) -> io::Result<()> {
    watch_by(Some(address), told)
}

fn watch_by(bus: Option<Address>, told: impl FnMut(Network) + Send + 'static) -> io::Result<()> {
    let mut told = Changes { told, last: None };
    let look = move || {
        let kernel = Kernel::listen().inspect_err(|error| info!("no netlink: {error}")).ok();
        let manager = NetworkManager::find(bus).inspect_err(|error| debug!("no system bus: {error}"));
        if let Some(manager) = manager.ok().flatten() {
            let outcome = follow_manager(manager, kernel.as_ref(), &mut told);
            info!("from now on the kernel says which network it is: {outcome:?}");
        }
        if let Some(kernel) = kernel {
            let Err(error) = follow_kernel(&kernel, &mut told);
            info!("the kernel does not say which network it is: {error}");
        }
        told.tell(Network::On(SOMEWHERE.into()));
    };
    thread::Builder::new().name("network".into()).spawn(look).map(drop)
}

/// Tells what NetworkManager says, until it cannot or turns out not to be in charge.
fn follow_manager(
    mut manager: NetworkManager,
    kernel: Option<&Kernel>,
    told: &mut Changes<impl FnMut(Network)>,
) -> zbus::Result<()> {
    let first = manager.network()?;
    if first == Network::Offline && kernel.is_some_and(|kernel| kernel.network().is_ok_and(is_on)) {
        // Somebody else has configured what it does not manage.
        return Ok(());
    }
    told.tell(first);
    loop {
        manager.await_change()?;
        told.tell(manager.network()?);
    }
}

fn follow_kernel(
    kernel: &Kernel,
    told: &mut Changes<impl FnMut(Network)>,
) -> io::Result<std::convert::Infallible> {
    loop {
        told.tell(kernel.network()?);
        kernel.await_change()?;
    }
}

fn is_on(network: Network) -> bool {
    network != Network::Offline
}

/// Tells nothing twice.
struct Changes<T> {
    told: T,
    last: Option<Network>,
}

impl<T: FnMut(Network)> Changes<T> {
    fn tell(&mut self, network: Network) {
        if self.last.as_ref() != Some(&network) {
            debug!("network: {network:?}");
            self.last = Some(network.clone());
            (self.told)(network);
        }
    }
}

#[cfg(test)]
mod tests;
