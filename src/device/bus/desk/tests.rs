//! Whole calls at a desk, without a bus: what goes out, and what is handed on.

use std::sync::mpsc::{self, Receiver};

use zbus::zvariant::Value;

use super::*;
use crate::device::bus::{Answer, Check};

const CALLER: &str = ":1.5";
const PATH: &str = "/com/lomiri/Postal/com_2eubuntu_2emusic";

struct Office {
    desk: Desk,
    outbox: Outbox,
    news: Receiver<News>,
}

fn office(checks: bool) -> Office {
    let outbox = Outbox::default();
    let (told, news) = mpsc::channel();
    let duty = Duty {
        is_installed: Box::new(|app| app.as_str() == "com.ubuntu.music_music"),
        check: Check::Auto,
        told: Box::new(move |event| told.send(event).expect("heard")),
        crowd: Default::default(),
    };
    Office { desk: Desk::new(Arc::new(duty), outbox.clone(), checks, None), outbox, news }
}

fn pop(app: &str) -> Message {
    let call = Message::method_call(PATH, "PopAll").expect("a path").sender(CALLER).expect("a name");
    call.interface("com.lomiri.Postal").expect("an interface").build(&app).expect("a body")
}

/// The bus's answer to the question that went out.
fn label(question: &Message, from: &str, label: &str) -> Message {
    let credentials =
        std::collections::HashMap::from([("LinuxSecurityLabel", Value::from(label.as_bytes()))]);
    let answer = Message::method_return(&question.header()).expect("a question");
    answer.sender(from).expect("a name").build(&credentials).expect("a body")
}

impl Office {
    fn sent(&self) -> Message {
        self.outbox.try_next().expect("something goes out")
    }

    fn call(&self) -> Call {
        match self.news.try_recv().expect("something is handed on") {
            News::Call(call) => call,
            News::Gone(reason) => panic!("{reason}"),
        }
    }

    fn is_quiet(&self) -> bool {
        self.outbox.try_next().is_none() && self.news.try_recv().is_err()
    }
}

fn error_name(message: &Message) -> String {
    message.header().error_name().expect("an error").to_string()
}

#[test]
fn a_call_is_handed_on_and_its_answer_goes_to_the_caller() {
    let mut office = office(false);
    let asked = pop("com.ubuntu.music_music");
    office.desk.handle(asked.clone());
    let call = office.call();
    assert_eq!(call.ask, Ask::PopAll("com.ubuntu.music_music".parse().expect("an id")));
    assert!(office.is_quiet());
    call.responder.answer(Answer::Messages(vec!["{}".into()]));
    let reply = office.sent();
    assert_eq!(reply.header().reply_serial(), Some(asked.primary_header().serial_num()));
    assert_eq!(reply.body().deserialize::<Vec<String>>().expect("texts"), ["{}"]);
}

#[test]
fn a_call_that_nobody_takes_up_gets_an_error() {
    let mut office = office(false);
    office.desk.handle(pop("com.ubuntu.music_music"));
    drop(office.call());
    assert_eq!(error_name(&office.sent()), "org.freedesktop.DBus.Error.LimitsExceeded");
}

/// A bus ends the connection of whoever sends a zero byte in a text.
#[test]
fn a_zero_byte_in_an_answer_does_not_reach_the_bus() {
    let hand_on = |answer: Result<Answer, CallError>| {
        let mut office = office(false);
        office.desk.handle(pop("com.ubuntu.music_music"));
        match answer {
            Ok(answer) => office.call().responder.answer(answer),
            Err(error) => office.call().responder.fail(error),
        }
        office.sent().body()
    };
    let tags = hand_on(Ok(Answer::Tags(vec!["a\0b".into()])));
    assert_eq!(tags.deserialize::<Vec<String>>().expect("texts"), ["a\u{fffd}b"]);
    for told in [Ok(Answer::Token("\0".into())), Err(CallError::Failed("\0".into()))] {
        assert_eq!(hand_on(told).deserialize::<String>().expect("a text"), "\u{fffd}");
    }
}

#[test]
fn an_app_that_is_not_installed_is_no_object() {
    let mut office = office(false);
    office.desk.handle(pop("com.ubuntu.music_other"));
    let reply = office.sent();
    assert_eq!(error_name(&reply), "org.freedesktop.DBus.Error.NoSuchObject");
    let text: String = reply.body().deserialize().expect("a text");
    assert_eq!(text, format!("No such object '{PATH}' ('application not installed')"));
    assert!(office.is_quiet());
}

#[test]
fn who_expects_no_reply_gets_none() {
    let mut office = office(false);
    let silent = Message::method_call(PATH, "PopAll").expect("a path");
    let silent = silent.with_flags(zbus::message::Flags::NoReplyExpected).expect("a call");
    office.desk.handle(silent.clone().build(&"com.ubuntu.music_music").expect("a body"));
    office.call().responder.answer(Answer::Done);
    office.desk.handle(silent.build(&()).expect("a body"));
    assert!(office.is_quiet());
}

#[test]
fn a_caller_is_looked_up_once_and_then_known() {
    let mut office = office(true);
    office.desk.handle(pop("com.ubuntu.music_music"));
    office.desk.handle(pop("com.ubuntu.music_music"));
    let question = office.sent();
    assert!(office.is_quiet());
    office.desk.handle(label(&question, "org.freedesktop.DBus", "com.ubuntu.music_music_2 (enforce)"));
    office.call().responder.answer(Answer::Done);
    office.call().responder.answer(Answer::Done);
    office.desk.handle(pop("com.ubuntu.music_music"));
    office.call();
}

#[test]
fn a_caller_of_another_package_is_denied_and_not_told_what_is_installed() {
    for app in ["com.ubuntu.music_music", "com.ubuntu.music_other"] {
        let mut office = office(true);
        office.desk.handle(pop(app));
        let question = office.sent();
        office.desk.handle(label(&question, "org.freedesktop.DBus", "com.example_app_1 (enforce)\0"));
        assert_eq!(error_name(&office.sent()), "org.freedesktop.DBus.Error.AccessDenied");
        assert!(office.is_quiet());
    }
}

#[test]
fn only_the_bus_says_who_a_caller_is() {
    let mut office = office(true);
    office.desk.handle(pop("com.ubuntu.music_music"));
    let question = office.sent();
    office.desk.handle(label(&question, ":1.6", "unconfined"));
    assert!(office.is_quiet());
    office.desk.handle(label(&question, "org.freedesktop.DBus", "unconfined"));
    office.call();
}

#[test]
fn a_caller_whom_nobody_knows_is_denied() {
    let mut office = office(true);
    office.desk.handle(pop("com.ubuntu.music_music"));
    let question = office.sent();
    let error = Message::error(&question.header(), "org.freedesktop.DBus.Error.NameHasNoOwner");
    let error = error.expect("a question").sender("org.freedesktop.DBus").expect("a name");
    office.desk.handle(error.build(&"gone").expect("a body"));
    assert_eq!(error_name(&office.sent()), "org.freedesktop.DBus.Error.AccessDenied");
}

#[test]
fn an_app_may_not_ask_how_the_service_does() {
    let status = || {
        let call = Message::method_call("/com/lomiri/PushNotifications", "Status").expect("a path");
        call.sender(CALLER).expect("a name").build(&()).expect("a body")
    };
    for (profile, may) in [("unconfined", true), ("com.example_app_1 (enforce)", false)] {
        let mut office = office(true);
        office.desk.handle(status());
        let question = office.sent();
        office.desk.handle(label(&question, "org.freedesktop.DBus", profile));
        assert_eq!(office.news.try_recv().is_ok(), may, "{profile}");
    }
}
