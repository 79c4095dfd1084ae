//! A friend's phone: a folder, a bus of its own, apps, and the real push service, which is this program run again
//! as `device`. Nothing of this machine's user is touched. What comes on the phone, it does not know.

use std::env;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::apps::{App, CHATTER, HELPED, SETTINGS};
use super::bus::Bus;
use super::said::Said;
use super::stage::{Pipes, Stage};
use super::{Failure, WAIT_MAX};
use crate::base::AppId;
use crate::device::bus::Caller;
use crate::device::daemon::Report;

/// What the phones are, and so which system broadcasts are for them: `CHANNEL/MODEL`.
pub const IMAGE: &str = "stable/pinephone";

/// How a push service tells that nobody shows its notification.
const NO_BUBBLE: &str = ": no bubble";

/// Where a phone shows its notifications.
#[derive(Clone)]
pub enum Screen {
    /// In the story.
    Story,
    /// On the desktop of the session bus at this address.
    Desktop(String),
}

/// A friend's phone.
pub struct Phone {
    stage: Stage,
    /// What the stage knows its push service by.
    name: String,
    place: PathBuf,
    screen: Screen,
    /// Where its apps find the push service.
    pub bus: Bus,
    /// What its push service has said, if it has run.
    voice: Option<Voice>,
}

/// A push service that runs.
struct Voice {
    log: Said,
    pictures: Said,
}

impl Phone {
    /// A new phone for `owner`, with the apps on it and the push service not yet running.
    pub fn new(stage: &Stage, owner: &str, api: SocketAddr, screen: Screen) -> Result<Phone, Failure> {
        let name = owner.to_lowercase();
        let place = stage.path(&name);
        let configuration = place.join("config/lomiri-push");
        fs::create_dir_all(&configuration)?;
        fs::write(configuration.join("device.toml"), configuration_for(api))?;
        for app in [CHATTER, SETTINGS] {
            app.install(&place.join("data"), owner)?;
        }
        let bus = Bus::start(stage, &format!("{name}-bus"), &place)?;
        Ok(Phone { stage: stage.clone(), name, place, screen, bus, voice: None })
    }

    /// Starts the push service, and has it trade this code for an identity; returns when the server has let it in.
    pub fn enrol(&mut self, code: &str) -> Result<(), Failure> {
        self.begin(&["--enrol", "-"], code)
    }

    /// Starts the push service; returns when the server has let it in.
    pub fn start(&mut self) -> Result<(), Failure> {
        self.begin(&[], "")
    }

    /// Waits until the server has let it in.
    pub fn wait_for_connection(&mut self) -> Result<(), Failure> {
        self.log()?.wait("] connected to ").map(drop)
    }

    /// Waits until it notices that the server is gone.
    pub fn wait_for_loss(&mut self) -> Result<(), Failure> {
        self.log()?.wait("] not connected: ").map(drop)
    }

    /// Waits until the helper of `app` has run.
    pub fn wait_for_helper(&mut self, app: &App) -> Result<(), Failure> {
        let line = self.log()?.wait(&format!("the helper of {}", app.id))?;
        match line.contains(HELPED) {
            true => Ok(()),
            false => Err(Failure::Run(format!("{} failed: {line}", app.name))),
        }
    }

    /// Waits until a notification with this text is on the screen; its picture, if that is this story's.
    pub fn wait_for_notification(&mut self, text: &str) -> Result<Option<String>, Failure> {
        if matches!(self.screen, Screen::Story) {
            return Ok(Some(self.voice()?.pictures.wait(text)?));
        }
        let line = self.log()?.wait("] notification ")?;
        match line.ends_with(NO_BUBBLE) {
            true => Err(Failure::Run("the desktop showed nothing: has it a notification server?".into())),
            false => Ok(None),
        }
    }

    /// What an app gets that is opened: all messages in its mailbox.
    pub fn open(&self, app: &App) -> Result<Vec<Value>, Failure> {
        let messages = self.caller()?.pop_all(&id(app))?;
        let read = |text: &String| serde_json::from_str(text);
        messages
            .iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map_err(|error| Failure::Run(format!("{}'s mailbox had {messages:?}: {error}", app.name)))
    }

    /// Asks for an app's token, as the app does.
    pub fn register(&self, app: &App) -> Result<String, Failure> {
        Ok(self.caller()?.register(&id(app))?)
    }

    /// What the push service says of itself.
    pub fn report(&self) -> Result<Report, Failure> {
        let text = self.caller()?.status()?;
        serde_json::from_str(&text).map_err(|error| Failure::Run(format!("{}: {text}: {error}", self.name)))
    }

    /// Switches the push service off. It must have shown no more than was waited for.
    pub fn stop(&mut self) -> Result<(), Failure> {
        self.stage.stop(&self.name)?;
        self.check_screen()
    }

    /// Kills the push service as a crash would. It must have shown no more than was waited for.
    pub fn kill(&mut self) -> Result<(), Failure> {
        self.stage.kill(&self.name)?;
        self.check_screen()
    }

    fn check_screen(&mut self) -> Result<(), Failure> {
        let Some(Voice { mut log, mut pictures }) = self.voice.take() else { return Ok(()) };
        let mut shown = pictures.rest();
        if matches!(self.screen, Screen::Desktop(_)) {
            shown.extend(log.rest().into_iter().filter(|line| line.contains("] notification ")));
        }
        match shown.is_empty() {
            true => Ok(()),
            false => Err(Failure::Run(format!("{} showed too much:\n{}", self.name, shown.concat()))),
        }
    }

    fn begin(&mut self, arguments: &[&str], input: &str) -> Result<(), Failure> {
        let mut command = self.command()?;
        let Pipes { stdin, stdout, stderr } = self.stage.start(&self.name, command.args(arguments))?;
        // If it has ended already, what it said tells more.
        let _ = stdin.expect("piped").write_all(input.as_bytes());
        let log = Said::lines(&self.name, stderr.expect("piped"), Some(self.stage.log(&self.name)?));
        let pictures = Said::paragraphs(&self.name, stdout.expect("piped"));
        self.voice = Some(Voice { log, pictures });
        self.wait_for_connection()
    }

    /// Nothing in its environment leads to what belongs to this machine or its user, but for the screen.
    fn command(&self) -> Result<Command, Failure> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["device", "--state"]).arg(self.place.join("state"));
        command.env_clear().env("PATH", env::var_os("PATH").unwrap_or_default());
        command.env("HOME", &self.place).env("RUST_LOG", "info,lomiri_push=debug");
        for (name, folder) in [("DATA", "data"), ("CONFIG", "config"), ("CACHE", "cache")] {
            command.env(format!("XDG_{name}_HOME"), self.place.join(folder));
            command.env(format!("XDG_{name}_DIRS"), self.place.join("none"));
        }
        command.env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", self.place.join("none").display()));
        self.bus.tell(&mut command);
        match &self.screen {
            Screen::Story => command.args(["--show", "terminal"]),
            Screen::Desktop(address) => command.args(["--desktop-bus", address]),
        };
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }

    fn voice(&mut self) -> Result<&mut Voice, Failure> {
        self.voice.as_mut().ok_or_else(|| Failure::Run(format!("{} is switched off", self.name)))
    }

    fn log(&mut self) -> Result<&mut Said, Failure> {
        Ok(&mut self.voice()?.log)
    }

    fn caller(&self) -> Result<Caller, Failure> {
        Ok(Caller::connect(&self.bus.address())?)
    }
}

/// The push service's. A helper may take as long as a busy machine lets it.
fn configuration_for(api: SocketAddr) -> String {
    let (settings, patience) = (SETTINGS.id, WAIT_MAX.as_secs());
    format!(
        "api = \"http://{api}\"\nwire = \"1\"\nimage = \"{IMAGE}\"\nsettings_app = \"{settings}\"\n\
         helper_timeout = \"{patience}s\"\n"
    )
}

fn id(app: &App) -> AppId {
    app.id.parse().expect("an id")
}
