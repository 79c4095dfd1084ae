//! Helpers that do not do what they should: the app gets the payload itself, and nothing is shown.

use std::path::Path;

use serde_json::json;

use super::notes;
use super::rig::Phone;

#[test]
fn a_helper_that_fails_in_any_way_costs_the_bubble_alone() {
    let Some(phone) = Phone::new() else { return };
    let desktop = notes::server(phone.bus.address());
    phone.configure("helper_timeout = \"300ms\"");
    phone.install("exit 1");
    let _service = phone.start();
    let token: String = phone.call("Register");
    let bad = [
        "exit 1",
        "kill -9 $$",
        "echo '{' > \"$2\"",
        "echo '{\"notification\":7}' > \"$2\"",
        "head -c 3000000 /dev/zero > \"$2\"",
        "sleep 1000 & setsid sleep 1000 & sleep 1000",
        "rm -f \"$2\"; mkdir \"$2\"",
    ];
    for (number, script) in bad.into_iter().enumerate() {
        phone.install(script);
        phone.post(&token, &json!({ "number": number }));
        phone.await_post();
        assert_eq!(phone.pop(), [json!({ "number": number })], "{script}");
    }
    phone.install_naming(Path::new("/nowhere/helper"));
    phone.post(&token, &json!("gone"));
    phone.await_post();
    assert_eq!(phone.pop(), [json!("gone")]);
    assert!(desktop.others().is_empty(), "nothing is shown");
}
