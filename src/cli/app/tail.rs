//! `app tail`: waits for what comes to an app's mailbox, and prints it.

use std::io::{self, ErrorKind, Write};
use std::process;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::base::AppId;
use crate::cli::Failure;
use crate::device::bus::Caller;

/// Prints the app's messages, one JSON a line, until a signal comes, nobody reads, or the service goes.
pub fn run(caller: &Caller, app: &AppId) -> Result<(), Failure> {
    let printing = Arc::new(Mutex::new(()));
    end_on_signals(printing.clone())?;
    // Listens first: what came before is in the mailbox, and what comes from now on is heard.
    let posts = caller.posts(app)?;
    for () in std::iter::once(()).chain(posts) {
        let _whole = printing.lock().unwrap_or_else(PoisonError::into_inner);
        if !print(&caller.pop_all(app)?)? {
            return Ok(());
        }
    }
    Err(Failure::Run("the bus has gone, and the push service with it".into()))
}

/// A signal ends the process, but not between the mailbox and the terminal, where messages would be lost.
fn end_on_signals(printing: Arc<Mutex<()>>) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || {
        signals.forever().next();
        let _whole = printing.lock().unwrap_or_else(PoisonError::into_inner);
        process::exit(0);
    });
    Ok(())
}

/// Whether somebody still reads.
fn print(lines: &[String]) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    let written = lines.iter().try_for_each(|line| writeln!(out, "{line}"));
    match written.and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Run(format!("cannot write to stdout: {error}"))),
    }
}
