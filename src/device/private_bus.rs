//! A bus of its own for a test, and services on it that say what they are told to.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;

use zbus::blocking::connection::Builder;
use zbus::blocking::{Connection, MessageIterator};
use zbus::message::Type;
use zbus::{Address, Message};

/// Set where what a test needs has to be there.
const REQUIRE_TOOLS: &str = "LOMIRI_PUSH_REQUIRE_TOOLS";

/// A bus, until it is dropped.
pub struct PrivateBus {
    daemon: Child,
    address: String,
}

impl PrivateBus {
    /// None where no `dbus-daemon` is installed, which it says.
    pub fn start() -> Option<PrivateBus> {
        let started = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--print-address"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut daemon) = started else {
            assert!(std::env::var_os(REQUIRE_TOOLS).is_none(), "dbus-daemon is not installed");
            eprintln!("no dbus-daemon here: not tried");
            return None;
        };
        let mut address = String::new();
        let stdout = daemon.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut address).expect("it says where it listens");
        Some(PrivateBus { daemon, address: address.trim().to_owned() })
    }

    pub fn address(&self) -> Address {
        self.address.parse().expect("its own address")
    }

    /// A service of this name, whose thread answers each call by `answer`.
    pub fn serve(
        &self,
        name: &'static str,
        mut answer: impl FnMut(&Connection, &Message) + Send + 'static,
    ) -> Connection {
        let bus = Builder::address(self.address()).and_then(Builder::build).expect("it listens");
        let calls = MessageIterator::from(bus.clone());
        bus.request_name(name).expect("nobody has it");
        let serving = bus.clone();
        thread::spawn(move || {
            let calls = calls.flatten().filter(|message| message.message_type() == Type::MethodCall);
            calls.for_each(|call| answer(&serving, &call));
        });
        bus
    }
}

impl Drop for PrivateBus {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
