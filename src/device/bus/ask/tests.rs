//! Each method as callers write it, and each way to get it wrong.

use serde::Serialize;
use zbus::zvariant::DynamicType;

use super::*;
use crate::device::bus::names::FACADES;

const POSTAL_PATH: &str = "/com/lomiri/Postal/com_2eubuntu_2emusic";
const PUSH_PATH: &str = "/com/lomiri/PushNotifications/com_2eubuntu_2emusic";
const POSTAL: Option<&str> = Some("com.lomiri.Postal");
const PUSH: Option<&str> = Some("com.lomiri.PushNotifications");
const MUSIC: &str = "com.ubuntu.music_music";

fn call<B: Serialize + DynamicType>(path: &str, interface: Option<&str>, member: &str, body: &B) -> Message {
    let call = Message::method_call(path, member).expect("a path and a member");
    let call = match interface {
        Some(interface) => call.interface(interface).expect("an interface"),
        None => call,
    };
    call.build(body).expect("a body")
}

fn read_call<B: Serialize + DynamicType>(
    path: &str,
    interface: Option<&str>,
    member: &str,
    body: &B,
) -> Result<Wanted, CallError> {
    read(&call(path, interface, member, body))
}

fn postal<B: Serialize + DynamicType>(member: &str, body: &B) -> Result<Wanted, CallError> {
    read_call(POSTAL_PATH, POSTAL, member, body)
}

fn push<B: Serialize + DynamicType>(member: &str, body: &B) -> Result<Wanted, CallError> {
    read_call(PUSH_PATH, PUSH, member, body)
}

fn app(id: &str) -> AppId {
    id.parse().expect("an app id")
}

fn music() -> AppId {
    app(MUSIC)
}

fn of_music(ask: Ask) -> Result<Wanted, CallError> {
    Ok(Wanted::Service { package: Some("com.ubuntu.music".into()), ask })
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

#[test]
fn each_method_of_both_halves_is_understood() {
    assert_eq!(push("Register", &MUSIC), of_music(Ask::Register(music())));
    assert_eq!(push("RegisterUser", &MUSIC), of_music(Ask::RegisterUser(music())));
    assert_eq!(push("Unregister", &MUSIC), of_music(Ask::Unregister(music())));
    assert_eq!(postal("Post", &(MUSIC, "{}")), of_music(Ask::Post(music(), "{}".into())));
    assert_eq!(postal("PopAll", &MUSIC), of_music(Ask::PopAll(music())));
    assert_eq!(postal("ListPersistent", &MUSIC), of_music(Ask::ListPersistent(music())));
}

#[test]
fn tags_are_cleared_one_by_one_several_at_once_or_all() {
    let cleared = |tags: &[&str]| of_music(Ask::ClearPersistent(music(), texts(tags)));
    assert_eq!(postal("ClearPersistent", &(MUSIC, "a")), cleared(&["a"]));
    assert_eq!(postal("ClearPersistent", &(MUSIC, "a", "b", "c")), cleared(&["a", "b", "c"]));
    assert_eq!(postal("ClearPersistentList", &(MUSIC, texts(&["a", "b"]))), cleared(&["a", "b"]));
    assert_eq!(postal("ClearPersistentList", &(MUSIC, texts(&[]))), cleared(&[]));
    // Who forgot the tag did not mean all.
    assert_eq!(postal("ClearPersistent", &MUSIC), Err(CallError::InvalidArgs));
}

#[test]
fn a_counter_may_have_a_sign_or_none() {
    let counted = |count| of_music(Ask::SetCounter(music(), count, true));
    assert_eq!(postal("SetCounter", &(MUSIC, -1i32, true)), counted(-1));
    assert_eq!(postal("SetCounter", &(MUSIC, 7u32, true)), counted(7));
    assert_eq!(postal("SetCounter", &(MUSIC, u32::MAX, true)), counted(i32::MAX));
}

#[test]
fn each_facade_answers_for_its_own_half_and_name() {
    for facade in FACADES {
        let path = facade.path("com.ubuntu.music");
        let (own, other) = match facade.api {
            Api::Push => ("Register", "PopAll"),
            Api::Postal => ("PopAll", "Register"),
        };
        for interface in [Some(facade.name), None] {
            assert!(read_call(&path, interface, own, &MUSIC).is_ok(), "{path}");
            let error = read_call(&path, interface, other, &MUSIC);
            assert_eq!(error, Err(CallError::UnknownMethod(other.into())), "{path}");
        }
        for wrong in FACADES.iter().filter(|wrong| *wrong != &facade) {
            let error = read_call(&path, Some(wrong.name), own, &MUSIC);
            assert!(matches!(error, Err(CallError::UnknownInterface { .. })), "{path}: {}", wrong.name);
        }
    }
}

#[test]
fn programs_outside_packages_share_a_path() {
    let ask = read_call("/com/ubuntu/Postal/_", Some("com.ubuntu.Postal"), "PopAll", &"_dialer-app");
    let expected = Wanted::Service { package: Some(String::new()), ask: Ask::PopAll(app("_dialer-app")) };
    assert_eq!(ask, Ok(expected));
}

#[test]
fn an_app_is_asked_about_at_its_own_packages_path_only() {
    let refused = |id: &str, reason| {
        let expected = CallError::NoSuchObject { path: POSTAL_PATH.into(), reason };
        assert_eq!(postal("PopAll", &id), Err(expected), "{id}");
    };
    for other in ["com.ubuntu.musi_c", "com.ubuntu_music", "_com.ubuntu.music", "com.ubuntu.music2_music"] {
        refused(other, NoSuchApp::OtherPackage);
    }
    let long = format!("com.ubuntu.music_{}", "m".repeat(300));
    for invalid in ["", "com.ubuntu.music", "com.ubuntu.music_", "com.ubuntu.music_a/b", "_", &long] {
        refused(invalid, NoSuchApp::Invalid);
    }
    assert!(postal("PopAll", &"com.ubuntu.music_music_1.2").is_ok());
}

#[test]
fn arguments_of_another_type_or_number_are_refused() {
    let wrong = [
        push("Register", &()),
        push("Register", &(MUSIC, MUSIC)),
        push("Register", &7u32),
        push("Register", &texts(&[MUSIC])),
        push("Unregister", &(MUSIC, 1i32, true)),
        postal("Post", &MUSIC),
        postal("Post", &(MUSIC, "{}", "{}")),
        postal("Post", &(MUSIC, texts(&["{}"]))),
        postal("PopAll", &(MUSIC, texts(&[]))),
        postal("ClearPersistentList", &(MUSIC, "a")),
        postal("ClearPersistentList", &MUSIC),
        postal("ClearPersistent", &(MUSIC, texts(&["a"]))),
        postal("SetCounter", &(MUSIC, 1i64, true)),
        postal("SetCounter", &(MUSIC, true, 1i32)),
        postal("SetCounter", &(MUSIC, 1i32)),
    ];
    for (number, outcome) in wrong.into_iter().enumerate() {
        assert_eq!(outcome, Err(CallError::InvalidArgs), "number {number}");
    }
}

#[test]
fn a_path_that_is_no_packages_has_no_interface_of_the_services() {
    for path in ["/", "/com/lomiri/Postal", "/com/lomiri/Postal/a_zz", "/com/lomiri/Postal/ab/cd", "/x"] {
        let expected =
            CallError::UnknownInterface { interface: "com.lomiri.Postal".into(), path: path.into() };
        assert_eq!(read_call(path, POSTAL, "PopAll", &MUSIC), Err(expected));
    }
    let unknown = read_call(POSTAL_PATH, Some("org.example.Other"), "PopAll", &MUSIC);
    assert!(matches!(unknown, Err(CallError::UnknownInterface { .. })));
}

#[test]
fn a_body_beyond_all_need_is_refused_before_it_is_read() {
    let large = "x".repeat(BODY_BYTES_MAX);
    assert_eq!(postal("Post", &(MUSIC, &large)), Err(CallError::TooLarge));
    assert!(postal("Post", &(MUSIC, &large[..BODY_BYTES_MAX / 2])).is_ok());
}

#[test]
fn the_status_is_no_packages() {
    let status = Ok(Wanted::Service { package: None, ask: Ask::Status });
    assert_eq!(read_call(STATUS_PATH, Some(STATUS_INTERFACE), "Status", &()), status);
    assert_eq!(read_call(STATUS_PATH, None, "Status", &()), status);
    let with_argument = read_call(STATUS_PATH, Some(STATUS_INTERFACE), "Status", &"a");
    assert_eq!(with_argument, Err(CallError::InvalidArgs));
    let other = read_call(STATUS_PATH, Some(STATUS_INTERFACE), "Other", &());
    assert_eq!(other, Err(CallError::UnknownMethod("Other".into())));
    let elsewhere = read_call(PUSH_PATH, Some(STATUS_INTERFACE), "Status", &());
    assert!(matches!(elsewhere, Err(CallError::UnknownInterface { .. })));
}

#[test]
fn what_any_program_answers_is_answered_at_every_path() {
    for path in ["/", "/com/lomiri", POSTAL_PATH, "/elsewhere"] {
        assert_eq!(read_call(path, Some(PEER), "Ping", &()), Ok(Wanted::Plain(Plain::Pong)));
        assert_eq!(read_call(path, None, "GetMachineId", &()), Ok(Wanted::Plain(Plain::MachineId)));
        let introspection = Plain::Introspection(introspection::of(path));
        let asked = read_call(path, Some(INTROSPECTABLE), "Introspect", &());
        assert_eq!(asked, Ok(Wanted::Plain(introspection)));
        let all = read_call(path, Some(PROPERTIES), "GetAll", &"com.lomiri.Postal");
        assert_eq!(all, Ok(Wanted::Plain(Plain::NoProperties)));
        let one = read_call(path, Some(PROPERTIES), "Get", &("com.lomiri.Postal", "Version"));
        assert_eq!(one, Err(CallError::UnknownProperty));
        let other = read_call(path, Some(PEER), "Pong", &());
        assert_eq!(other, Err(CallError::UnknownMethod("Pong".into())));
    }
    assert_eq!(read_call("/", Some(PEER), "Ping", &"a"), Err(CallError::InvalidArgs));
    assert_eq!(read_call("/", Some(POSTAL_PATH).and(POSTAL), "Ping", &()).ok(), None);
}

/// What is exported must be what is understood.
#[test]
fn every_method_that_introspection_shows_is_one() {
    for facade in FACADES {
        let xml = introspection::of(&facade.path("ab"));
        let own = xml.split(&format!("\"{}\"", facade.name)).nth(1).expect("the facade's part");
        let methods: Vec<_> =
            own.split("<method name=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(methods.len(), if facade.api == Api::Push { 3 } else { 6 });
        for method in methods {
            assert!(Method::of(facade.api, method).is_some(), "{method}");
        }
    }
}
