//! The one address that misbehaves: a process of its own, which gets the processor time that those it attacks
//! leave, and shares no lock and no memory with them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _, stdin};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{env, process, thread};

use super::attacks::{ATTACKS, Attack, handshake};
use super::server::Besieged;
use super::target::Target;

/// What the process is told: an attack by its place in the list, from how many connections, on whom.
#[derive(clap::Args)]
pub struct Orders {
    attack: usize,
    connections: usize,
    devices: SocketAddr,
    http: SocketAddr,
}

/// Attacks until standard input, which begins with the server's certificate and a zero, ends. Standard output tells
/// when it begins, by an empty line, and at the end how many strokes it has made.
pub fn attack(orders: &Orders) {
    let mut input = BufReader::new(stdin());
    let mut certificate = Vec::new();
    input.read_until(0, &mut certificate).expect("the besieged tell it");
    certificate.pop();
    let certificate = String::from_utf8(certificate).expect("PEM");
    let target = Target::new(orders.devices, orders.http, certificate);
    let (_, attack): (_, Attack) = ATTACKS[orders.attack];
    // The first seeds this process's random numbers, which takes it longer than all that it does later.
    drop(handshake(&target));
    let stop = AtomicBool::new(false);
    let strokes: u64 = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..orders.connections).map(|_| scope.spawn(|| attack(&target, &stop))).collect();
        println!();
        let _ = input.read_to_end(&mut Vec::new());
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    println!("{strokes}");
}

/// Puts this process ahead of all that is not real time, if it may (as root): the server and the others then wait
/// for nobody else. Threads that start later inherit it.
pub fn get_ahead() {
    let _ = Command::new("chrt").args(["--rr", "--pid", "1", &process::id().to_string()]).output();
}

/// An attack under way.
pub struct Attacker {
    child: Child,
    told: BufReader<ChildStdout>,
}

impl Attacker {
    /// Starts the attack that has this place in the list.
    pub fn start(besieged: &Besieged, attack: usize, connections: usize) -> Attacker {
        let myself = env::current_exe().expect("this program");
        // Behind the kernel's own threads too, which write to the disk for the server.
        let mut child = Command::new("chrt")
            .args(["--idle", "0"])
            .arg(myself)
            .arg("attack")
            .args([attack.to_string(), connections.to_string()])
            .args([besieged.target.devices.to_string(), besieged.target.http.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("chrt of util-linux");
        let input = child.stdin.as_mut().expect("piped");
        input
            .write_all(besieged.certificate.as_bytes())
            .and_then(|()| input.write_all(&[0]))
            .expect("it reads");
        let mut told = BufReader::new(child.stdout.take().expect("piped"));
        told.read_line(&mut String::new()).expect("it begins");
        Attacker { child, told }
    }

    /// Ends it; how many strokes it has made.
    pub fn stop(mut self) -> u64 {
        drop(self.child.stdin.take());
        let mut told = String::new();
        self.told.read_to_string(&mut told).expect("it tells");
        self.child.wait().expect("a child");
        told.trim().parse().expect("a number")
    }
}
