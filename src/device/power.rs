//! Keeps a phone from falling asleep in the middle of something, and has it woken for what cannot wait. By
//! what the system offers: the kernel's alarm clock, Repowerd (on older systems powerd), logind, or nothing.
//! It does not know what the work is.
//!
//! ```text
//!  may sleep ── Wakeup, and it is time ──▶ woken: stays awake ── the next time is set ──▶ may sleep
//!      │                                                                                     ▲
//!      └── a lock is held ──▶ at work: stays awake ── the last one is dropped ───────────────┘
//! ```
//!
//! What is due when a machine wakes is done at once, whoever woke it, for the [device's clock](super::clock) has
//! run on: neither logind's PrepareForSleep nor a jump of any other clock has to be looked at. The signal
//! Wakeup is awaited because a machine that was woken may fall asleep again before the work has begun.

mod ears;
mod service;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use log::{debug, warn};
use zbus::Address;

use self::service::Service;
use super::clock::{Timer, now};
use crate::base::Monotonic;

/// What a device may ask of its machine. Clones speak for the same device. Nothing here waits or fails: whoever
/// keeps the machine awake is asked on a thread of its own, and a machine that offers nothing sleeps as
/// it likes.
#[derive(Clone, Debug, Default)]
pub struct Power(Option<Arc<Orders>>);

/// The machine stays awake while this lives.
#[derive(Debug)]
#[must_use = "the machine may sleep once this is dropped"]
pub struct WakeLock(Power);

/// Wakes a sleeping machine.
#[derive(Debug, Default)]
pub enum Alarm {
    /// Nothing does: whatever is due then waits for it to wake.
    #[default]
    Absent,
    /// The kernel.
    Kernel(KernelAlarm),
    /// A service on the system bus.
    Service(ServiceAlarm),
}

/// The kernel's alarm clock.
#[derive(Debug)]
pub struct KernelAlarm(Timer);

/// The alarm clock that Repowerd or powerd keeps.
#[derive(Debug)]
pub struct ServiceAlarm {
    power: Power,
    /// What it was last set to.
    set_to: Mutex<Option<Monotonic>>,
}

/// A way to the thread that asks, which ends with the last one who could want anything.
#[derive(Debug)]
struct Orders(Sender<Order>);

/// What the thread that asks is told.
#[derive(Debug)]
enum Order {
    Hold,
    Release,
    WakeAt(Option<Monotonic>),
    /// The service has woken the machine, for whomever.
    Woken,
    /// The service has started anew, and knows of nothing.
    Restarted,
    End,
}

/// What is wanted of the machine, all orders together.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    holders: usize,
    wake_at: Option<Monotonic>,
    /// Whether the machine was woken for what is due now, which has not begun yet.
    is_woken: bool,
}

impl Power {
    /// Asks whoever keeps this machine awake.
    pub fn of_this_machine() -> io::Result<Power> {
        Power::on(None)
    }

    /// The same, on this bus instead of the system's.
    pub fn on_bus(address: Address) -> io::Result<Power> {
        Power::on(Some(address))
    }

    /// Lets the machine sleep as it likes.
    pub fn nobodys() -> Power {
        Power::default()
    }

    /// One whose locks somebody else counts.
    #[cfg(test)]
    pub(super) fn counted() -> (Power, Locks) {
        let (orders, taken) = channel();
        let locks = Locks { orders: taken, wanted: Wanted::default() };
        (Power(Some(Arc::new(Orders(orders)))), locks)
    }

    fn on(address: Option<Address>) -> io::Result<Power> {
        let (orders, taken) = channel();
        let heard = orders.clone();
        let serve = move || match Service::find(address) {
            Ok(Some(service)) => {
                if let Err(error) = ears::listen(&service, heard) {
                    warn!("{service} is not heard: {error}");
                }
                obey(service, &taken);
            }
            Ok(None) => debug!("nobody on the system bus keeps the machine awake"),
            Err(error) => debug!("no system bus: {error}"),
        };
        thread::Builder::new().name("power".into()).spawn(serve)?;
        Ok(Power(Some(Arc::new(Orders(orders)))))
    }

    /// Keeps the machine awake until the lock is dropped. Any number may be held.
    pub fn hold(&self) -> WakeLock {
        self.order(Order::Hold);
        WakeLock(self.clone())
    }

    /// What wakes the machine, for one owner: a service keeps one time for each device.
    pub fn alarm(&self) -> Alarm {
        match (&self.0, Timer::waking()) {
            (None, _) => Alarm::Absent,
            (Some(_), Ok(timer)) => Alarm::Kernel(KernelAlarm(timer)),
            (Some(_), Err(_)) => {
                Alarm::Service(ServiceAlarm { power: self.clone(), set_to: Mutex::default() })
            }
        }
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.0 {
            orders.send(order);
        }
    }
}

/// Counts what is held.
#[cfg(test)]
pub(super) struct Locks {
    orders: Receiver<Order>,
    wanted: Wanted,
}

#[cfg(test)]
impl Locks {
    /// How many locks there are now.
    pub(super) fn held(&mut self) -> usize {
        self.orders.try_iter().for_each(|order| self.wanted.note(&order, now()));
        self.wanted.holders
    }
}

impl Orders {
    fn send(&self, order: Order) {
        // Where there is no service, its thread has gone.
        let _ = self.0.send(order);
    }
}

impl Drop for Orders {
    fn drop(&mut self) {
        self.send(Order::End);
    }
}

impl Drop for WakeLock {
    fn drop(&mut self) {
        self.0.order(Order::Release);
    }
}

impl Alarm {
    /// Wakes the machine at `at`, and not when it was to be woken before.
    pub fn set(&self, at: Option<Monotonic>) {
        match self {
            Alarm::Absent => {}
            Alarm::Kernel(KernelAlarm(timer)) => {
                if let Err(error) = timer.set(at) {
                    warn!("the machine will not be woken: {error}");
                }
            }
            Alarm::Service(alarm) => alarm.set(at),
        }
    }

    /// What is readable when the machine has been woken, if anything is.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Alarm::Kernel(KernelAlarm(timer)) => Some(timer.as_fd()),
            Alarm::Absent | Alarm::Service(_) => None,
        }
    }
}

impl ServiceAlarm {
    fn set(&self, at: Option<Monotonic>) {
        let mut set_to = self.set_to.lock().expect("nothing panics while it holds this");
        if *set_to != at {
            *set_to = at;
            self.power.order(Order::WakeAt(at));
        }
    }
}

impl Wanted {
    fn note(&mut self, order: &Order, now: Monotonic) {
        match order {
            Order::Hold => self.holders += 1,
            Order::Release => self.holders -= 1,
            Order::WakeAt(at) => {
                self.wake_at = *at;
                self.is_woken = false;
            }
            Order::Woken => self.is_woken = self.wake_at.is_some_and(|at| at <= now),
            Order::Restarted | Order::End => {}
        }
    }

    fn is_awake(&self) -> bool {
        self.holders > 0 || self.is_woken
    }
}

/// Asks for what is wanted, whenever that changes, until nobody is left who could want anything.
fn obey(mut service: Service, orders: &Receiver<Order>) {
    let mut wanted = Wanted::default();
    while let Ok(first) = orders.recv() {
        for order in std::iter::once(first).chain(orders.try_iter()) {
            wanted.note(&order, now());
            match order {
                // What was asked for is over, or the clock on the wall was set and it came too early.
                Order::Woken => service.forget_wakeup(),
                Order::Restarted => service.forget(),
                Order::End => return service.leave(),
                _ => {}
            }
        }
        if let Err(error) = service.arrange(wanted.is_awake(), wanted.wake_at) {
            warn!("{service}: {error}");
        }
    }
}

#[cfg(test)]
mod tests;
