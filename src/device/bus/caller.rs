//! Calls the push service as an app does: what developers' tools and the demo use.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use zbus::MatchRule;
use zbus::blocking::{Connection, MessageIterator};
use zbus::message::{Message, Type as MessageType};
use zbus::zvariant::{DynamicType, Type};

use super::address::Address;
use super::names::{Facade, POSTAL, PUSH, STATUS_INTERFACE, STATUS_PATH};
use crate::base::AppId;
use crate::service::app::AppName;

/// Why a call to the push service brought nothing. `Display` says what to do about it.
#[derive(Debug, Error)]
pub enum CallerError {
    /// There is no bus.
    #[error("{address}: {error}: is there a D-Bus session? (dbus-run-session starts one)")]
    NoBus {
        /// Where it should be.
        address: Address,
        /// What went wrong.
        error: Box<zbus::Error>,
    },
    /// There is a bus, and no push service on it.
    #[error(
        "the push service is not running: start it (lomiri-push device, or systemctl --user start lomiri-push-device)"
    )]
    NotRunning,
    /// The app id is none.
    #[error(
        "{0}: not an app id: PACKAGE_APP or PACKAGE_APP_VERSION, or _NAME for the program of NAME.desktop"
    )]
    NotAnApp(AppId),
    /// The service refuses, and why.
    #[error("{0}")]
    Refused(String),
    /// The call did not go through.
    #[error("the push service does not answer: {0}")]
    Unanswered(Box<zbus::Error>),
}

/// The push service as an app sees it.
pub struct Caller {
    connection: Connection,
    is_peer: bool,
}

impl Caller {
    /// Connects to where the service is.
    ///
    /// # Errors
    /// [`CallerError::NoBus`]; [`CallerError::NotRunning`] where it has a socket of its own.
    pub fn connect(address: &Address) -> Result<Caller, CallerError> {
        let is_peer = matches!(address, Address::Peer(_));
        match address.connect() {
            Ok(connection) => Ok(Caller { connection, is_peer }),
            Err(_) if is_peer => Err(CallerError::NotRunning),
            Err(error) => Err(CallerError::NoBus { address: address.clone(), error: error.into() }),
        }
    }

    /// The app's token on this device.
    ///
    /// # Errors
    /// Of this and all below: [`CallerError`].
    pub fn register(&self, app: &AppId) -> Result<String, CallerError> {
        self.ask(&PUSH, app, "Register", &app.as_str())
    }

    /// The app's token on all of the user's devices.
    pub fn register_user(&self, app: &AppId) -> Result<String, CallerError> {
        self.ask(&PUSH, app, "RegisterUser", &app.as_str())
    }

    /// The app wants no more messages.
    pub fn unregister(&self, app: &AppId) -> Result<(), CallerError> {
        self.ask(&PUSH, app, "Unregister", &app.as_str())
    }

    /// Has the service do what a helper's output says.
    pub fn post(&self, app: &AppId, output: &str) -> Result<(), CallerError> {
        self.ask(&POSTAL, app, "Post", &(app.as_str(), output))
    }

    /// The JSON of each message in the app's mailbox, which is empty then.
    pub fn pop_all(&self, app: &AppId) -> Result<Vec<String>, CallerError> {
        self.ask(&POSTAL, app, "PopAll", &app.as_str())
    }

    /// The tags of the app's notifications that are to be seen.
    pub fn list_persistent(&self, app: &AppId) -> Result<Vec<String>, CallerError> {
        self.ask(&POSTAL, app, "ListPersistent", &app.as_str())
    }

    /// Clears the notifications with these tags; all, if there are none. How many went.
    pub fn clear_persistent(&self, app: &AppId, tags: &[String]) -> Result<u32, CallerError> {
        self.ask(&POSTAL, app, "ClearPersistentList", &(app.as_str(), tags))
    }

    /// Sets the number at the app's icon.
    pub fn set_counter(&self, app: &AppId, count: i32, is_visible: bool) -> Result<(), CallerError> {
        self.ask(&POSTAL, app, "SetCounter", &(app.as_str(), count, is_visible))
    }

    /// How the service does, as JSON.
    pub fn status(&self) -> Result<String, CallerError> {
        self.call(PUSH.name, STATUS_PATH, STATUS_INTERFACE, "Status", &())
    }

    /// The signals that `app`'s mailbox has something, from now on.
    pub fn posts(&self, app: &AppId) -> Result<Posts, CallerError> {
        let rule = self.posts_rule(app)?.map_err(|error| CallerError::Unanswered(error.into()))?;
        let signals = MessageIterator::for_match_rule(rule, &self.connection, None).map_err(failure)?;
        Ok(Posts { signals, app: app.clone() })
    }

    fn posts_rule(&self, app: &AppId) -> Result<zbus::Result<MatchRule<'static>>, CallerError> {
        let path = path(&POSTAL, app)?;
        let rule = || {
            let rule = MatchRule::builder().msg_type(MessageType::Signal).interface(POSTAL.name)?;
            let rule = rule.member("Post")?.path(path)?;
            // Others may send signals, too.
            Ok(if self.is_peer { rule } else { rule.sender(POSTAL.name)? }.build())
        };
        Ok(rule())
    }

    fn ask<A, B>(&self, facade: &Facade, app: &AppId, member: &str, body: &B) -> Result<A, CallerError>
    where
        A: DeserializeOwned + Type,
        B: Serialize + DynamicType,
    {
        self.call(facade.name, &path(facade, app)?, facade.name, member, body)
    }

    fn call<A, B>(
        &self,
        name: &str,
        path: &str,
        interface: &str,
        member: &str,
        body: &B,
    ) -> Result<A, CallerError>
    where
        A: DeserializeOwned + Type,
        B: Serialize + DynamicType,
    {
        let destination = (!self.is_peer).then_some(name);
        let reply = self.connection.call_method(destination, path, Some(interface), member, body);
        let answer = reply.and_then(|reply| answer(&reply));
        answer.map_err(failure)
    }
}

fn answer<A: DeserializeOwned + Type>(reply: &Message) -> zbus::Result<A> {
    reply.body().deserialize_unchecked()
}

fn path(facade: &Facade, app: &AppId) -> Result<String, CallerError> {
    let name = AppName::parse(app).ok_or_else(|| CallerError::NotAnApp(app.clone()))?;
    Ok(facade.path(name.package()))
}

/// What the bus says of a name that nobody has and nobody starts.
const NOBODY: [&str; 2] =
    ["org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner"];

fn failure(error: zbus::Error) -> CallerError {
    match error {
        zbus::Error::MethodError(name, _, _) if NOBODY.contains(&name.as_str()) => CallerError::NotRunning,
        zbus::Error::MethodError(name, text, _) => {
            CallerError::Refused(text.unwrap_or_else(|| name.to_string()))
        }
        error => CallerError::Unanswered(error.into()),
    }
}

/// Each `Post` signal for one app. Ends with the bus.
pub struct Posts {
    signals: MessageIterator,
    app: AppId,
}

impl Iterator for Posts {
    type Item = ();

    fn next(&mut self) -> Option<()> {
        let is_ours =
            |signal: &Message| signal.body().deserialize::<&str>().is_ok_and(|app| app == self.app.as_str());
        self.signals.by_ref().map_while(Result::ok).find(is_ours).map(drop)
    }
}
