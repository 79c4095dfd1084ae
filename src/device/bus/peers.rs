//! The service at a Unix socket of its own, for machines without a bus: each that connects is served as a bus
//! would be.

use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::{fs, thread};

use rustix::net::Shutdown;
use zbus::blocking::connection::Builder;
use zbus::blocking::{Connection, MessageIterator};
use zbus::{Guid, Message};

use super::desk::Desk;
use super::outbox::Outbox;
use super::{Duty, News, serve};

/// How many are served at once. Each costs two threads; more are turned away.
const PEERS_MAX: usize = 16;

/// Those who are connected. Dropped, it turns all away.
pub(super) struct Peers {
    path: PathBuf,
    listener: Arc<UnixListener>,
    places: Places,
}

/// Who sits where.
#[derive(Clone, Default)]
struct Places(Arc<Mutex<Seats>>);

#[derive(Default)]
struct Seats {
    taken: Vec<Place>,
    /// Given next. None is given twice: who has left may still be owed answers.
    next_number: u64,
}

/// One who has connected.
struct Place {
    number: u64,
    /// Ends the connection, whatever it is doing.
    socket: UnixStream,
    /// Once it has shown that it speaks D-Bus.
    outbox: Option<Outbox>,
}

impl Peers {
    /// Listens at `path`, where at most a socket of one who has gone may be.
    pub(super) fn listen(path: &Path, duty: Arc<Duty>) -> io::Result<Peers> {
        let listener = Arc::new(bind(path)?);
        // Only the user's own processes: the service keeps what is the user's.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        let peers = Peers { path: path.into(), listener: listener.clone(), places: Places::default() };
        let places = peers.places.clone();
        let accept = move || accept_all(&listener, &places, &duty);
        thread::Builder::new().name("bus-peers".into()).spawn(accept)?;
        Ok(peers)
    }

    /// Sends a message to all.
    pub(super) fn send(&self, message: &Message) {
        for outbox in self.places.lock().taken.iter().filter_map(|place| place.outbox.as_ref()) {
            outbox.send(message.clone());
        }
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        // Whoever waits in accept is woken by it.
        let _ = rustix::net::shutdown(&self.listener, Shutdown::Both);
        let _ = fs::remove_file(&self.path);
        for place in self.places.lock().taken.drain(..) {
            let _ = place.socket.shutdown(std::net::Shutdown::Both);
        }
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse && UnixStream::connect(path).is_err() => {
            fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        outcome => outcome,
    }
}

fn accept_all(listener: &UnixListener, places: &Places, duty: &Arc<Duty>) {
    loop {
        match listener.accept() {
            Ok((socket, _)) => {
                // Who is turned away sees the connection end.
                let Some(number) = places.take(&socket) else { continue };
                let (places, duty) = (places.clone(), duty.clone());
                let welcome = move || welcome(socket, number, &places, duty);
                if let Err(error) = thread::Builder::new().name("bus-peer".into()).spawn(welcome) {
                    log::warn!("no thread for a peer: {error}");
                }
            }
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => (),
            Err(error) => return (duty.told)(News::Gone(error.to_string())),
        }
    }
}

/// Serves a peer, once it has shown by the kernel's word whose process it is.
fn welcome(socket: UnixStream, number: u64, places: &Places, duty: Arc<Duty>) {
    let served = handshake(socket).and_then(|messages| {
        let outbox = Outbox::open(Connection::from(&messages))?;
        let checks = duty.check.applies(None);
        places.open(number, outbox.clone());
        let (places, desk) = (places.clone(), Desk::new(duty, outbox, checks, Some(number)));
        serve(messages, desk, move |reason| {
            log::debug!("peer {number} has gone: {reason}");
            places.leave(number);
        })?;
        Ok(())
    });
    if let Err(error) = served {
        log::debug!("peer {number} is not served: {error}");
        places.leave(number);
    }
}

/// A peer may call at once: its messages are kept from the first on.
fn handshake(socket: UnixStream) -> zbus::Result<MessageIterator> {
    Builder::async_io_unix_stream(socket).server(Guid::generate())?.p2p().build_message_iterator()
}

impl Places {
    /// A place for one more, if there is one.
    fn take(&self, socket: &UnixStream) -> Option<u64> {
        let mut seats = self.lock();
        let socket = socket.try_clone().ok().filter(|_| seats.taken.len() < PEERS_MAX)?;
        let number = seats.next_number;
        seats.next_number += 1;
        seats.taken.push(Place { number, socket, outbox: None });
        Some(number)
    }

    fn open(&self, number: u64, outbox: Outbox) {
        if let Some(place) = self.lock().taken.iter_mut().find(|place| place.number == number) {
            place.outbox = Some(outbox);
        }
    }

    fn leave(&self, number: u64) {
        self.lock().taken.retain(|place| place.number != number);
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.0.lock().expect("nothing panics while it holds this")
    }
}
