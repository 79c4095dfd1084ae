//! The JSON objects that `/v1` takes: a field that is not known, or is there twice, is an error that
//! names it.

use serde::Deserialize;

use crate::api::failure::Failure;

/// How much is told of what is wrong with a body, in characters: it may quote the body.
const ERROR_CHARS_MAX: usize = 200;

pub(super) fn read<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Failure> {
    let is_object = body.trim_ascii_start().first() == Some(&b'{');
    if !is_object {
        return Err(Failure::MalformedJson);
    }
    serde_json::from_slice(body)
        .map_err(|error| Failure::BadBody(error.to_string().chars().take(ERROR_CHARS_MAX).collect()))
}
