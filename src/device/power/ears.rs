//! Hears what those who keep the machine awake say of their own accord: that they woke it, or that they have
//! started anew.

use std::sync::mpsc::Sender;
use std::thread;

use zbus::MatchRule;
use zbus::blocking::MessageIterator;
use zbus::blocking::fdo::DBusProxy;
use zbus::message::{Message, Type};

use super::Order;
use super::service::{Kind, Service};

/// The signal that a machine has been woken.
const WAKEUP: &str = "Wakeup";
/// The bus's signal that a name has come, gone, or changed hands.
const OWNER_CHANGED: &str = "NameOwnerChanged";

/// Tells `orders` of it, on a thread that ends with the service's connection. Nothing wakes it but these
/// signals, and answers to what is asked on that connection.
pub(super) fn listen(service: &Service, orders: Sender<Order>) -> zbus::Result<()> {
    let signals = MessageIterator::from(service.bus().clone());
    let bus = DBusProxy::new(service.bus())?;
    if service.kind != Kind::Logind {
        bus.add_match_rule(wakeups(service.kind)?)?;
    }
    bus.add_match_rule(owners(service.kind)?)?;
    let name = service.kind.name();
    let hear = move || {
        for signal in signals.map_while(Result::ok) {
            if let Some(order) = order(&signal, name)
                && orders.send(order).is_err()
            {
                return;
            }
        }
    };
    thread::Builder::new().name("power-ears".into()).spawn(hear)?;
    Ok(())
}

fn wakeups(kind: Kind) -> zbus::Result<MatchRule<'static>> {
    let rule = MatchRule::builder().msg_type(Type::Signal).sender(kind.name())?;
    Ok(rule.path(kind.path())?.interface(kind.interface())?.member(WAKEUP)?.build())
}

fn owners(kind: Kind) -> zbus::Result<MatchRule<'static>> {
    let rule = MatchRule::builder().msg_type(Type::Signal).sender("org.freedesktop.DBus")?;
    Ok(rule.member(OWNER_CHANGED)?.add_arg(kind.name())?.build())
}

fn order(signal: &Message, name: &str) -> Option<Order> {
    let header = signal.header();
    if header.message_type() != Type::Signal {
        return None;
    }
    match header.member()?.as_str() {
        WAKEUP => Some(Order::Woken),
        OWNER_CHANGED => {
            let (of, _, to): (String, String, String) = signal.body().deserialize().ok()?;
            (of == name && !to.is_empty()).then_some(Order::Restarted)
        }
        _ => None,
    }
}
