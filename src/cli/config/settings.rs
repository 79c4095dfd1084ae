//! Where a configuration's values come from: the keys of a TOML file, and flags over them. Every
//! complaint about a value names the key, the value as it was written, and the file with its line
//! or the flag. What the keys mean is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

/// The longest part of a value that a complaint repeats, in characters: enough to find it again.
const SHOWN_CHARS_MAX: usize = 60;

/// Why a configuration cannot be used. Always the operator's to mend; always one line.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The configuration file itself.
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{}:{line}: {problem}", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What the parser said.
        problem: String,
    },
    /// A value that was given cannot be used, or its key is unknown.
    #[error("{place}: {problem}")]
    Value {
        /// Key, value and where they stand.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A value is missing and nothing in the surroundings stands in for it.
    #[error("{key}: {problem}")]
    Missing {
        /// Which key.
        key: &'static str,
        /// Why there is no default.
        problem: &'static str,
    },
}

/// A value as it was given.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text in quotes.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// `true` or `false`.
    Switch(bool),
    /// Values in brackets.
    List(Vec<Value>),
    /// What stood behind a flag: text, number or comma-separated list, as the key wants it.
    Flag(String),
    /// Anything that no key wants.
    Other,
}

/// Reads one value, or says in a few words what it should have been.
pub trait Check<T>: FnOnce(&Value) -> Result<T, String> {}

impl<T, F: FnOnce(&Value) -> Result<T, String>> Check<T> for F {}

/// One key's value with the place it came from. It may hold a secret, so it has no `Debug`.
#[derive(Clone, PartialEq)]
pub struct Given {
    key: String,
    value: Value,
    written: String,
    origin: Origin,
}

#[derive(Clone, PartialEq)]
enum Origin {
    File { path: Arc<Path>, line: usize },
    Flag,
}

/// All that was given, by key. Keys that nobody has read when all is read are unknown.
#[derive(Default)]
pub struct Settings {
    given: BTreeMap<String, Given>,
    known: BTreeSet<&'static str>,
}

impl Settings {
    /// The keys of the TOML file at `path`.
    pub fn from_file(path: &Path) -> Result<Settings, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.into(), source })?;
        Settings::from_toml(path, &text)
    }

    /// The keys in `text`, which stands in the file at `path`.
    pub fn from_toml(path: &Path, text: &str) -> Result<Settings, ConfigError> {
        let table = DeTable::parse(text).map_err(|error| syntax_error(path, text, &error))?;
        let path: Arc<Path> = path.into();
        let given = table.get_ref().iter().map(|(key, value)| {
            let origin = Origin::File { path: path.clone(), line: line_of(text, key.span().start) };
            let written = match value.get_ref() {
                DeValue::Table(_) => "{…}".to_owned(),
                _ => text[value.span()].to_owned(),
            };
            let key = key.get_ref().to_string();
            (key.clone(), Given { key, value: value.get_ref().into(), written, origin })
        });
        Ok(Settings { given: given.collect(), known: BTreeSet::new() })
    }

    /// Puts a flag's value over what the file says. The flag is the key with dashes.
    pub fn set_flag(&mut self, key: &str, written: String) {
        let value = Value::Flag(written.clone());
        let given = Given { key: key.to_owned(), value, written, origin: Origin::Flag };
        self.given.insert(key.to_owned(), given);
    }

    /// The value of `key`, if it was given, as `check` reads it. A check that fails says why.
    pub fn read<T>(&mut self, key: &'static str, check: impl Check<T>) -> Result<Option<T>, ConfigError> {
        self.known.insert(key);
        let given = self.given.get(key);
        given.map(|given| check(&given.value).map_err(|problem| given.refuse(problem))).transpose()
    }

    /// The same, or `default` where nothing was given.
    pub fn read_or<T>(
        &mut self,
        key: &'static str,
        check: impl Check<T>,
        default: T,
    ) -> Result<T, ConfigError> {
        Ok(self.read(key, check)?.unwrap_or(default))
    }

    /// What was given for `key`, with its place.
    pub fn find(&self, key: &str) -> Option<&Given> {
        self.given.get(key)
    }

    /// All keys that were given.
    #[cfg(test)]
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.given.keys().map(String::as_str)
    }

    /// All keys that were asked for.
    #[cfg(test)]
    pub fn known(&self) -> impl Iterator<Item = &str> {
        self.known.iter().copied()
    }

    /// Refuses the first key that nobody has read.
    pub fn refuse_unknown(&self) -> Result<(), ConfigError> {
        match self.given.values().find(|given| !self.known.contains(given.key.as_str())) {
            Some(given) => Err(given.refuse("unknown key".to_owned())),
            None => Ok(()),
        }
    }
}

impl Given {
    /// The complaint that this value cannot be used because of `problem`.
    pub fn refuse(&self, problem: String) -> ConfigError {
        ConfigError::Value { place: self.place(), problem }
    }

    /// `relative` as seen from where it was written: paths in a file start at the file's folder.
    pub fn resolve(&self, relative: &str) -> PathBuf {
        match &self.origin {
            Origin::File { path, .. } => path.parent().unwrap_or(Path::new("")).join(relative),
            Origin::Flag => relative.into(),
        }
    }

    /// Where the value stands, and what it is: `push.toml:3: ping_interval = "0s"` or `--ping-interval 0s`.
    pub fn place(&self) -> String {
        let shown = if is_secret(&self.key) { "(hidden)".to_owned() } else { on_one_line(&self.written) };
        match &self.origin {
            Origin::File { path, line } => format!("{}:{line}: {} = {shown}", path.display(), self.key),
            Origin::Flag => format!("--{} {shown}", self.key.replace('_', "-")),
        }
    }
}

/// Whether the value of a key must not be shown. A mistyped key's value may be a secret as well.
fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    let is_number = ["_burst", "_per_minute"].iter().any(|end| key.ends_with(end));
    !is_number && ["pass", "secret", "token"].iter().any(|word| key.contains(word))
}

fn on_one_line(written: &str) -> String {
    let mut shown: String = written.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < written.len() {
        shown.push('…');
    }
    shown.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

fn syntax_error(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let line = error.span().map_or(1, |span| line_of(text, span.start));
    let problem = format!("not TOML: {}", on_one_line(error.message()));
    ConfigError::Syntax { path: path.into(), line, problem }
}

/// The line of the byte at `offset`, counted from 1.
fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|&&byte| byte == b'\n').count()
}

impl From<&DeValue<'_>> for Value {
    fn from(value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => {
                i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Other, Value::Integer)
            }
            DeValue::Boolean(is_on) => Value::Switch(*is_on),
            DeValue::Array(items) => Value::List(items.iter().map(|item| item.get_ref().into()).collect()),
            _ => Value::Other,
        }
    }
}
