//! A TCP proxy between a device and its server that counts the bytes of TLS records as they pass. It
//! opens none of them.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::{mem, thread};

/// A record's content type, version and length (RFC 8446, section 5.1).
const HEADER_BYTES: usize = 5;

/// Which way a record goes.
#[derive(Clone, Copy)]
enum Way {
    /// To the server.
    Up,
    /// To the device.
    Down,
}

/// The bytes of records that passed each way.
#[derive(Clone, Copy, Default)]
struct Passed {
    up: usize,
    down: usize,
}

type Tally = Arc<Mutex<Passed>>;

/// Where devices connect in place of the server. Each record is counted before it is passed on, so
/// what has arrived anywhere has been counted.
pub struct Proxy {
    pub address: SocketAddr,
    tally: Tally,
}

impl Proxy {
    /// Passes on to `server` for as long as the process runs, one device after the other. Each begins
    /// with nothing passed.
    pub fn start(server: SocketAddr) -> io::Result<Proxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (address, tally) = (listener.local_addr()?, Tally::default());
        let proxy = Proxy { address, tally: tally.clone() };
        thread::spawn(move || {
            for device in listener.incoming().flatten() {
                take(&tally);
                // Whoever is at either end sees the other one's socket close.
                let _ = TcpStream::connect(server).and_then(|server| join(device, server, &tally));
            }
        });
        Ok(proxy)
    }

    /// The bytes both ways that have passed and were not told yet.
    pub fn passed(&self) -> usize {
        let passed = take(&self.tally);
        passed.up + passed.down
    }

    /// Whether a record has passed on each way since they were told.
    pub fn has_passed_both_ways(&self) -> bool {
        let passed = *self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        passed.up > 0 && passed.down > 0
    }
}

fn take(tally: &Tally) -> Passed {
    mem::take(&mut *tally.lock().unwrap_or_else(PoisonError::into_inner))
}

fn count(tally: &Tally, way: Way, bytes: usize) {
    let mut passed = tally.lock().unwrap_or_else(PoisonError::into_inner);
    match way {
        Way::Up => passed.up += bytes,
        Way::Down => passed.down += bytes,
    }
}

fn join(device: TcpStream, server: TcpStream, tally: &Tally) -> io::Result<()> {
    device.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_device, from_server) = (device.try_clone()?, server.try_clone()?);
    let up = tally.clone();
    let up = thread::spawn(move || pass(from_device, server, Way::Up, &up));
    let down = pass(from_server, device, Way::Down, tally);
    up.join().expect("no panic").and(down)
}

/// Passes records on until their sender closes.
fn pass(mut from: TcpStream, mut to: TcpStream, way: Way, tally: &Tally) -> io::Result<()> {
    let mut record = vec![0; HEADER_BYTES];
    loop {
        record.truncate(HEADER_BYTES);
        if from.read_exact(&mut record).is_err() {
            return to.shutdown(Shutdown::Both);
        }
        let length = u16::from_be_bytes([record[3], record[4]]);
        record.resize(HEADER_BYTES + usize::from(length), 0);
        from.read_exact(&mut record[HEADER_BYTES..])?;
        count(tally, way, record.len());
        to.write_all(&record)?;
    }
}
