//! Finds a server by its name and connects a socket to it, in a wait that can be called off.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::socket_error;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use super::clock::now;
use super::watch::{Side, Until, Watch, Woken};

/// A connected socket that waits no longer than `patience` to write; the same holds for finding the server,
/// and for each of its addresses. [`ErrorKind::Interrupted`] means that the watch was called.
pub(super) fn dial(addr: &str, patience: Duration, watch: &Watch) -> io::Result<TcpStream> {
    let mut outcome = Err(io::Error::new(ErrorKind::NotFound, "no such host"));
    for addr in find(addr, patience, watch)? {
        outcome = reach(addr, patience, watch);
        if outcome.as_ref().err().is_none_or(|error| error.kind() == ErrorKind::Interrupted) {
            break;
        }
    }
    let stream = outcome?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(patience))?;
    Ok(stream)
}

/// Asking for a name blocks in the system's resolver, which nobody can call back.
fn find(addr: &str, patience: Duration, watch: &Watch) -> io::Result<Vec<SocketAddr>> {
    if let Ok(addr) = addr.parse() {
        return Ok(vec![addr]);
    }
    let addr = addr.to_owned();
    let found = watch.elsewhere(now() + patience, move || addr.to_socket_addrs().map(Vec::from_iter))?;
    found.unwrap_or_else(|woken| Err(unready(woken)))
}

fn reach(addr: SocketAddr, patience: Duration, watch: &Watch) -> io::Result<TcpStream> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, &addr) {
        Err(Errno::INPROGRESS) => await_connection(&socket, patience, watch)?,
        outcome => outcome?,
    }
    let stream = TcpStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

fn await_connection(socket: &OwnedFd, patience: Duration, watch: &Watch) -> io::Result<()> {
    let late = now() + patience;
    let ready = Some((socket.as_fd(), Side::Write));
    match watch.wait(Until { ready, late: Some(late), wake: Some(late) })? {
        Woken::Ready => Ok(socket_error(socket)??),
        woken => Err(unready(woken)),
    }
}

fn unready(woken: Woken) -> io::Error {
    match woken {
        Woken::Called => ErrorKind::Interrupted.into(),
        Woken::Late | Woken::Ready => io::Error::new(ErrorKind::TimedOut, "no answer in time"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;
    use crate::device::power::Alarm;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn watch() -> Watch {
        Watch::new(Alarm::default()).expect("descriptors are left")
    }

    /// Its backlog is full, so that whoever connects waits. What fills it is to be kept.
    fn deaf() -> (TcpListener, String, Vec<TcpStream>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        rustix::net::listen(&listener, 0).expect("it listens");
        let addr = listener.local_addr().expect("bound");
        let fillers = std::iter::from_fn(|| reach(addr, Duration::from_millis(50), &watch()).ok()).collect();
        (listener, addr.to_string(), fillers)
    }

    #[test]
    fn a_server_is_found_by_its_name_and_by_its_address() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        for host in ["localhost", "127.0.0.1"] {
            let stream = dial(&format!("{host}:{port}"), PATIENCE, &watch()).expect("it listens");
            assert_eq!(stream.peer_addr().expect("connected").port(), port);
        }
    }

    #[test]
    fn who_does_not_answer_is_waited_for_no_longer_than_patience_or_a_call() {
        let (_listener, addr, _fillers) = deaf();
        let error = dial(&addr, Duration::from_millis(10), &watch()).expect_err("nobody answers");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let watch = watch();
        watch.waker().wake();
        let error = dial(&addr, PATIENCE, &watch).expect_err("nobody answers");
        assert_eq!(error.kind(), ErrorKind::Interrupted);
    }
}
