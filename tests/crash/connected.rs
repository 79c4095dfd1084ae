//! A device that is a process of its own: `connect`, which acks what it has written to the file that is
//! its stdout, and which is killed at any moment and started again.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use jiff::Timestamp;
use lomiri_push::base::{Level, Payload};
use lomiri_push::session::device::{Broadcast, Message};
use serde::Deserialize;
use serde_json::Value;

use super::dice::Dice;
use super::ledger::Visit;
use super::phone::{IMAGE_CHANNEL, MODEL, Wire};
use super::players::Stage;
use super::shared::Shared;
use super::tail::Tail;

/// It is killed behind one line in so many.
const KILLS: u64 = 10;

/// A device that is played by `connect`.
pub struct Connected {
    name: String,
    wire: Wire,
    dice: Dice,
    /// Whether it is left alone.
    is_calm: bool,
    /// How often it was killed.
    pub kills: u32,
}

/// What `connect --json` writes.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line {
    Message {
        app: String,
        id: String,
        payload: Value,
    },
    Broadcast {
        channel: String,
        level: i64,
        payloads: Vec<Value>,
    },
    Ended {
        reason: String,
    },
    #[serde(other)]
    Other,
}

/// How one life of the process ended.
#[derive(PartialEq)]
enum Death {
    Killed,
    /// By itself: the server has gone, or should have.
    Ended,
}

/// One life of the process.
struct Life<'a> {
    device: &'a mut Connected,
    child: Child,
    visit: Visit,
    shared: &'a Shared,
    death: Death,
    /// What it said of its end.
    last_words: String,
}

impl Connected {
    pub fn new(name: &str, wire: Wire, dice: Dice) -> Connected {
        Connected { name: name.into(), wire, dice, is_calm: false, kills: 0 }
    }

    /// From here on it is not killed.
    pub fn calm_down(&mut self) {
        self.is_calm = true;
    }

    /// Is connected, in one life after the other, until the server goes.
    pub fn stay(&mut self, state: &Path, stage: &Stage<'_>) {
        loop {
            match self.live(state, stage) {
                Ok(Death::Killed) => {}
                Ok(Death::Ended) => return,
                Err(error) => return stage.shared.complain(format!("{}: {error}", self.name)),
            }
        }
    }

    fn live(&mut self, state: &Path, stage: &Stage<'_>) -> io::Result<Death> {
        let (visit, level) = stage.shared.with(|ledger| ledger.visit(&self.name, Timestamp::now()));
        // What one life writes is in the ledger before the next begins.
        let file = state.join("mailbox.jsonl");
        let output = File::create(&file)?;
        // It watches from before the process can write.
        let mut tail = Tail::new(&file)?;
        let child = self.command(state, stage, level).stdout(output).spawn()?;
        let (shared, last_words) = (stage.shared, "nothing".into());
        let mut life = Life { device: self, child, visit, shared, death: Death::Ended, last_words };
        while let Some(line) = tail.next_line()? {
            life.take(&line)?;
        }
        life.end()
    }

    fn command(&self, state: &Path, stage: &Stage<'_>, level: i64) -> Command {
        let wire = if self.wire == Wire::Zero { "0" } else { "1" };
        let mut command = Command::new(stage.program);
        command.args(["connect", "--json", "--wire", wire, "--addr", &stage.server.devices.addr]);
        command.args(["--channel", IMAGE_CHANNEL, "--model", MODEL, "--level", &level.to_string()]);
        command.arg("--state").arg(state);
        command.stdin(Stdio::null()).stderr(Stdio::null()).process_group(0);
        command
    }
}

impl Life<'_> {
    /// What is in the file is in the mailbox, whether or not it was acked.
    fn take(&mut self, line: &str) -> io::Result<()> {
        match serde_json::from_str(line)? {
            Line::Message { app, id, payload } => self.take_message(&app, &id, &payload),
            Line::Broadcast { channel, level, payloads } => self.take_news(&channel, level, &payloads),
            Line::Ended { reason } => self.last_words = reason,
            Line::Other => {}
        }
        if !self.device.is_calm && self.death == Death::Ended && self.device.dice.one_in(KILLS) {
            self.death = Death::Killed;
            self.device.kills += 1;
            // It may have ended by itself: then its next life finds the same.
            let _ = self.child.kill();
        }
        Ok(())
    }

    fn take_message(&mut self, app: &str, id: &str, payload: &Value) {
        let message = [Message {
            urgency: Default::default(),
            expires_in: None,
            app: app.parse().expect("printed from one"),
            id: id.parse().expect("printed from one"),
            payload: payload_of(payload),
        }];
        self.shared.with(|ledger| {
            ledger.came(&mut self.visit, &message);
            ledger.stored(&self.visit, &message);
        });
    }

    fn take_news(&mut self, channel: &str, level: i64, payloads: &[Value]) {
        let news = Broadcast {
            channel: channel.parse().expect("printed from one"),
            level: Level(level),
            payloads: payloads.iter().map(payload_of).collect(),
        };
        self.shared.with(|ledger| ledger.broadcast_came(&self.visit, &news));
    }

    fn end(mut self) -> io::Result<Death> {
        self.child.wait()?;
        if self.death == Death::Ended {
            let words = format!("`connect` ended, saying: {}", self.last_words);
            self.shared.failed(&self.device.name, &words);
        }
        Ok(self.death)
    }
}

fn payload_of(json: &Value) -> Payload {
    Payload::from_json(json.to_string().as_bytes()).expect("JSON")
}
