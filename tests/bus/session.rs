//! The service and its callers on one bus, or at one socket: names, answers, errors, signals and ends.

use lomiri_push::base::AppId;
use lomiri_push::device::bus::{BusError, Caller, CallerError, Check, News};

use super::place::{self, Place};
use super::service::{MUSIC, PATIENCE, connect, start};

fn music() -> AppId {
    MUSIC.parse().expect("an app id")
}

/// With a bus, where there is one, and without.
fn places() -> Vec<Place> {
    [place::bus(), Some(place::peer())].into_iter().flatten().collect()
}

#[test]
fn an_app_is_answered_whatever_it_asks() {
    for place in places() {
        start(place.address());
        let caller = Caller::connect(place.address()).expect("somebody is there");
        assert_eq!(caller.register(&music()).expect("a token"), format!("token-of-{MUSIC}"));
        assert_eq!(caller.register_user(&music()).expect("a token"), format!("user-token-of-{MUSIC}"));
        caller.post(&music(), r#"{"message":1}"#).expect("taken");
        assert_eq!(caller.pop_all(&music()).expect("messages"), [r#"{"message":1}"#]);
        assert_eq!(caller.pop_all(&music()).expect("none"), [""; 0]);
        assert_eq!(caller.list_persistent(&music()).expect("tags"), ["a", "b"]);
        assert_eq!(caller.clear_persistent(&music(), &["a".into()]).expect("a number"), 1);
        caller.set_counter(&music(), 3, true).expect("done");
        caller.unregister(&music()).expect("done");
        assert_eq!(caller.status().expect("how it does"), r#"{"connected":true}"#);
    }
}

#[test]
fn an_app_reads_why_it_is_refused() {
    for place in places() {
        start(place.address());
        let caller = Caller::connect(place.address()).expect("somebody is there");
        let refused = |outcome: Result<String, CallerError>| outcome.expect_err("refused").to_string();
        assert_eq!(refused(caller.register(&"_refused".parse().expect("an id"))), "bad auth");
        let missing = refused(caller.register(&"com.missing_app".parse().expect("an id")));
        assert!(missing.ends_with("('application not installed')"), "{missing}");
        let no_app = refused(caller.register(&"nothing".parse().expect("an id")));
        assert!(no_app.starts_with("nothing: not an app id"), "{no_app}");
        let bad = caller.post(&music(), "no json").expect_err("refused").to_string();
        assert_eq!(bad, "bad json data");
    }
}

#[test]
fn an_app_hears_that_its_own_mailbox_has_something() {
    for place in places() {
        start(place.address());
        let caller = Caller::connect(place.address()).expect("somebody is there");
        let mut posts = caller.posts(&music()).expect("heard");
        // Of the same package, so at the same path.
        caller.post(&"com.ubuntu.music_other".parse().expect("an id"), "{}").expect("taken");
        caller.post(&music(), "{}").expect("taken");
        assert_eq!(posts.next(), Some(()));
        assert_eq!(caller.pop_all(&music()).expect("messages"), ["{}"]);
    }
}

#[test]
fn a_second_service_is_told_who_holds_the_name() {
    let Some(place) = place::bus() else { return };
    let (_bus, _news) = connect(place.address(), Check::Auto).expect("the bus is free");
    let error = connect(place.address(), Check::Auto).err().expect("the names are held");
    let own = std::process::id();
    assert!(matches!(error, BusError::Taken { pid: Some(pid), .. } if pid == own), "{error}");
    assert!(error.to_string().contains(&format!("process {own}")), "{error}");
}

#[test]
fn names_are_free_again_once_a_service_has_left() {
    let Some(place) = place::bus() else { return };
    let (bus, news) = connect(place.address(), Check::Auto).expect("the bus is free");
    drop(bus);
    // Its own end is told when it is off the bus.
    while !matches!(news.recv_timeout(PATIENCE).expect("an end"), News::Gone(_)) {}
    connect(place.address(), Check::Auto).expect("the names are free");
}

#[test]
fn the_service_is_told_that_the_bus_has_gone() {
    let Some(mut place) = place::bus() else { return };
    let (_bus, news) = connect(place.address(), Check::Auto).expect("the bus is free");
    place.end();
    assert!(matches!(news.recv_timeout(PATIENCE), Ok(News::Gone(_))));
}

#[test]
fn callers_nobody_labels_are_refused_where_labels_are_demanded() {
    for place in places() {
        let (_bus, _news) = connect(place.address(), Check::Always).expect("it is free");
        let caller = Caller::connect(place.address()).expect("somebody is there");
        match caller.register(&music()) {
            Err(CallerError::Refused(text)) => assert!(text.contains("own package"), "{text}"),
            // On a machine with AppArmor the tests are unconfined, and nobody answers them.
            outcome => assert!(outcome.is_err(), "{outcome:?}"),
        }
    }
}

#[test]
fn a_developer_reads_how_to_start_what_is_not_running() {
    for place in places() {
        let outcome = Caller::connect(place.address()).and_then(|caller| caller.register(&music()));
        assert!(matches!(outcome, Err(CallerError::NotRunning)), "{outcome:?}");
    }
    let nowhere = lomiri_push::device::bus::Address::At("unix:path=/nonexistent/bus".into());
    assert!(matches!(Caller::connect(&nowhere), Err(CallerError::NoBus { .. })));
}

#[test]
fn a_socket_that_a_killed_service_left_is_taken_over_and_a_living_ones_is_not() {
    let place = place::peer();
    let path = place.socket().expect("a socket");
    drop(std::os::unix::net::UnixListener::bind(path).expect("free"));
    let (_bus, _news) = connect(place.address(), Check::Auto).expect("nobody listens");
    assert!(matches!(connect(place.address(), Check::Auto), Err(BusError::Io { .. })));
}
