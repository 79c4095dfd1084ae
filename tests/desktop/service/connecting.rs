//! How the push service finds its server: by its enrolment, by its own configuration, or by the one that
//! the existing service has left.

use std::fs::{self, File};

use lomiri_push::device::machine;
use serde_json::json;

use super::life::POLITE;
use super::notes;
use super::old_server::{OldServer, Seen};
use super::rig::{Phone, Service};

/// A phone as it is sold, if this machine can be one.
fn deployed() -> Option<Phone> {
    if machine::device_id().is_none() {
        println!("this machine has no id: what needs it is skipped");
        return None;
    }
    Phone::as_deployed()
}

#[test]
fn a_phone_with_nothing_but_the_existing_configuration_gets_its_messages() {
    let Some(phone) = deployed() else { return };
    let desktop = notes::server(phone.bus.address());
    phone.install(POLITE);
    let mut service = Service::spawn(&mut phone.command(&[]));
    service.await_line("config/lomiri-push-service/config.json says");
    service.await_line(&format!("connected to {} on wire 0", phone.listening.devices.addr));
    let token: String = phone.call("Register");
    phone.post(&token, &json!({ "text": "Tea?" }));
    phone.await_post();
    desktop.expect("GetCapabilities");
    assert_eq!(notes::shown(&desktop.expect("Notify")).1, "Tea?");
    assert_eq!(phone.pop(), [json!({ "text": "Tea?" })]);
    phone.call::<()>("Unregister");
    assert!(service.terminate().success());
}

#[test]
fn our_own_configuration_can_say_the_same_and_stands_over_the_other() {
    let Some(phone) = deployed() else { return };
    phone.install(POLITE);
    phone.configure_as_deployed(&json!({ "addr": "https://192.0.2.1", "log_level": "error" }));
    phone.configure(&format!(
        "wire = \"0\"\naddr = \"{}\"\nca = \"{}\"\nlog_level = \"info\"",
        phone.listening.devices.addr.replace("127.0.0.1", "localhost"),
        phone.path("server/data/certificate.pem").display()
    ));
    let mut service = Service::spawn(phone.command(&[]).env_remove("RUST_LOG"));
    service.await_line("on wire 0");
    phone.call::<String>("Register");
}

#[test]
fn a_configuration_that_cannot_be_used_is_told_with_its_file_and_key() {
    let Some(phone) = deployed() else { return };
    let refused = |part: &str| {
        let (status, log) = Service::spawn(&mut phone.command(&[])).end();
        assert_eq!(status.code(), Some(2), "{log}");
        assert!(log.contains(part), "{part}: {log}");
    };
    phone.configure_as_deployed(&json!({ "addr": 7 }));
    refused("lomiri-push-service/config.json: addr: must be a text");
    phone.configure_as_deployed(&json!({ "addr": "https://push.example.org", "cert_pem_file": "none.pem" }));
    refused("lomiri-push-service/none.pem: cannot be read");
    phone.configure_as_deployed(&json!({ "addr": "http://" }));
    refused("addr: not the URL of an HTTP API");
    phone.configure_as_deployed(&json!({}));
    refused("no device is enrolled here: `lomiri-push device enrol CODE --state");
    phone.configure("wire = \"0\"");
    refused("set addr in device.toml");
    phone.configure("wire = \"1\"\naddr = \"localhost:9\"");
    refused("no device is enrolled here");
}

#[test]
fn an_enrolled_phone_stays_with_its_server_whatever_the_existing_configuration_says() {
    let Some(phone) = Phone::new() else { return };
    phone.configure_as_deployed(&json!({ "addr": "https://192.0.2.1", "exchange_timeout": "31s" }));
    let mut service = Service::spawn(&mut phone.command(&[]));
    service.await_line(&format!("connected to {} on wire 1", phone.listening.devices.addr));
}

#[test]
fn a_phone_comes_back_to_a_restarted_server_where_tls_left_off() {
    let Some(mut phone) = Phone::new() else { return };
    phone.install(POLITE);
    let mut service = phone.start();
    let token: String = phone.call("Register");
    phone.restart_server("");
    service.await_line("where TLS went on");
    phone.post(&token, &json!({ "text": "Tea?" }));
    phone.await_post();
    assert_eq!(phone.pop(), [json!({ "text": "Tea?" })]);
}

/// How the API is asked on behalf of some device.
fn is_question(seen: &Seen) -> bool {
    matches!(seen, Seen::Asked(line) if line.starts_with("GET /delivery-hosts?h="))
}

#[test]
fn a_server_that_knows_wire_0_alone_is_found_out_once() {
    let Some(phone) = Phone::new() else { return };
    let certificate = phone.path("old.pem");
    let server = OldServer::start(&certificate, 0);
    phone.configure(&format!("addr = \"{}\"\nca = \"{}\"", server.base, certificate.display()));
    let mut service = phone.start();
    assert!(is_question(&server.next()));
    assert_eq!([server.next(), server.next(), server.next()], [1, 1, 0].map(Seen::Version));
    service.kill();
    let _service = phone.start();
    assert!(is_question(&server.next()));
    assert_eq!(server.next(), Seen::Version(0), "it is remembered");
}

#[test]
fn a_phone_that_has_come_to_the_wrong_server_asks_for_the_right_one() {
    let Some(phone) = deployed() else { return };
    let server = OldServer::start(&phone.path("config/lomiri-push-service/old.pem"), 1);
    phone.configure_as_deployed(&json!({ "addr": server.base, "cert_pem_file": "old.pem" }));
    let mut service = Service::spawn(&mut phone.command(&[]));
    for _ in 0..2 {
        assert!(is_question(&server.next()));
        assert_eq!(server.next(), Seen::Version(0));
        service.await_line("connected to ");
    }
}

#[test]
fn a_first_start_takes_its_code_from_standard_input() {
    let Some(phone) = Phone::new() else { return };
    let code = phone.path("code");
    fs::write(&code, phone.enrolment_code() + "\n").expect("writable");
    let mut command = phone.program(&["device", "--enrol", "-", "--state"]);
    command.arg(phone.path("new")).stdin(File::open(&code).expect("written"));
    let mut service = Service::spawn(&mut command);
    service.await_line("connected to ");
}
