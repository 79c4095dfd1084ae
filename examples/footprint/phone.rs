//! A phone: a bus of its own, a notification server that shows nothing and says when, the push service, and the
//! server that it is enrolled at.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use hdrhistogram::Histogram;
use lomiri_push::base::AppId;
use lomiri_push::device::bus::{Address, Caller};
use lomiri_push::http::{Api, Request};
use serde_json::{Value, json};
use tempfile::TempDir;
use zbus::blocking::connection::Builder;

use crate::outside::PATIENCE;
use crate::outside::enrolment::enrol;
use crate::outside::server::{Listening, Server};
use crate::private_bus::PrivateBus;

const APP: &str = "_chatter";
/// What the app's helper does: nothing.
const HELPER: &str = "#!/bin/sh\nexec cat \"$1\" > \"$2\"\n";
/// What the server's configuration says: messages are posted as fast as they are shown.
const NO_RATES: &str = "token_rate_per_minute = 0\napp_rate_per_minute = 0\nuser_rate_per_minute = 0\n";
/// The path and the name of a notification server.
const DESKTOP: (&str, &str) = ("/org/freedesktop/Notifications", "org.freedesktop.Notifications");

/// Who makes notifications of messages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Helping {
    /// The app's helper.
    Helper,
    /// The message is one.
    Simulated,
}

/// A phone and its server.
pub struct Phone {
    folder: TempDir,
    program: PathBuf,
    bus: PrivateBus,
    bubbles: Receiver<Instant>,
    _desktop: zbus::blocking::Connection,
    server: Server,
    listening: Listening,
}

/// A push service that runs. Killed when it is dropped.
pub struct Service(Child);

impl Phone {
    /// A phone with `program`, enrolled at a server that is this program.
    pub fn new(program: &Path) -> Result<Phone, String> {
        let bus = PrivateBus::start().ok_or("dbus-daemon is needed")?;
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let place = folder.path().join("server");
        let mut server = Server::start(&own, &place, NO_RATES);
        let listening = server.listening(&place)?;
        enrol(program, &listening, &place, "carol", &folder.path().join("state"))?;
        let (desktop, bubbles) = desktop(&bus).map_err(|error| error.to_string())?;
        let program = program.to_owned();
        let phone = Phone { folder, program, bus, bubbles, _desktop: desktop, server, listening };
        phone.install().map_err(|error| error.to_string())?;
        Ok(phone)
    }

    /// The app and its helper are there, and it is known where the server's API is.
    fn install(&self) -> std::io::Result<()> {
        let (helper, folder) = (self.path("helper"), self.path("data/lomiri-push/helpers"));
        fs::write(&helper, HELPER)?;
        fs::set_permissions(&helper, fs::Permissions::from_mode(0o755))?;
        fs::create_dir_all(&folder)?;
        fs::create_dir_all(self.path("config/lomiri-push"))?;
        let api = format!("api = \"http://{}\"\n", self.listening.http);
        fs::write(self.path("config/lomiri-push/device.toml"), api)?;
        fs::write(folder.join(format!("{APP}.json")), json!({ "exec": helper }).to_string())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the push service, and waits until it is connected.
    pub fn start(&self, helping: Helping) -> Result<Service, String> {
        let mut command = Command::new(&self.program);
        command.arg("device").arg("--state").arg(self.path("state"));
        command.args((helping == Helping::Simulated).then_some("--simulate"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.folder.path());
        command.env("XDG_DATA_HOME", self.path("data")).env("XDG_CONFIG_HOME", self.path("config"));
        command.env("DBUS_SESSION_BUS_ADDRESS", self.bus.address());
        command.env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", self.path("none").display()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| format!("{}: {error}", self.program.display()))?;
        let mut service = Service(child);
        service.await_connection()?;
        Ok(service)
    }

    /// How long each of so many messages takes from its post to its bubble, in microseconds.
    pub fn times_to_bubble(&self, messages: usize) -> Result<Histogram<u64>, String> {
        let app: AppId = APP.parse().expect("an id");
        let caller =
            Caller::connect(&Address::At(self.bus.address().into())).map_err(|error| error.to_string())?;
        let token = caller.register(&app).map_err(|error| error.to_string())?;
        let mut times = Histogram::new_with_max(PATIENCE.as_micros() as u64, 3).expect("a range");
        for number in 0..messages {
            let text = format!("message {number}");
            let posted = Instant::now();
            self.post(&token, &json!({ "summary": "Bob", "body": text, "popup": true }))?;
            let shown = self.bubbles.recv_timeout(PATIENCE).map_err(|_| "no bubble was shown")?;
            times.saturating_record((shown - posted).as_micros() as u64);
        }
        Ok(times)
    }

    /// Ends the server in order.
    pub fn end(mut self) -> Result<(), String> {
        self.server.terminate()
    }

    /// Ends the server: what it has said.
    pub fn log(self) -> String {
        self.server.end().join("\n")
    }

    /// Chatter's server has something to show.
    fn post(&self, token: &str, card: &Value) -> Result<(), String> {
        let api = Api::new(&format!("http://{}", self.listening.http), None).expect("this machine");
        let body = json!({
            "token": token,
            "appid": APP,
            "expire_on": "2100-01-01T00:00:00Z",
            "data": { "notification": { "card": card } },
        });
        let request = Request { method: "POST", path: "/notify", bearer: None, body: Some(body.to_string()) };
        api.ask_for::<Value>(&request).map(drop).map_err(|error| format!("POST /notify: {error}"))
    }
}

impl Service {
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    fn await_connection(&mut self) -> Result<(), String> {
        let mut log = Vec::new();
        let mut lines = BufReader::new(self.0.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let is_connected = lines.any(|line| {
            log.push(line);
            log.last().is_some_and(|line| line.contains("connected to "))
        });
        // What else it logs must not make it wait.
        thread::spawn(move || lines.for_each(drop));
        is_connected.then_some(()).ok_or_else(|| format!("the push service ended: {}", log.join("\n")))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Takes bubbles and tells when each came.
struct Desktop(mpsc::Sender<Instant>);

#[zbus::interface(name = "org.freedesktop.Notifications")]
impl Desktop {
    fn get_capabilities(&self) -> Vec<&str> {
        vec!["body", "actions"]
    }

    fn close_notification(&self, _bubble: u32) {}

    #[expect(clippy::too_many_arguments, reason = "this is its shape")]
    fn notify(
        &self,
        _app: &str,
        _replaces: u32,
        _icon: &str,
        _summary: &str,
        _body: &str,
        _actions: Vec<String>,
        _hints: std::collections::HashMap<String, zbus::zvariant::OwnedValue>,
        _expire_ms: i32,
    ) -> u32 {
        let now = Instant::now();
        // Whoever asked may have gone.
        let _ = self.0.send(now);
        1
    }
}

fn desktop(bus: &PrivateBus) -> zbus::Result<(zbus::blocking::Connection, Receiver<Instant>)> {
    let (sender, bubbles) = mpsc::channel();
    let (path, name) = DESKTOP;
    let builder = Builder::address(bus.address())?.serve_at(path, Desktop(sender))?.name(name)?;
    Ok((builder.build()?, bubbles))
}
