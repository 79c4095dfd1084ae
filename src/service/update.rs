//! Whether a system broadcast tells this device of an update. What the settings make of it, it does not know.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::base::Payload;

/// Whether `payload` names a build of `image`, such as `stable/pinephone`.
pub fn is_for(payload: &Payload, image: &str) -> bool {
    let images: Option<BTreeMap<String, &RawValue>> = serde_json::from_slice(payload.as_bytes()).ok();
    let builds = images.as_ref().and_then(|images| images.get(image));
    let builds: Option<Vec<&RawValue>> = builds.and_then(|builds| serde_json::from_str(builds.get()).ok());
    let first = builds.as_ref().and_then(|builds| builds.first());
    first.is_some_and(|first| serde_json::from_str::<i64>(first.get()).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_names_the_image_and_a_build_first() {
        let is_for = |json: &str| is_for(&Payload::from_json(json.as_bytes()).expect("JSON"), "stable/phone");
        assert!(is_for(r#"{"stable/phone":[42,""],"devel/phone":[43]}"#));
        for other in
            [r#"{"devel/phone":[42]}"#, r#"{"stable/phone":[]}"#, r#"{"stable/phone":["42"]}"#, "[]", "7"]
        {
            assert!(!is_for(other), "{other}");
        }
    }
}
