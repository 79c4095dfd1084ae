//! The floor: what a plain epoll program without TLS, sessions or a queue spends to move the bytes of a keepalive over as
//! many sockets. What the push server spends beyond it, by `lomiri-push swarm` on the same machine, is its own.
//!
//! ```text
//! cargo run --release --example bare -- --sockets 10000
//! ```

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clap::{Parser, Subcommand};
use lomiri_push::swarm::{Gauge, raise_limit};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use serde_json::json;

/// A record of TLS 1.3 with one byte in it.
const KEEPALIVE_BYTES: usize = 23;
/// Echoes one after the other.
const SINGLE: usize = 20_000;

#[derive(Parser)]
#[command(about = "Measures what sockets alone cost, for keepalives and connects")]
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
    let us = |from: Duration, to: Duration, count: usize| (to - from).as_secs_f64() * 1e6 / count as f64;
    let connect_us = us(start, connected, arguments.sockets);
    let saturated_us = us(connected, saturated, arguments.sockets * arguments.rounds);
    let single_us = us(saturated, single, SINGLE);
    if arguments.json {
        println!(
            "{}",
            json!({ "connect_us": connect_us, "saturated_us": saturated_us, "single_us": single_us })
        );
    } else {
        println!("processor time for each accept with one echo   {connect_us:>8.1} µs");
        println!("… for each echo, when all come at once         {saturated_us:>8.1} µs");
        println!("… for each echo, when they come singly         {single_us:>8.1} µs");
    }
    Ok(())
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
