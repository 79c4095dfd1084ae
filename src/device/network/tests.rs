//! A NetworkManager that says what it is told to.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use zbus::Message;
use zbus::blocking::Connection;
use zbus::zvariant::{ObjectPath, OwnedValue, Value};

use super::*;
use crate::device::private_bus::PrivateBus;

const NAME: &str = "org.freedesktop.NetworkManager";
const PATH: &str = "/org/freedesktop/NetworkManager";
const PATIENCE: Duration = Duration::from_secs(20);

/// Its state and its primary connection.
type Shown = Arc<Mutex<(u32, &'static str)>>;

fn property(shown: &Shown, call: &Message) -> OwnedValue {
    let (_interface, name): (String, String) = call.body().deserialize().expect("a Get");
    let (state, connection) = *shown.lock().expect("no panic");
    let path = call.header().path().expect("a call has one").to_string();
    let value = match name.as_str() {
        "State" => Value::from(state),
        "PrimaryConnection" => ObjectPath::try_from(connection).expect("a path").into(),
        "Type" => "802-11-wireless".into(),
        "Uuid" => path.rsplit('/').next().expect("a path").to_owned().into(),
        other => panic!("nobody needs {other}"),
    };
    value.try_into().expect("no descriptor in it")
}

fn show(bus: &Connection, shown: &Shown, state: u32, connection: &'static str) {
    *shown.lock().expect("no panic") = (state, connection);
    change(bus, PATH, "State");
}

fn change(bus: &Connection, path: &str, name: &str) {
    let changed = HashMap::from([(name, Value::from(0u32))]);
    let body = (NAME, changed, Vec::<String>::new());
    bus.emit_signal(None::<&str>, path, "org.freedesktop.DBus.Properties", "PropertiesChanged", &body)
        .expect("connected");
}

fn next(told: &Receiver<Network>) -> Network {
    told.recv_timeout(PATIENCE).expect("there is something to tell")
}

#[test]
fn it_is_told_by_network_manager_where_that_is_in_charge() {
    let Some(bus) = PrivateBus::start() else { return };
    let shown: Shown = Arc::new(Mutex::new((70, "/active/home")));
    let answering = shown.clone();
    let manager = bus.serve(NAME, move |bus, call| {
        bus.reply(&call.header(), &property(&answering, call)).expect("connected");
    });
    let (tell, told) = channel();
    watch_on_bus(bus.address(), move |network| drop(tell.send(network))).expect("a thread");
    let on = |name: &str| Network::On(format!("802-11-wireless {name}"));
    assert_eq!(next(&told), on("home"));
    // What access points tell, and what is not asked for, does not matter; nor does its check of the web.
    change(&manager, "/org/freedesktop/NetworkManager/AccessPoint/1", "State");
    change(&manager, PATH, "Metered");
    show(&manager, &shown, 60, "/active/home");
    show(&manager, &shown, 60, "/active/mobile");
    assert_eq!(next(&told), on("mobile"));
    show(&manager, &shown, 20, "/");
    assert_eq!(next(&told), Network::Offline);
    show(&manager, &shown, 70, "/active/home");
    assert_eq!(next(&told), on("home"));
}

#[test]
fn something_is_told_where_nobody_is_on_the_bus() {
    let nowhere = "unix:path=/nonexistent/bus".parse().expect("an address");
    let (tell, told) = channel();
    watch_on_bus(nowhere, move |network| drop(tell.send(network))).expect("a thread");
    next(&told);
}
