//! As much of JSON Schema (2020-12) as `protocol-spec/openapi.json` uses. A keyword that is not known here
//! is a failure, so that nothing in the file goes unchecked.

use serde_json::{Map, Value};

/// These say nothing that a value could break.
const ANNOTATIONS: [&str; 2] = ["description", "format"];

/// Says what of `value` breaks `schema`, which is part of `document`.
pub fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let schema = schema.as_object().ok_or("a schema is an object")?;
    for (keyword, rule) in schema {
        check_rule(document, schema, keyword, rule, value)?;
    }
    Ok(())
}

fn check_rule(
    document: &Value,
    schema: &Map<String, Value>,
    keyword: &str,
    rule: &Value,
    value: &Value,
) -> Result<(), String> {
    let holds = match keyword {
        "$ref" => return check(document, resolve(document, rule)?, value),
        "type" => is_of_type(rule, value),
        "const" => value == rule,
        "enum" => rule.as_array().is_some_and(|allowed| allowed.contains(value)),
        "minimum" => value.as_f64().is_none_or(|number| Some(number) >= rule.as_f64()),
        "maximum" => value.as_f64().is_none_or(|number| Some(number) <= rule.as_f64()),
        "minLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 >= count(rule)),
        "maxLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 <= count(rule)),
        "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= count(rule)),
        "maxItems" => value.as_array().is_none_or(|items| items.len() as u64 <= count(rule)),
        "oneOf" => return check_one_of(document, rule, value),
        "items" => return each(value.as_array().into_iter().flatten(), |item| check(document, rule, item)),
        "required" => return check_required(rule, value),
        "properties" => return check_properties(document, rule, value),
        "additionalProperties" => return check_others(document, schema, rule, value),
        _ => return if ANNOTATIONS.contains(&keyword) { Ok(()) } else { Err(format!("keyword {keyword}")) },
    };
    if holds { Ok(()) } else { Err(format!("{value} breaks {keyword}: {rule}")) }
}

/// What a `$ref` stands for.
pub fn resolve<'d>(document: &'d Value, reference: &Value) -> Result<&'d Value, String> {
    let pointer = reference.as_str().and_then(|text| text.strip_prefix('#'));
    let found = pointer.and_then(|pointer| document.pointer(pointer));
    found.ok_or_else(|| format!("{reference} leads nowhere"))
}

fn is_of_type(rule: &Value, value: &Value) -> bool {
    match rule.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_u64() || value.is_i64(),
        _ => false,
    }
}

fn count(rule: &Value) -> u64 {
    rule.as_u64().expect("a number")
}

fn each<T>(items: impl IntoIterator<Item = T>, f: impl FnMut(T) -> Result<(), String>) -> Result<(), String> {
    items.into_iter().try_for_each(f)
}

fn check_one_of(document: &Value, rule: &Value, value: &Value) -> Result<(), String> {
    let schemas = rule.as_array().ok_or("oneOf has schemas")?;
    match schemas.iter().filter(|schema| check(document, schema, value).is_ok()).count() {
        1 => Ok(()),
        held => Err(format!("{value} is {held} of {rule}")),
    }
}

fn check_required(rule: &Value, value: &Value) -> Result<(), String> {
    let (Some(names), Some(fields)) = (rule.as_array(), value.as_object()) else { return Ok(()) };
    let is_there = |name: &Value| name.as_str().is_some_and(|name| fields.contains_key(name));
    match names.iter().find(|name| !is_there(name)) {
        Some(missing) => Err(format!("{value} lacks {missing}")),
        None => Ok(()),
    }
}

fn check_properties(document: &Value, rule: &Value, value: &Value) -> Result<(), String> {
    let (Some(known), Some(fields)) = (rule.as_object(), value.as_object()) else { return Ok(()) };
    each(known, |(name, schema)| fields.get(name).map_or(Ok(()), |field| check(document, schema, field)))
}

fn check_others(
    document: &Value,
    schema: &Map<String, Value>,
    rule: &Value,
    value: &Value,
) -> Result<(), String> {
    let known =
        |name: &String| schema["properties"].as_object().is_some_and(|known| known.contains_key(name));
    let others = value.as_object().into_iter().flatten().filter(|(name, _)| !known(name));
    each(others, |(name, field)| match rule {
        Value::Bool(false) => Err(format!("{name} is not known")),
        rule => check(document, rule, field),
    })
}

#[test]
fn each_rule_can_be_broken() {
    let cases = [
        (r#"{"type":"integer","minimum":1,"maximum":2}"#, "1", &["0", "3", "1.5", "\"1\""][..]),
        (r#"{"type":"string","minLength":1,"maxLength":2}"#, r#""äö""#, &[r#""""#, r#""äöü""#, "1"]),
        (
            r#"{"type":"array","minItems":1,"maxItems":1,"items":{"type":"boolean"}}"#,
            "[true]",
            &["[]", "[1]", "[true,true]"],
        ),
        (
            r#"{"properties":{"a":{"const":1}},"required":["a"],"additionalProperties":false}"#,
            r#"{"a":1}"#,
            &["{}", r#"{"a":2}"#, r#"{"a":1,"b":1}"#],
        ),
        (r#"{"properties":{},"additionalProperties":{"enum":["x"]}}"#, r#"{"a":"x"}"#, &[r#"{"a":"y"}"#]),
        (r#"{"oneOf":[{"type":"integer"},{"minimum":5}]}"#, "1", &["7"]),
        (r##"{"$ref":"#/type"}"##, "1", &[]),
    ];
    let read = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let document = read(r#"{"type":{"type":"integer"}}"#);
    for (schema, good, bad) in cases {
        assert_eq!(check(&document, &read(schema), &read(good)), Ok(()), "{schema}");
        for value in bad {
            assert!(check(&document, &read(schema), &read(value)).is_err(), "{schema} {value}");
        }
    }
    assert!(check(&document, &read(r#"{"pattern":"x"}"#), &read("1")).is_err());
}
