//! Why a call fails, as callers are told it: the names and texts that apps know from the existing service.

use thiserror::Error;

/// Why a call fails. `Display` is the text that the caller gets.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CallError {
    /// The arguments are not those of the method.
    #[error("Invalid type / number of args")]
    InvalidArgs,
    /// No such method there.
    #[error("Unknown method '{0}'")]
    UnknownMethod(String),
    /// No such interface at this path.
    #[error("Unknown interface '{interface}' at '{path}'")]
    UnknownInterface {
        /// What was called; empty if the call left it open.
        interface: String,
        /// Where.
        path: String,
    },
    /// No such property: the service has none.
    #[error("The push service has no properties")]
    UnknownProperty,
    /// There is no such app at this path.
    #[error("No such object '{path}' ('{reason}')")]
    NoSuchObject {
        /// Where it was asked for.
        path: String,
        /// What is wrong with it.
        reason: NoSuchApp,
    },
    /// The caller is confined to another package.
    #[error("An app may ask for its own package only")]
    AccessDenied,
    /// A call has a body of more than [`super::BODY_BYTES_MAX`].
    #[error("The call is too large")]
    TooLarge,
    /// There is more to do than the service takes on.
    #[error("The push service is busy: try again")]
    Busy,
    /// `Post` was given what is no helper's output.
    #[error("bad json data")]
    BadJson,
    /// The server has trouble of its own (5xx).
    #[error("bad server")]
    BadServer,
    /// The server does not know this device (401).
    #[error("bad auth")]
    BadAuth,
    /// The server refuses.
    #[error("bad request")]
    BadRequest,
    /// What the server gave is no token.
    #[error("bad token")]
    BadToken,
    /// The server cannot be asked, and why.
    #[error("unable to request registration: {0}")]
    Unreachable(String),
    /// Something on this machine failed.
    #[error("{0}")]
    Failed(String),
}

/// What is wrong with an app id at a path.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NoSuchApp {
    /// It is no app id.
    #[error("invalid application id")]
    Invalid,
    /// It is well formed, and nothing of that name is installed.
    #[error("application not installed")]
    NotInstalled,
    /// The path is another package's.
    #[error("package must be prefix of app id")]
    OtherPackage,
}

impl CallError {
    /// The error's name on the bus.
    pub fn name(&self) -> &'static str {
        match self {
            CallError::InvalidArgs => "org.freedesktop.DBus.Error.InvalidArgs",
            CallError::UnknownMethod(_) => "org.freedesktop.DBus.Error.UnknownMethod",
            CallError::UnknownInterface { .. } => "org.freedesktop.DBus.Error.UnknownInterface",
            CallError::UnknownProperty => "org.freedesktop.DBus.Error.UnknownProperty",
            CallError::NoSuchObject { .. } => "org.freedesktop.DBus.Error.NoSuchObject",
            CallError::AccessDenied => "org.freedesktop.DBus.Error.AccessDenied",
            CallError::TooLarge | CallError::Busy => "org.freedesktop.DBus.Error.LimitsExceeded",
            CallError::BadJson
            | CallError::BadServer
            | CallError::BadAuth
            | CallError::BadRequest
            | CallError::BadToken
            | CallError::Unreachable(_)
            | CallError::Failed(_) => "org.freedesktop.DBus.Error.Failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_read_the_names_and_texts_that_they_know() {
        let told =
            |error: CallError| (error.name().rsplit('.').next().unwrap_or_default(), error.to_string());
        let missing =
            |reason| told(CallError::NoSuchObject { path: "/com/lomiri/Postal/ab".into(), reason }).1;
        assert_eq!(told(CallError::InvalidArgs), ("InvalidArgs", "Invalid type / number of args".into()));
        assert_eq!(told(CallError::BadJson), ("Failed", "bad json data".into()));
        assert_eq!(told(CallError::BadServer), ("Failed", "bad server".into()));
        assert_eq!(told(CallError::BadAuth), ("Failed", "bad auth".into()));
        assert_eq!(told(CallError::BadRequest), ("Failed", "bad request".into()));
        assert_eq!(told(CallError::BadToken), ("Failed", "bad token".into()));
        let unreachable = CallError::Unreachable("no network".into());
        assert_eq!(told(unreachable), ("Failed", "unable to request registration: no network".into()));
        let expected = |reason| format!("No such object '/com/lomiri/Postal/ab' ('{reason}')");
        assert_eq!(missing(NoSuchApp::Invalid), expected("invalid application id"));
        assert_eq!(missing(NoSuchApp::NotInstalled), expected("application not installed"));
        assert_eq!(missing(NoSuchApp::OtherPackage), expected("package must be prefix of app id"));
    }
}
