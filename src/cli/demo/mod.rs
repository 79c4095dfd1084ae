//! `demo`: Alice's Chatter, told from the outside. A real server process, two phones over real TLS, a
//! small app server over HTTP, and a hard kill in the middle. It ends well only if everything came
//! out as it should.

mod chatter;
mod http;
mod operator;
mod phone;
mod server;
mod story;
mod teller;

use std::time::Duration;
use std::{io, thread};

use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::Failure;
use server::Stage;
use teller::{Teller, Tone};

/// The longest wait for anything: ample on a busy machine, and one failure is told within 20 s.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How much of the server's log a failure shows, in lines.
const LOG_LINES_SHOWN: usize = 40;
/// What shells report for a process that Ctrl-C ended.
const STATUS_INTERRUPTED: i32 = 130;

/// Tells a story that shows it all, in seconds
///
/// Bob writes to Carol, who is online, offline, and back again; in between a message is replaced,
/// another one expires, and the server is killed hard. All on this machine, with a server process of
/// its own on free ports and data in a temporary folder, which is removed. Exit status 0 means that
/// every expectation held.
#[derive(clap::Args)]
pub struct Arguments {
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Clears the stage when the demo ends, however it does.
struct Curtain(Stage);

impl Drop for Curtain {
    fn drop(&mut self) {
        self.0.clear();
    }
}

/// Plays the story once.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let teller = Teller::new(arguments.json);
    let machine = |error: io::Error| Failure::Run(format!("the demo cannot begin: {error}"));
    let stage = Stage::new().map_err(machine)?;
    let _curtain = Curtain(stage.clone());
    clear_on_signal(stage.clone()).map_err(machine)?;
    match story::play(&stage, &teller) {
        Err(Failure::Run(reason)) => {
            let log = stage.log_tail(LOG_LINES_SHOWN);
            // The failure counts, not whether anyone could be told of it here.
            let _ = teller.tell("failed", Tone::Bad, &reason, &json!({ "ok": false, "reason": reason }));
            Err(Failure::Run(format!("{reason}\nThe end of the server's log:\n{log}")))
        }
        played => played.and_then(|()| teller.end()),
    }
}

fn clear_on_signal(stage: Stage) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            stage.clear_and_exit(STATUS_INTERRUPTED);
        }
    });
    Ok(())
}
