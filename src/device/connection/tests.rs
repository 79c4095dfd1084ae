//! Connections to a server that says what it is told to.

use std::net::{Ipv4Addr, TcpListener};
use std::thread;
use std::time::Duration;

use super::*;
use crate::base::{MessageId, Urgency, Wall};
use crate::device::scripted::{PATIENCE, server};
use crate::protocol::wire0::{Connect, Notification, ServerMessage};
use crate::protocol::wire1::{self, AppNumber, Connack, ServerFrame};

fn carol(exchange_timeout: Duration) -> Options {
    Options { exchange_timeout, ..Options::new(Connect::new("carol".parse().expect("valid")).into()) }
}

fn open(server: &Server) -> Connection {
    Connection::open(server, carol(PATIENCE)).expect("a server")
}

fn message() -> Notification {
    Notification {
        app: "chatter".parse().expect("valid"),
        id: "AAAAAAAAAAEAAAAAAAAAAA==".parse().expect("valid"),
        payload: crate::base::Payload::from_json(b"{}").expect("JSON"),
    }
}

#[test]
fn what_comes_is_told_and_acked_and_pings_are_answered() {
    let (server, served) = server(|mut peer| {
        peer.let_in();
        peer.say(&ServerMessage::Ping);
        peer.hear("{\"T\":\"pong\"}");
        peer.say(&ServerMessage::Notifications(vec![message()]));
        peer.hear("{\"T\":\"ack\"}");
    });
    let mut device = open(&server);
    assert_eq!(device.next_event(None), Some(Event::Connected { interval: PATIENCE }));
    assert_eq!(device.next_event(None), Some(Event::Message(message().into())));
    device.ack();
    served.join().expect("the server heard the ack");
    assert_eq!(device.next_event(None), Some(Event::Ended(EndReason::Eof)));
    assert_eq!(device.next_event(None), None);
}

#[test]
fn waiting_ends_when_it_should() {
    let (server, served) = server(|mut peer| {
        peer.let_in();
        peer.hear("never said");
    });
    let mut device = open(&server);
    device.next_event(None).expect("let in");
    assert_eq!(device.next_event(Some(now() + Duration::from_millis(5))), None);
    device.close();
    served.join().expect_err("the server saw the end");
}

#[test]
fn a_silent_server_is_given_up() {
    let (server, served) = server(|mut peer| peer.stream.read_to_end(&mut Vec::new()));
    let options = carol(Duration::from_millis(30));
    let mut device = Connection::open(&server, options).expect("a server");
    assert_eq!(device.next_event(None), Some(Event::Ended(EndReason::Timeout)));
    drop(device);
    served.join().expect("no panic").expect("the connection was closed");
}

#[test]
fn an_interrupted_device_acks_what_is_stored_and_takes_its_leave() {
    let (server, served) = server(|mut peer| {
        peer.hear("\0\0\0");
        peer.write(&two_messages());
        // An ACK of one, and BYE.
        peer.hear("@\x01F\0");
        peer.hear_goodbye();
    });
    let connect = wire1::Connect::new("carol".parse().expect("valid"), PATIENCE);
    let mut device = Connection::open(&server, Options::new(connect.into())).expect("a server");
    let interrupter = device.interrupter();
    device.next_event(None).expect("let in");
    assert!(matches!(device.next_event(None), Some(Event::Message(_))));
    device.ack();
    interrupter.interrupt();
    assert_eq!(device.next_event(None), None, "what comes now is not stored any more");
    device.close();
    served.join().expect("the server heard all of it");
}

/// CONNACK and two messages, on wire 1.
fn two_messages() -> Vec<u8> {
    let (number, Notification { app, payload, .. }) = (AppNumber::new(0).expect("valid"), message());
    let message = |id| wire1::Message {
        app: number,
        urgency: Urgency::Normal,
        expires: PATIENCE,
        id: MessageId([id; 16]),
        payload: payload.clone(),
    };
    let connack = Connack { time: Wall(0), keepalive_max: PATIENCE, window: 2 };
    let mut out = Vec::new();
    ServerFrame::Connack(connack).encode(&mut out);
    ServerFrame::App(number, app).encode(&mut out);
    [1, 2].iter().for_each(|id| ServerFrame::Message(message(*id)).encode(&mut out));
    out
}

#[test]
fn what_the_device_says_first_comes_with_the_end_of_the_handshake() {
    let (server, served) = server(|mut peer| {
        while peer.tls.is_handshaking() {
            peer.read();
        }
        peer.heard.first().copied()
    });
    let mut device = open(&server);
    device.next_event(None).expect("the end");
    assert_eq!(served.join().expect("no panic"), Some(0));
}

#[test]
fn an_interrupter_ends_the_wait_from_another_thread() {
    let (server, served) = server(|mut peer| {
        peer.let_in();
        peer.hear_goodbye();
    });
    let mut device = open(&server);
    device.next_event(None).expect("let in");
    let interrupter = device.interrupter();
    let interrupting = thread::spawn(move || interrupter.interrupt());
    assert_eq!(device.next_event(None), None);
    interrupting.join().expect("no panic");
    device.close();
    served.join().expect("the server heard the goodbye");
}

#[test]
fn a_server_that_is_not_trusted_is_told_apart() {
    let (mut server, _served) = server(|mut peer| peer.hear("nothing"));
    server.name = ServerName::try_from("elsewhere").expect("a name");
    let Some(Event::Ended(EndReason::Transport(reason))) = open(&server).next_event(None) else {
        panic!("the certificate is for another name")
    };
    assert!(reason.starts_with("TLS: invalid peer certificate"), "{reason}");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let addr = gone.expect("a free port").to_string();
    let (server, _) = server(|_| ());
    let error = Connection::open(&Server { addr: addr.clone(), ..server }, carol(PATIENCE)).err();
    assert_eq!(
        error.expect("nobody listens").to_string(),
        format!("{addr}: Connection refused (os error 111)")
    );
}
