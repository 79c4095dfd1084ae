//! `demo`: Alice's Chatter, told from the outside. A real server process, the real push services of two phones with
//! their D-Bus, helpers and mailboxes, a small app server over HTTP, and two hard kills in the middle. It ends
//! well only if everything came out as it should.

mod apps;
mod bus;
mod chatter;
mod friend;
mod http;
mod operator;
mod phone;
mod said;
mod server;
mod stage;
mod story;
mod teller;

use std::time::Duration;
use std::{env, io, thread};

use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::Failure;
use phone::Screen;
use stage::Stage;
use teller::{Teller, Tone};

/// The longest wait for anything: ample on a busy machine, and short enough for who waits to hear of a failure.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// How much of each log a failure shows, in lines.
const LOG_LINES_SHOWN: usize = 20;
/// What shells report for a process that Ctrl-C ended.
const STATUS_INTERRUPTED: i32 = 130;

/// Tells a story that shows it all, in seconds
///
/// Bob writes to Carol, who is online, offline, and back again; in between a message is replaced,
/// another one expires, and the server and her push service are killed hard. All on this machine: a push server
/// on free ports, and for each of the two a push service with a D-Bus of its own, apps, and their helpers. What
/// they keep is in a temporary folder, which is removed. Exit status 0 means that every expectation held.
#[derive(clap::Args)]
pub struct Arguments {
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    /// Show the notifications on this desktop, instead of drawing them
    #[arg(long)]
    desktop: bool,
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
    let screen = if arguments.desktop { Screen::Desktop(session_bus()?) } else { Screen::Story };
    let teller = Teller::new(arguments.json);
    let machine = |error: io::Error| Failure::Run(format!("the demo cannot begin: {error}"));
    let stage = Stage::new().map_err(machine)?;
    let _curtain = Curtain(stage.clone());
    clear_on_signal(stage.clone()).map_err(machine)?;
    match story::play(&stage, &teller, &screen) {
        Err(Failure::Run(reason)) => {
            let logs = stage.log_tails(LOG_LINES_SHOWN);
            // The failure counts, not whether anyone could be told of it here.
            let _ = teller.tell("failed", Tone::Bad, &reason, &json!({ "ok": false, "reason": reason }));
            Err(Failure::Run(format!("{reason}\n{logs}")))
        }
        played => played.and_then(|()| teller.end()),
    }
}

/// The bus of the desktop's session.
fn session_bus() -> Result<String, Failure> {
    let address = env::var("DBUS_SESSION_BUS_ADDRESS").ok().filter(|address| !address.is_empty());
    address.ok_or_else(|| {
        Failure::Usage("--desktop: no desktop here (DBUS_SESSION_BUS_ADDRESS is not set)".into())
    })
}

fn clear_on_signal(stage: Stage) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            stage.clear_and_exit(STATUS_INTERRUPTED);
        }
    });
    Ok(())
}
