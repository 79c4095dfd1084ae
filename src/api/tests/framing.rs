//! Where requests and bodies begin and end.

use super::*;

#[test]
fn a_request_may_come_a_byte_at_a_time() {
    let mut peer = Peer::new();
    for byte in post("/notify", NOTIFY).bytes() {
        assert!(peer.conversation.poll_request().is_none());
        peer.send([byte]);
    }
    assert_eq!(peer.grant_all(), 1);
    assert_eq!(peer.statuses(), [200]);
}

#[test]
fn requests_on_one_connection_are_answered_one_after_the_other() {
    let mut peer = Peer::new();
    for _ in 0..3 {
        peer.send(post("/notify", NOTIFY));
        assert_eq!(peer.grant_all(), 1);
        let response = peer.response().expect("an answer");
        assert_eq!((response.status, response.header("Connection")), (200, Some("keep-alive")));
    }
}

#[test]
fn pipelined_requests_are_in_work_one_at_a_time_and_answered_in_order() {
    let mut peer = Peer::new();
    let bad = post("/notify", "{}");
    peer.send([post("/notify", NOTIFY), get("/delivery-hosts"), bad, get("/healthz"), get("/x")].concat());
    assert!(matches!(peer.command(), Some(Command::Notify(_))));
    assert!(peer.command().is_none());
    assert_eq!(peer.statuses(), [0; 0]);
    peer.reply(Reply::Queue(Answer::Done));
    assert_eq!(peer.statuses(), [200, 200, 400]);
    assert!(matches!(peer.command(), Some(Command::Probe)));
    peer.reply(Reply::Busy);
    assert_eq!(peer.statuses(), [503, 404]);
}

#[test]
fn a_pipelined_request_begins_when_the_answer_before_it_is_taken() {
    let mut peer = Peer::new();
    peer.conversation.handle_bytes(get("/x").repeat(2).as_bytes(), START);
    let first = peer.conversation.poll_transmit(START).expect("an answer");
    let second = peer.conversation.poll_transmit(START).expect("an answer");
    assert_eq!(first, second);
    assert!(peer.conversation.poll_transmit(START).is_none());
}

#[test]
fn a_flood_of_pipelined_requests_is_read_only_up_to_a_bound() {
    let flood = post("/notify", NOTIFY);
    let mut peer = Peer::new();
    let mut sent = 0;
    while peer.conversation.wants_bytes() {
        peer.send(&flood);
        sent += 1;
        assert!(sent * flood.len() < 16 * 1024, "read without end");
    }
    assert_eq!(peer.grant_all(), sent);
    assert!(peer.conversation.wants_bytes());

    let mut idle = Peer::new();
    let mut sent = 0;
    while idle.conversation.wants_bytes() {
        idle.conversation.handle_bytes(get("/delivery-hosts").as_bytes(), START); // and takes no answer
        sent += 1;
    }
    idle.receive();
    assert_eq!(idle.statuses(), vec![200; sent]);
}

#[test]
fn a_body_of_the_greatest_size_is_wanted_to_its_last_byte() {
    for body_bytes_max in [1024, 64 * 1024] {
        let mut peer = Peer::with(Options { body_bytes_max, ..options() });
        let spaces = " ".repeat(body_bytes_max - NOTIFY.len());
        for byte in post("/notify", &format!("{NOTIFY}{spaces}")).bytes() {
            assert!(peer.conversation.wants_bytes());
            peer.send([byte]);
        }
        assert_eq!(peer.grant_all(), 1);
    }
}

#[test]
fn a_100_is_sent_only_when_the_body_is_wanted_and_waited_for() {
    let with_expect = |path: &str| post_with(path, "Expect: 100-Continue\r\n", NOTIFY);
    let request = with_expect("/notify");
    let (head, body) = request.split_at(request.len() - NOTIFY.len());

    let mut peer = Peer::new();
    peer.send(head);
    assert_eq!(peer.arrived, b"HTTP/1.1 100 Continue\r\n\r\n");
    peer.arrived.clear();
    peer.send(body);
    assert_eq!(peer.grant_all(), 1);
    assert_eq!(peer.response().expect("an answer").header("Connection"), Some("keep-alive"));

    let mut eager = Peer::new();
    eager.send(&request);
    assert_eq!(eager.grant_all(), 1);
    assert_eq!(eager.statuses(), [200]);

    let mut old = Peer::new();
    old.send(head.replace("HTTP/1.1", "HTTP/1.0"));
    assert_eq!(old.statuses(), [0; 0]);
}

#[test]
fn a_request_that_fails_by_its_head_gets_its_status_in_place_of_a_100_and_is_the_last() {
    let request = post_with("/nowhere", "Expect: 100-continue\r\n", NOTIFY);
    let mut peer = Peer::new();
    peer.send(&request[..request.len() - NOTIFY.len()]);
    let response = peer.response().expect("an answer");
    assert_eq!((response.status, response.header("Connection")), (404, Some("close")));
    assert_eq!(peer.conversation.state(), State::ShutdownWrite);
}

#[test]
fn requests_whose_end_could_be_disputed_are_refused_and_nothing_behind_them_is_read() {
    let smuggled = post("/notify", NOTIFY);
    let cases = [
        ("Content-Length: 5\r\nContent-Length: 6\r\n", 400),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", 400),
        ("Content-Length: 5, 5\r\n", 400),
        ("Content-Length: +5\r\n", 400),
        ("Content-Length: -5\r\n", 400),
        ("Content-Length: 0x5\r\n", 400),
        ("Content-Length: 5 5\r\n", 400),
        ("Content-Length:\r\n", 400),
        ("Content-Length : 5\r\n", 400),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
        ("Transfer-Encoding: chunked\r\n", 411),
        ("Transfer-Encoding: identity\r\n", 411),
        ("Transfer-Encoding:\r\n chunked\r\n", 400),
        ("Content-Length: 99999999999999999999999999\r\n", 413),
    ];
    for (headers, status) in cases {
        let mut peer = Peer::new();
        peer.send(format!(
            "POST /notify HTTP/1.1\r\nContent-Type: application/json\r\n{headers}\r\n0\r\n\r\n{smuggled}"
        ));
        let response = peer.response().expect("an answer");
        assert_eq!((response.status, response.header("Connection")), (status, Some("close")), "{headers}");
        assert!(peer.conversation.poll_request().is_none(), "{headers}");
        assert_eq!(peer.conversation.state(), State::ShutdownWrite, "{headers}");
    }
}

#[test]
fn a_get_with_a_coded_body_is_answered_and_is_the_last() {
    let mut peer = Peer::new();
    peer.send("GET /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_eq!(peer.grant_all(), 1);
    assert_eq!(peer.response().expect("an answer").header("Connection"), Some("close"));
}

#[test]
fn a_small_body_that_nobody_reads_is_skipped() {
    let body = "x".repeat(64 * 1024);
    let requests = [
        post("/nowhere", NOTIFY),
        post("/notify", &body),
        "GET /delivery-hosts HTTP/1.1\r\nContent-Length: 5\r\n\r\n12345".into(),
    ];
    for request in requests {
        for part_bytes in [1000, request.len()] {
            let mut peer = Peer::new();
            request.as_bytes().chunks(part_bytes).for_each(|part| peer.send(part));
            peer.send(post("/notify", NOTIFY));
            assert_eq!(peer.grant_all(), 1);
            assert_eq!(peer.statuses().last(), Some(&200));
        }
    }
}

#[test]
fn connections_are_kept_as_the_versions_of_http_have_it() {
    let cases = [
        ("HTTP/1.1", "", "keep-alive"),
        ("HTTP/1.1", "Connection: close\r\n", "close"),
        ("HTTP/1.1", "Connection: x, Close\r\n", "close"),
        ("HTTP/1.0", "", "close"),
        ("HTTP/1.0", "Connection: Keep-Alive\r\n", "keep-alive"),
        ("HTTP/1.0", "Connection: keep-alive\r\nConnection: close\r\n", "close"),
    ];
    for (version, headers, connection) in cases {
        let mut peer = Peer::new();
        peer.send(post_with("/notify", headers, NOTIFY).replace("HTTP/1.1", version));
        assert_eq!(peer.grant_all(), 1);
        let response = peer.response().expect("an answer");
        assert_eq!(response.header("Connection"), Some(connection), "{version} {headers}");
        let kept = peer.conversation.state() == State::Open;
        assert_eq!(kept, connection == "keep-alive", "{version} {headers}");
    }
}

#[test]
fn head_is_answered_as_get_without_the_body() {
    for (path, status) in [("/delivery-hosts", 200), ("/stats", 401), ("/notify", 405), ("/x", 404)] {
        let mut peer = Peer::new();
        peer.send(get(path).replace("GET", "HEAD"));
        let response = peer.response_to("HEAD").expect("an answer");
        assert_eq!(response.status, status, "{path}");
        assert!(response.body_bytes() > 0, "{path}");
        assert!(peer.arrived.is_empty(), "{path}");
    }
}

#[test]
fn heads_are_bounded_in_bytes_and_in_fields() {
    let long = format!("X: {}\r\n", "x".repeat(8 * 1024));
    let cases = [
        post_with("/notify", &long, NOTIFY),
        post_with("/notify", &"X: y\r\n".repeat(64), NOTIFY),
        get(&format!("/{}", "x".repeat(8 * 1024))),
        "x".repeat(8 * 1024),
        format!("GET /{}", "x".repeat(8 * 1024)),
        "\r\n".repeat(4 * 1024),
    ];
    for request in cases {
        let mut peer = Peer::new();
        peer.send(&request);
        let response = peer.response().expect("an answer");
        assert_eq!((response.status, response.header("Connection")), (431, Some("close")), "{request:.30}");
    }
    let mut peer = Peer::new();
    peer.send(post_with("/notify", &"X: y\r\n".repeat(61), NOTIFY));
    assert_eq!(peer.grant_all(), 1);
}

#[test]
fn what_is_no_http_1_is_told_so() {
    let cases = [
        ("\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03\r\n", 400),
        ("GET\r\n\r\n", 400),
        ("GET /x HTTP/1.1\r\nNo colon\r\n\r\n", 400),
        ("GET /x HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400),
        ("GET /x HTTP/1.1\r\nA: \0\r\n\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("GET /x\r\n\r\n", 400),
    ];
    for (bytes, status) in cases {
        let mut peer = Peer::new();
        peer.send(bytes);
        let response = peer.response().unwrap_or_else(|| panic!("no answer: {bytes:?}"));
        assert_eq!((response.status, response.header("Connection")), (status, Some("close")), "{bytes:?}");
        assert_eq!(response.json()["error"], "invalid-request");
    }
}

#[test]
fn empty_lines_between_requests_are_passed_over() {
    let mut peer = Peer::new();
    peer.send(format!("\r\n{}\r\n\r\n{}\r\n", post("/notify", NOTIFY), post("/notify", NOTIFY)));
    assert_eq!(peer.grant_all(), 2);
    assert_eq!(peer.statuses(), [200, 200]);
}
