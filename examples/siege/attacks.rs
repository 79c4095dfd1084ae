//! What the one address does, each until it is told to stop. An attack tells how many strokes it has made.

use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use lomiri_push::tls::{ServerName, Tls};

use super::target::Target;

pub type Attack = fn(&Target, &AtomicBool) -> u64;

/// By name. The first is none: it takes processor time from the same process, and so shows what the others'
/// would cost if the server were not concerned.
pub const ATTACKS: [(&str, Attack); 7] = [
    ("other work", other_work),
    ("handshakes", handshakes),
    ("half-open", half_open),
    ("garbage", garbage),
    ("password guesses", guesses),
    ("pipelines", pipelines),
    ("posts", posts),
];
/// Connections that a thread holds before it lets go of all.
const HELD_MAX: usize = 300;

/// Makes stroke after stroke.
fn until(stop: &AtomicBool, mut stroke: impl FnMut()) -> u64 {
    let mut strokes = 0;
    while !stop.load(Ordering::Relaxed) {
        stroke();
        strokes += 1;
    }
    strokes
}

/// Nothing that concerns the server.
fn other_work(_: &Target, stop: &AtomicBool) -> u64 {
    until(stop, || {
        black_box((0..100_000_u64).fold(0, |sum, number| black_box(sum ^ number)));
    })
}

/// Whole handshakes, for nothing.
fn handshakes(target: &Target, stop: &AtomicBool) -> u64 {
    until(stop, || drop(handshake(target)))
}

/// One whole handshake.
pub fn handshake(target: &Target) -> Option<Tls> {
    let mut socket = target.dial_as_attacker(target.devices)?;
    let mut tls = Tls::connect(&target.trust, ServerName::try_from("localhost").ok()?).ok()?;
    let (mut bytes, mut plaintext, mut out) = (vec![0; 16 * 1024], Vec::new(), Vec::new());
    let mut count = 0;
    loop {
        tls.read(&mut bytes[..count], &mut plaintext, &mut out).ok()?;
        socket.write_all(&out).ok()?;
        out.clear();
        if !tls.is_handshaking() {
            return Some(tls);
        }
        count = socket.read(&mut bytes).ok().filter(|&count| count > 0)?;
    }
}

/// Connections that say nothing, as many as it may have and more.
fn half_open(target: &Target, stop: &AtomicBool) -> u64 {
    let mut held = Vec::new();
    until(stop, || {
        if held.len() >= HELD_MAX {
            held.clear();
        }
        held.extend(target.dial_as_attacker(target.devices));
    })
}

/// What is no TLS.
fn garbage(target: &Target, stop: &AtomicBool) -> u64 {
    until(stop, || {
        if let Some(mut socket) = target.dial_as_attacker(target.devices) {
            // The server may close while we still talk.
            let _ = socket.write_all(&[0x5a; 8 * 1024]);
            let _ = socket.read(&mut [0; 256]);
        }
    })
}

/// The operator's password, again and again.
fn guesses(target: &Target, stop: &AtomicBool) -> u64 {
    let request = "GET /stats HTTP/1.1\r\nHost: push\r\nAuthorization: Basic b3BzOndyb25n\r\n\r\n";
    ask_on(target, stop, request)
}

/// Posts by a token as fast as they are answered: nearly all are beyond the token's rate.
fn posts(target: &Target, stop: &AtomicBool) -> u64 {
    let Some(token) = register(target) else { return 0 };
    let body = format!(
        r#"{{"token":"{token}","appid":"flood","expire_on":"2100-01-01T00:00:00Z","data":1,"clear_pending":true}}"#
    );
    ask_on(target, stop, &post("/notify", &body))
}

fn register(target: &Target) -> Option<String> {
    let mut socket = target.dial_as_attacker(target.http)?;
    let body = r#"{"deviceid":"accomplice","appid":"flood"}"#;
    socket.write_all(post("/register", body).as_bytes()).ok()?;
    let mut answer = [0; 1_024];
    let count = socket.read(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
    Some(answer.split_once(r#""token":""#)?.1.split_once('"')?.0.to_owned())
}

fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: push\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// One request after the other, over a connection that is renewed when it is closed.
fn ask_on(target: &Target, stop: &AtomicBool, request: &str) -> u64 {
    let mut socket = None;
    until(stop, || {
        let Some(open) = &mut socket else {
            return socket = target.dial_as_attacker(target.http);
        };
        let asked = open.write_all(request.as_bytes());
        if asked.is_err() || !matches!(open.read(&mut [0; 4_096]), Ok(1..)) {
            socket = None;
        }
    })
}

/// Many requests at once, whose answers it does not read.
fn pipelines(target: &Target, stop: &AtomicBool) -> u64 {
    let requests = "GET /healthz HTTP/1.1\r\nHost: push\r\n\r\n".repeat(100);
    until(stop, || {
        if let Some(mut socket) = target.dial_as_attacker(target.http) {
            while !stop.load(Ordering::Relaxed) && socket.write_all(requests.as_bytes()).is_ok() {}
        }
    })
}
