//! OpenSSL's `s_client` as a device: another implementation of TLS must get along with ours.

use std::ffi::OsStr;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use tempfile::TempDir;

use super::device::opening;
use super::rig::Rig;

/// Set where a missing tool is an error and no reason to step aside.
const REQUIRE_TOOLS: &str = "LOMIRI_PUSH_REQUIRE_TOOLS";
const CONNACK: &str = r#"{"T":"connack","Params":{"PingInterval":"1h0m0s"}}"#;
/// How phones that knew no extended master secret (RFC 7627) spoke TLS 1.2.
const WITHOUT_EXTENDED_MASTER_SECRET: &str = "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\n\
    system_default = old\n[old]\nOptions = -ExtendedMasterSecret\n";

/// One `s_client` connected to a server.
struct SClient {
    process: Child,
    input: ChildStdin,
    output: ChildStdout,
    said: String,
}

/// Whether `openssl` is there; a test steps aside where it may be missing.
fn is_there() -> bool {
    match Command::new("openssl").arg("version").stdout(Stdio::null()).status() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            assert!(std::env::var_os(REQUIRE_TOOLS).is_none(), "openssl is not installed");
            eprintln!("stepping aside: openssl is not installed");
            false
        }
        status => status.expect("it runs").success(),
    }
}

/// A server with each record layer: our own, and rustls'.
fn servers() -> [Rig; 2] {
    [Rig::start(), Rig::start_whole()]
}

impl SClient {
    /// Connects, checking the server's certificate.
    fn connect(rig: &Rig, folder: &Path, arguments: &[&str]) -> SClient {
        let trusted = folder.join("certificate.pem");
        fs::write(&trusted, &rig.certificate.certificate).expect("a writable folder");
        let address = rig.addresses.devices.to_string();
        let mut process = Command::new("sh")
            .args(["-c", "exec openssl s_client \"$@\" 2>&1", "sh", "-connect", &address])
            .args([OsStr::new("-CAfile"), trusted.as_os_str()])
            .args(["-verify_return_error", "-verify_hostname", "localhost", "-servername", "localhost"])
            .args(arguments)
            .env("OPENSSL_CONF", folder.join("openssl.cnf"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let (input, output) = (process.stdin.take(), process.stdout.take());
        let (input, output) = (input.expect("piped"), output.expect("piped"));
        SClient { process, input, output, said: String::new() }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.input.write_all(bytes).expect("it reads");
    }

    /// Reads on until it says `text`.
    fn await_text(&mut self, text: &str) {
        let mut bytes = [0; 4096];
        while !self.said.contains(text) {
            let count = self.output.read(&mut bytes).expect("a pipe");
            assert!(count > 0, "no {text:?} in {}", self.said);
            self.said.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    /// Opens a session of wire 0.
    fn open_session(&mut self) {
        self.write(&opening("carol"));
        self.await_text(CONNACK);
    }
}

impl Drop for SClient {
    fn drop(&mut self) {
        // It has ended by itself where the test went well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn s_client_opens_a_session_whatever_it_speaks() {
    if !is_there() {
        return;
    }
    let folder = TempDir::new().expect("a temporary folder");
    let cases: [(&[&str], &str); 8] = [
        (&[], "TLS_AES_128_GCM_SHA256"),
        (&["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"], "TLS_CHACHA20_POLY1305_SHA256"),
        (&["-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"], "TLS_AES_256_GCM_SHA384"),
        (&["-tls1_3", "-groups", "P-521:P-256"], "Server Temp Key: ECDH, prime256v1"),
        (&["-tls1_3", "-record_padding", "512"], "TLSv1.3"),
        (&["-tls1_3", "-max_send_frag", "512"], "TLSv1.3"),
        (&["-tls1_2"], "ECDHE-ECDSA-AES128-GCM-SHA256"),
        (&["-tls1_2", "-curves", "P-256", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"], "TLSv1.2"),
    ];
    for rig in servers() {
        for (arguments, agreed) in cases {
            let mut device = SClient::connect(&rig, folder.path(), arguments);
            device.open_session();
            assert!(device.said.contains(agreed), "{agreed}: {}", device.said);
            assert!(device.said.contains("Verify return code: 0 (ok)"), "{}", device.said);
        }
    }
}

#[test]
fn s_client_of_old_phones_opens_a_session() {
    if !is_there() {
        return;
    }
    let folder = TempDir::new().expect("a temporary folder");
    fs::write(folder.path().join("openssl.cnf"), WITHOUT_EXTENDED_MASTER_SECRET).expect("a writable folder");
    let rig = Rig::start();
    let mut device = SClient::connect(&rig, folder.path(), &["-tls1_2", "-curves", "P-256"]);
    device.open_session();
    assert!(device.said.contains("Extended master secret: no"), "{}", device.said);
}

#[test]
fn s_client_changes_keys_in_both_directions() {
    if !is_there() {
        return;
    }
    let folder = TempDir::new().expect("a temporary folder");
    for rig in servers() {
        for suite in ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"] {
            let mut device = SClient::connect(&rig, folder.path(), &["-tls1_3", "-ciphersuites", suite]);
            device.await_text("Verify return code: 0 (ok)");
            // `K` changes its own key and asks for ours to be changed; `k` changes its own alone.
            for change in [b"K\n", b"k\n"] {
                device.said.clear();
                device.write(change);
                device.await_text("KEYUPDATE");
            }
            device.open_session();
            rig.notify("carol", "1");
            device.await_text(r#""P":1"#);
        }
    }
}

#[test]
fn s_client_resumes_with_the_ticket_that_it_was_given() {
    if !is_there() {
        return;
    }
    let folder = TempDir::new().expect("a temporary folder");
    let session = folder.path().join("session.pem");
    let session = session.to_str().expect("UTF-8");
    for rig in servers() {
        for (keep, how) in [("-sess_out", "New, TLSv1.3"), ("-sess_in", "Reused, TLSv1.3")] {
            let mut device = SClient::connect(&rig, folder.path(), &["-tls1_3", keep, session]);
            device.open_session();
            assert!(device.said.contains(how), "{}", device.said);
            device.write(b"Q\n");
            device.await_text("DONE");
        }
    }
}

#[test]
fn s_client_and_the_server_close_in_order() {
    if !is_there() {
        return;
    }
    let folder = TempDir::new().expect("a temporary folder");
    for rig in servers() {
        let mut leaving = SClient::connect(&rig, folder.path(), &[]);
        leaving.open_session();
        leaving.write(b"Q\n");
        leaving.await_text("DONE");
        rig.await_counter("sessions", 0);

        let mut staying = SClient::connect(&rig, folder.path(), &[]);
        staying.open_session();
        rig.terminate();
        staying.await_text("closed");
        assert!(staying.process.wait().expect("it ran").success(), "{}", staying.said);
    }
}
