//! A phone that falls asleep whenever nobody keeps it awake: what its power service is asked for.

use serde_json::json;

use super::life::POLITE;
use super::rig::{Phone, Service};
use crate::fake::{Answer, Fake};

/// Grants everything.
fn repowerd(address: &str) -> Fake {
    Fake::start(address, &["com.lomiri.Repowerd"], |call| match call.member.starts_with("request") {
        true => Answer::Text("cookie"),
        false => Answer::Done,
    })
}

/// Starts the phone's service where that is asked.
fn start(phone: &Phone) -> Service {
    let mut service = Service::spawn(phone.command(&[]).env("DBUS_SYSTEM_BUS_ADDRESS", phone.bus.address()));
    service.await_line("connected to ");
    service
}

fn expect_work(power: &Fake) {
    power.await_call("requestSysState");
    power.await_call("clearSysState");
}

#[test]
fn a_phone_is_kept_awake_from_a_message_to_the_end_of_its_helper_and_no_longer() {
    let Some(phone) = Phone::new() else { return };
    let power = repowerd(phone.bus.address());
    phone.install(POLITE);
    let _service = start(&phone);
    expect_work(&power);
    let token: String = phone.call("Register");
    assert!(power.next_of("requestSysState").is_none(), "it may sleep while nothing happens");
    phone.post(&token, &json!({ "text": "Tea?" }));
    phone.await_post();
    expect_work(&power);
}

#[test]
fn a_phone_is_kept_awake_from_ping_to_pong() {
    let Some(phone) = Phone::new() else { return };
    let power = repowerd(phone.bus.address());
    // The shortest silence that there is.
    phone.configure("keepalive_max = \"1s\"");
    let _service = start(&phone);
    (0..3).for_each(|_| expect_work(&power));
}
