//! Listening and accepting, for the device loops and the API loop alike: a bounded number of
//! connections, and no spinning when the system has no more descriptors. Knows no protocol.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use log::warn;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use crate::base::Monotonic;

/// How many handshakes the kernel holds for us: a crowd that comes back at once after a restart. The
/// system may hold it lower (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;
/// How long to wait after the system had no descriptor or memory for another connection.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// A listening socket at `address`, not blocking. `[::]` listens to IPv4 as well, and to that alone
/// on a machine without IPv6.
pub(super) fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    match listen_at(address) {
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() && lacks_ipv6(&error) => {
            listen_at((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        listener => listener,
    }
}

fn listen_at(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    // What is accepted inherits it: answers are short and must not wait for each other.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn lacks_ipv6(error: &io::Error) -> bool {
    [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL].iter().any(|code| is(error, *code))
}

fn is(error: &io::Error, code: Errno) -> bool {
    error.raw_os_error() == Some(code.raw_os_error())
}

/// How many connections there may be, over all loops that share it.
pub(super) struct Slots {
    taken: AtomicUsize,
    max: usize,
}

/// The right to hold one connection; goes with the connection and ends with it.
pub(super) struct Slot(Arc<Slots>);

impl Slots {
    /// Room for `max` connections.
    pub(super) fn new(max: usize) -> Arc<Slots> {
        Arc::new(Slots { taken: AtomicUsize::new(0), max })
    }

    /// How many connections there are.
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    fn is_full(&self) -> bool {
        self.taken() >= self.max
    }

    /// One slot, if there is one left.
    pub(super) fn take(self: &Arc<Slots>) -> Option<Slot> {
        let one_more = |taken: usize| (taken < self.max).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Slot(self.clone()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What there is room for, over all loops that share it.
#[derive(Clone)]
pub(super) struct Room {
    pub(super) connections: Arc<Slots>,
    /// Of those, how many may not be served yet.
    pub(super) handshakes: Arc<Slots>,
}

impl Room {
    fn is_full(&self) -> bool {
        self.connections.is_full() || self.handshakes.is_full()
    }
}

/// A connection that has just been accepted.
pub(super) struct Accepted {
    pub(super) socket: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) slot: Slot,
    /// To be given back when the connection is served.
    pub(super) handshake: Slot,
}

/// One loop's end of a listening socket that several loops may share.
///
/// Tell it of events by [`Acceptor::handle_event`]; then call [`Acceptor::accept`] some times a turn,
/// in each turn. While [`Acceptor::has_work`] the loop must not wait; at
/// [`Acceptor::next_deadline`] it must look again.
///
/// All loops learn of each connection that waits. When all slots of a kind are taken they leave it where it is,
/// and the one that frees a slot takes it in the same turn.
pub(super) struct Acceptor {
    listener: TcpListener,
    room: Room,
    /// A connection may be waiting.
    is_ready: bool,
    /// The system was short of something: not before this.
    retry_at: Option<Monotonic>,
}

impl Acceptor {
    /// Starts to accept what comes to `listener`; events come under `token`.
    pub(super) fn new(
        listener: std::net::TcpListener,
        room: Room,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Acceptor> {
        let mut listener = TcpListener::from_std(listener);
        registry.register(&mut listener, token, Interest::READABLE)?;
        Ok(Acceptor { listener, room, is_ready: true, retry_at: None })
    }

    /// Accepts no more. Other loops' ends stay as they are.
    pub(super) fn close(mut self, registry: &Registry) {
        // It was registered; should the system see that otherwise, then no events come either.
        let _ = registry.deregister(&mut self.listener);
    }

    /// A connection has come.
    pub(super) fn handle_event(&mut self) {
        self.is_ready = true;
    }

    /// Whether [`Acceptor::accept`] may have something at once.
    pub(super) fn has_work(&self) -> bool {
        self.is_ready && self.retry_at.is_none() && !self.room.is_full()
    }

    /// Whether a connection may be waiting for which there is no room but where a handshake is.
    pub(super) fn lacks_handshakes(&self) -> bool {
        self.is_ready && !self.room.connections.is_full() && self.room.handshakes.is_full()
    }

    /// How many connections there may be, if there are as many.
    pub(super) fn is_full_with(&self) -> Option<usize> {
        self.room.connections.is_full().then_some(self.room.connections.max)
    }

    /// When to try again.
    pub(super) fn next_deadline(&self) -> Option<Monotonic> {
        self.retry_at
    }

    /// The next connection, if one waits and there is room.
    pub(super) fn accept(&mut self, now: Monotonic) -> Option<Accepted> {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
        }
        if !self.has_work() {
            return None;
        }
        let (slot, handshake) = (self.room.connections.take()?, self.room.handshakes.take()?);
        match self.listener.accept() {
            Ok((socket, peer)) => return Some(Accepted { socket, peer, slot, handshake }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.is_ready = false,
            // That connection was gone before it was accepted; the next call takes the one behind it.
            Err(error) if is_the_peers(&error) => {}
            Err(error) => {
                warn!("cannot accept connections: {error}; trying again soon");
                self.retry_at = Some(now + RETRY_AFTER);
            }
        }
        None
    }
}

/// accept(2): errors of the new connection's network come out of accept.
fn is_the_peers(error: &io::Error) -> bool {
    const PEERS: [Errno; 10] = [
        Errno::CONNABORTED,
        Errno::INTR,
        Errno::PROTO,
        Errno::NETDOWN,
        Errno::NOPROTOOPT,
        Errno::HOSTDOWN,
        Errno::NONET,
        Errno::HOSTUNREACH,
        Errno::OPNOTSUPP,
        Errno::NETUNREACH,
    ];
    PEERS.iter().any(|code| is(error, *code))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    const TOKEN: Token = Token(0);

    fn acceptor(room: &Room) -> (Acceptor, SocketAddr, mio::Poll) {
        let poll = mio::Poll::new().expect("a selector");
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let acceptor = Acceptor::new(listener, room.clone(), poll.registry(), TOKEN).expect("registered");
        (acceptor, address, poll)
    }

    #[test]
    fn a_freed_slot_takes_the_connection_that_waits() {
        let room = Room { connections: Slots::new(1), handshakes: Slots::new(2) };
        let slots = room.connections.clone();
        let (mut acceptor, address, _poll) = acceptor(&room);
        let _peers = [TcpStream::connect(address), TcpStream::connect(address)].map(Result::unwrap);
        let first = acceptor.accept(Monotonic::default()).expect("one waits");
        assert!(!acceptor.has_work() && acceptor.accept(Monotonic::default()).is_none());
        assert_eq!(slots.taken(), 1);
        drop(first);
        assert!(acceptor.has_work());
        assert!(acceptor.accept(Monotonic::default()).is_some());
        assert!(acceptor.accept(Monotonic::default()).is_none());
        assert_eq!(slots.taken(), 0);
    }

    #[test]
    fn the_connections_behind_wait_until_a_handshake_is_over() {
        let room = Room { connections: Slots::new(3), handshakes: Slots::new(1) };
        let (mut acceptor, address, _poll) = acceptor(&room);
        let _peers = [TcpStream::connect(address), TcpStream::connect(address)].map(Result::unwrap);
        let first = acceptor.accept(Monotonic::default()).expect("one waits");
        assert!(!acceptor.has_work() && acceptor.accept(Monotonic::default()).is_none());
        assert!(acceptor.lacks_handshakes());
        drop(first.handshake);
        assert!(!acceptor.lacks_handshakes());
        assert!(acceptor.accept(Monotonic::default()).is_some());
        assert_eq!((room.connections.taken(), room.handshakes.taken()), (1, 0));
    }

    #[test]
    fn all_addresses_means_ipv4_too() {
        let listener = listen("[::]:0".parse().expect("an address")).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("listening");
    }
}
