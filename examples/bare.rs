//! The floor: what a plain epoll program without TLS, sessions or a queue spends to move the bytes of keepalives and
//! broadcasts over as many sockets, and what the server's side of a TLS handshake takes without any socket. What the push
//! server spends beyond it, by `lomiri-push swarm` on the same machine, is its own.
//!
//! ```text
//! cargo run --release --example bare -- --sockets 10000
//! ```

use std::collections::HashMap;
use std::fmt;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clap::{Parser, Subcommand};
use lomiri_push::base::Wall;
use lomiri_push::files::raise_limit;
use lomiri_push::swarm::Gauge;
use lomiri_push::tls::{
    Certificates, DeviceOptions, Resuming, ServerName, ServerOptions, TicketKeys, Tickets, Tls, Trust,
    device_config, server_config,
};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use rustix::time::{ClockId, Timespec, clock_gettime};
use serde::Serialize;

/// A record of TLS 1.3 with one byte in it: it is echoed.
const KEEPALIVE_BYTES: usize = 23;
/// A record with an ACK in it: it is only read.
const ACK_BYTES: usize = 24;
/// A record with a message of 100 bytes in it.
const MESSAGE_BYTES: usize = 145;
/// Asks for a message to each socket.
const FAN_OUT: [u8; 1] = [1];
/// Echoes one after the other.
const SINGLE: usize = 20_000;
const HANDSHAKES: usize = 2_000;

#[derive(Parser)]
#[command(
    about = "Measures what sockets alone and TLS handshakes alone cost: the floor under `lomiri-push swarm`"
)]
struct Arguments {
    /// How many sockets
    #[arg(long, default_value_t = 10_000)]
    sockets: usize,
    /// How often all of them have something at once
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// The process that is measured
    #[command(hide = true)]
    Echo,
}

type Problem = Box<dyn std::error::Error>;

fn main() -> Result<(), Problem> {
    raise_limit();
    let arguments = Arguments::parse();
    match arguments.role {
        Some(Role::Echo) => echo(),
        None => measure(&arguments),
    }
}

/// Gives back what comes, as the server does: one loop, one read and one write for each event.
fn echo() -> Result<(), Problem> {
    const LISTENER: Token = Token(usize::MAX);
    let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("{}", listener.local_addr()?);
    let (mut events, mut sockets) = (Events::with_capacity(256), HashMap::new());
    let mut bytes = [0; 4_096];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut socket, _)) = listener.accept() {
                    let token = Token(sockets.len());
                    socket.set_nodelay(true)?;
                    poll.registry().register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
                    sockets.insert(token, socket);
                }
            } else if event.is_readable() {
                let socket = sockets.get_mut(&event.token()).expect("it was accepted");
                match socket.read(&mut bytes) {
                    // They are all there until the end.
                    Ok(0) => return Ok(()),
                    Ok(ACK_BYTES) => {}
                    Ok(1) => {
                        for socket in sockets.values_mut() {
                            socket.write_all(&[7; MESSAGE_BYTES])?;
                        }
                    }
                    Ok(length) => socket.write_all(&bytes[..length])?,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
}

fn measure(arguments: &Arguments) -> Result<(), Problem> {
    let (echo, address) = start()?;
    let gauge = Gauge::of(echo.0.id())?;
    let cpu = || gauge.read().map(|reading| reading.cpu);
    let start = cpu()?;
    let mut sockets = Vec::new();
    for _ in 0..arguments.sockets {
        let mut socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        exchange(&mut socket)?;
        sockets.push(socket);
    }
    let connected = cpu()?;
    for _ in 0..arguments.rounds {
        for socket in &mut sockets {
            socket.write_all(&[7; KEEPALIVE_BYTES])?;
        }
        for socket in &mut sockets {
            socket.read_exact(&mut [0; KEEPALIVE_BYTES])?;
        }
    }
    let saturated = cpu()?;
    for number in 0..SINGLE {
        let place = number * 7_919 % sockets.len();
        exchange(&mut sockets[place])?;
    }
    let single = cpu()?;
    for _ in 0..arguments.rounds {
        sockets[0].write_all(&FAN_OUT)?;
        for socket in &mut sockets {
            socket.read_exact(&mut [0; MESSAGE_BYTES])?;
            socket.write_all(&[7; ACK_BYTES])?;
        }
    }
    // All acks have been read when this one comes back.
    exchange(&mut sockets[0])?;
    let fanned_out = cpu()?;
    let us = |from: Duration, to: Duration, count: usize| (to - from).as_secs_f64() * 1e6 / count as f64;
    let floor = Floor {
        accept_us: us(start, connected, arguments.sockets),
        echo_us: us(connected, saturated, arguments.sockets * arguments.rounds),
        single_echo_us: us(saturated, single, SINGLE),
        fan_out_us: us(single, fanned_out, arguments.sockets * arguments.rounds),
        handshake_us: us(Duration::ZERO, handshakes()?, HANDSHAKES),
    };
    if arguments.json {
        println!("{}", serde_json::to_string(&floor)?)
    } else {
        print!("{floor}")
    }
    Ok(())
}

/// Processor time of each, in microseconds.
#[derive(Serialize)]
struct Floor {
    accept_us: f64,
    echo_us: f64,
    single_echo_us: f64,
    fan_out_us: f64,
    handshake_us: f64,
}

impl fmt::Display for Floor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = [
            ("processor time of an echo of 23 bytes, when all come at once", self.echo_us),
            ("… when they come singly", self.single_echo_us),
            ("of 145 bytes to each socket, and 24 from each", self.fan_out_us),
            ("of an accept with one echo", self.accept_us),
            ("of a full TLS 1.3 handshake in memory, the server's side", self.handshake_us),
            ("of both together", self.accept_us + self.handshake_us),
        ];
        lines.iter().try_for_each(|(what, us)| writeln!(formatter, "{what:<62} {us:>6.1} µs"))
    }
}

/// What the server's side takes of full handshakes as the push server has them by default: P-256, X25519, a ticket, and
/// rustls let go at their end.
fn handshakes() -> Result<Duration, Problem> {
    let made = rcgen::generate_simple_self_signed(["push.example.org".to_owned()])?;
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let shown = Certificates::new(certificate.as_bytes(), key.as_bytes())?;
    let keys = TicketKeys::new(Wall(0), &mut |bytes| bytes.fill(7));
    let tickets = Some(Tickets::new(&keys, shown.clone()));
    let server = server_config(&shown, &ServerOptions { tickets, slim: true, ..ServerOptions::default() });
    let device = device_config(
        &Trust::Insecure,
        DeviceOptions { resuming: Resuming::Never, ..DeviceOptions::default() },
    )?;
    let mut taken = Duration::ZERO;
    for _ in 0..HANDSHAKES {
        let mut theirs = Tls::connect(&device, ServerName::try_from("push.example.org")?)?;
        let (mut up, mut down, mut words) = (Vec::new(), Vec::new(), Vec::new());
        theirs.read(&mut [], &mut words, &mut up)?;
        let start = clock_gettime(ClockId::ThreadCPUTime);
        let mut ours = Tls::accept(&server)?;
        ours.read(&mut up, &mut words, &mut down)?;
        taken += since(start);
        up.clear();
        theirs.read(&mut down, &mut words, &mut up)?;
        let start = clock_gettime(ClockId::ThreadCPUTime);
        ours.read(&mut up, &mut words, &mut down)?;
        taken += since(start);
        assert!(!ours.is_handshaking() && !ours.is_resumed());
    }
    Ok(taken)
}

/// This thread's processor time since then.
fn since(start: Timespec) -> Duration {
    let time = |spec: Timespec| Duration::new(spec.tv_sec as u64, spec.tv_nsec as u32);
    time(clock_gettime(ClockId::ThreadCPUTime)) - time(start)
}

fn exchange(socket: &mut TcpStream) -> std::io::Result<()> {
    socket.write_all(&[7; KEEPALIVE_BYTES])?;
    socket.read_exact(&mut [0; KEEPALIVE_BYTES])
}

/// Killed when it is dropped.
struct Echo(Child);

impl Drop for Echo {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start() -> Result<(Echo, SocketAddr), Problem> {
    let mut child = Command::new(std::env::current_exe()?).arg("echo").stdout(Stdio::piped()).spawn()?;
    let mut said = child.stdout.take().expect("piped");
    let echo = Echo(child);
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let mut byte = [0];
        said.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    Ok((echo, String::from_utf8(line)?.trim().parse()?))
}
