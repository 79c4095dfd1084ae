//! What devices and app servers came for, over sockets.

use lomiri_push::session::device::Event;

use super::device::{Device, Secured, opening};
use super::lines;
use super::rig::{Made, Rig, notify_body};

#[test]
fn a_message_reaches_a_connected_device_and_is_gone_when_acked() {
    let rig = Rig::start();
    let mut carol = Device::connect(&rig, "carol");
    rig.notify("carol", r#"{"n":1}"#);
    assert_eq!(carol.next_payloads(), [r#"{"n":1}"#]);
    carol.ack();
    rig.await_counter("pending", 0);
    assert_eq!(rig.counter("delivered"), 1);
}

#[test]
fn what_waited_comes_when_the_device_comes_wherever_its_shard_is() {
    let rig = Rig::start_with(|options| options.shards = 4);
    let names: Vec<String> = (0..24).map(|number| format!("device-{number}")).collect();
    for name in &names {
        rig.notify(name, &format!(r#""{name}""#));
    }
    let mut devices: Vec<Device> = names.iter().map(|name| Device::connect(&rig, name)).collect();
    for (device, name) in devices.iter_mut().zip(&names) {
        assert_eq!(device.next_payloads(), [format!(r#""{name}""#)]);
        device.ack();
    }
    rig.await_counter("pending", 0);
    assert_eq!(rig.counter("registered"), 24);
}

#[test]
fn a_device_that_closes_behind_its_connect_is_gone_wherever_its_shard_is() {
    let rig = Rig::start_with(|options| options.shards = 4);
    let connect = |number| {
        let mut device = Secured::connect(rig.addresses.devices, &rig.trust);
        device.write_and_close(&opening(&format!("device-{number}")));
        device
    };
    let devices: Vec<Secured> = (0..24).map(connect).collect();
    for mut device in devices {
        device.read_to_end();
    }
    rig.await_counter("sessions", 0);
}

#[test]
fn a_broadcast_reaches_all_devices_on_all_shards() {
    let rig = Rig::start_with(|options| options.shards = 3);
    let mut devices: Vec<Device> =
        (0..24).map(|number| Device::connect(&rig, &format!("device-{number}"))).collect();
    rig.await_counter("registered", 24);
    let body = r#"{"channel":"system","expire_on":"2100-01-01T00:00:00Z","data":{"img1/m1":[1]}}"#;
    assert_eq!(rig.post("/broadcast", body).0, 200);
    for device in &mut devices {
        let event = device.next_event();
        assert!(matches!(event, Event::Broadcast(_)), "{event:?}");
        device.ack();
    }
    rig.await_counter("broadcasts_delivered", 24);
}

#[test]
fn a_second_session_takes_over_and_gets_what_was_not_acked() {
    lines::listen();
    let rig = Rig::start();
    let mut first = Device::connect(&rig, "carol");
    rig.notify("carol", "1");
    assert_eq!(first.next_payloads(), ["1"]);
    let mut second = Device::connect(&rig, "carol");
    assert_eq!(second.next_payloads(), ["1"]);
    first.assert_ended();
    assert_eq!(lines::end_of(first.secured.address()), "terminated");
    second.ack();
    rig.await_counter("pending", 0);
}

/// The sockets' buffers are too small for a frame, so that it leaves the server in parts.
#[test]
fn large_frames_reach_a_device_on_a_narrow_line() {
    const MESSAGES: usize = 30;
    let rig = Rig::start();
    let payload = |number: usize| format!(r#""{number}{}""#, "x".repeat(6_000));
    for number in 0..MESSAGES {
        rig.notify("carol", &payload(number));
    }
    let mut carol = Device::over(Secured::narrow(rig.addresses.devices, &rig.trust), "carol");
    let mut received = Vec::new();
    while received.len() < MESSAGES {
        received.extend(carol.next_payloads());
        carol.ack();
    }
    assert_eq!(received, (0..MESSAGES).map(payload).collect::<Vec<_>>());
    rig.await_counter("pending", 0);
}

/// On its way it is JSON of the app server's, a row of the queue, and JSON of ours.
#[test]
fn an_app_id_of_whatever_characters_reaches_the_device_as_it_was_given() {
    const APP_ID_BYTES_MAX: usize = 255;
    let padded = |text: &str| format!("{text}{}", "x".repeat(APP_ID_BYTES_MAX - text.len()));
    let ids = [
        padded(r#""quoted" \and\ /slashed/ </script>"#),
        padded("\0\u{1}\t\r\n\u{1f}\u{7f}\u{85}"),
        padded("\u{2028}\u{2029}\u{feff}\u{202e}\u{fffd}"),
        format!("{}...", "\u{1f408}".repeat(APP_ID_BYTES_MAX / 4)),
    ];
    let rig = Rig::start();
    for id in &ids {
        assert_eq!(id.len(), APP_ID_BYTES_MAX);
        let app = serde_json::to_string(id).expect("a string");
        let (status, answer) = rig.post("/notify", &notify_body("carol", "1").replace(r#""chatter""#, &app));
        assert_eq!(status, 200, "{answer}");
    }
    let mut carol = Device::connect(&rig, "carol");
    let messages = carol.next_messages();
    let arrived: Vec<&str> = messages.iter().map(|message| message.app.as_str()).collect();
    assert_eq!(arrived, ids);
    carol.ack();
    rig.await_counter("pending", 0);
}

#[test]
fn a_renewed_certificate_is_for_new_connections_and_drops_none() {
    let rig = Rig::start();
    let mut carol = Device::connect(&rig, "carol");
    let renewed = Made::new();
    rig.certificates.replace(renewed.certificate.as_bytes(), renewed.key.as_bytes()).expect("made to fit");
    let mut bob = Device::over(Secured::connect(rig.addresses.devices, &renewed.trust()), "bob");
    for (device, name) in [(&mut carol, "carol"), (&mut bob, "bob")] {
        rig.notify(name, "1");
        assert_eq!(device.next_payloads(), ["1"]);
    }
}
