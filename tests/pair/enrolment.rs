//! Both sides of an enrolment in memory, byte by byte.

use std::time::Duration;

use lomiri_push::base::{CodeSecret, Credential};
use lomiri_push::protocol::wire1::{self, Enrolled, ProtocolError, Reason};
use lomiri_push::session::device::Connect;
use lomiri_push::session::{EndReason, device, server};

use crate::wire1::Pair;

const CODE: CodeSecret = CodeSecret([5; 16]);

fn enrolled() -> Enrolled {
    Enrolled {
        device: "R3J8q0Yt5mWc1Zk2bXv7Lw".parse().expect("an id"),
        credential: Credential::new([9; 32]),
        api: "https://push.example.org".into(),
    }
}

fn pair(code: CodeSecret) -> Pair {
    Pair::new(Connect::Enrol(code), Vec::new(), 1)
}

#[test]
fn a_code_becomes_a_device_that_takes_its_leave() {
    let mut pair = pair(CODE);
    assert_eq!(pair.run().server, [server::Event::Enrol(CODE)]);
    pair.server.enrol(enrolled(), pair.now.monotonic);
    assert_eq!(pair.run().device, [device::Event::Enrolled(enrolled())]);
    pair.device.leave();
    let told = pair.run();
    assert_eq!(told.server, [server::Event::Ended(EndReason::Left(Reason::Closing))]);
    assert_eq!(told.device, [device::Event::Ended(EndReason::Shutdown)]);
}

#[test]
fn a_bad_code_is_refused_without_a_word_why() {
    let mut pair = pair(CODE);
    pair.run();
    pair.server.refuse(Reason::Unauthorized);
    let told = pair.run();
    assert_eq!(told.server, [server::Event::Ended(EndReason::Refused(Reason::Unauthorized))]);
    let [device::Event::Goaway(goaway), device::Event::Ended(ended)] = &told.device[..] else {
        panic!("{told:?}")
    };
    assert_eq!((goaway.reason, ended), (Reason::Unauthorized, &EndReason::SentAway(Reason::Unauthorized)));
}

#[test]
fn whoever_is_enrolled_and_stays_is_cut_off() {
    let mut pair = pair(CODE);
    pair.run();
    pair.server.enrol(enrolled(), pair.now.monotonic);
    pair.run();
    let deadline = pair.server.next_deadline().expect("it may not stay");
    pair.server.handle_timeout(deadline);
    assert_eq!(pair.run().server, [server::Event::Ended(EndReason::Timeout)]);
}

#[test]
fn whoever_waits_too_long_for_the_servers_word_is_told_to_come_back() {
    let connect = Connect::Wire1(wire1::Connect::new(enrolled().device, Duration::from_secs(60)));
    for opening in [connect, Connect::Enrol(CODE)] {
        let mut pair = Pair::new(opening, Vec::new(), 1);
        pair.run();
        let told = pair.jump();
        let overloaded = Reason::Overloaded;
        assert_eq!(told.server, [server::Event::Ended(EndReason::Refused(overloaded))]);
        assert!(told.device.contains(&device::Event::Ended(EndReason::SentAway(overloaded))), "{told:?}");
        assert_eq!(pair.server.next_deadline(), None);
    }
}

#[test]
fn an_enrolment_is_no_session() {
    let mut pair = pair(CODE);
    pair.run();
    pair.server.handle_bytes(&[0x02], pair.now.monotonic);
    let unexpected = EndReason::Frame(ProtocolError::Unexpected("PING"));
    assert_eq!(pair.run().server, [server::Event::Ended(unexpected)]);
}
