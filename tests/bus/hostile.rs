//! Callers that mean harm: bytes by hand, calls by chance, floods. The service goes on answering.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use lomiri_push::base::AppId;
use lomiri_push::device::bus::{Answer, Caller, Check, News};
use zbus::message::Message;
use zbus::zvariant::{Structure, StructureBuilder, Value};

use super::place::{self, Place};
use super::service::{MUSIC, PATIENCE, connect, start};

const POSTAL: &str = "com.lomiri.Postal";
const PATH: &str = "/com/lomiri/Postal/com_2eubuntu_2emusic";

fn music() -> AppId {
    MUSIC.parse().expect("an app id")
}

/// The service still does what it is for.
fn assert_serves(place: &Place) {
    let caller = Caller::connect(place.address()).expect("somebody is there");
    assert!(caller.register(&music()).is_ok());
}

/// A call of `PopAll` whose header can be spoilt.
fn pop() -> Vec<u8> {
    let call = Message::method_call(PATH, "PopAll").expect("a path");
    let call = call.destination(POSTAL).expect("a name").interface(POSTAL).expect("an interface");
    call.build(&MUSIC).expect("a body").data().bytes().to_vec()
}

/// A connection to a bus at the level of bytes.
struct Raw(UnixStream);

impl Raw {
    fn join(place: &Place) -> Raw {
        let path = place.bus_address().strip_prefix("unix:path=").expect("a path");
        let path = path.split(',').next().expect("a path");
        let mut raw = Raw(UnixStream::connect(Path::new(path)).expect("a bus"));
        raw.0.set_read_timeout(Some(PATIENCE)).expect("a socket");
        raw.send(b"\0AUTH EXTERNAL\r\nDATA\r\n");
        raw.read_to(b"OK ");
        raw.read_to(b"\r\n");
        raw.send(b"BEGIN\r\n");
        let hello = Message::method_call("/org/freedesktop/DBus", "Hello").expect("a path");
        let hello = hello.destination("org.freedesktop.DBus").expect("a name");
        raw.send(hello.interface("org.freedesktop.DBus").expect("a name").build(&()).expect("a body").data());
        raw.read_to(b"NameAcquired");
        raw
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("it is read");
    }

    /// Reads until these bytes have come.
    fn read_to(&mut self, bytes: &[u8]) {
        let mut read = Vec::new();
        while !read.ends_with(bytes) {
            let mut byte = [0];
            self.0.read_exact(&mut byte).expect("more is due");
            read.push(byte[0]);
        }
    }
}

#[test]
fn types_and_flags_of_tomorrow_do_not_end_the_service() {
    let Some(place) = place::bus() else { return };
    start(place.address());
    for (at, value) in [(1, 5), (1, 200), (2, 0x80), (2, 0xff)] {
        let mut raw = Raw::join(&place);
        let mut call = pop();
        call[at] = value;
        raw.send(&call);
        // The bus keeps the order: once this is answered, the other has been through the service.
        raw.send(&pop());
        raw.read_to(b"as\0");
        assert_serves(&place);
    }
}

#[test]
fn a_call_of_megabytes_gets_an_error() {
    for place in places() {
        start(place.address());
        let caller = Caller::connect(place.address()).expect("somebody is there");
        for size in [300 << 10, 10 << 20] {
            let refused = caller.post(&music(), &"x".repeat(size)).expect_err("too large").to_string();
            assert_eq!(refused, "The call is too large");
        }
        assert_serves(&place);
    }
}

/// Each gets an answer, so none was lost or stopped the service.
#[test]
fn calls_made_up_by_chance_are_answered_and_harm_nobody() {
    for place in places() {
        start(place.address());
        let connection = place.address().connect().expect("somebody is there");
        let mut dice = Dice(0x5eed);
        for _ in 0..1_000 {
            let (path, interface, member) = (dice.pick(&PATHS), dice.pick(&INTERFACES), dice.pick(&MEMBERS));
            let destination = place.socket().is_none().then_some(POSTAL);
            let body = dice.structure();
            let outcome = connection.call_method(destination, path, Some(interface), member, &body);
            let is_answer = matches!(outcome, Ok(_) | Err(zbus::Error::MethodError(..)));
            assert!(is_answer, "{path} {interface} {member} {body:?}: {outcome:?}");
        }
        assert_serves(&place);
    }
}

#[test]
fn who_floods_the_service_and_reads_nothing_leaves_room_for_others() {
    for place in places() {
        let (bus, news) = connect(place.address(), Check::Never).expect("it is free");
        let flood = place.address().connect().expect("somebody is there");
        let destination = place.socket().is_none().then_some(POSTAL);
        let call = || {
            let call = Message::method_call(PATH, "PopAll").expect("a path");
            let call = match destination {
                Some(name) => call.destination(name).expect("a name"),
                None => call,
            };
            call.build(&MUSIC).expect("a body")
        };
        // Nobody answers these: what is beyond one caller's share is refused at once.
        for _ in 0..1_000 {
            flood.send(&call()).expect("it is read");
        }
        // Calls of one connection are read in order, so the share is taken once this is answered.
        let last = flood.call_method(destination, PATH, Some(POSTAL), "PopAll", &MUSIC);
        let is_busy = |name: &str| name == "org.freedesktop.DBus.Error.LimitsExceeded";
        assert!(matches!(&last, Err(zbus::Error::MethodError(name, ..)) if is_busy(name)), "{last:?}");
        let waiting: Vec<News> = news.try_iter().collect();
        assert_eq!(waiting.len(), 32, "one caller's share");
        let caller = Caller::connect(place.address()).expect("somebody is there");
        thread::scope(|scope| {
            let popped = scope.spawn(|| caller.pop_all(&music()));
            answer(news.recv_timeout(PATIENCE).expect("another one is taken up"));
            popped.join().expect("no panic").expect("answered");
        });
        // Who has his answers may call again.
        waiting.into_iter().for_each(answer);
        thread::scope(|scope| {
            let again = scope.spawn(|| flood.call_method(destination, PATH, Some(POSTAL), "PopAll", &MUSIC));
            answer(news.recv_timeout(PATIENCE).expect("he is taken up"));
            again.join().expect("no panic").expect("answered");
        });
        drop(bus);
    }
}

fn answer(news: News) {
    match news {
        News::Call(call) => call.responder.answer(Answer::Messages(Vec::new())),
        News::Gone(reason) => panic!("{reason}"),
    }
}

/// With a bus, where there is one, and without.
fn places() -> Vec<Place> {
    [place::bus(), Some(place::peer())].into_iter().flatten().collect()
}

const PATHS: [&str; 6] = [
    PATH,
    "/",
    "/com/lomiri/PushNotifications/_",
    "/com/lomiri/PushNotifications",
    "/a",
    "/com/ubuntu/Postal/ab",
];
const INTERFACES: [&str; 5] = [
    POSTAL,
    "com.lomiri.PushNotifications",
    "com.ubuntu.Postal",
    "org.freedesktop.DBus.Properties",
    "com.lomiri.PushNotifications.Status",
];
const MEMBERS: [&str; 8] = [
    "PopAll",
    "Post",
    "Register",
    "ClearPersistent",
    "ClearPersistentList",
    "SetCounter",
    "GetAll",
    "Status",
];
const TEXTS: [&str; 6] = [MUSIC, "", "_a", "com.missing_app", "{", "ab_c_1"];

/// Chance that can be repeated: xorshift.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).expect("small")
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }

    fn structure(&mut self) -> Structure<'static> {
        let count = 1 + self.roll(4);
        let mut body = StructureBuilder::new();
        for _ in 0..count {
            body.push_value(self.value(3));
        }
        body.build().expect("a field at least")
    }

    fn value(&mut self, depth: usize) -> Value<'static> {
        match self.roll(if depth == 0 { 6 } else { 9 }) {
            0..=2 => Value::from(self.pick(&TEXTS).to_owned()),
            3 => Value::from(self.0 as u32),
            4 => Value::from(self.0 as i32),
            5 => Value::from(self.0.is_multiple_of(2)),
            6 => Value::from(vec![self.pick(&TEXTS).to_owned(); self.roll(4)]),
            7 => Value::Value(Box::new(self.value(depth - 1))),
            _ => Value::from(std::collections::HashMap::from([(self.0 as u8, self.value(depth - 1))])),
        }
    }
}
