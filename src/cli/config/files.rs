//! Files that the configuration names, so that a complaint about one tells where it was named.

use std::fmt;
use std::path::{Path, PathBuf};

use super::settings::{ConfigError, Given, Settings};
use super::values::text;

/// A certificate chain and its key, in PEM.
#[derive(Clone, Debug, PartialEq)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub chain: NamedFile,
    /// The private key.
    pub key: NamedFile,
}

/// A file or folder, and the key of the configuration that names it, if one does.
#[derive(Clone, PartialEq)]
pub struct NamedFile {
    path: PathBuf,
    given: Option<Given>,
}

impl NamedFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its content.
    pub fn read(&self) -> Result<Vec<u8>, ConfigError> {
        std::fs::read(&self.path).map_err(|error| self.refuse(format!("cannot be read: {error}")))
    }

    /// The complaint that it cannot be used because of `problem`.
    pub fn refuse(&self, problem: String) -> ConfigError {
        match &self.given {
            Some(given) => given.refuse(problem),
            None => ConfigError::Value { place: self.path.display().to_string(), problem },
        }
    }
}

/// A file that the configuration does not name.
impl From<PathBuf> for NamedFile {
    fn from(path: PathBuf) -> NamedFile {
        NamedFile { path, given: None }
    }
}

impl fmt::Debug for NamedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

/// The pair of files that two keys name. A certificate needs its key, and a key its certificate.
pub(super) fn certificate(
    from: &mut Settings,
    chain_key: &'static str,
    key_key: &'static str,
) -> Result<Option<CertificateFiles>, ConfigError> {
    match (file(from, chain_key)?, file(from, key_key)?) {
        (Some(chain), Some(key)) => Ok(Some(CertificateFiles { chain, key })),
        (None, None) => Ok(None),
        (Some(chain), None) => Err(chain.refuse(format!("needs {key_key} as well"))),
        (None, Some(key)) => Err(key.refuse(format!("needs {chain_key} as well"))),
    }
}

/// The file that a key names.
pub(super) fn file(from: &mut Settings, key: &'static str) -> Result<Option<NamedFile>, ConfigError> {
    let Some(name) = from.read(key, text)? else { return Ok(None) };
    Ok(from.find(key).map(|given| NamedFile { path: given.resolve(&name), given: Some(given.clone()) }))
}
