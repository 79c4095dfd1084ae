//! Reads JSON objects as Go's encoding/json does, over borrowed raw values: nothing is built for a
//! field that nobody asked for, so a hostile frame costs time and memory in line with its length.

use std::fmt;

use serde::de::{Deserializer as _, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The values of the `N` fields that a kind of object has. A key matches its field exactly or, if
/// none does, ignoring (ASCII) case; of several equally good keys the last one counts. Other keys are
/// ignored, and `null` is as good as absent but where it is asked for.
pub struct Fields<'a, const N: usize> {
    names: [&'static str; N],
    exact: [Option<&'a RawValue>; N],
    folded: [Option<&'a RawValue>; N],
    nulls: [Option<&'a RawValue>; N],
}

impl<'a, const N: usize> Fields<'a, N> {
    /// Reads the object `json`, or returns `otherwise` if it is something else.
    pub fn read<E>(json: &'a str, names: [&'static str; N], otherwise: E) -> Result<Fields<'a, N>, E> {
        let mut fields = Fields { names, exact: [None; N], folded: [None; N], nulls: [None; N] };
        each_entry(json, otherwise, |key, value| {
            fields.take(key, value);
            Ok(())
        })?;
        Ok(fields)
    }

    fn take(&mut self, key: &str, value: &'a RawValue) {
        let exact = self.names.iter().position(|name| *name == key);
        let folded = || self.names.iter().position(|name| name.eq_ignore_ascii_case(key));
        let Some(field) = exact.or_else(folded) else { return };
        let values = match exact {
            _ if value.get() == "null" => &mut self.nulls,
            Some(_) => &mut self.exact,
            None => &mut self.folded,
        };
        values[field] = Some(value);
    }

    /// The value of a field, which must be one of the names given to [`Fields::read`].
    pub fn raw(&self, name: &'static str) -> Option<&'a RawValue> {
        let field = self.place_of(name);
        self.exact[field].or(self.folded[field])
    }

    /// The same for a field that may hold any JSON: an explicit `null` is a value, unless there is another.
    pub fn raw_or_null(&self, name: &'static str) -> Option<&'a RawValue> {
        self.raw(name).or(self.nulls[self.place_of(name)])
    }

    fn place_of(&self, name: &'static str) -> usize {
        self.names.iter().position(|known| *known == name).expect("one of the names read")
    }

    /// The text in a string field; empty if absent.
    pub fn text(&self, name: &'static str) -> Result<String, WrongType> {
        self.raw(name).map_or(Ok(String::new()), |value| text(name, value))
    }

    /// The number in an integer field; 0 if absent.
    pub fn integer(&self, name: &'static str) -> Result<i64, WrongType> {
        self.raw(name).map_or(Ok(0), |value| integer(name, value))
    }

    /// The value of a boolean field; false if absent.
    pub fn boolean(&self, name: &'static str) -> Result<bool, WrongType> {
        match self.raw(name).map(RawValue::get) {
            Some("true") => Ok(true),
            Some("false") | None => Ok(false),
            Some(_) => Err(WrongType(name)),
        }
    }

    /// The elements of an array field.
    pub fn array(&self, name: &'static str) -> Result<Option<Vec<&'a RawValue>>, WrongType> {
        let parse = |value: &'a RawValue| serde_json::from_str(value.get());
        self.raw(name).map(parse).transpose().map_err(|_| WrongType(name))
    }
}

/// The value of the named field is of another type than was asked for, or out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongType(pub &'static str);

/// The text that the string `value` stands for; `name` is for the error.
pub(super) fn text(name: &'static str, value: &RawValue) -> Result<String, WrongType> {
    serde_json::from_str(value.get()).map_err(|_| WrongType(name))
}

/// The integer `value`: as Go, without fraction or exponent. `name` is for the error.
pub(super) fn integer(name: &'static str, value: &RawValue) -> Result<i64, WrongType> {
    value.get().parse().map_err(|_| WrongType(name))
}

/// Passes the keys and values of the object `json` to `take`, in their order, until it refuses one.
/// Returns `otherwise` if `json` is not an object.
pub(super) fn each_entry<'a, E, F>(json: &'a str, otherwise: E, take: F) -> Result<(), E>
where
    F: FnMut(&str, &'a RawValue) -> Result<(), E>,
{
    let mut refusal = None;
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let read = deserializer
        .deserialize_map(Entries { take, refusal: &mut refusal })
        .and_then(|()| deserializer.end());
    read.map_err(|_| refusal.unwrap_or(otherwise))
}

/// Drives `take`. What it refuses is kept aside, since serde's errors carry only text.
struct Entries<'r, F, E> {
    take: F,
    refusal: &'r mut Option<E>,
}

impl<'a, E, F> Visitor<'a> for Entries<'_, F, E>
where
    F: FnMut(&str, &'a RawValue) -> Result<(), E>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(Key(key)) = map.next_key()? {
            if let Err(refusal) = (self.take)(&key, map.next_value()?) {
                *self.refusal = Some(refusal);
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

/// A key, borrowed unless it has escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] std::borrow::Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    /// What is no object is a wrong type of the name `object` here.
    const NO_OBJECT: WrongType = WrongType("object");

    fn name_in(json: &str) -> Result<String, WrongType> {
        Fields::read(json, ["Name", "Other"], NO_OBJECT)?.text("Name")
    }

    #[test]
    fn the_exact_key_counts_and_else_the_last_that_differs_only_in_case() {
        let cases = [
            (r#"{"Name":"a"}"#, "a"),
            (r#"{"nAME":"a"}"#, "a"),
            (r#"{"name":"a","Name":"b"}"#, "b"),
            (r#"{"Name":"b","name":"a"}"#, "b"),
            (r#"{"name":"a","NAME":"b"}"#, "b"),
            (r#"{"Name":"a","Name":"b"}"#, "b"),
            (r#"{"N\u0061me":"a"}"#, "a"),
            (r#"{"Names":"a"}"#, ""),
            ("{}", ""),
        ];
        for (json, name) in cases {
            assert_eq!(name_in(json).as_deref(), Ok(name), "{json}");
        }
    }

    #[test]
    fn null_is_as_good_as_absent_and_other_keys_may_hold_anything() {
        for json in [r#"{"Name":null}"#, r#"{"Name":"a","Name":null}"#, r#"{"x":[{"Name":1}],"name":"a"}"#] {
            assert!(name_in(json).is_ok(), "{json}");
        }
        assert_eq!(name_in(r#"{"Name":null,"name":"a"}"#).as_deref(), Ok("a"));
    }

    #[test]
    fn a_null_is_there_for_whoever_asks_for_it() {
        let value_in = |json| {
            let fields = Fields::read(json, ["Data"], NO_OBJECT).expect("an object");
            fields.raw_or_null("Data").map(RawValue::get)
        };
        assert_eq!(value_in("{}"), None);
        assert_eq!(value_in(r#"{"data":null}"#), Some("null"));
        assert_eq!(value_in(r#"{"data":1,"Data":null}"#), Some("1"));
    }

    #[test]
    fn a_boolean_is_true_or_false_and_false_if_absent() {
        let flag_in = |json| Fields::read(json, ["On"], NO_OBJECT)?.boolean("On");
        for (json, on) in
            [("{}", false), (r#"{"On":null}"#, false), (r#"{"On":false}"#, false), (r#"{"on":true}"#, true)]
        {
            assert_eq!(flag_in(json), Ok(on), "{json}");
        }
        for json in [r#"{"On":1}"#, r#"{"On":"true"}"#] {
            assert_eq!(flag_in(json), Err(WrongType("On")), "{json}");
        }
    }

    #[test]
    fn another_type_is_an_error_that_names_the_field() {
        for json in [r#"{"Name":1}"#, r#"{"name":{}}"#, r#"{"Name":"\ud800"}"#] {
            assert_eq!(name_in(json), Err(WrongType("Name")), "{json}");
        }
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        let deep = format!("{{\"x\":{}", "[".repeat(60_000));
        for json in ["", "null", "[]", "{", "{}{}", "{'a':1}", r#"{"a":01}"#, &deep] {
            assert_eq!(name_in(json), Err(NO_OBJECT), "{json:.20}");
        }
    }

    #[test]
    fn integers_have_neither_fraction_nor_exponent() {
        let level_in = |json| {
            let value: &RawValue = serde_json::from_str(json).expect("JSON");
            integer("Level", value)
        };
        assert_eq!(level_in("-0"), Ok(0));
        assert_eq!(level_in("-9223372036854775808"), Ok(i64::MIN));
        for json in ["1.0", "1e3", "\"1\"", "9223372036854775808", "true"] {
            assert_eq!(level_in(json), Err(WrongType("Level")), "{json}");
        }
    }
}
