//! Links to servers that say what they are told to, where a real one never would.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::base::{ChannelId, Level};
use crate::device::Server;
use crate::device::lifeline::Cause;
use crate::device::scripted::{PATIENCE, Peer, server_of_many};
use crate::protocol::wire0::{Broadcast, ServerMessage};
use crate::tls::Trust;

fn start(speech: Speech, servers: Servers) -> (Link, Receiver<News>) {
    start_in(None, speech, servers)
}

fn start_in(folder: Option<&Path>, speech: Speech, servers: Servers) -> (Link, Receiver<News>) {
    start_with(Power::nobodys(), folder, speech, servers)
}

fn start_with(
    power: Power,
    folder: Option<&Path>,
    speech: Speech,
    servers: Servers,
) -> (Link, Receiver<News>) {
    let options = LinkOptions {
        speech,
        servers,
        connect_timeout: PATIENCE,
        exchange_timeout: PATIENCE,
        folder: folder.map(Path::to_owned),
        power,
    };
    let (tell, news) = channel();
    let link = Link::start(options, move |news| drop(tell.send(news))).expect("a thread");
    link.network(Network::On("home".into()));
    (link, news)
}

fn zero() -> wire0::Connect {
    wire0::Connect::new("machine".parse().expect("valid"))
}

fn one() -> wire1::Connect {
    wire1::Connect::new("enrolled".parse().expect("valid"), Duration::from_secs(7_200))
}

fn next(news: &Receiver<News>) -> News {
    news.recv_timeout(PATIENCE).expect("the link has something to tell")
}

fn await_wire(news: &Receiver<News>) -> u8 {
    loop {
        if let News::Connected { wire, .. } = next(news) {
            return wire;
        }
    }
}

/// Lets the device in on wire 0 and returns what it said of itself.
fn let_in(peer: &mut Peer) -> String {
    peer.let_in();
    String::from_utf8_lossy(&peer.heard[3..]).into_owned()
}

#[test]
fn a_server_that_does_not_know_wire_1_is_spoken_to_on_wire_0() {
    let (server, served) = server_of_many(3, |number, mut peer| {
        if number == 2 {
            return let_in(&mut peer);
        }
        // It hangs up on a version that it does not know.
        while peer.heard.is_empty() {
            peer.read();
        }
        assert_eq!(peer.heard[0], wire1::VERSION);
        String::new()
    });
    let (_link, news) = start(Speech::Either(zero(), one()), Servers::At(vec![server]));
    assert_eq!(await_wire(&news), 0);
    assert!(served.join().expect("no panic").contains("\"DeviceId\":\"machine\""));
}

#[test]
fn what_a_server_turned_out_to_know_is_known_at_the_next_start() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (server, served) = server_of_many(4, |number, mut peer| {
        if number > 1 {
            peer.let_in();
            // Until the device takes its leave.
            peer.hear_goodbye();
            return peer.heard[0];
        }
        while peer.heard.is_empty() {
            peer.read();
        }
        wire1::VERSION
    });
    for _ in 0..2 {
        let servers = Servers::At(vec![server.clone()]);
        let (link, news) = start_in(Some(folder.path()), Speech::Either(zero(), one()), servers);
        assert_eq!(await_wire(&news), 0);
        link.stop();
    }
    assert_eq!(served.join().expect("no panic"), 0);
}

#[test]
fn a_device_on_wire_0_says_again_where_it_stands_and_what_it_was_given() {
    let (server, served) = server_of_many(2, |number, mut peer| {
        let said = let_in(&mut peer);
        if number == 0 {
            peer.say(&ServerMessage::SetParams { cookie: "shard 3".into() });
            peer.say(&ServerMessage::Broadcast(Broadcast {
                app_id: String::new(),
                channel: ChannelId::SYSTEM,
                top_level: Level(7),
                payloads: None,
            }));
            peer.hear("{\"T\":\"ack\"}");
        }
        said
    });
    let (_link, news) = start(Speech::Wire0(zero()), Servers::At(vec![server]));
    await_wire(&news);
    let News::Came { events, stored, .. } = next(&news) else { panic!("a broadcast") };
    assert!(matches!(events[..], [Event::Broadcast(_)]));
    stored.send(()).expect("the link waits");
    assert_eq!(await_wire(&news), 0);
    let said = served.join().expect("no panic");
    assert!(said.contains("\"Cookie\":\"shard 3\"") && said.contains("{\"0\":7}"), "{said}");
}

#[test]
fn the_machine_stays_awake_from_dialing_to_connack_and_from_a_frame_until_its_work_is_done() {
    let (tell, heard) = channel();
    let (go, on) = channel();
    let (server, served) = server_of_many(1, move |_, mut peer| {
        while peer.heard.is_empty() {
            peer.read();
        }
        tell.send(()).expect("the test listens");
        on.recv().expect("the test goes on");
        let_in(&mut peer);
        on.recv().expect("the test goes on");
        peer.say(&ServerMessage::Broadcast(Broadcast {
            app_id: String::new(),
            channel: ChannelId::SYSTEM,
            top_level: Level(7),
            payloads: None,
        }));
        peer.hear("{\"T\":\"ack\"}");
        peer.hear_goodbye();
    });
    let (power, mut locks) = Power::counted();
    let (link, news) = start_with(power, None, Speech::Wire0(zero()), Servers::At(vec![server]));
    heard.recv_timeout(PATIENCE).expect("it introduces itself");
    assert_eq!(locks.held(), 1, "it dials");
    go.send(()).expect("the server waits");
    await_wire(&news);
    assert_eq!(locks.held(), 0, "it is let in");
    go.send(()).expect("the server waits");
    let News::Came { stored, awake, .. } = next(&news) else { panic!("a broadcast") };
    assert_eq!(locks.held(), 1, "something came");
    stored.send(()).expect("the link waits");
    assert_eq!(locks.held(), 1, "what came is stored, and there is more to do");
    drop(awake);
    assert_eq!(locks.held(), 0, "its work is done");
    link.stop();
    served.join().expect("no panic");
}

#[test]
fn on_another_network_it_is_not_connected_until_a_server_lets_it_in_again() {
    let (server, _served) = server_of_many(2, |_, mut peer| {
        peer.let_in();
        peer.hear_goodbye();
    });
    let (link, news) = start(Speech::Wire0(zero()), Servers::At(vec![server]));
    for network in [Some("café"), None] {
        let News::Moved { wait } = next(&news) else { panic!("it is on a network") };
        assert_eq!(wait, Duration::ZERO);
        let News::Connected { .. } = next(&news) else { panic!("it is let in") };
        network.into_iter().for_each(|name| link.network(Network::On(name.into())));
    }
    link.stop();
    assert!(news.try_recv().is_err(), "who stops goes nowhere else");
}

#[test]
fn a_link_that_waits_or_dials_stops_at_once() {
    let nowhere = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let addr = nowhere.local_addr().expect("bound").to_string();
    let (server, _served) = server_of_many(1, |_, _| ());
    drop(nowhere);
    let (link, news) = start(Speech::Wire1(one()), Servers::At(vec![Server { addr, ..server }]));
    let News::Moved { .. } = next(&news) else { panic!("it has a network now") };
    let News::Waiting { wait, problem } = next(&news) else { panic!("nobody is there") };
    assert_eq!(wait.cause, Cause::Unreachable);
    assert!(problem.contains("Connection refused"), "{problem}");
    link.stop();
}

/// Answers each question with these hosts, and counts them.
fn naming(hosts: &str) -> (String, Receiver<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    let body = format!(r#"{{"hosts":["{hosts}"],"domain":"localhost"}}"#);
    let (tell, asked) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut question) = (stream.expect("connected"), [0; 1_000]);
            let count = stream.read(&mut question).expect("connected");
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).expect("connected");
            let line = String::from_utf8_lossy(&question[..count]).lines().next().map(str::to_owned);
            tell.send(line.unwrap_or_default()).expect("the test listens");
        }
    });
    (base, asked)
}

#[test]
fn servers_are_asked_for_once_and_again_when_they_are_the_wrong_ones() {
    let (server, _served) = server_of_many(3, |number, mut peer| {
        let_in(&mut peer);
        if number == 1 {
            peer.say(&ServerMessage::Connbroken { reason: "host-mismatch".into() });
        }
    });
    let (base, asked) = naming(&server.addr);
    let device = "hello".parse().expect("valid");
    let discovery = Discovery::new(&base, &device, Trust::Insecure, server.tls, Duration::from_secs(3_600));
    let (_link, news) = start(Speech::Wire0(zero()), Servers::Discovered(discovery.expect("a base")));
    (0..3).for_each(|_| assert_eq!(await_wire(&news), 0));
    let asked: Vec<String> = asked.try_iter().collect();
    assert_eq!(asked, ["GET /delivery-hosts?h=cbd8a7b341bd9b02 HTTP/1.1"; 2]);
}
