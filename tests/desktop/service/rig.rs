//! One phone: its push service as a process, its bus, and the server that it is enrolled at.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use zbus::blocking::connection::Builder;
use zbus::blocking::{Connection, MessageIterator};
use zbus::zvariant::{DynamicType, Type};

use crate::fake::{Answer, Call, Fake};
use crate::outside::PATIENCE;
use crate::outside::enrolment::{code_for, enrol};
use crate::outside::server::{Listening, Server};
use crate::private_bus::PrivateBus;

pub const APP: &str = "_chatter";
const PROGRAM: &str = env!("CARGO_BIN_EXE_lomiri-push");
/// Programs outside packages have this path.
const POSTAL_PATH: &str = "/com/lomiri/Postal/_";

/// A phone and its server.
pub struct Phone {
    folder: TempDir,
    server: Option<Server>,
    pub listening: Listening,
    pub bus: PrivateBus,
    /// An app's connection.
    pub app: Connection,
    signals: Receiver<()>,
}

/// A push service that runs. Killed when it is dropped.
pub struct Service {
    child: Child,
    lines: Receiver<String>,
    log: Vec<String>,
}

impl Phone {
    /// Carol's, enrolled. `None` where there is no `dbus-daemon`.
    pub fn new() -> Option<Phone> {
        let phone = Phone::at_server("")?;
        let (program, place) = (Path::new(PROGRAM), phone.path("server"));
        enrol(program, &phone.listening, &place, "carol", &phone.path("state")).expect("a code is good");
        phone.configure("");
        Some(phone)
    }

    /// A code for another device of Carol's.
    pub fn enrolment_code(&self) -> String {
        code_for(&self.listening, &self.path("server"), "carol").expect("the operator may")
    }

    /// One as it is sold, which has the existing service's configuration, at a server that believes everybody
    /// and names itself.
    pub fn as_deployed() -> Option<Phone> {
        let mut phone = Phone::at_server("")?;
        let devices = &phone.listening.devices.addr;
        phone.restart_server(&format!("device_auth = \"open\"\ndelivery_hosts = [\"{devices}\"]"));
        let base = format!("http://{}", phone.listening.http);
        let certificate = phone.path("server/data/certificate.pem");
        phone.configure_as_deployed(&json!({
            "addr": format!("{base}/delivery-hosts"), "registration_url": base, "cert_pem_file": certificate,
            "connect_timeout": "20s", "exchange_timeout": "30s", "hosts_cache_expiry": "12h", "poll_interval": "5m",
        }));
        Some(phone)
    }

    /// The existing service is configured so.
    pub fn configure_as_deployed(&self, config: &Value) {
        let folder = self.path("config/lomiri-push-service");
        fs::create_dir_all(&folder).expect("a writable folder");
        fs::write(folder.join("config.json"), config.to_string()).expect("a writable folder");
    }

    fn at_server(configuration: &str) -> Option<Phone> {
        let bus = PrivateBus::start()?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = folder.path().join("server");
        let mut server = Server::start(Path::new(PROGRAM), &place, configuration);
        let listening = server.listening(&place).expect("the server starts");
        let app = Builder::address(bus.address()).and_then(Builder::build).expect("a bus");
        let (sender, signals) = mpsc::channel();
        on_post_signals(&app, move || sender.send(()).is_ok());
        Some(Phone { folder, server: Some(server), listening, bus, app, signals })
    }

    /// Its server goes down in order and comes back, with these lines in its configuration.
    pub fn restart_server(&mut self, configuration: &str) {
        let mut server = self.server.take().expect("it is there until the end");
        server.terminate().expect("it ends in order");
        let place = self.path("server");
        let http = self.listening.http.to_string();
        let addresses = [&http, self.listening.devices.addr.as_str()];
        let mut server = Server::start_at(Path::new(PROGRAM), &place, addresses, configuration);
        server.listening(&place).expect("the server starts");
        self.server = Some(server);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Its push service is configured so, and knows where the API is.
    pub fn configure(&self, more: &str) {
        let folder = self.path("config/lomiri-push");
        fs::create_dir_all(&folder).expect("a writable folder");
        let api = format!("api = \"http://{}\"\n", self.listening.http);
        fs::write(folder.join("device.toml"), api + more).expect("a writable folder");
    }

    /// The app is there from now on, with a shell script for its helper.
    pub fn install(&self, script: &str) {
        let helper = self.path("helper");
        // Another one may run: it is replaced, not written to.
        let _ = fs::remove_file(&helper);
        fs::write(&helper, format!("#!/bin/sh\n{script}\n")).expect("a writable folder");
        fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).expect("ours");
        self.install_naming(&helper);
    }

    /// The app is there, and this is said to be its helper.
    pub fn install_naming(&self, helper: &Path) {
        let folder = self.path("data/lomiri-push/helpers");
        fs::create_dir_all(&folder).expect("a writable folder");
        fs::write(folder.join(format!("{APP}.json")), json!({ "exec": helper }).to_string())
            .expect("writable");
    }

    /// The command that starts its push service.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(&["device"]);
        command.arg("--state").arg(self.path("state")).args(arguments);
        command
    }

    /// The program, with nothing of this machine's own.
    pub fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.folder.path()).env("RUST_LOG", "lomiri_push=info");
        for (name, place) in [("DATA", "data"), ("CACHE", "cache"), ("CONFIG", "config")] {
            command.env(format!("XDG_{name}_HOME"), self.path(place));
            command.env(format!("XDG_{name}_DIRS"), self.path("none"));
        }
        command.env("DBUS_SESSION_BUS_ADDRESS", self.bus.address());
        command.env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", self.path("none").display()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Starts its push service, and waits until it is connected.
    pub fn start(&self) -> Service {
        let mut service = Service::spawn(&mut self.command(&[]));
        service.await_line("connected to ");
        service
    }

    /// A service of the phone's system on its bus.
    pub fn service(&self, name: &str, answer: impl FnMut(&Call) -> Answer + Send + 'static) -> Fake {
        Fake::start(self.bus.address(), &[name], answer)
    }

    /// Calls about the app.
    pub fn call<T: DeserializeOwned + Type>(&self, method: &str) -> T {
        self.call_with(method, &(APP,))
    }

    /// Calls with this.
    pub fn call_with<T: DeserializeOwned + Type>(
        &self,
        method: &str,
        body: &(impl Serialize + DynamicType),
    ) -> T {
        let (name, path) = match method {
            "Register" | "RegisterUser" | "Unregister" => {
                ("com.lomiri.PushNotifications", "/com/lomiri/PushNotifications/_")
            }
            _ => ("com.lomiri.Postal", POSTAL_PATH),
        };
        let answer = self.app.call_method(Some(name), path, Some(name), method, body).expect(method);
        answer.body().deserialize().expect("the documented type")
    }

    /// A call to the app's mailbox with these arguments, whatever they are; the error's name.
    pub fn fails(&self, path: &str, method: &str, body: &(impl Serialize + DynamicType)) -> String {
        let name = "com.lomiri.Postal";
        match self.app.call_method(Some(name), path, Some(name), method, body) {
            Err(zbus::Error::MethodError(name, ..)) => name.to_string(),
            other => panic!("{method} at {path}: {other:?}"),
        }
    }

    /// The app's server posts this.
    pub fn post(&self, token: &str, data: &Value) {
        let body = json!({ "token": token, "appid": APP, "expire_on": "2100-01-01T00:00:00Z", "data": data });
        let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).proxy(None).build();
        let request = ureq::Agent::from(config).post(format!("http://{}/notify", self.listening.http));
        request.content_type("application/json").send(body.to_string()).expect("it is taken");
    }

    /// Waits until the app is told that there is something.
    pub fn await_post(&self) {
        self.signals.recv_timeout(PATIENCE).expect("the signal Post");
    }

    /// Waits until these are the tags of what the app has in the shade.
    pub fn await_tags(&self, tags: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        while self.call::<Vec<String>>("ListPersistent") != tags {
            assert!(Instant::now() < deadline, "{tags:?} are not listed");
        }
    }

    pub fn pop(&self) -> Vec<Value> {
        self.try_pop().expect("PopAll")
    }

    /// What the app's mailbox gives; nothing if the service dies before it answers.
    pub fn try_pop(&self) -> Option<Vec<Value>> {
        let name = "com.lomiri.Postal";
        let answer = self.app.call_method(Some(name), POSTAL_PATH, Some(name), "PopAll", &(APP,)).ok()?;
        let texts: Vec<String> = answer.body().deserialize().expect("the documented type");
        Some(texts.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect())
    }
}

/// The server ends in order, or tells what it has to say of a test that failed.
impl Drop for Phone {
    fn drop(&mut self) {
        let mut server = self.server.take().expect("it is there until here");
        match thread::panicking() {
            true => eprintln!("the server: {:#?}", server.end()),
            false => server.terminate().expect("it ends in order"),
        }
    }
}

impl Service {
    pub fn spawn(command: &mut Command) -> Service {
        let mut child = command.spawn().expect("the program runs");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Service { child, lines, log: Vec::new() }
    }

    /// Waits until it logs this.
    pub fn await_line(&mut self, part: &str) {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("it did not say `{part}`: {:#?}", self.log));
            let is_it = line.contains(part);
            self.log.push(line);
            if is_it {
                return;
            }
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop.
    pub fn ask_to_stop(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it runs");
    }

    /// Asks it to stop; how it ends.
    pub fn terminate(mut self) -> ExitStatus {
        self.ask_to_stop();
        self.end().0
    }

    /// Waits until it ends by itself: how, and all that it has logged.
    pub fn end(&mut self) -> (ExitStatus, String) {
        let status = self.child.wait().expect("ours");
        self.log.extend(self.lines.iter());
        (status, self.log.join("\n"))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Calls `tell` for each signal that tells the app of something, from now on, as long as somebody wants to know.
pub fn on_post_signals(app: &Connection, mut tell: impl FnMut() -> bool + Send + 'static) {
    let rule = format!(
        "type='signal',interface='com.lomiri.Postal',member='Post',path='{POSTAL_PATH}',arg0='{APP}'"
    );
    let signals = MessageIterator::for_match_rule(rule.as_str(), app, None).expect("a bus");
    thread::spawn(move || signals.map_while(Result::ok).take_while(|_| tell()).for_each(drop));
}
