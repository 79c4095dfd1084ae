//! Who keeps the machine awake, on the system bus: Repowerd, powerd or logind, as each wants to be asked.

use std::fmt;
use std::time::Duration;

use zbus::blocking::Connection;
use zbus::blocking::fdo::DBusProxy;
use zbus::names::BusName;
use zbus::zvariant::OwnedFd;
use zbus::{Address, Message};

use crate::base::Monotonic;
use crate::device::bus::plain;
use crate::device::clock::wall;

/// What the services show of us.
const NAME: &str = "lomiri-push";
/// What Repowerd and powerd call the state in which the machine does not suspend.
const ACTIVE: i32 = 1;
/// A service that is slower than this is broken. Nobody waits meanwhile but the machine's sleep.
const PATIENCE: Duration = Duration::from_secs(5);

/// A service, and what it has granted.
pub(super) struct Service {
    bus: Connection,
    pub kind: Kind,
    lock: Option<Lock>,
    /// When the machine is to be woken, and what that can be called off with.
    wakeup: Option<(Monotonic, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Repowerd,
    Powerd,
    Logind,
}

/// What keeps the machine awake.
enum Lock {
    /// Until this cookie is handed back.
    Cookie(String),
    /// Until this is closed.
    Descriptor { _open: OwnedFd },
}

impl Service {
    /// The first that is there, on this bus or the system's.
    pub fn find(address: Option<Address>) -> zbus::Result<Option<Service>> {
        let address = address.map_or_else(Address::system, Ok)?;
        let bus = plain(address)?.method_timeout(PATIENCE).build()?;
        let names = DBusProxy::new(&bus)?;
        for kind in [Kind::Repowerd, Kind::Powerd, Kind::Logind] {
            if names.name_has_owner(BusName::try_from(kind.name())?)? {
                return Ok(Some(Service { bus, kind, lock: None, wakeup: None }));
            }
        }
        Ok(None)
    }

    /// Has the machine stay awake, or not, and wake at `wake_at`; asks for nothing twice. While it stays awake
    /// nothing has to wake it, and before it may sleep it is clear what will.
    pub fn arrange(&mut self, is_awake: bool, wake_at: Option<Monotonic>) -> zbus::Result<()> {
        if is_awake {
            if self.lock.is_none() {
                self.lock = Some(self.acquire()?);
            }
            return Ok(());
        }
        let moved = match self.kind {
            Kind::Logind => Ok(()),
            _ if self.wakeup.as_ref().map(|(at, _)| *at) == wake_at => Ok(()),
            _ => self.move_wakeup(wake_at),
        };
        let released = self.lock.take().map_or(Ok(()), |lock| self.release(lock));
        moved.and(released)
    }

    /// The wake-up that was asked for may be over, or have come at a wrong time: it is to be asked for anew.
    pub fn forget_wakeup(&mut self) {
        if let Some((_, cookie)) = self.wakeup.take() {
            self.call_off(&cookie);
        }
    }

    /// The service knows nothing any more of what it has granted.
    pub fn forget(&mut self) {
        self.lock = None;
        self.wakeup = None;
    }

    /// Takes back all that was asked for. Whoever listens to the bus by this connection hears its end.
    pub fn leave(mut self) {
        // The service notices by itself, too.
        let _ = self.arrange(false, None);
        let _ = self.bus.close();
    }

    /// The connection to the bus.
    pub fn bus(&self) -> &Connection {
        &self.bus
    }

    fn acquire(&self) -> zbus::Result<Lock> {
        Ok(match self.kind {
            Kind::Logind => {
                let what = ("sleep", NAME, "a push message is being handled", "block");
                Lock::Descriptor { _open: self.call("Inhibit", &what)?.body().deserialize()? }
            }
            _ => Lock::Cookie(self.call("requestSysState", &(NAME, ACTIVE))?.body().deserialize()?),
        })
    }

    fn release(&self, lock: Lock) -> zbus::Result<()> {
        match lock {
            Lock::Cookie(cookie) => self.call("clearSysState", &(cookie,)).map(drop),
            Lock::Descriptor { .. } => Ok(()),
        }
    }

    fn move_wakeup(&mut self, to: Option<Monotonic>) -> zbus::Result<()> {
        self.forget_wakeup();
        if let Some(at) = to {
            // Whole seconds, and not too early, or nothing would be due yet.
            let unix_seconds = wall(at).0.div_ceil(1_000);
            let cookie = self.call("requestWakeup", &(NAME, unix_seconds))?.body().deserialize()?;
            self.wakeup = Some((at, cookie));
        }
        Ok(())
    }

    fn call_off(&self, cookie: &str) {
        // What is over cannot be called off, and some services say so.
        let _ = self.call("clearWakeup", &(cookie,));
    }

    fn call<B>(&self, method: &str, body: &B) -> zbus::Result<Message>
    where
        B: serde::Serialize + zbus::zvariant::DynamicType,
    {
        let (name, path, interface) = (self.kind.name(), self.kind.path(), self.kind.interface());
        self.bus.call_method(Some(name), path, Some(interface), method, body)
    }
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Repowerd => "com.lomiri.Repowerd",
            Kind::Powerd => "com.canonical.powerd",
            Kind::Logind => "org.freedesktop.login1",
        }
    }

    pub fn path(self) -> &'static str {
        match self {
            Kind::Repowerd => "/com/lomiri/Repowerd",
            Kind::Powerd => "/com/canonical/powerd",
            Kind::Logind => "/org/freedesktop/login1",
        }
    }

    pub fn interface(self) -> &'static str {
        match self {
            Kind::Logind => "org.freedesktop.login1.Manager",
            other => other.name(),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())
    }
}
