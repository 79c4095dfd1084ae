//! A device's link against a whole server: what comes, what is acked and when, and what it does about a server
//! or a network that goes away.

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use lomiri_push::device::Server;
use lomiri_push::device::lifeline::Cause;
use lomiri_push::device::link::{Link, LinkOptions, News, Servers, Speech};
use lomiri_push::device::network::Network;
use lomiri_push::device::power::Power;
use lomiri_push::protocol::{wire0, wire1};
use lomiri_push::session::device::{Event, Message};
use lomiri_push::tls::ServerName;

use super::rig::{PATIENCE, Rig};

/// A link, and what it tells.
struct Phone {
    link: Link,
    news: Receiver<News>,
}

fn wire0() -> wire0::Connect {
    wire0::Connect::new("carol".parse().expect("valid"))
}

fn wire1() -> wire1::Connect {
    wire1::Connect::new("carol".parse().expect("valid"), Duration::from_secs(7_200))
}

fn on(name: &str) -> Network {
    Network::On(name.to_owned())
}

impl Phone {
    /// A device on a network.
    fn start(rig: &Rig, speech: Speech) -> Phone {
        let phone = Phone::offline(rig, speech, None);
        phone.link.network(on("home"));
        phone
    }

    fn offline(rig: &Rig, speech: Speech, folder: Option<&Path>) -> Phone {
        let name = ServerName::try_from("localhost").expect("a name");
        let addr = rig.addresses.devices.to_string();
        let options = LinkOptions {
            speech,
            servers: Servers::At(vec![Server { addr, name, tls: rig.trust.clone() }]),
            connect_timeout: PATIENCE,
            exchange_timeout: PATIENCE,
            folder: folder.map(Path::to_owned),
            power: Power::nobodys(),
        };
        let (tell, news) = channel();
        let link = Link::start(options, move |news| drop(tell.send(news))).expect("a thread");
        Phone { link, news }
    }

    fn next(&self) -> News {
        self.news.recv_timeout(PATIENCE).expect("the link has something to tell")
    }

    /// Waits until a server lets the device in: on which wire, and whether TLS resumed.
    fn await_connected(&self) -> (u8, bool) {
        loop {
            if let News::Connected { wire, is_resumed, .. } = self.next() {
                return (wire, is_resumed);
            }
        }
    }

    fn await_waiting(&self) -> Cause {
        loop {
            if let News::Waiting { wait, .. } = self.next() {
                return wait.cause;
            }
        }
    }

    fn await_offline(&self) {
        while !matches!(self.next(), News::Offline) {}
    }

    /// Takes the next message, which is stored if `is_kept`.
    fn take(&self, is_kept: bool) -> Message {
        loop {
            let News::Came { events, stored, .. } = self.next() else { continue };
            if is_kept {
                stored.send(()).expect("the link waits");
            }
            let [Event::Message(message)] = &events[..] else { panic!("{events:?}") };
            return message.clone();
        }
    }
}

#[test]
fn a_message_is_acked_once_it_is_stored_and_not_before() {
    for speech in [Speech::Wire0(wire0()), Speech::Wire1(wire1())] {
        let rig = Rig::start();
        let phone = Phone::start(&rig, speech);
        phone.await_connected();
        rig.notify("carol", "{\"n\":1}");
        let message = phone.take(false);
        assert_eq!(phone.await_waiting(), Cause::Lost, "what is not stored is as good as lost");
        assert_eq!(rig.counter("pending"), 1);
        phone.await_connected();
        assert_eq!(phone.take(true).id, message.id);
        rig.await_counter("pending", 0);
        phone.link.stop();
        rig.await_counter("sessions", 0);
    }
}

#[test]
fn a_device_that_may_speak_either_wire_speaks_the_newer_one() {
    let rig = Rig::start();
    let phone = Phone::start(&rig, Speech::Either(wire0(), wire1()));
    assert_eq!(phone.await_connected(), (1, false));
}

#[test]
fn it_goes_with_the_network_and_comes_back_with_it_at_once() {
    let rig = Rig::start();
    let phone = Phone::start(&rig, Speech::Wire1(wire1()));
    assert_eq!(phone.await_connected(), (1, false));
    phone.link.network(Network::Offline);
    phone.await_offline();
    rig.await_counter("sessions", 0);
    rig.notify("carol", "1");
    phone.link.network(on("café"));
    assert_eq!(phone.await_connected(), (1, true), "it resumes");
    phone.take(true);
    phone.link.network(on("home"));
    assert_eq!(phone.await_connected(), (1, true));
    rig.await_counter("pending", 0);
}
