//! `--reconnect`: one connection after the other, and the waits between them.

use super::hold;
use super::line::{self, Line};
use super::printer::{Printer, Stop};
use super::signals::Stopping;
use crate::cli::Failure;
use crate::device::lifeline::{Lifeline, Wait};
use crate::device::{ConnectError, Connection, Server, clock};
use crate::session::device::Event;

/// Stays connected, or tries to, until there is a reason to stop. Fails if no try could succeed.
pub fn stay(
    server: &Server,
    mut lifeline: Lifeline,
    printer: &mut Printer,
    stopping: &Stopping,
) -> Result<Stop, Failure> {
    loop {
        let opened = Connection::open(server, lifeline.options());
        let lived = match opened {
            Ok(connection) => live(connection, &mut lifeline, printer, stopping),
            Err(error @ ConnectError::Unreachable { .. }) => {
                let line = Line::Unreachable { reason: error.to_string() };
                printer.print(&line).map(|()| lifeline.unreachable(random()))
            }
            Err(error) => return Err(Failure::Run(error.to_string())),
        };
        match lived.and_then(|wait| printer.print(&line::waiting(wait)).map(|()| wait)) {
            Ok(wait) => clock::sleep_until(clock::now() + wait.duration),
            Err(stop) => return Ok(stop),
        }
    }
}

/// Prints what one connection brings; then how long to wait, or why to stop.
fn live(
    connection: Connection,
    lifeline: &mut Lifeline,
    printer: &mut Printer,
    stopping: &Stopping,
) -> Result<Wait, Stop> {
    let mut wait = None;
    let stop = hold(connection, printer, stopping, |event, session| match event {
        Event::Ended(reason) => wait = Some(lifeline.ended(reason, session, clock::now(), random())),
        event => lifeline.handle_event(event, session, clock::now()),
    });
    match (stop, wait) {
        (Stop::Ended, Some(wait)) => Ok(wait),
        (stop, _) => Err(stop),
    }
}

/// Anything in 0..1.
fn random() -> f64 {
    let bits = getrandom::u64().expect("the system has random numbers");
    // As many bits as the fraction of an f64 holds.
    (bits >> 11) as f64 / (1u64 << 53) as f64
}
