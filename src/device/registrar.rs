//! Asks the server's HTTP API for apps' tokens, or has them die, one request after the other on a thread of
//! its own. What the server gave is kept, for apps that ask while the network is gone.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::base::{AppId, Credential, DeviceId};
use crate::files::write_whole;
use crate::http::{Api, AskError, Request};
use crate::service::app::AppName;

/// Requests that wait, at most: all apps of a phone register within the first minute after a start.
const WAITING_MAX: usize = 256;
/// Apps of one package whose tokens are kept: a package has a handful, and its programs could register any number.
/// What is not kept is only not there while the server is not reached. Packages need no bound: only apps that are
/// installed get here, and no program makes itself a package.
const KEPT_PER_PACKAGE_MAX: usize = 16;
/// Tokens are capabilities.
const FILE_MODE: u32 = 0o600;

/// What an app wants of its registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The token of the app on this device.
    DeviceToken,
    /// The token of the app on all devices of this user.
    UserToken,
    /// No token any more.
    Unregister,
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistrationError {
    /// No server is known to ask.
    #[error("no server is configured")]
    NoServer,
    /// Too many ask at once.
    #[error("too many registrations at once")]
    Busy,
    /// The server was not reached.
    #[error("unable to request registration: {0}")]
    Unreachable(String),
    /// The server has a problem.
    #[error("bad server")]
    Server,
    /// The server does not believe that this is the device.
    #[error("bad auth")]
    Unauthorized,
    /// The server does not take the request.
    #[error("bad request")]
    Refused,
    /// The server answered without the token.
    #[error("bad token")]
    NoToken,
}

/// Whom to ask, and in whose name.
pub struct Registry {
    /// The server's API, if one is known.
    pub api: Option<Api>,
    /// This device.
    pub device: DeviceId,
    /// What it proves that with; deployed servers need none.
    pub credential: Option<Credential>,
    /// Where tokens are kept.
    pub file: PathBuf,
}

/// Takes requests. Its thread ends with it.
pub struct Registrar(SyncSender<Job>);

struct Job {
    app: AppId,
    wish: Wish,
    told: Told,
}

type Told = Box<dyn FnOnce(Result<String, RegistrationError>) + Send>;

/// The tokens of one app.
#[derive(Clone, Serialize, Deserialize)]
struct Tokens {
    token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_token: Option<String>,
    /// The greater, the later they were asked for; what earlier versions kept has none.
    #[serde(default)]
    turn: u64,
}

impl Registrar {
    /// Begins to take requests.
    pub fn start(registry: Registry) -> io::Result<Registrar> {
        let (sender, jobs) = sync_channel(WAITING_MAX);
        thread::Builder::new().name("registrar".into()).spawn(move || registry.work(&jobs))?;
        Ok(Registrar(sender))
    }

    /// Asks in the app's name; `told` hears the token, or nothing but that it is done, on another thread.
    pub fn ask(
        &self,
        app: AppId,
        wish: Wish,
        told: impl FnOnce(Result<String, RegistrationError>) + Send + 'static,
    ) {
        if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) =
            self.0.try_send(Job { app, wish, told: Box::new(told) })
        {
            (job.told)(Err(RegistrationError::Busy));
        }
    }
}

impl Registry {
    fn work(mut self, jobs: &Receiver<Job>) {
        let mut kept = self.load();
        for Job { app, wish, told } in jobs {
            told(self.answer(&mut kept, &app, wish));
        }
    }

    fn answer(
        &mut self,
        kept: &mut BTreeMap<String, Tokens>,
        app: &AppId,
        wish: Wish,
    ) -> Result<String, RegistrationError> {
        if wish == Wish::Unregister {
            self.post::<IgnoredAny>("/unregister", app)?;
            kept.remove(app.as_str());
            self.store(kept);
            return Ok(String::new());
        }
        let tokens = match (self.post::<Tokens>("/register", app), kept.get(app.as_str())) {
            (Ok(tokens), _) => tokens,
            (Err(RegistrationError::Unreachable(_)), Some(known)) => known.clone(),
            (Err(error), _) => return Err(error),
        };
        keep(kept, app, tokens.clone());
        self.store(kept);
        match wish {
            Wish::UserToken => tokens.user_token.ok_or(RegistrationError::NoToken),
            _ => Ok(tokens.token),
        }
    }

    fn post<T: DeserializeOwned>(&self, path: &str, app: &AppId) -> Result<T, RegistrationError> {
        let api = self.api.as_ref().ok_or(RegistrationError::NoServer)?;
        let body = json!({ "deviceid": self.device.as_str(), "appid": app.as_str() }).to_string();
        let credential = self.credential.as_ref().map(Credential::reveal);
        let request = Request { method: "POST", path, bearer: credential.as_deref(), body: Some(body) };
        api.ask_for(&request).map_err(|error| {
            log::warn!("{}{path} for {app}: {error}", api.base());
            RegistrationError::from(error)
        })
    }

    /// What cannot be read is asked for again.
    fn load(&self) -> BTreeMap<String, Tokens> {
        let text = fs::read(&self.file).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn store(&self, kept: &BTreeMap<String, Tokens>) {
        let text = serde_json::to_vec(kept).expect("plain data");
        if let Err(error) = write_whole(&self.file, &text, FILE_MODE) {
            log::warn!("{}: {error}", self.file.display());
        }
    }
}

/// Keeps an app's tokens. Those of its package that were asked for longest ago make room: an app that registers by
/// an id with its version has another one after each update, and asks by the earlier ones no more.
fn keep(kept: &mut BTreeMap<String, Tokens>, app: &AppId, tokens: Tokens) {
    let last = kept.values().map(|tokens| tokens.turn).max().unwrap_or_default();
    kept.insert(app.to_string(), Tokens { turn: last.saturating_add(1), ..tokens });
    let owner = AppName::owner(app);
    let is_of_owner = |id: &str| id.parse().is_ok_and(|id| AppName::owner(&id) == owner);
    let theirs = kept.iter().filter(|(id, _)| is_of_owner(id));
    let mut theirs: Vec<(u64, String)> = theirs.map(|(id, tokens)| (tokens.turn, id.clone())).collect();
    theirs.sort();
    let surplus = theirs.len().saturating_sub(KEPT_PER_PACKAGE_MAX);
    for (_, id) in theirs.drain(..surplus) {
        kept.remove(&id);
    }
}

impl From<AskError> for RegistrationError {
    fn from(error: AskError) -> RegistrationError {
        match error {
            AskError::Refused { status: 500.., .. } => RegistrationError::Server,
            AskError::Refused { status: 401, .. } => RegistrationError::Unauthorized,
            AskError::Refused { .. } => RegistrationError::Refused,
            AskError::Answer(_) => RegistrationError::NoToken,
            error => RegistrationError::Unreachable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Ipv4Addr, TcpListener};
    use std::path::Path;
    use std::sync::mpsc::channel;

    use super::*;

    /// An API that answers each of its connections in turn, and then is gone.
    fn api(answers: &'static [&'static str]) -> Api {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().expect("somebody asks");
                let mut asked = Vec::new();
                while !asked.ends_with(b"}") {
                    let mut bytes = [0; 1024];
                    let count = stream.read(&mut bytes).expect("connected");
                    asked.extend_from_slice(&bytes[..count]);
                }
                stream.write_all(answer.as_bytes()).expect("connected");
            }
        });
        Api::new(&base, None).expect("a base")
    }

    fn registry(answers: &'static [&'static str], folder: &Path) -> Registry {
        Registry {
            api: Some(api(answers)),
            device: "phone".parse().expect("an id"),
            credential: None,
            file: folder.join("tokens.json"),
        }
    }

    fn ask(registrar: &Registrar, wish: Wish) -> Result<String, RegistrationError> {
        ask_for(registrar, "chatter.alice_chatter", wish)
    }

    fn ask_for(registrar: &Registrar, app: &str, wish: Wish) -> Result<String, RegistrationError> {
        let (sender, answer) = channel();
        let told = move |outcome| sender.send(outcome).expect("somebody waits");
        registrar.ask(app.parse().expect("an id"), wish, told);
        answer.recv().expect("it is told")
    }

    fn register(registrar: &Registrar, app: &str) -> Result<String, RegistrationError> {
        ask_for(registrar, app, Wish::DeviceToken)
    }

    const BOTH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{\"token\":\"t\",\"user_token\":\"u\"}";
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

    #[test]
    fn tokens_come_from_the_server_and_while_it_is_gone_from_what_was_kept() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let registrar = Registrar::start(registry(&[BOTH, BOTH], folder.path())).expect("a thread");
        assert_eq!(ask(&registrar, Wish::DeviceToken), Ok("t".into()));
        assert_eq!(ask(&registrar, Wish::UserToken), Ok("u".into()));
        let registrar = Registrar::start(registry(&[], folder.path())).expect("a thread");
        assert_eq!(ask(&registrar, Wish::UserToken), Ok("u".into()));
        let gone = ask(&registrar, Wish::Unregister).expect_err("nobody is told of it");
        assert!(gone.to_string().starts_with("unable to request registration: "), "{gone}");
    }

    #[test]
    fn of_a_packages_many_apps_the_tokens_asked_for_last_are_kept() {
        const ANSWERS: [&str; KEPT_PER_PACKAGE_MAX + 4] = [BOTH; KEPT_PER_PACKAGE_MAX + 4];
        let folder = tempfile::tempdir().expect("a temporary folder");
        let registrar = Registrar::start(registry(&ANSWERS, folder.path())).expect("a thread");
        let version = |number: usize| format!("ab_app_{number}");
        let others = ["other_app".to_owned(), "_ab".to_owned()];
        let asked = others.iter().cloned().chain((0..KEPT_PER_PACKAGE_MAX).map(version));
        for app in asked.chain([version(0), version(KEPT_PER_PACKAGE_MAX)]) {
            assert_eq!(register(&registrar, &app), Ok("t".into()), "{app}");
        }
        let registrar = Registrar::start(registry(&[], folder.path())).expect("a thread");
        let made_room = register(&registrar, &version(1));
        assert!(matches!(made_room, Err(RegistrationError::Unreachable(_))), "{made_room:?}");
        let stay = (2..=KEPT_PER_PACKAGE_MAX).map(version).chain([version(0)]);
        for app in stay.chain(others) {
            assert_eq!(register(&registrar, &app), Ok("t".into()), "{app}");
        }
    }

    #[test]
    fn a_file_that_has_grown_too_large_shrinks() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let earlier = |number: usize| (format!("ab_app{number}"), json!({ "token": "t" }));
        let earlier: serde_json::Map<_, _> = (0..10 * KEPT_PER_PACKAGE_MAX).map(earlier).collect();
        let registry = registry(&[BOTH], folder.path());
        let file = registry.file.clone();
        fs::write(&file, serde_json::Value::from(earlier).to_string()).expect("written");
        let registrar = Registrar::start(registry).expect("a thread");
        assert_eq!(register(&registrar, "ab_more"), Ok("t".into()));
        let kept: BTreeMap<String, Tokens> =
            serde_json::from_slice(&fs::read(file).expect("stored")).expect("tokens");
        assert!(kept.len() == KEPT_PER_PACKAGE_MAX && kept.contains_key("ab_more"));
    }

    #[test]
    fn a_token_that_died_is_not_kept() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let registrar = Registrar::start(registry(&[BOTH, OK], folder.path())).expect("a thread");
        assert_eq!(ask(&registrar, Wish::DeviceToken), Ok("t".into()));
        assert_eq!(ask(&registrar, Wish::Unregister), Ok(String::new()));
        assert!(matches!(ask(&registrar, Wish::DeviceToken), Err(RegistrationError::Unreachable(_))));
    }

    const REFUSALS: [&str; 4] = [
        "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    ];

    #[test]
    fn refusals_have_the_names_that_apps_know() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let registrar = Registrar::start(registry(&REFUSALS, folder.path())).expect("a thread");
        for expected in ["bad server", "bad auth", "bad request", "bad token"] {
            assert_eq!(ask(&registrar, Wish::DeviceToken).expect_err("refused").to_string(), expected);
        }
    }
}
