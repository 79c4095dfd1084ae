//! Who has failed too often to be heard.

use core::net::{IpAddr, Ipv4Addr};
use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;
use crate::queue::{Refusal, Sent};

/// Believes every `X-Forwarded-For`, and hears nobody who has failed three times.
#[derive(Clone, Debug, Default)]
struct Strict(Arc<Mutex<BTreeMap<IpAddr, usize>>>);

impl Strict {
    fn failures(&self, asker: [u8; 4]) -> usize {
        let asker = IpAddr::V4(Ipv4Addr::from(asker));
        self.0.lock().expect("no panic").get(&asker).copied().unwrap_or_default()
    }
}

impl Doorkeeper for Strict {
    fn asker(&self, forwarded_for: Option<&str>) -> IpAddr {
        forwarded_for.map_or(Ipv4Addr::LOCALHOST.into(), |text| text.parse().expect("an address"))
    }

    fn wait(&self, asker: IpAddr, _: Monotonic) -> Duration {
        let failures = self.0.lock().expect("no panic").get(&asker).copied().unwrap_or_default();
        if failures < 3 { Duration::ZERO } else { Duration::from_secs(17) }
    }

    fn failed(&self, asker: IpAddr, _: Monotonic) {
        *self.0.lock().expect("no panic").entry(asker).or_default() += 1;
    }
}

fn guarded(strict: &Strict) -> Peer {
    let conversation = Conversation::new(Arc::new(required()), Line::Private, START);
    let conversation = conversation.guarded_by(Box::new(strict.clone()));
    Peer { conversation, now: START, arrived: Vec::new() }
}

/// A peer behind a proxy, that shows this credential.
fn ask(strict: &Strict, from: &str, credential: Option<[u8; 32]>) -> (Peer, Option<Response>) {
    let mut peer = guarded(strict);
    let authorization = credential.map(|bytes| bearer(&Credential::new(bytes))).unwrap_or_default();
    peer.send(format!("GET /v1/devices HTTP/1.1\r\nX-Forwarded-For: {from}\r\n{authorization}\r\n"));
    let response = peer.response();
    (peer, response)
}

fn status(strict: &Strict, from: &str, credential: Option<[u8; 32]>) -> Option<u16> {
    ask(strict, from, credential).1.map(|response| response.status)
}

#[test]
fn wrong_credentials_count_and_missing_ones_do_not() {
    let strict = Strict::default();
    assert_eq!(status(&strict, "192.0.2.1", None), Some(401));
    assert_eq!(strict.failures([192, 0, 2, 1]), 0);
    assert_eq!(status(&strict, "192.0.2.1", Some([9; 32])), Some(401));
    assert_eq!(strict.failures([192, 0, 2, 1]), 1);
    assert_eq!(status(&strict, "192.0.2.1", Some([1; 32])), None, "the queue is asked");
    assert_eq!(strict.failures([192, 0, 2, 1]), 1);
}

#[test]
fn who_is_not_heard_does_not_learn_whether_he_is_right() {
    let strict = Strict::default();
    (0..3).for_each(|_| drop(ask(&strict, "192.0.2.1", Some([9; 32]))));
    let (mut peer, response) = ask(&strict, "192.0.2.1", Some([1; 32]));
    let response = response.expect("an answer");
    assert_eq!((response.status, response.header("Retry-After")), (429, Some("17")));
    assert_eq!(response.header("Connection"), Some("close"), "each guess costs a connection");
    assert!(peer.command().is_none());
    assert_eq!(status(&strict, "192.0.2.1", None), Some(401), "who shows nothing is heard");
    assert_eq!(status(&strict, "192.0.2.2", Some([1; 32])), None, "others are heard");
}

#[test]
fn what_the_queue_finds_wrong_counts_too() {
    let strict = Strict::default();
    let mut peer = guarded(&strict);
    let key = bearer(&Credential::new([9; 32]));
    peer.send(post_with("/register", &key, r#"{"deviceid":"d1","appid":"chatter"}"#));
    peer.command().expect("the queue is asked");
    peer.reply(Reply::Queue(Answer::Refused(Refusal::NotThisDevice)));
    assert_eq!(peer.statuses(), [401]);
    assert_eq!(strict.failures([127, 0, 0, 1]), 1);
}

#[test]
fn a_wrong_key_counts_once_in_a_batch_and_only_if_it_was_shown() {
    let key = bearer(&Credential::new([9; 32]));
    for (authorization, failures) in [(key.as_str(), 1), ("", 0)] {
        let strict = Strict::default();
        let mut peer = guarded(&strict);
        let message = |app| {
            let token = crate::base::Token([7; 16]).reveal();
            serde_json::json!({"token": token, "appid": app, "data": 1, "ttl_seconds": 60})
        };
        let batch = serde_json::json!({"messages": [message("chatter"), message("mail"), message("bank")]});
        peer.send(post_with("/v1/messages", authorization, &batch.to_string()));
        peer.command().expect("the queue is asked");
        let sent = Sent { id: crate::base::MessageId([3; 16]), devices: Vec::new() };
        let answers = vec![Ok(sent), Err(Refusal::AppKeyNeeded), Err(Refusal::AppKeyNeeded)];
        peer.reply(Reply::Queue(Answer::Sent(answers)));
        assert_eq!(peer.statuses(), [200]);
        assert_eq!(strict.failures([127, 0, 0, 1]), failures);
    }
}
