//! Reads what a helper wrote: a JSON object, from the facts of which one message and one notification come.
//! It is lenient where the push service of old was, for helpers are written against that; how a helper runs,
//! and what becomes of its output, it does not know.
//!
//! ```text
//!  {"message": any JSON,
//!   "notification": {"tag": text,
//!                    "card": {"summary", "body", "icon": text, "actions": [URL…], "timestamp": seconds,
//!                             "persist", "popup": bool},
//!                    "sound": bool | path,
//!                    "vibrate": bool | {"pattern": [ms…], "repeat": number},
//!                    "emblem-counter": {"count": number, "visible": bool}}}
//! ```
//!
//! - Nothing of this must be there. `null` counts as not there, but for `message`, where it is a value.
//! - Keys match whatever the case of their ASCII letters; of several that match, the last counts. Unknown keys
//!   are passed over.
//! - A `sound` or `vibrate` that makes no sense is passed over alone; any other value of a wrong type makes
//!   the whole output an error.

use std::fmt;

use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::notification::{Card, Emblem, Notification, Output, Sound, Vibration};
use crate::base::Payload;

/// Longest output, in bytes: a payload of 4 KiB becomes text for a bubble, and hardly more.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// Longest summary that is kept, in bytes: more than a line of any screen.
pub const SUMMARY_BYTES_MAX: usize = 1024;
/// Longest body that is kept, in bytes: more than a notification centre shows at once.
pub const BODY_BYTES_MAX: usize = 8 * 1024;
/// Most actions that are kept. The first is for a click, and no shell shows many buttons.
pub const ACTIONS_MAX: usize = 8;
/// Longest URL, path or name of an icon, in bytes: as long as a path can be on Linux.
pub const URL_BYTES_MAX: usize = 4096;
/// Longest tag, in bytes. It is a name, kept for as long as its notification is.
pub const TAG_BYTES_MAX: usize = 256;
/// Most times of a vibration pattern.
pub const PATTERN_ENTRIES_MAX: usize = 64;
/// Longest time in a vibration pattern.
pub const PATTERN_ENTRY_MS_MAX: u32 = 10_000;
/// Most repeats of a vibration pattern.
pub const REPEAT_MAX: u32 = 20;

/// Why a helper's output is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// It is longer than [`OUTPUT_BYTES_MAX`].
    #[error("it has more than {OUTPUT_BYTES_MAX} bytes")]
    TooMuch,
    /// It is no JSON, or no object.
    #[error("it is not a JSON object")]
    NotAnObject,
    /// The value of this key is of a wrong type, or a number that does not fit.
    #[error("its `{0}` is of a wrong type")]
    WrongType(&'static str),
    /// The value of this key is too long, and would be another if it were cut.
    #[error("its `{0}` is too long")]
    TooLong(&'static str),
}

impl Output {
    /// What a helper's output says. Summary and body are cut to their limits, and so is the number of actions.
    pub fn parse(bytes: &[u8]) -> Result<Output, OutputError> {
        if bytes.len() > OUTPUT_BYTES_MAX {
            return Err(OutputError::TooMuch);
        }
        let fields: Fields<'_> = serde_json::from_slice(bytes).map_err(|_| OutputError::NotAnObject)?;
        let message = fields.of_key("message").last().map(Payload::from_raw);
        let notification = fields.object("notification")?.as_ref().map(notification).transpose()?;
        Ok(Output { message, notification })
    }
}

fn notification(fields: &Fields<'_>) -> Result<Notification, OutputError> {
    Ok(Notification {
        tag: fields.name("tag", TAG_BYTES_MAX)?,
        card: fields.object("card")?.as_ref().map(card).transpose()?,
        sound: fields.last("sound").and_then(sound),
        vibration: fields.last("vibrate").and_then(vibration),
        emblem: fields.object("emblem-counter")?.as_ref().map(emblem).transpose()?,
    })
}

fn card(fields: &Fields<'_>) -> Result<Card, OutputError> {
    Ok(Card {
        summary: cut(fields.text("summary")?, SUMMARY_BYTES_MAX),
        body: cut(fields.text("body")?, BODY_BYTES_MAX),
        actions: actions(fields)?,
        icon: fields.name("icon", URL_BYTES_MAX)?,
        timestamp: fields.value("timestamp")?,
        persist: fields.value("persist")?,
        popup: fields.value("popup")?,
    })
}

fn actions(fields: &Fields<'_>) -> Result<Vec<String>, OutputError> {
    let urls: Vec<Text> = fields.value("actions")?;
    let is_fitting = urls.iter().all(|Text(url)| url.len() <= URL_BYTES_MAX);
    let kept = urls.into_iter().take(ACTIONS_MAX).map(|Text(url)| url).collect();
    is_fitting.then_some(kept).ok_or(OutputError::TooLong("actions"))
}

fn emblem(fields: &Fields<'_>) -> Result<Emblem, OutputError> {
    Ok(Emblem { count: fields.value("count")?, visible: fields.value("visible")? })
}

fn sound(value: &RawValue) -> Option<Sound> {
    if let Some(is_wanted) = read::<bool>(value) {
        return is_wanted.then_some(Sound::Default);
    }
    let Text(path) = read(value)?;
    (1..=URL_BYTES_MAX).contains(&path.len()).then_some(Sound::File(path))
}

impl Vibration {
    /// What stands at a helper's `vibrate`, if it makes sense.
    pub fn parse(json: &str) -> Option<Vibration> {
        vibration(serde_json::from_str(json).ok()?)
    }
}

/// A pattern that does not say how often runs once.
fn vibration(value: &RawValue) -> Option<Vibration> {
    if let Some(is_wanted) = read::<bool>(value) {
        return is_wanted.then_some(Vibration::Default);
    }
    let fields: Fields<'_> = read(value)?;
    let durations_ms: Vec<u32> = fields.value("pattern").ok()?;
    let repeat = fields.value::<u32>("repeat").ok()?.max(1);
    let is_sensible = (1..=PATTERN_ENTRIES_MAX).contains(&durations_ms.len())
        && durations_ms.iter().all(|&duration| duration <= PATTERN_ENTRY_MS_MAX)
        && repeat <= REPEAT_MAX;
    is_sensible.then_some(Vibration::Pattern { durations_ms, repeat })
}

/// At most so many bytes of `text`, and no part of a character.
fn cut(mut text: String, bytes_max: usize) -> String {
    let is_end = |end: &usize| text.is_char_boundary(*end);
    let end = (0..=bytes_max.min(text.len())).rfind(is_end).unwrap_or(0);
    text.truncate(end);
    text
}

fn read<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Option<T> {
    serde_json::from_str(value.get()).ok()
}

/// A JSON object as it came: its keys in their order, and their values unread, however deep they are.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// All values of a key, `null` included.
    fn of_key(&self, key: &str) -> impl DoubleEndedIterator<Item = &'a RawValue> {
        self.0.iter().filter(move |(given, _)| given.eq_ignore_ascii_case(key)).map(|(_, value)| *value)
    }

    /// What counts of them.
    fn last(&self, key: &str) -> Option<&'a RawValue> {
        self.of_key(key).rfind(|value| value.get() != "null")
    }

    /// What counts of them as a `T`, or what `T` is by default.
    fn value<T: DeserializeOwned + Default>(&self, key: &'static str) -> Result<T, OutputError> {
        let Some(value) = self.last(key) else { return Ok(T::default()) };
        read(value).ok_or(OutputError::WrongType(key))
    }

    fn object(&self, key: &'static str) -> Result<Option<Fields<'a>>, OutputError> {
        let Some(value) = self.last(key) else { return Ok(None) };
        read(value).map(Some).ok_or(OutputError::WrongType(key))
    }

    fn text(&self, key: &'static str) -> Result<String, OutputError> {
        self.value(key).map(|Text(text)| text)
    }

    /// A text that stands for something, and so is not cut.
    fn name(&self, key: &'static str, bytes_max: usize) -> Result<String, OutputError> {
        let name = self.text(key)?;
        if name.len() <= bytes_max { Ok(name) } else { Err(OutputError::TooLong(key)) }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some((Text(key), value)) = map.next_entry()? {
                    fields.push((key, value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A text without what D-Bus cannot carry: zeros are left out, and half a surrogate pair, which JSON can
/// spell, becomes U+FFFD.
#[derive(Default)]
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Text, E> {
                Ok(Text(String::from_utf8_lossy(bytes).replace('\0', "")))
            }
        }
        // As bytes, serde_json lets half a surrogate pair through.
        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests;
