//! How connections end: never before their last answer has arrived, and never later than a bound.

use super::*;

const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
const MIB: usize = 1024 * 1024;

/// A conversation whose last answer is out, while its peer is still sending.
fn draining() -> Peer {
    let mut peer = Peer::new();
    peer.send(format!(
        "POST /notify HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        100 * MIB
    ));
    assert_eq!(peer.statuses(), [413]);
    assert_eq!(peer.conversation.state(), State::ShutdownWrite);
    peer
}

#[test]
fn an_idle_connection_closes_quietly() {
    let mut peer = Peer::new();
    peer.pass(READ_TIMEOUT - Duration::from_millis(1));
    assert_eq!(peer.conversation.state(), State::Open);
    peer.send(post("/notify", NOTIFY));
    assert_eq!(peer.conversation.next_deadline(), None);
    peer.pass(READ_TIMEOUT * 3);
    assert_eq!(peer.grant_all(), 1);
    assert_eq!(peer.statuses(), [200]);
    assert_eq!(peer.conversation.next_deadline(), Some(peer.now.monotonic + READ_TIMEOUT));
    peer.send("\r\n");
    peer.pass(READ_TIMEOUT);
    assert_eq!(peer.conversation.state(), State::Finished);
    assert_eq!(peer.conversation.next_deadline(), None);
    assert!(peer.arrived.is_empty());
}

#[test]
fn a_timeout_before_the_deadline_does_nothing() {
    let mut peer = Peer::new();
    peer.send("POST");
    peer.pass(READ_TIMEOUT - Duration::from_nanos(1));
    assert_eq!(peer.statuses(), [0; 0]);
    assert_eq!(peer.conversation.state(), State::Open);
}

#[test]
fn a_request_has_one_deadline_from_its_first_byte_however_its_bytes_drip() {
    let mut peer = Peer::new();
    peer.pass(READ_TIMEOUT / 2);
    let begun = peer.now.monotonic;
    let request = post("/notify", NOTIFY);
    for byte in request.bytes().take(request.len() - 1) {
        peer.send([byte]);
        assert_eq!(peer.conversation.next_deadline(), Some(begun + READ_TIMEOUT));
        peer.pass(READ_TIMEOUT / request.len() as u32);
    }
    assert_eq!(peer.statuses(), [0; 0]);
    peer.pass(READ_TIMEOUT);
    assert_eq!(peer.statuses(), [400]);
    assert_eq!(peer.conversation.state(), State::ShutdownWrite);
}

#[test]
fn a_head_that_ends_early_is_an_io_error() {
    for ends in [true, false] {
        let mut peer = Peer::new();
        peer.send("GET /stats HTT");
        if ends {
            peer.end()
        } else {
            peer.pass(READ_TIMEOUT)
        }
        let response = peer.response().expect("an answer");
        assert_eq!((response.status, response.header("Connection")), (400, Some("close")));
        assert_eq!(response.json()["error"], "io-error");
        assert_eq!(peer.conversation.state() == State::Finished, ends);
    }
}

#[test]
fn a_peer_that_half_closes_gets_all_its_answers() {
    let mut peer = Peer::new();
    peer.send(post("/notify", NOTIFY).repeat(2));
    peer.end();
    assert!(!peer.conversation.wants_bytes());
    assert_eq!(peer.conversation.state(), State::Open);
    assert_eq!(peer.grant_all(), 2);
    assert_eq!(peer.statuses(), [200, 200]);
    assert_eq!(peer.conversation.state(), State::Finished);
}

#[test]
fn a_peer_that_leaves_between_requests_leaves_nothing_behind() {
    let mut peer = Peer::new();
    peer.end();
    assert_eq!(peer.conversation.state(), State::Finished);
    assert!(peer.arrived.is_empty());
}

#[test]
fn after_the_last_answer_what_comes_is_thrown_away_until_the_peer_closes() {
    let mut peer = draining();
    peer.send(vec![b'x'; MIB]);
    peer.send(post("/notify", NOTIFY));
    assert!(peer.conversation.wants_bytes());
    assert!(peer.conversation.poll_request().is_none());
    assert_eq!(peer.conversation.state(), State::ShutdownWrite);
    peer.end();
    assert_eq!(peer.conversation.state(), State::Finished);
    assert!(peer.arrived.is_empty());
}

#[test]
fn draining_ends_in_time_however_the_peer_goes_on() {
    let mut peer = draining();
    for _ in 0..9 {
        peer.pass(DRAIN_TIMEOUT / 10);
        peer.send("x");
    }
    assert_eq!(peer.conversation.state(), State::ShutdownWrite);
    peer.pass(DRAIN_TIMEOUT / 10);
    assert_eq!(peer.conversation.state(), State::Finished);
}

#[test]
fn draining_ends_after_so_many_bytes() {
    let mut peer = draining();
    let part = vec![b'x'; MIB];
    for _ in 0..64 {
        assert_eq!(peer.conversation.state(), State::ShutdownWrite);
        peer.send(&part);
    }
    peer.send("x");
    assert_eq!(peer.conversation.state(), State::Finished);
    assert!(!peer.conversation.wants_bytes());
}

#[test]
fn a_skipped_body_that_stops_coming_ends_the_connection() {
    for ends in [true, false] {
        let mut peer = Peer::new();
        peer.send(&post("/nowhere", NOTIFY)[..150]);
        assert_eq!(peer.statuses(), [404]);
        if ends {
            peer.end()
        } else {
            peer.pass(READ_TIMEOUT)
        }
        assert_eq!(peer.conversation.state(), State::Finished);
        assert!(peer.arrived.is_empty());
    }
}

#[test]
#[should_panic(expected = "a reply without a request")]
fn a_reply_without_a_request_goes_out_to_nobody() {
    Peer::new().reply(Reply::Busy);
}

/// Marsaglia's xorshift.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// Requests with bytes changed, left out and doubled, in parts of all sizes.
fn damaged(random: &mut Seeded) -> Vec<u8> {
    let requests = [
        post("/notify", NOTIFY),
        post_with("/notify", "Expect: 100-continue\r\n", NOTIFY),
        post("/register", r#"{"deviceid":"d1","appid":"a"}"#),
        get("/stats"),
        get("/delivery-hosts"),
        "POST /notify HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
    ];
    let mut bytes: Vec<u8> = (0..random.below(5))
        .flat_map(|_| requests[random.below(requests.len())].clone().into_bytes())
        .collect();
    for _ in 0..random.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len());
        match random.below(3) {
            0 => bytes[at] = random.below(256) as u8,
            1 => drop(bytes.remove(at)),
            _ => bytes.insert(at, bytes[at]),
        }
    }
    bytes
}

#[test]
fn whatever_comes_each_conversation_ends_and_says_only_whole_responses() {
    for seed in 1..=3000 {
        let mut random = Seeded(u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15));
        let mut peer = Peer::new();
        let bytes = damaged(&mut random);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (part, after) = rest.split_at(1 + random.below(rest.len()));
            rest = after;
            peer.send(part);
            if random.below(4) == 0 {
                peer.pass(Duration::from_secs(random.below(4) as u64));
            }
            while peer.conversation.poll_request().is_some() {
                peer.reply(Reply::Busy);
            }
        }
        if random.below(2) == 0 {
            peer.end();
        }
        for _ in 0..3 {
            peer.pass(DRAIN_TIMEOUT);
        }
        assert_eq!(peer.conversation.state(), State::Finished, "seed {seed}");
        while peer.response().is_some() {}
        assert!(peer.arrived.is_empty(), "seed {seed}");
    }
}
