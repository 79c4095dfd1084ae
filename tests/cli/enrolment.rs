//! From a user's code to a message on their device, by nothing but commands; and what becomes of those who
//! have no right to anything.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use lomiri_push::base::Pin;
use lomiri_push::protocol::enrolment_code::EnrolmentCode;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Running, Serving, binary, configuration_file, folder, run, stderr, stdout, text};

/// A server that lets in only who has proved who they are, and whoever operates it.
struct Provider {
    folder: TempDir,
    server: Serving,
}

/// A device of somebody, in a folder of its own.
struct Phone {
    state: PathBuf,
}

impl Provider {
    /// Its API has a port that its operator's commands and its devices can be told before it listens.
    fn start(more: &str) -> Provider {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let http = port.expect("a free port");
        let folder = folder(&format!(
            "addr = \"127.0.0.1:0\"\nhttp_addr = \"{http}\"\ndelivery_domain = \"localhost\"\n\
             device_auth = \"required\"\n{more}"
        ));
        let command = binary(&["serve", "--config", text(&configuration_file(&folder))]);
        Provider { server: Serving::started(command), folder }
    }

    /// Runs one of the operator's commands; the one line or more that it prints.
    fn operate(&self, arguments: &[&str]) -> String {
        let config = configuration_file(&self.folder);
        let output = run(&[arguments, &["--config", text(&config)]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        stdout(&output).trim_end().to_owned()
    }

    /// Runs one of the operator's commands that cannot be done; what it says.
    fn fail_to(&self, arguments: &[&str]) -> String {
        let output = run(&[arguments, &["--config", text(&configuration_file(&self.folder))]].concat());
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        stderr(&output)
    }

    fn code_for(&self, user: &str) -> String {
        self.operate(&["enrol-code", "--user", user])
    }

    /// Enrols a device of `user`.
    fn phone_of(&self, user: &str, name: &str) -> Phone {
        let phone = self.phone(name);
        let output = phone.run(&["device", "enrol", &self.code_for(user)]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(stdout(&output), format!("enrolled as {}\n", phone.id()));
        phone
    }

    fn phone(&self, name: &str) -> Phone {
        Phone { state: self.folder.path().join(name) }
    }

    fn devices(&self) -> Vec<Value> {
        serde_json::from_str(&self.operate(&["devices", "--json"])).expect("a JSON array")
    }

    fn post(&self, token: &str, data: &str) -> String {
        let message = format!(r#""token":"{token}","appid":"chatter","data":{data}"#);
        self.server.post("/notify", &format!(r#"{{{message},"expire_on":"2100-01-01T00:00:00Z"}}"#)).0
    }
}

impl Phone {
    /// Runs one of a device's commands to its end.
    fn run(&self, arguments: &[&str]) -> std::process::Output {
        run(&[arguments, &["--state", text(&self.state)]].concat())
    }

    fn connect(&self, wire: &str) -> Running {
        Running::with_stdout(binary(&["connect", "--wire", wire, "--state", text(&self.state)]))
    }

    /// Why it cannot be enrolled by `code`.
    fn refused(&self, code: &str) -> String {
        let output = self.run(&["device", "enrol", code]);
        assert!(!output.status.success() && stdout(&output).is_empty());
        assert!(!self.state.join("device.json").exists());
        stderr(&output)
    }

    /// Its tokens of `chatter`: its own, and its user's.
    fn register(&self) -> [String; 2] {
        let output = self.run(&["register", "chatter", "--json"]);
        assert!(output.status.success(), "{}", stderr(&output));
        let tokens: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
        ["token", "user_token"].map(|name| tokens[name].as_str().expect("a token").to_owned())
    }

    fn id(&self) -> String {
        let file = fs::read(self.state.join("device.json")).expect("it is enrolled");
        let state: Value = serde_json::from_slice(&file).expect("JSON");
        state["device_id"].as_str().expect("text").to_owned()
    }
}

#[test]
fn a_code_makes_a_device_that_registers_an_app_and_gets_its_messages_on_either_wire() {
    let provider = Provider::start("");
    let phone = provider.phone_of("carol", "phone");
    let [token, user_token] = phone.register();
    for (wire, token) in [("1", &token), ("0", &token), ("1", &user_token)] {
        let connected = phone.connect(wire);
        assert!(connected.line().starts_with("connected"));
        assert_eq!(provider.post(token, "\"tea?\""), "HTTP/1.1 200 OK");
        assert_eq!(connected.line(), "chatter: \"tea?\"");
    }
    assert_eq!(phone.register(), [token.clone(), user_token]);

    assert!(phone.run(&["unregister", "chatter"]).status.success());
    assert_eq!(provider.post(&token, "1"), "HTTP/1.1 400 Bad Request");
}

#[test]
fn a_user_token_reaches_all_devices_of_the_user() {
    let provider = Provider::start("");
    let phones = ["phone", "tablet"].map(|name| provider.phone_of("carol", name));
    let tokens = phones.each_ref().map(Phone::register);
    assert_eq!(tokens[0][1], tokens[1][1]);
    assert_ne!(tokens[0][0], tokens[1][0]);
    let connected = phones.each_ref().map(|phone| phone.connect("1"));
    connected.iter().for_each(|phone| assert!(phone.line().starts_with("connected")));
    assert_eq!(provider.post(&tokens[0][1], "1"), "HTTP/1.1 200 OK");
    connected.iter().for_each(|phone| assert_eq!(phone.line(), "chatter: 1"));
}

#[test]
fn a_revoked_device_is_sent_away_at_once_and_can_do_nothing_any_more() {
    let provider = Provider::start("");
    let [kept, lost] = ["kept", "lost"].map(|name| provider.phone_of("carol", name));
    let [token, _] = lost.register();
    let devices = provider.devices();
    assert_eq!(devices.len(), 2);
    let carols = devices.iter().filter(|device| device["user"] == "carol").count();
    assert_eq!(carols, 2);

    let connected = lost.connect("1");
    assert!(connected.line().starts_with("connected"));
    assert_eq!(provider.operate(&["revoke", &lost.id()]), format!("revoked {}", lost.id()));
    assert!(connected.line().contains("unauthorized"));
    assert_eq!(connected.wait().0.code(), Some(1));

    for wire in ["0", "1"] {
        let (status, lines) = lost.connect(wire).wait();
        assert_eq!(status.code(), Some(1));
        assert!(lines.concat().contains("unauthorized"), "{lines:?}");
    }
    let output = lost.run(&["register", "chatter"]);
    assert!(stderr(&output).ends_with("was the device revoked?\n"), "{}", stderr(&output));
    assert_eq!(provider.post(&token, "1"), "HTTP/1.1 400 Bad Request");
    let left: Vec<Value> = provider.devices().iter().map(|device| device["deviceid"].clone()).collect();
    assert_eq!(left, [kept.id()]);
}

#[test]
fn a_code_may_come_by_standard_input() {
    let provider = Provider::start("");
    let phone = provider.phone("phone");
    let code = provider.folder.path().join("code");
    fs::write(&code, format!("{}\n", provider.code_for("carol"))).expect("writable");
    let mut command = binary(&["device", "enrol", "-", "--state", text(&phone.state)]);
    let output = command.stdin(File::open(&code).expect("written")).output().expect("it runs");
    assert_eq!(stdout(&output), format!("enrolled as {}\n", phone.id()), "{}", stderr(&output));
}

#[test]
fn a_code_works_once_and_only_as_it_was_made() {
    let provider = Provider::start("");
    let code = provider.code_for("carol");
    let phone = provider.phone("phone");
    let other = if code.ends_with('x') { 'y' } else { 'x' };
    let typo = format!("{}{other}", &code[..code.len() - 1]);
    let line = "lomiri-push: a character of the enrolment code is wrong, missing or too many: copy it again, all of it\n";
    assert_eq!(phone.refused(&typo), line);
    assert!(phone.refused("carol").starts_with("lomiri-push: no enrolment code that is known here"));

    let elsewhere = EnrolmentCode { pin: Pin([0; 32]), ..code.parse().expect("a code") };
    let problem = phone.refused(&elsewhere.reveal());
    assert!(problem.contains("the certificate is not the pinned one"), "{problem}");

    assert!(phone.run(&["device", "enrol", &code]).status.success(), "all that has not spent it");
    let mode = fs::metadata(phone.state.join("device.json")).expect("made").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let problem = provider.phone("tablet").refused(&code);
    assert!(problem.ends_with("it was used, it has expired, or it never was\n"), "{problem}");
    let again = phone.run(&["device", "enrol", &provider.code_for("carol")]);
    assert!(stderr(&again).ends_with("a device is enrolled here already: take another folder\n"));
}

#[test]
fn an_app_that_is_bound_takes_messages_only_with_its_key() {
    let provider = Provider::start("");
    let [token, _] = provider.phone_of("carol", "phone").register();
    let key = provider.operate(&["app-key", "chatter"]);
    assert_eq!(key.len(), 43);
    assert!(provider.post(&token, "1").starts_with("HTTP/1.1 401"));
    let body =
        format!(r#"{{"token":"{token}","appid":"chatter","data":1,"expire_on":"2100-01-01T00:00:00Z"}}"#);
    let length = body.len();
    let head = format!(
        "POST /notify HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Authorization: Bearer {key}\r\n"
    );
    assert_eq!(provider.server.ask(&head, &body).0, "HTTP/1.1 200 OK");
    assert_ne!(provider.operate(&["app-key", "chatter"]), key);
    assert!(provider.server.ask(&head, &body).0.starts_with("HTTP/1.1 401"), "the old key is gone");
    assert_eq!(provider.operate(&["app-key", "chatter", "--remove"]), "unbound chatter");
    assert_eq!(provider.post(&token, "1"), "HTTP/1.1 200 OK");
}

#[test]
fn an_erased_user_has_no_device_and_no_code() {
    let provider = Provider::start("");
    let (carol, bob) = ("carol/ähre@example.org", "bob");
    let phone = provider.phone_of(carol, "phone");
    let others = provider.phone_of(bob, "bobs");
    let code = provider.code_for(carol);
    let connected = phone.connect("1");
    assert!(connected.line().starts_with("connected"));
    let problem = provider.fail_to(&["erase", "dave's"]);
    assert!(problem.starts_with("lomiri-push: there is no user dave's: "), "{problem}");
    assert_eq!(provider.operate(&["erase", carol]), format!("erased {carol}"));
    assert!(connected.line().contains("unauthorized"));
    assert!(provider.phone("again").refused(&code).contains("it never was"));
    assert_eq!(provider.devices().len(), 1);
    let table = provider.operate(&["devices"]);
    assert!(table.starts_with("DEVICE") && table.contains(&others.id()), "{table}");
}

#[test]
fn a_server_that_does_not_run_is_to_be_started() {
    let folder = folder("");
    let config = configuration_file(&folder);
    let devices = || stderr(&run(&["devices", "--config", text(&config), "--http-addr", "127.0.0.1:1"]));
    assert!(devices().ends_with("no operator's key yet: start the server first (lomiri-push serve)\n"));
    let served = Serving::started(crate::process::serve_command(&folder));
    drop(served);
    let expected = "lomiri-push: http://127.0.0.1:1: no server runs there: start it (lomiri-push serve)\n";
    assert_eq!(devices(), expected);
}

#[test]
fn a_device_that_was_never_enrolled_is_told_how() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for command in [&["connect"][..], &["register", "chatter"], &["unregister", "chatter"]] {
        let output = run(&[command, &["--state", text(folder.path())]].concat());
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("no device is enrolled here"), "{}", stderr(&output));
    }
}

#[test]
fn a_trusted_proxy_says_how_a_request_came_to_it() {
    let provider = Provider::start("trusted_proxies = [\"127.0.0.1\"]");
    let key = fs::read_to_string(provider.folder.path().join("data/operator-key")).expect("made");
    let ask = |how: &str| {
        let bearer = format!("Authorization: Bearer {}\r\n", key.trim_end());
        provider.server.ask(&format!("GET /v1/devices HTTP/1.1\r\n{bearer}{how}"), "").0
    };
    assert_eq!(ask("X-Forwarded-Proto: https\r\n"), "HTTP/1.1 200 OK");
    assert_eq!(ask("X-Forwarded-Proto: http\r\n"), "HTTP/1.1 403 Forbidden");
    assert_eq!(ask(""), "HTTP/1.1 200 OK", "what comes from this machine itself");
}

#[test]
fn an_api_with_a_certificate_of_its_own_is_believed_where_that_is_named() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a valid name");
    let files = tempfile::tempdir().expect("a temporary folder");
    let [chain, key] = ["http.pem", "http.key"].map(|name| files.path().join(name));
    fs::write(&chain, made.cert.pem()).expect("writable");
    fs::write(&key, made.signing_key.serialize_pem()).expect("writable");
    let (chain, key) = (text(&chain), text(&key));
    let provider =
        Provider::start(&format!("http_cert_pem_file = \"{chain}\"\nhttp_key_pem_file = \"{key}\""));

    let phone = provider.phone_of("carol", "phone");
    let problem = stderr(&phone.run(&["register", "chatter"]));
    assert!(problem.ends_with("TLS: the certificate is not the pinned one\n"), "{problem}");
    let output = phone.run(&["register", "chatter", "--ca", chain]);
    assert_eq!(stdout(&output).lines().count(), 2, "{}", stderr(&output));
}
