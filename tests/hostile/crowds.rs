//! Very many connections that say little or nothing.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::phone::Phone;
use super::victim::{HTTPS, MIB, Victim};

/// How many come at once.
const CROWD: usize = 3_000;
/// `handshakes_max` handshakes that are stuck at their beginning; the API has fewer connections in their place.
const BOUND: u64 = 1_024 * 4 * 1024 + 2 * MIB;

/// A crowd needs descriptors on this side as well.
fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < 4 * CROWD as u64) {
        let wanted = Rlimit { current: maximum.map_or(Some(4 * CROWD as u64), Some), maximum };
        setrlimit(Resource::Nofile, wanted).expect("up to the hard limit");
    }
}

fn crowd(address: SocketAddr, said: &[u8]) -> Vec<TcpStream> {
    raise_limit();
    let come = |_| {
        let mut socket = TcpStream::connect(address).expect("the kernel takes it");
        // Some are closed on at once.
        let _ = socket.write_all(said);
        socket
    };
    (0..CROWD).map(come).collect()
}

#[test]
fn thousands_that_never_finish_their_handshake_leave_the_connected_in_peace() {
    // The front of a hello, in a record that is never whole.
    for said in [&b""[..], &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]] {
        let victim = Victim::start();
        let mut carol = Phone::connect(victim.devices, &victim.trust);
        carol.introduce("carol");
        let crowd = crowd(victim.devices, said);
        victim.notify("carol", "\"in peace\"");
        carol.await_text("in peace");
        victim.assert_grown_by_at_most(BOUND);
        drop(crowd);
        victim.assert_serves();
    }
}

#[test]
fn thousands_of_silent_callers_keep_nobody_out_of_the_api() {
    let requests = [
        &b""[..],
        b"POST /notify HTTP/1.1\r\nContent-Length: 4000\r\nContent-Type: application/json\r\n\r\n{",
    ];
    for said in requests {
        let victim = Victim::start();
        let crowd = crowd(victim.http, said);
        victim.assert_serves();
        victim.assert_grown_by_at_most(BOUND);
        drop(crowd);
    }
    let victim = Victim::with(HTTPS);
    let crowd = crowd(victim.http, &[22, 3, 1, 2, 0, 1]);
    Phone::connect(victim.http, &victim.trust);
    victim.assert_grown_by_at_most(BOUND);
    drop(crowd);
}
