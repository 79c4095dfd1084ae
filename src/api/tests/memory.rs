//! What requests may hold in memory, each and together.

use serde_json::json;

use super::*;
use crate::base::{MessageId, Token};
use crate::queue::{Registered, Registration, Sent, Status};

const MIB: usize = 1024 * 1024;

fn peer(memory: &Memory) -> Peer {
    let conversation = Conversation::new(Arc::new(required()), Line::Private, START).sharing(memory);
    Peer { conversation, now: START, arrived: Vec::new() }
}

/// The head and all but the last byte of a body of this length.
fn fill(peer: &mut Peer, body_bytes: usize) {
    let head =
        post("/v1/messages", "").replace("Content-Length: 0", &format!("Content-Length: {body_bytes}"));
    peer.send(head);
    if peer.conversation.state() == State::Open {
        peer.send(vec![b' '; body_bytes - 1]);
    }
}

#[test]
fn five_hundred_connections_cannot_hold_a_mebibyte_each_and_small_requests_still_pass() {
    let memory = Memory::default();
    let options = Arc::new(required());
    let crowd = (0..512).map(|_| {
        let conversation = Conversation::new(options.clone(), Line::Private, START).sharing(&memory);
        let mut peer = Peer { conversation, now: START, arrived: Vec::new() };
        fill(&mut peer, MIB);
        peer
    });
    let mut crowd: Vec<Peer> = crowd.collect();
    let refused: Vec<Response> = crowd.iter_mut().filter_map(Peer::response).collect();
    assert!((480..512).contains(&refused.len()), "{}", refused.len());
    for response in &refused {
        assert_eq!((response.status, response.header("Retry-After").is_some()), (503, true));
    }
    let mut small = peer(&memory);
    small.send(post("/notify", NOTIFY));
    assert_eq!((small.grant_all(), small.statuses()), (1, vec![200]));
    let message = json!({"token": Token([7; 16]).reveal(), "appid": "a", "data": 1, "ttl_seconds": 1});
    small.send(post("/v1/messages", &message.to_string()));
    assert!(small.command().is_some());

    drop(crowd);
    let mut large = peer(&memory);
    fill(&mut large, MIB);
    assert!(large.response().is_none(), "there is room again");
}

#[test]
fn bodies_that_are_only_announced_take_no_room_from_others() {
    let memory = Memory::default();
    let announce = || {
        let mut peer = peer(&memory);
        peer.send(post("/v1/messages", "").replace("Content-Length: 0", &format!("Content-Length: {MIB}")));
        peer.send(" ");
        peer
    };
    let crowd: Vec<Peer> = (0..512).map(|_| announce()).collect();
    let mut large = peer(&memory);
    fill(&mut large, MIB);
    assert!(large.response().is_none(), "there is room");
    drop(crowd);
}

/// A batch of short messages may have a long answer, for which there must be room before it is sent.
#[test]
fn a_batch_is_refused_before_it_is_sent_if_its_answer_would_have_no_room() {
    let memory = Memory::default();
    let message = json!({"token": Token([7; 16]).reveal(), "appid": "a", "data": 1, "ttl_seconds": 1});
    let batch = post("/v1/messages", &json!({"messages": vec![message; 100]}).to_string());
    let mut waiting: Vec<Peer> = Vec::new();
    let refused = loop {
        let mut peer = peer(&memory);
        peer.send(&batch);
        match peer.command() {
            Some(_) => waiting.push(peer),
            None => break peer.response(),
        }
    };
    assert_eq!(refused.expect("an answer").status, 503);
    assert!((100..200).contains(&waiting.len()), "{}", waiting.len());

    let device = || "d".repeat(22).parse().expect("an id");
    let sent = || Sent { id: MessageId([3; 16]), devices: vec![(device(), Status::TooManyPending); 32] };
    let mut peer = waiting.pop().expect("many");
    peer.reply(Reply::Queue(Answer::Sent((0..100).map(|_| Ok(sent())).collect())));
    let response = peer.response().expect("an answer");
    assert_eq!(response.status, 200);
    assert!(response.body.len() < 100 * 4096, "{}", response.body.len());
}

#[test]
fn a_long_answer_goes_out_in_parts_and_the_next_request_waits_for_the_last() {
    let options = Arc::new(required());
    let mut conversation = Conversation::new(options, Line::Private, START);
    let list =
        format!("GET /v1/registrations?deviceid=d1 HTTP/1.1\r\n{}\r\n", bearer(&Credential::new([7; 32])));
    conversation.handle_bytes((list + &get("/healthz")).as_bytes(), START);
    assert!(conversation.poll_request().is_some());
    let registration = |number: usize| Registration {
        app: format!("{number:0255}").parse().expect("an id"),
        tokens: Registered { token: Token([1; 16]), user_token: None },
    };
    let found = (0..1000).map(registration).collect();
    conversation.handle_reply(Reply::Queue(Answer::Registrations(found)), START);
    let mut parts = 0;
    while let Some(part) = conversation.poll_transmit(START) {
        assert!(part.len() <= 32 * 1024);
        parts += 1;
        assert_eq!(conversation.poll_request().is_some(), part.len() < 32 * 1024, "part {parts}");
    }
    assert!(parts >= 9, "{parts}");
}
