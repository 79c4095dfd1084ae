//! A method call as the bus brings it → what is asked, or the error that the caller gets. It looks at nothing but
//! the call: who may ask, and what is installed, is for others to say.

use zbus::message::{Body, Message};
use zbus::zvariant::{Signature, Structure};

use super::call::Ask;
use super::error::{CallError, NoSuchApp};
use super::introspection;
use super::names::{Api, Facade, Place, STATUS_INTERFACE, STATUS_PATH};
use crate::base::AppId;
use crate::service::app::AppName;

/// The largest body of a call. A helper's output has at most 64 KiB, and JSON as text in it may grow.
pub const BODY_BYTES_MAX: usize = 256 * 1024;

const PEER: &str = "org.freedesktop.DBus.Peer";
const INTROSPECTABLE: &str = "org.freedesktop.DBus.Introspectable";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// What a call wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Something of the push service.
    Service {
        /// The package whose programs may ask it. `None`: no app may.
        package: Option<String>,
        /// What.
        ask: Ask,
    },
    /// Something that any program on the bus answers.
    Plain(Plain),
}

/// What is answered on the spot.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plain {
    /// Nothing but that there is an answer.
    Pong,
    /// The machine's id.
    MachineId,
    /// What can be called at the path, as XML.
    Introspection(String),
    /// All properties of an interface: none.
    NoProperties,
}

/// Reads a method call.
pub(super) fn read(call: &Message) -> Result<Wanted, CallError> {
    let header = call.header();
    let place = Called {
        path: header.path().map_or("", |path| path.as_str()),
        interface: header.interface().map(|interface| interface.as_str()),
        member: header.member().map_or("", |member| member.as_str()),
    };
    let body = call.body();
    // Of the largest, the sieve has left nothing.
    let is_cut = body.is_empty() && *body.signature() != Signature::Unit;
    if is_cut || body.len() > BODY_BYTES_MAX {
        return Err(CallError::TooLarge);
    }
    let arguments = Arguments::of(&body).ok_or(CallError::InvalidArgs);
    match place.plain()? {
        Some(method) => method.read(&place, arguments?).map(Wanted::Plain),
        None => place.service(arguments),
    }
}

/// What a call names.
struct Called<'a> {
    path: &'a str,
    interface: Option<&'a str>,
    member: &'a str,
}

impl Called<'_> {
    /// The method that any program has, if it is one of those.
    fn plain(&self) -> Result<Option<PlainMethod>, CallError> {
        let is_in = |interface| self.interface.is_none_or(|called| called == interface);
        Ok(Some(match self.member {
            "Ping" if is_in(PEER) => PlainMethod::Ping,
            "GetMachineId" if is_in(PEER) => PlainMethod::MachineId,
            "Introspect" if is_in(INTROSPECTABLE) => PlainMethod::Introspect,
            "GetAll" if is_in(PROPERTIES) => PlainMethod::AllProperties,
            "Get" | "Set" if is_in(PROPERTIES) => return Err(CallError::UnknownProperty),
            _ if [PEER, INTROSPECTABLE, PROPERTIES].map(Some).contains(&self.interface) => {
                return Err(self.unknown_method());
            }
            _ => return Ok(None),
        }))
    }

    fn service(&self, arguments: Result<Arguments, CallError>) -> Result<Wanted, CallError> {
        if self.is_for_status() {
            return self.status(arguments);
        }
        let (facade, package) = self.facade()?;
        let method = Method::of(facade.api, self.member).ok_or_else(|| self.unknown_method())?;
        let ask = method.ask(arguments?, |app| self.app(&package, app))?;
        Ok(Wanted::Service { package: Some(package), ask })
    }

    fn is_for_status(&self) -> bool {
        let is_named = |interface| interface == STATUS_INTERFACE;
        self.path == STATUS_PATH && self.interface.map_or(self.member == "Status", is_named)
    }

    fn status(&self, arguments: Result<Arguments, CallError>) -> Result<Wanted, CallError> {
        match (self.member, arguments?) {
            ("Status", Arguments::Texts(none)) if none.is_empty() => {
                Ok(Wanted::Service { package: None, ask: Ask::Status })
            }
            ("Status", _) => Err(CallError::InvalidArgs),
            _ => Err(self.unknown_method()),
        }
    }

    /// The facade at this path, if it is the one that is called.
    fn facade(&self) -> Result<(&'static Facade, String), CallError> {
        match Place::of(self.path) {
            Place::Package(facade, package) if self.interface.is_none_or(|called| called == facade.name) => {
                Ok((facade, package))
            }
            _ => Err(CallError::UnknownInterface {
                interface: self.interface.unwrap_or_default().into(),
                path: self.path.into(),
            }),
        }
    }

    /// The app that `id` names, which must be the package's.
    fn app(&self, package: &str, id: &str) -> Result<AppId, CallError> {
        let app = id.parse::<AppId>().ok();
        let parsed = app.and_then(|app| Some((AppName::parse(&app)?, app)));
        match parsed {
            Some((name, app)) if name.package() == package => Ok(app),
            Some(_) => Err(self.no_such_app(NoSuchApp::OtherPackage)),
            None => Err(self.no_such_app(NoSuchApp::Invalid)),
        }
    }

    fn no_such_app(&self, reason: NoSuchApp) -> CallError {
        CallError::NoSuchObject { path: self.path.into(), reason }
    }

    fn unknown_method(&self) -> CallError {
        CallError::UnknownMethod(self.member.into())
    }
}

enum PlainMethod {
    Ping,
    MachineId,
    Introspect,
    AllProperties,
}

impl PlainMethod {
    fn read(&self, called: &Called<'_>, arguments: Arguments) -> Result<Plain, CallError> {
        let Arguments::Texts(texts) = arguments else { return Err(CallError::InvalidArgs) };
        match (self, texts.len()) {
            (PlainMethod::Ping, 0) => Ok(Plain::Pong),
            (PlainMethod::MachineId, 0) => Ok(Plain::MachineId),
            (PlainMethod::Introspect, 0) => Ok(Plain::Introspection(introspection::of(called.path))),
            (PlainMethod::AllProperties, 1) => Ok(Plain::NoProperties),
            _ => Err(CallError::InvalidArgs),
        }
    }
}

/// A method of the service's.
#[derive(Clone, Copy)]
enum Method {
    Register,
    RegisterUser,
    Unregister,
    Post,
    PopAll,
    ListPersistent,
    ClearPersistent,
    ClearPersistentList,
    SetCounter,
}

impl Method {
    fn of(api: Api, member: &str) -> Option<Method> {
        Some(match (api, member) {
            (Api::Push, "Register") => Method::Register,
            (Api::Push, "RegisterUser") => Method::RegisterUser,
            (Api::Push, "Unregister") => Method::Unregister,
            (Api::Postal, "Post") => Method::Post,
            (Api::Postal, "PopAll") => Method::PopAll,
            (Api::Postal, "ListPersistent") => Method::ListPersistent,
            (Api::Postal, "ClearPersistent") => Method::ClearPersistent,
            (Api::Postal, "ClearPersistentList") => Method::ClearPersistentList,
            (Api::Postal, "SetCounter") => Method::SetCounter,
            _ => return None,
        })
    }

    /// What is asked by these arguments. `app` reads the id of the app, which always comes first.
    fn ask(
        self,
        arguments: Arguments,
        app: impl FnOnce(&str) -> Result<AppId, CallError>,
    ) -> Result<Ask, CallError> {
        let (id, rest) = arguments.split_first().ok_or(CallError::InvalidArgs)?;
        let of_app: fn(AppId) -> Ask = match (self, rest) {
            (Method::Post, Rest::Texts(mut texts)) if texts.len() == 1 => {
                return Ok(Ask::Post(app(&id)?, texts.remove(0)));
            }
            (Method::ClearPersistent, Rest::Texts(tags)) if !tags.is_empty() => {
                return Ok(Ask::ClearPersistent(app(&id)?, tags));
            }
            (Method::ClearPersistentList, Rest::List(tags)) => {
                return Ok(Ask::ClearPersistent(app(&id)?, tags));
            }
            (Method::SetCounter, Rest::Counter(count, visible)) => {
                return Ok(Ask::SetCounter(app(&id)?, count, visible));
            }
            (method, Rest::Texts(none)) if none.is_empty() => method.of_app_alone()?,
            _ => return Err(CallError::InvalidArgs),
        };
        app(&id).map(of_app)
    }

    /// The ask of a method that takes nothing but an app.
    fn of_app_alone(self) -> Result<fn(AppId) -> Ask, CallError> {
        match self {
            Method::Register => Ok(Ask::Register),
            Method::RegisterUser => Ok(Ask::RegisterUser),
            Method::Unregister => Ok(Ask::Unregister),
            Method::PopAll => Ok(Ask::PopAll),
            Method::ListPersistent => Ok(Ask::ListPersistent),
            _ => Err(CallError::InvalidArgs),
        }
    }
}

/// The arguments of a call, in the shapes that some method takes.
enum Arguments {
    /// `s…`: none, one or several.
    Texts(Vec<String>),
    /// `sas`
    List(String, Vec<String>),
    /// `sib`, `sub`
    Counter(String, i32, bool),
}

/// The arguments behind the first.
enum Rest {
    Texts(Vec<String>),
    List(Vec<String>),
    Counter(i32, bool),
}

impl Arguments {
    /// What a body holds; `None` if it has another shape, or is not what its signature says.
    fn of(body: &Body) -> Option<Arguments> {
        let signature = body.signature().to_string_no_parens();
        match signature.as_str() {
            "sas" => body.deserialize().ok().map(|(first, list)| Arguments::List(first, list)),
            "sib" => body.deserialize().ok().map(|(first, count, is)| Arguments::Counter(first, count, is)),
            "sub" => body.deserialize().ok().map(|(first, count, is): (String, u32, bool)| {
                Arguments::Counter(first, count.try_into().unwrap_or(i32::MAX), is)
            }),
            texts if texts.bytes().all(|kind| kind == b's') => Some(Arguments::Texts(texts_of(body)?)),
            _ => None,
        }
    }

    fn split_first(self) -> Option<(String, Rest)> {
        match self {
            Arguments::Texts(mut texts) if !texts.is_empty() => {
                let first = texts.remove(0);
                Some((first, Rest::Texts(texts)))
            }
            Arguments::Texts(_) => None,
            Arguments::List(first, list) => Some((first, Rest::List(list))),
            Arguments::Counter(first, count, is_visible) => Some((first, Rest::Counter(count, is_visible))),
        }
    }
}

/// All of a body of nothing but texts.
fn texts_of(body: &Body) -> Option<Vec<String>> {
    match body.signature() {
        Signature::Unit => Some(Vec::new()),
        Signature::Str => body.deserialize().ok().map(|text| vec![text]),
        _ => {
            let fields = body.deserialize::<Structure>().ok()?.into_fields();
            fields.into_iter().map(|field| field.try_into().ok()).collect()
        }
    }
}

#[cfg(test)]
mod tests;
